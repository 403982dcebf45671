# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard-status upgrade check``: the doctor's checks, in groups."""

import sys
from collections.abc import Callable, Iterable, Sequence

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code, Result

from consumer_guard.cmd import doctor
from consumer_guard.cmd.database import open_database
from consumer_guard.cmd.doctor import Deployed
from consumer_guard.doctor import database, keystone, mysql, policy, rows
from consumer_guard.doctor.findings import Finding, Severity, find_worst
from consumer_guard.guard.errors import GuardError

_CODES = {
    Severity.OK: Code.SUCCESS,
    Severity.NOTE: Code.SUCCESS,
    Severity.WARNING: Code.WARNING,
    Severity.FAILURE: Code.FAILURE,
}


class Checks(upgradecheck.UpgradeCommands):
    """What must be right before the guard is started or upgraded."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """:param conf: parsed when the checks run; has ``--config-file``"""
        super().__init__()
        self._conf = conf

    def _check(self, look: Callable[[Deployed], Iterable[Finding]]) -> Result:
        try:
            files = self._conf.config_file or [None]
            return make_result(list(look(doctor.admit(None, files[0]))))
        except GuardError as exc:
            return Result(Code.FAILURE, str(exc))

    def _check_rows(self, *checks: database.Check) -> Result:
        return self._check(lambda patient: _ask_database(patient, checks))

    def _check_sql_mode(self) -> Result:
        """A session that is not strict keeps a full counter where it is."""
        return self._check_rows(mysql.look_at_sql_mode)

    def _check_generations(self) -> Result:
        """Counters near their end."""
        return self._check_rows(rows.look_at_generations)

    def _check_rights(self) -> Result:
        """What the database user may do."""
        return self._check_rows(database.look_at_select, database.look_at_rights)

    def _check_newest_rows(self) -> Result:
        """The primary, and on Galera the newest rows."""
        return self._check_rows(database.look_at_primary, mysql.look_at_galera)

    def _check_pipeline(self) -> Result:
        """The paste file, where there is one."""
        return self._check(
            lambda patient: (
                doctor.examine_pipeline(patient) if patient.layout is not None else ()
            )
        )

    def _check_policy_files(self) -> Result:
        """A worker that starts with a bad file refuses guarded requests."""
        return self._check(
            lambda patient: policy.look_at_files(patient.conf, patient.settings)
        )

    def _check_passage_role(self) -> Result:
        """Keystone has no role of that name."""
        return self._check(
            lambda patient: [
                keystone.look_at_passage_role(
                    patient.placement, patient.settings.passage_role
                )
            ]
        )

    _upgrade_checks = (
        ('SQL mode', _check_sql_mode),
        ('Generations', _check_generations),
        ('Database rights', _check_rights),
        ('Newest rows', _check_newest_rows),
        ('Pipeline', _check_pipeline),
        ('Policy files', _check_policy_files),
        ('Passage role', _check_passage_role),
    )


def _ask_database(
    patient: Deployed, checks: tuple[database.Check, ...]
) -> list[Finding]:
    if not patient.settings.connection:
        return []
    with open_database(patient.settings) as engine:
        return database.examine(engine, patient.settings, checks)


def make_result(findings: Sequence[Finding]) -> Result:
    """One result of several findings: the worst code, and what is to be told."""
    told = [one for one in findings if one.severity is not Severity.OK]
    details = '; '.join(
        f'{one.text} ({one.cure})' if one.cure else one.text for one in told
    )
    return Result(_CODES[find_worst(findings)], details)


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
