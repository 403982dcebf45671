# SPDX-License-Identifier: Apache-2.0
"""The database, for commands: patient, and with errors an operator can use."""

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.guard.errors import GuardError
from consumer_guard.owners import engine
from consumer_guard.owners.api import OwnerLookupSettings

#: Seconds; a command may scan a table of 10^6 rows.
_PATIENCE = 60.0


class CommandFailed(GuardError):
    """A command cannot go on; the message is for the operator."""


def read_settings(config_file: str | None) -> Settings:
    """The settings of a guard that reads this file.

    :raises consumer_guard.guard.errors.ConfigurationError: it cannot be used
    """
    local_conf = {} if config_file is None else {'oslo_config_file': config_file}
    return loading.load_settings(loading.parse_files(local_conf), local_conf)


@contextlib.contextmanager
def open_database(
    settings: Settings, patience: float = _PATIENCE
) -> Iterator[sa.Engine]:
    """Placement's database, as the guard is configured to reach it.

    :param patience: seconds for connecting, and for a statement
    :raises CommandFailed: the database did not answer as it should
    """
    made = engine.make_engine(
        OwnerLookupSettings(
            connection=settings.connection or '',
            timeout=max(patience, settings.lookup_timeout),
            pool_size=1,
            nobodys_project_id=settings.incomplete_consumer_project_id,
            nobodys_user_id=settings.incomplete_consumer_user_id,
        )
    )
    try:
        yield made
    except sa.exc.SQLAlchemyError as exc:
        # Security: the text of a driver may quote the URL.
        reason = type(getattr(exc, 'orig', None) or exc).__name__
        where = made.url.render_as_string(hide_password=True)
        raise CommandFailed(
            f'the database {where} (option connection) did not answer as it '
            f'should: {reason}'
        ) from None
    finally:
        made.dispose()
