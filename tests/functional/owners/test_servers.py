# SPDX-License-Identifier: Apache-2.0
"""The driver ``database`` on real servers, in health and with faults."""

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from consumer_guard.guard import errors
from consumer_guard.guard.model import OwnerStatus
from consumer_guard.owners.breaker import PAUSE
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.owners.statements import for_dialect
from consumer_guard.testing.lookups import fork_to_find
from consumer_guard.testing.sources import make_id
from tests import servers, statements
from tests.functional.owners.databases import ON_MYSQL, on, settings, start
from tests.rows import Tables

TIMEOUT = 1.0

#: Seconds in which a look-up has ended on the busiest machine.
PATIENCE = 600.0


@pytest.mark.on_database('mysql')
def test_mariadb_itself_is_lax(url: str, tables: Tables) -> None:
    """What the contract's lookalikes are about: they are equal there."""
    if not url.startswith('mysql'):
        pytest.skip('only MariaDB and MySQL are lax')
    id_ = make_id()
    tables.consume(id_)
    ((collation,),) = tables.select('SELECT @@collation_database')
    # Those of MySQL since 8 pad nothing.
    assert (tables.read(id_ + ' ') is None) is ('_0900_' in collation)
    assert (tables.read(id_.upper()) is None) is collation.endswith('_bin')


# Cost -----------------------------------------------------------------------


@pytest.mark.parametrize('count', [2, 2000, 70_000])
def test_many_ids_take_one_statement_per_batch(
    tables: Tables, make: Callable[..., DatabaseOwners], count: int
) -> None:
    lookup = make(timeout=60.0)
    ids = [make_id() for _ in range(count)]
    tables.fill(ids[:1000])
    lookup.find([make_id()])
    seen: list[str] = []
    with statements.noted(seen.append, lookup.engine):
        found = lookup.find(ids)
    batch = for_dialect(lookup.engine.dialect.name).batch
    assert len(seen) == math.ceil(count / batch)
    assert [id_ for id_ in ids if found[id_].status is OwnerStatus.RECORDED] == ids[
        :1000
    ]
    assert len(found) == count
    groups = lookup.find_groups(ids, ['project_id'])
    assert sorted(id_ for _, some in groups for id_ in some) == sorted(ids[:1000])


# Statements that psycopg 3 prepares ------------------------------------------


@pytest.fixture
def prepared(url: str, lookup: DatabaseOwners) -> str:
    """An id that was looked up until the statement was prepared."""
    if not url.startswith('postgresql+psycopg:'):
        pytest.skip('only psycopg 3 prepares')
    id_ = make_id()
    Tables(url).consume(id_, 'project-p')
    for _ in range(10):
        lookup.find([id_])
    return id_


def _prepared_names(lookup: DatabaseOwners) -> list[str]:
    with lookup.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            'SELECT name FROM pg_prepared_statements'
            " WHERE statement LIKE '%%consumer_types%%'"
        )
        return list(rows.scalars())


@pytest.mark.on_database('postgresql')
def test_a_look_up_is_prepared_on_its_connection(
    lookup: DatabaseOwners, prepared: str
) -> None:
    assert len(_prepared_names(lookup)) == 1


#: On the server alone, as a pooler does: psycopg would notice DEALLOCATE.
_FORGET = "DO 'BEGIN EXECUTE ''DEALLOCATE ALL''; END'"


@pytest.mark.on_database('postgresql')
def test_preparing_is_given_up_once_a_statement_is_lost(
    lookup: DatabaseOwners, prepared: str
) -> None:
    with lookup.engine.connect() as connection:
        connection.exec_driver_sql(_FORGET)
    for _ in range(20):
        assert lookup.find([prepared])[prepared].project_id == 'project-p'
    assert _prepared_names(lookup) == []
    assert servers.get_pool(lookup.engine).checkedout() == 0


@pytest.mark.on_database('postgresql')
def test_anothers_statement_of_that_name_makes_no_owner(
    lookup: DatabaseOwners, prepared: str
) -> None:
    ((name,),) = [_prepared_names(lookup)]
    with lookup.engine.connect() as connection:
        connection.exec_driver_sql(_FORGET)
        connection.exec_driver_sql(f'PREPARE {name} (text) AS SELECT 1')
    with pytest.raises(errors.OwnersUnavailable):
        lookup.find([prepared])
    assert lookup.find([prepared])[prepared].project_id == 'project-p'


@pytest.mark.on_database('postgresql')
def test_only_the_query_of_one_id_is_prepared(
    lookup: DatabaseOwners, prepared: str
) -> None:
    for _ in range(20):
        lookup.find([prepared, make_id()])
        lookup.find_groups([prepared, make_id()], ['project_id'])
    assert _prepared_names(lookup) == ['_pg3_0']


