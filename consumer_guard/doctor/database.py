# SPDX-License-Identifier: Apache-2.0
"""Placement's database: its server, and the account that look-ups use."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from consumer_guard import assembly
from consumer_guard.analysis.findings import (
    Assessment,
    Finding,
    Severity,
    fail,
    note,
    ok,
    warn,
)
from consumer_guard.config.settings import Settings
from consumer_guard.config.startup import describe_target
from consumer_guard.generations.store import Kind
from consumer_guard.guard.errors import GuardError
from consumer_guard.owners.causes import describe_failure
from consumer_guard.owners.engine import make_engine
from consumer_guard.owners.statements import TABLES

#: Seconds; a command may scan a table of 10^6 rows.
SCAN_TIMEOUT = 60.0

#: Seconds for connecting, and for each statement of the doctor.
CHECK_TIMEOUT = 15.0

#: Tables that the guard and its commands read.
_TABLES = (*TABLES, Kind.PROVIDER.value)

_STRICT_MODES = ('STRICT_TRANS_TABLES', 'STRICT_ALL_TABLES', 'TRADITIONAL')

#: What the account may change of the tables above. Only its own grants: those
#: of a role are not in these tables.
_MYSQL_GRANTS = """
SELECT privilege_type FROM information_schema.user_privileges
 WHERE grantee = {me} AND privilege_type IN ({changing})
UNION SELECT privilege_type FROM information_schema.schema_privileges
 WHERE grantee = {me} AND privilege_type IN ({changing})
   AND DATABASE() LIKE table_schema
UNION SELECT privilege_type FROM information_schema.table_privileges
 WHERE grantee = {me} AND privilege_type IN ({changing})
   AND table_schema = DATABASE() AND table_name IN ({tables})
UNION SELECT privilege_type FROM information_schema.column_privileges
 WHERE grantee = {me} AND privilege_type IN ({changing})
   AND table_schema = DATABASE() AND table_name IN ({tables})
   AND NOT (privilege_type = 'UPDATE' AND column_name = 'generation')
"""
_ME = """CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')"""
_CHANGING = "'INSERT', 'UPDATE', 'DELETE', 'DROP', 'ALTER'"

_POSTGRESQL_GRANTS = """
SELECT DISTINCT privilege
  FROM unnest(ARRAY[{tables}]) AS name,
       unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
 WHERE has_table_privilege(current_user, name, privilege)
"""

#: One check of the database; its function is called ``check_`` and its name.
Check = Callable[[sa.Engine, Settings], Assessment]


class DatabaseFailed(GuardError):
    """The database did not answer as it should; the message is for the operator."""


@contextlib.contextmanager
def open_database(
    settings: Settings, timeout: float = SCAN_TIMEOUT
) -> Iterator[sa.Engine]:
    """Placement's database, as the guard is configured to reach it.

    :param timeout: seconds for connecting, and for a statement
    :raises DatabaseFailed: for any error of the database
    """
    engine = make_engine(
        dataclasses.replace(
            assembly.make_lookup_settings(settings),
            timeout=max(timeout, settings.lookup_timeout),
            pool_size=1,
        ),
        # To look at it; the finding says so.
        replicas=True,
    )
    try:
        yield engine
    except sa.exc.SQLAlchemyError as exc:
        raise DatabaseFailed(
            f'the database {_name_database(engine)} (option connection) failed: '
            f'{_describe(engine, exc)}'
        ) from None
    finally:
        engine.dispose()


def fetch(engine: sa.Engine, query: str, **parameters: object) -> Sequence[Any]:
    """All rows of a query.

    :param parameters: for each ``:name`` in it; a list is for ``IN :name``
    """
    lists = [name for name, value in parameters.items() if isinstance(value, list)]
    text = sa.text(query).bindparams(*[sa.bindparam(n, expanding=True) for n in lists])
    with engine.connect() as connection:
        return connection.execute(text, parameters).all()


def is_mysql(engine: sa.Engine) -> bool:
    """MySQL or MariaDB."""
    return engine.dialect.name in ('mysql', 'mariadb')


def is_galera(engine: sa.Engine) -> bool:
    """A node of a Galera cluster."""
    if not is_mysql(engine):
        return False
    rows = fetch(engine, "SHOW VARIABLES LIKE 'wsrep_on'")
    return bool(rows) and rows[0][1].upper() in ('ON', '1')


def _name_database(engine: sa.Engine) -> str:
    """Security: the URL without user, password and parameters."""
    return describe_target(engine.url.render_as_string(hide_password=False))


def _describe(engine: sa.Engine, error: BaseException) -> str:
    return describe_failure(error, engine.url)


def run_checks(
    engine: sa.Engine,
    settings: Settings,
    checks: Mapping[str, Check],
    timeout: float = CHECK_TIMEOUT,
) -> list[Finding]:
    """Run checks; an error of the database is a finding.

    :param checks: by the name that is shown
    :param timeout: seconds after which a failure counts as a time-out
    """
    where = _name_database(engine)
    findings = [_check_connection(engine).at(where, 'database')]
    if findings[0].severity is Severity.FAILURE:
        skipped = note('skipped: the database cannot be reached')
        return findings + [skipped.at(where, name) for name in checks]
    for name, check in checks.items():
        started = time.monotonic()
        try:
            findings.append(check(engine, settings).at(where, name))
        except sa.exc.SQLAlchemyError as exc:
            if time.monotonic() - started >= timeout:
                failure = note(
                    'skipped: the query timed out',
                    'run the check again when the database is less busy',
                )
            else:
                failure = warn(
                    f'query failed: {_describe(engine, exc)}',
                    'grant SELECT on the tables',
                )
            findings.append(failure.at(where, name))
    return findings


