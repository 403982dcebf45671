# SPDX-License-Identifier: Apache-2.0
"""The server and the account that look-ups use."""

import contextlib
from collections.abc import Callable

import sqlalchemy as sa

from consumer_guard.diagnosis import Finding, Severity
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
    engine: sa.Engine, settings: Settings, checks: tuple[Check, ...]
) -> list[Finding]:
    """Run checks, each of which may fail by the database; never raises for that."""
    findings = [look_at_connection(engine)]
    if findings[0].severity is Severity.FAILURE:
        return findings
    for check in checks:
        try:
            findings.append(check(engine, settings))
        except sa.exc.SQLAlchemyError as exc:
            findings.append(
                Finding(
                    Severity.WARNING,
                    check.__name__.removeprefix('look_at_').replace('_', ' '),
                    name_of(engine),
                    f'the database did not let us look: {describe(exc)}',
                    'grant SELECT on the tables, or look again when it is less busy',
                )
            )
    return findings


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


def look_at_sql_mode(engine: sa.Engine, _settings: Settings) -> Finding:
    """MySQL and MariaDB only; the mode that new sessions get."""
    check, where = 'sql_mode', name_of(engine)
    if not is_mysql(engine):
        text = f'{engine.dialect.name} has no sql_mode'
        return Finding(Severity.OK, check, where, text)
    with engine.connect() as connection:
        mode = str(connection.execute(sa.text('SELECT @@GLOBAL.sql_mode')).scalar())
    if any(strict in mode for strict in _STRICT_MODES):
        return Finding(Severity.OK, check, where, 'strict')
    return Finding(
        Severity.WARNING,
        check,
        where,
        f"the server's sql_mode is {mode or 'empty'}, not strict: a full generation "
        'stands still and two writers both succeed',
        'add STRICT_TRANS_TABLES',
    )


def look_at_galera(engine: sa.Engine, _settings: Settings) -> Finding:
    """Look-ups on Galera wait for the newest rows, as the engine asks them to."""
    check, where = 'wsrep_sync_wait', name_of(engine)
    if not is_mysql(engine):
        return Finding(Severity.OK, check, where, f'{engine.dialect.name}: no Galera')
    ask = "SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait')"
    with engine.connect() as connection:
        found = {row[0].lower(): row[1] for row in connection.exec_driver_sql(ask)}
    if found.get('wsrep_on', 'OFF').upper() not in ('ON', '1'):
        return Finding(Severity.OK, check, where, 'no Galera')
    # Bit 0: SELECT waits (MariaDB, system variable wsrep_sync_wait).
    if int(found.get('wsrep_sync_wait', 0)) & 1:
        return Finding(Severity.OK, check, where, 'look-ups wait for the newest rows')
    return Finding(
        Severity.FAILURE,
        check,
        where,
        'a look-up on Galera does not wait: a node that is behind names an owner of '
        'the past',
        'see what resets wsrep_sync_wait in the sessions of this account',
    )