@pytest.mark.on_database('postgresql')
def test_preparing_is_given_up_once_its_name_is_taken(
    lookup: DatabaseOwners, prepared: str
) -> None:
    lookup.close()
    with lookup.engine.connect() as connection:
        connection.exec_driver_sql('PREPARE _pg3_0 (text) AS SELECT 1')
    for _ in range(20):
        assert lookup.find([prepared])[prepared].project_id == 'project-p'
    assert _prepared_names(lookup) == []


@pytest.mark.on_database('postgresql')
def test_a_table_that_changes_under_a_prepared_statement(
    tables: Tables, lookup: DatabaseOwners, prepared: str
) -> None:
    """An upgrade of placement's schema costs one query more, once."""
    change = 'ALTER TABLE projects ALTER COLUMN external_id TYPE {}'
    with tables.engine.begin() as connection:
        connection.exec_driver_sql(change.format('text'))
    try:
        for _ in range(20):
            assert lookup.find([prepared])[prepared].project_id == 'project-p'
    finally:
        with tables.engine.begin() as connection:
            connection.exec_driver_sql(change.format('varchar(255)'))
    assert len(_prepared_names(lookup)) == 1


# Sessions ----------------------------------------------------------------------


def test_no_transaction_stays_open(
    url: str, tables: Tables, lookup: DatabaseOwners
) -> None:
    id_ = make_id()
    tables.consume(id_)
    lookup.find([id_])
    tables.set_generation(id_, 8)
    # A snapshot of an open transaction would still show the old one.
    assert lookup.find([id_])[id_].generation == 8
    assert servers.get_pool(lookup.engine).checkedout() == 0
    open_ones = {
        'postgresql': "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'",
        'mysql': 'SELECT count(*) FROM information_schema.innodb_trx',
        'sqlite': 'SELECT 0',
    }
    statement = sa.text(open_ones[lookup.engine.dialect.name])
    with lookup.engine.connect() as mine, tables.engine.connect() as other:
        mine.exec_driver_sql('SELECT id FROM consumers').all()
        assert other.execute(statement).scalar() == 0
        if mine.dialect.name == 'sqlite':  # Python's name for autocommit
            driver_connection = mine.connection.dbapi_connection
            assert driver_connection is not None
            assert driver_connection.isolation_level is None


# Forks ----------------------------------------------------------------------


def test_forked_children_leave_the_parents_pool_alone(
    tables: Tables, make: Callable[..., DatabaseOwners]
) -> None:
    lookup = make(timeout=30.0)
    ids = [make_id() for _ in range(4)]
    for id_ in ids:
        tables.consume(id_, f'project-{id_}')
    lookup.find(ids[:1])
    with lookup.engine.connect() as mine:
        before = mine.connection.dbapi_connection
    children = [fork_to_find(lookup, id_) for id_ in ids[1:]]
    pool = servers.get_pool(lookup.engine)
    try:
        for _ in range(200):
            assert lookup.find(ids[:1])[ids[0]].project_id == f'project-{ids[0]}'
    finally:
        statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0, 0, 0]
    assert lookup.engine.pool is pool
    assert pool.checkedin() == 1
    with lookup.engine.connect() as mine:
        assert mine.connection.dbapi_connection is before, 'a child ended it'


def test_children_without_pythons_hooks_leave_the_parents_pool_alone(
    url: str, tables: Tables
) -> None:
    ids = [make_id() for _ in range(4)]
    for id_ in ids:
        tables.consume(id_, f'project-{id_}')
    command = [sys.executable, '-m', 'tests.forking', url, *ids]
    subprocess.run(command, check=True, timeout=120)  # our own


# Faults ---------------------------------------------------------------------


@pytest.fixture(scope='module', params=[on('postgresql'), on('mysql')])
def faulty(request: pytest.FixtureRequest) -> Iterator[tuple[servers.Server, str]]:
    """A server that may be stopped and hurt, and the URL of its database."""
    with contextlib.ExitStack() as stack:
        running = start(stack, request.param)
        made = running.url(running.create_database())
        servers.create_schema(made)
        yield running, made


@pytest.fixture
def victim(faulty: tuple[servers.Server, str]) -> Iterator[DatabaseOwners]:
    lookup = DatabaseOwners(settings(faulty[1]))
    yield lookup
    lookup.close()


@pytest.fixture
def recorded(faulty: tuple[servers.Server, str]) -> str:
    """The id of a consumer that is stored there."""
    id_ = make_id()
    Tables(faulty[1]).consume(id_)
    return id_