def _check_connection(engine: sa.Engine) -> Assessment:
    try:
        fetch(engine, 'SELECT 1')
    except sa.exc.SQLAlchemyError as exc:
        return fail(
            f'cannot connect: {_describe(engine, exc)}; owners get 503',
            'see option connection of [consumer_guard], or [placement_database]',
        )
    return ok('answers')


def check_primary(engine: sa.Engine, _settings: Settings) -> Assessment:
    """Not a replica, which may show an owner of the past."""
    if engine.dialect.name == 'sqlite':
        return ok('sqlite has no replicas')
    query = 'SELECT pg_is_in_recovery()'
    if is_mysql(engine):
        query = 'SELECT @@GLOBAL.read_only'
    if not fetch(engine, query)[0][0]:
        return ok('the server accepts writes')
    return fail(
        'the server is a read-only replica: it may return a former owner',
        'point option connection of [consumer_guard] to the primary',
    )


def check_sql_mode(engine: sa.Engine, _settings: Settings, *, mode: str) -> Assessment:
    """MySQL and MariaDB only; the mode of placement's sessions.

    oslo.db sets it last, so neither the server's mode nor the URL's counts.

    :param mode: placement's option ``mysql_sql_mode``
    """
    if not is_mysql(engine):
        return ok(f'{engine.dialect.name} has no sql_mode')
    with engine.connect() as connection:
        # Of a connection that is closed afterwards: this pool has one.
        connection.detach()
        connection.execute(sa.text('SET SESSION sql_mode = :mode'), {'mode': mode})
        mode = connection.execute(sa.text('SELECT @@SESSION.sql_mode')).scalar_one()
    if any(strict in mode for strict in _STRICT_MODES):
        return ok("strict in placement's sessions")
    return warn(
        f"the sql_mode of placement's sessions is {mode or 'empty'}, not strict: a "
        'generation at its limit keeps its value, and two writers both succeed',
        'set mysql_sql_mode = TRADITIONAL in [placement_database]',
    )


def check_galera(engine: sa.Engine, _settings: Settings) -> Assessment:
    """Look-ups on Galera wait for the newest rows, as the engine sets it."""
    if not is_galera(engine):
        return ok('no Galera')
    # Bit 0: SELECT waits (MariaDB, system variable wsrep_sync_wait).
    if int(fetch(engine, 'SELECT @@SESSION.wsrep_sync_wait')[0][0]) & 1:
        return ok('look-ups wait for the newest rows')
    return fail(
        'a look-up on Galera does not wait: a lagging node may return a former owner',
        'find what resets wsrep_sync_wait in the sessions of this account',
    )


def check_select(engine: sa.Engine, _settings: Settings) -> Assessment:
    """SELECT on every table that is read."""
    missing = []
    with engine.connect() as connection:
        for table in _TABLES:
            try:
                connection.execute(sa.select(sa.table(table, sa.column('id'))).limit(1))
            except sa.exc.DBAPIError as exc:
                missing.append(f'{table}: {_describe(engine, exc)}')
    if not missing:
        return ok('on all tables')
    return fail(
        f'cannot read {"; ".join(missing)}',
        'grant the database user SELECT; a missing table: placement-manage db sync',
    )


def check_rights(
    engine: sa.Engine, settings: Settings, *, owners_write: bool
) -> Assessment:
    """UPDATE(generation), where generations are moved.

    :param owners_write: the rules open a write to owners
    """
    needs = [
        need
        for need, needed in (
            ('generation_strategy is roll', settings.generation_strategy == 'roll'),
            ('the rules allow writes by owners', owners_write),
        )
        if needed
    ]
    if not needs:
        return ok('not needed: generation_strategy is refuse, and owners cannot write')
    with engine.connect() as connection:
        try:
            # No row has this id: it tries the right and changes nothing.
            connection.execute(
                sa.text('UPDATE consumers SET generation = generation WHERE id = -1')
            )
        except sa.exc.DBAPIError as exc:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.rollback()
            return fail(
                f'{" and ".join(needs)}, but the database user cannot write '
                f'consumers.generation: {_describe(engine, exc)}',
                'grant it UPDATE(generation) on consumers',
            )
    return ok('the account can update generations')


def check_excess(
    engine: sa.Engine, _settings: Settings, *, own_account: bool
) -> Assessment:
    """An account of the guard's own may not change the tables.

    :param own_account: the guard has a ``connection`` that is not placement's
    :raises sqlalchemy.exc.SQLAlchemyError: the database did not answer
    """
    if engine.dialect.name == 'sqlite':
        return ok('sqlite has no accounts')
    if not own_account:
        return note(
            "the guard uses placement's own account, which can write every table",
            'an account with SELECT is enough (and UPDATE(generation) to roll, and for '
            'writes by owners)',
        )
    tables = ', '.join(f"'{table}'" for table in _TABLES)
    query = _POSTGRESQL_GRANTS.format(tables=tables)
    if is_mysql(engine):
        query = _MYSQL_GRANTS.format(me=_ME, changing=_CHANGING, tables=tables)
    rights = sorted(str(row[0]) for row in fetch(engine, query))
    if not rights:
        return ok('the server shows no others')
    return warn(
        f"the guard's own account may {', '.join(rights)}; it needs SELECT, and "
        'UPDATE(generation) to roll and for writes by owners',
        'revoke the others',
    )
