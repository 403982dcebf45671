# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard-status upgrade check``."""

import contextlib
import sys
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code, Result

from consumer_guard.cmd.database import open_database, read_settings
from consumer_guard.errors import GuardError
from consumer_guard.generations import Step
from consumer_guard.owners import counters
from consumer_guard.owners.counters import Kind
from consumer_guard.settings import Settings

#: Tables that the guard and its commands read.
_READ = (
    'consumers',
    'projects',
    'users',
    'consumer_types',
    'allocations',
    'resource_providers',
)

_STRICT_MODES = ('STRICT_TRANS_TABLES', 'STRICT_ALL_TABLES', 'TRADITIONAL')


class Checks(upgradecheck.UpgradeCommands):
    """What must be right before the guard is started or upgraded."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """:param conf: parsed when the checks run; has ``--config-file``"""
        super().__init__()
        self._conf = conf

    def _check(self, look: Callable[[sa.Engine, Settings], Result]) -> Result:
        try:
            files = self._conf.config_file or [None]
            settings = read_settings(files[0])
            with open_database(settings) as engine:
                return look(engine, settings)
        except GuardError as exc:
            return Result(Code.FAILURE, str(exc))

    def _check_sql_mode(self) -> Result:
        """A session that is not strict keeps a full counter where it is."""
        return self._check(look_at_sql_mode)

    def _check_generations(self) -> Result:
        """Counters near their end."""
        return self._check(look_at_generations)

    def _check_rights(self) -> Result:
        """What the database user may do."""
        return self._check(look_at_rights)

    _upgrade_checks = (
        ('SQL mode', _check_sql_mode),
        ('Generations', _check_generations),
        ('Database rights', _check_rights),
    )


def look_at_sql_mode(engine: sa.Engine, _settings: Settings) -> Result:
    """MySQL and MariaDB only; the mode that new sessions get."""
    if engine.dialect.name not in ('mysql', 'mariadb'):
        return Result(Code.SUCCESS, f'{engine.dialect.name} has no sql_mode')
    with engine.connect() as connection:
        mode = str(connection.execute(sa.text('SELECT @@GLOBAL.sql_mode')).scalar())
    if any(strict in mode for strict in _STRICT_MODES):
        return Result(Code.SUCCESS)
    return Result(
        Code.WARNING,
        f"the server's sql_mode is {mode or 'empty'}, not strict: a full generation "
        'stands still and two writers both succeed; add STRICT_TRANS_TABLES',
    )


def look_at_generations(engine: sa.Engine, settings: Settings) -> Result:
    """The highest of consumers and of providers."""
    thresholds = settings.thresholds
    highest = [
        counter for kind in Kind for counter in counters.read_highest(engine, kind, 1)
    ]
    worst = max(
        (thresholds.step_of(counter.generation) for counter in highest),
        default=Step.FINE,
    )
    if worst is Step.FINE:
        return Result(Code.SUCCESS)
    above = settings.generation_limit - settings.generation_warning - 1
    return Result(
        Code.WARNING if worst is Step.WARNING else Code.FAILURE,
        f'a generation is at step {worst.name.lower()}; see consumer-guard generation '
        f'list, cure: consumer-guard generation roll --above {above}',
    )


def look_at_rights(engine: sa.Engine, settings: Settings) -> Result:
    """SELECT always; UPDATE only where generations are to be rolled."""
    with engine.connect() as connection:
        for table in _READ:
            connection.execute(sa.select(sa.table(table, sa.column('id'))).limit(1))
        if settings.generation_strategy != 'roll':
            return Result(Code.SUCCESS)
        try:
            # No row has this id: it asks for the right and changes nothing.
            connection.execute(
                sa.text('UPDATE consumers SET generation = generation WHERE id = -1')
            )
        except sa.exc.DBAPIError as exc:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.rollback()
            return Result(
                Code.FAILURE,
                'generation_strategy is roll, but the database user cannot write '
                f'consumers.generation ({type(exc.orig).__name__}); grant it '
                'UPDATE(generation) on consumers',
            )
    return Result(Code.SUCCESS)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status of oslo.upgradecheck."""
    conf = cfg.ConfigOpts()
    return int(
        upgradecheck.main(
            conf=conf,
            project='consumer-guard',
            upgrade_command=Checks(conf),
            argv=list(sys.argv[1:] if argv is None else argv),
        )
    )


if __name__ == '__main__':
    sys.exit(main())