def fail(lookup: DatabaseOwners, id_: str) -> float:
    """Seconds that the look-up took to fail, which a busy machine makes more."""
    started = time.monotonic()
    with pytest.raises(errors.OwnersUnavailable):
        lookup.find([id_])
    spent = time.monotonic() - started
    assert spent < PATIENCE
    return spent


def test_a_stopped_server_fails_look_ups_in_time_until_it_is_back(
    faulty: tuple[servers.Server, str], victim: DatabaseOwners, recorded: str
) -> None:
    running, _ = faulty
    assert victim.find([recorded])[recorded].status is OwnerStatus.RECORDED
    running.stop()
    for _ in range(3):
        fail(victim, recorded)
    running.start()
    # By itself, at once, with the same object.
    assert victim.find([recorded])[recorded].status is OwnerStatus.RECORDED
    assert servers.get_pool(victim.engine).checkedout() == 0


def test_a_server_that_was_down_at_the_start(
    faulty: tuple[servers.Server, str],
) -> None:
    running, url = faulty
    running.stop()
    lookup = DatabaseOwners(settings(url))
    fail(lookup, make_id())
    running.start()
    id_ = make_id()
    assert lookup.find([id_])[id_].status is OwnerStatus.ABSENT
    lookup.close()


def session(lookup: DatabaseOwners) -> int:
    name = {'postgresql': 'pg_backend_pid()', 'mysql': 'connection_id()'}
    with lookup.engine.connect() as connection:
        found = connection.exec_driver_sql(f'SELECT {name[lookup.engine.dialect.name]}')
        return int(found.scalar_one())


def test_a_killed_connection_is_retried(
    faulty: tuple[servers.Server, str], victim: DatabaseOwners
) -> None:
    running, url = faulty
    id_ = make_id()
    Tables(url).consume(id_, 'project-k')
    for _ in range(3):
        victim.find([id_])
        number = session(victim)
        running.execute(
            f'SELECT pg_terminate_backend({number})'
            if running.dialect == 'postgresql'
            else f'KILL {number}'
        )
        assert victim.find([id_])[id_].project_id == 'project-k'
        assert session(victim) != number
    assert servers.get_pool(victim.engine).checkedout() == 0


def test_a_restart_between_two_look_ups(
    faulty: tuple[servers.Server, str], victim: DatabaseOwners, recorded: str
) -> None:
    running, _ = faulty
    with victim.engine.connect(), victim.engine.connect():
        pass  # more than one dead connection in the pool
    running.stop()
    running.start()
    assert victim.find([recorded])[recorded].status is OwnerStatus.RECORDED


