# SPDX-License-Identifier: Apache-2.0
"""The server and the account that look-ups use."""

import contextlib
import time
from collections.abc import Callable

import sqlalchemy as sa

from consumer_guard.config.settings import Settings
from consumer_guard.doctor.findings import Finding, Severity

#: Seconds for connecting, and for each statement.
PATIENCE = 15.0

#: Tables that the guard and its commands read.
_READ = (
    'consumers',
    'projects',
    'users',
    'consumer_types',
    'allocations',
    'resource_providers',
)

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

Check = Callable[[sa.Engine, Settings], Finding]


def is_mysql(engine: sa.Engine) -> bool:
    """MySQL or MariaDB."""
    return engine.dialect.name in ('mysql', 'mariadb')


def name_of(engine: sa.Engine) -> str:
    """The URL, without the password."""
    return engine.url.render_as_string(hide_password=True)


def describe(error: BaseException) -> str:
    """The kind of an error. Security: its text may quote the URL or rows."""
    return type(getattr(error, 'orig', None) or error).__name__


def examine(
    engine: sa.Engine,
    settings: Settings,
    checks: tuple[Check, ...],
    patience: float = PATIENCE,
) -> list[Finding]:
    """Run checks, each of which may fail by the database; never raises for that.

    :param patience: seconds after which a failure is put down to a time-out
    """
    findings = [look_at_connection(engine)]
    if findings[0].severity is Severity.FAILURE:
        return findings
    for check in checks:
        started = time.monotonic()
        try:
            findings.append(check(engine, settings))
        except sa.exc.SQLAlchemyError as exc:
            late = time.monotonic() - started >= patience
            findings.append(_give_up(check, engine, exc, late))
    return findings


def _give_up(
    check: Check, engine: sa.Engine, exc: sa.exc.SQLAlchemyError, late: bool
) -> Finding:
    name = check.__name__.removeprefix('look_at_').replace('_', ' ')
    if late:
        return Finding(
            Severity.NOTE,
            name,
            name_of(engine),
            'not told: the database took too long',
            'look again when it is less busy',
        )
    return Finding(
        Severity.WARNING,
        name,
        name_of(engine),
        f'the database did not let us look: {describe(exc)}',
        'grant SELECT on the tables',
    )


def look_at_connection(engine: sa.Engine) -> Finding:
    """The database answers."""
    check, where = 'database', name_of(engine)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text('SELECT 1'))
    except sa.exc.SQLAlchemyError as exc:
        return Finding(
            Severity.FAILURE,
            check,
            where,
            f'the database does not answer: {describe(exc)}; owners get 503',
            'see option connection of [consumer_guard], or [placement_database]',
        )
    return Finding(Severity.OK, check, where, 'answers')


def look_at_primary(engine: sa.Engine, _settings: Settings) -> Finding:
    """Not a replica, which may show an owner of the past."""
    check, where = 'primary', name_of(engine)
    if engine.dialect.name == 'sqlite':
        return Finding(Severity.OK, check, where, 'sqlite has no replicas')
    ask = 'SELECT pg_is_in_recovery()'
    if is_mysql(engine):
        ask = 'SELECT @@GLOBAL.read_only'
    with engine.connect() as connection:
        replica = bool(connection.execute(sa.text(ask)).scalar())
    if not replica:
        return Finding(Severity.OK, check, where, 'the server takes writes')
    return Finding(
        Severity.FAILURE,
        check,
        where,
        'the server is read-only, a replica: it may name an owner of the past',
        'point option connection of [consumer_guard] to the primary',
    )


def look_at_select(engine: sa.Engine, _settings: Settings) -> Finding:
    """SELECT on every table that is read."""
    check, missing = 'SELECT', []
    with engine.connect() as connection:
        for table in _READ:
            try:
                connection.execute(sa.select(sa.table(table, sa.column('id'))).limit(1))
            except sa.exc.DBAPIError as exc:
                missing.append(f'{table} ({describe(exc)})')
    if not missing:
        return Finding(Severity.OK, check, name_of(engine), 'on all the tables')
    return Finding(
        Severity.FAILURE,
        check,
        name_of(engine),
        f'cannot read {", ".join(missing)}',
        'grant the database user SELECT; a missing table: placement-manage db sync',
    )


def look_at_rights(engine: sa.Engine, settings: Settings) -> Finding:
    """UPDATE(generation), where generations are to be rolled."""
    check, where = 'UPDATE(generation)', name_of(engine)
    if settings.generation_strategy != 'roll':
        return Finding(
            Severity.OK, check, where, 'not needed: generation_strategy is refuse'
        )
    with engine.connect() as connection:
        try:
            # No row has this id: it asks for the right and changes nothing.
            connection.execute(
                sa.text('UPDATE consumers SET generation = generation WHERE id = -1')
            )
        except sa.exc.DBAPIError as exc:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.rollback()
            return Finding(
                Severity.FAILURE,
                check,
                where,
                'generation_strategy is roll, but the database user cannot write '
                f'consumers.generation ({describe(exc)})',
                'grant it UPDATE(generation) on consumers',
            )
    return Finding(Severity.OK, check, where, 'generations can be rolled')


def look_at_excess(engine: sa.Engine, own_account: bool) -> Finding:
    """An account of the guard's own may not change the tables.

    :param own_account: the guard has a ``connection`` that is not placement's
    :raises sqlalchemy.exc.SQLAlchemyError: the database did not answer
    """
    check, where = 'more rights', name_of(engine)
    if engine.dialect.name == 'sqlite':
        return Finding(Severity.OK, check, where, 'sqlite has no accounts')
    if not own_account:
        return Finding(
            Severity.NOTE,
            check,
            where,
            "the guard uses placement's own account, which may write all",
            'an account with SELECT alone is enough (and UPDATE(generation) to roll)',
        )
    tables = ', '.join(f"'{table}'" for table in _READ)
    ask = _POSTGRESQL_GRANTS.format(tables=tables)
    if is_mysql(engine):
        ask = _MYSQL_GRANTS.format(me=_ME, changing=_CHANGING, tables=tables)
    with engine.connect() as connection:
        found = sorted(str(row[0]) for row in connection.exec_driver_sql(ask))
    if not found:
        return Finding(Severity.OK, check, where, 'none that the server tells of')
    return Finding(
        Severity.WARNING,
        check,
        where,
        f"the guard's own account may {', '.join(found)}; it needs SELECT alone, and "
        'UPDATE(generation) to roll',
        'revoke the others',
    )