@contextlib.contextmanager
def locked_table(url: str) -> Iterator[None]:
    """Nobody else reads ``consumers`` meanwhile, as during an ALTER TABLE."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(
            'LOCK TABLE consumers IN ACCESS EXCLUSIVE MODE'
            if url.startswith('postgresql')
            else 'LOCK TABLES consumers WRITE'
        )
        yield


def waiting(running: servers.Server) -> int:
    """How many sessions of the server run our statement now."""
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
        " AND query LIKE '%%consumer_types%%' AND pid <> pg_backend_pid()"
        if running.dialect == 'postgresql'
        else 'SELECT count(*) FROM information_schema.processlist'
        " WHERE info LIKE '%%consumer_types%%' AND id <> connection_id()"
    )
    ((count,),) = running.execute(statement)
    assert isinstance(count, int)
    return count


def test_a_slow_look_up(
    faulty: tuple[servers.Server, str], victim: DatabaseOwners, recorded: str
) -> None:
    running, url = faulty
    victim.find([recorded])
    with locked_table(url):
        for _ in range(2):
            spent = fail(victim, recorded)
            assert spent > 0.9 * TIMEOUT
            time.sleep(PAUSE)
        # The server does not go on for nobody: that would use up its sessions.
        assert waiting(running) == 0
    assert victim.find([recorded])[recorded].status is OwnerStatus.RECORDED


def test_a_frozen_server_fails_look_ups_in_time_until_it_thaws(
    faulty: tuple[servers.Server, str], victim: DatabaseOwners, recorded: str
) -> None:
    running, _ = faulty
    victim.find([recorded])
    running.freeze(sessions=True)
    try:
        fail(victim, recorded)
        time.sleep(PAUSE)
        # A new connection this time; libpq's least is two seconds.
        fail(victim, recorded)
    finally:
        running.thaw()
    time.sleep(PAUSE)
    assert victim.find([recorded])[recorded].status is OwnerStatus.RECORDED


def test_a_server_that_takes_no_connections(faulty: tuple[servers.Server, str]) -> None:
    running, url = faulty
    lookup = DatabaseOwners(settings(url))
    running.freeze()
    try:
        # libpq's least is two seconds.
        fail(lookup, make_id())
    finally:
        running.thaw()
    lookup.close()


# Drivers and sessions -------------------------------------------------------


@pytest.mark.parametrize(
    ('dialect', 'driver', 'module'),
    [
        on('postgresql', 'postgresql', 'psycopg2', 'psycopg2'),
        on('postgresql', 'postgresql', 'psycopg', 'psycopg'),
        on('mysql', 'mysql', 'pymysql', 'pymysql'),
        on('mysql', 'mysql', 'mysqldb', 'MySQLdb'),
    ],
)
def test_each_driver_finds_owners_and_ends_a_slow_look_up_in_time(
    server: Callable[[str], servers.Server], dialect: str, driver: str, module: str
) -> None:
    running = server(dialect)
    pytest.importorskip(module)
    database = running.create_database()
    url, plain_url = running.url(database, driver), running.url(database)
    servers.create_schema(plain_url)
    tables = Tables(plain_url)
    ids = [make_id() for _ in range(5)]
    for id_ in ids[:3]:
        tables.consume(id_)
    lookup = DatabaseOwners(settings(url))
    assert lookup.find(ids[:1])[ids[0]].status is OwnerStatus.RECORDED
    found = lookup.find(ids)
    assert [found[id_].status for id_ in ids] == [OwnerStatus.RECORDED] * 3 + [
        OwnerStatus.ABSENT
    ] * 2
    with locked_table(plain_url):
        assert fail(lookup, ids[0]) > 0.9 * TIMEOUT
    lookup.close()


@pytest.mark.on_database('postgresql')
def test_postgresql_options_of_the_url_stay(
    server: Callable[[str], servers.Server],
) -> None:
    running = server('postgresql')
    database = running.create_database()
    url = running.url(database) + '?options=-c%20work_mem%3D5MB'
    lookup = DatabaseOwners(settings(url, timeout=1.5))
    with lookup.engine.connect() as connection:
        for name, value in (
            ('work_mem', '5MB'),
            ('statement_timeout', '1500ms'),
            ('jit', 'off'),
        ):
            assert connection.exec_driver_sql(f'SHOW {name}').scalar() == value
    lookup.close()


@pytest.mark.on_database('mysql')
def test_mysql_sessions_are_bounded(server: Callable[[str], servers.Server]) -> None:
    running = server('mysql')
    lookup = DatabaseOwners(settings(running.url(running.create_database()), 1.5))
    # MySQL counts milliseconds, MariaDB seconds.
    name, expected = (
        ('max_execution_time', 1500) if ON_MYSQL else ('max_statement_time', 1.5)
    )
    with lookup.engine.connect() as connection:
        limit = connection.exec_driver_sql(f'SELECT @@SESSION.{name}')
        assert float(limit.scalar_one()) == expected
    lookup.close()


@pytest.mark.on_database('mysql')
@pytest.mark.parametrize('mode', ['', 'NO_BACKSLASH_ESCAPES', 'ANSI_QUOTES'])
def test_ids_are_quoted_for_the_mode_of_the_session(
    server: Callable[[str], servers.Server], mode: str
) -> None:
    running = server('mysql')
    url = running.url(running.create_database())
    servers.create_schema(url)
    ids = ["\\') OR 1=1 -- ", "'') OR 1=1 -- ", '\\" OR 1=1 -- ', make_id()]
    tables = Tables(url)
    for id_ in ids[2:]:
        tables.consume(id_)
    lookup = DatabaseOwners(settings(f'{url}?sql_mode={mode}', timeout=10.0))
    expected = [OwnerStatus.ABSENT] * 2 + [OwnerStatus.RECORDED] * 2
    found = lookup.find(ids)
    assert [found[id_].status for id_ in ids] == expected
    assert [lookup.find([id_])[id_].status for id_ in ids] == expected
    ((_, some),) = lookup.find_groups(ids, ['project_id'])
    assert sorted(some) == sorted(ids[2:])
    lookup.close()


@pytest.mark.on_database('mysql')
@pytest.mark.skipif(ON_MYSQL, reason='MySQL has no wsrep_sync_wait')
@pytest.mark.parametrize('clustered', [False, True])
def test_galera_waits_for_the_newest_rows(
    server: Callable[[str], servers.Server], clustered: bool
) -> None:
    with contextlib.ExitStack() as stack:
        running = start(stack, 'galera') if clustered else server('mysql')
        lookup = DatabaseOwners(settings(running.url(running.create_database())))
        with lookup.engine.connect() as connection:
            waits = connection.exec_driver_sql('SELECT @@SESSION.wsrep_sync_wait')
            assert waits.scalar_one() == int(clustered)
        lookup.close()
