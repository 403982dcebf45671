# SPDX-License-Identifier: Apache-2.0
"""The driver ``database`` on real servers, in health and with faults.

``CONSUMER_GUARD_TEST_DATABASES`` names the databases, a comma list of sqlite,
postgresql and mysql; sqlite alone by default. Every server is thrown away.
"""

import contextlib
import os
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from consumer_guard.guard import errors
from consumer_guard.guard.model import Owner, OwnerStatus
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from tests import servers, statements
from tests.forking import hookless_fork

NOBODY = '00000000-0000-0000-0000-000000000000'
TIMEOUT = 1.0

#: Name of a database here: its dialect, character set and collation.
DATABASES = {
    'sqlite': ('sqlite', None, None),
    'postgresql': ('postgresql', None, None),
    'mysql': ('mysql', None, None),
    'mysql-utf8mb3_general_ci': ('mysql', 'utf8mb3', 'utf8mb3_general_ci'),
    'mysql-utf8mb4_general_ci': ('mysql', 'utf8mb4', 'utf8mb4_general_ci'),
    'mysql-utf8mb4_bin': ('mysql', 'utf8mb4', 'utf8mb4_bin'),
}

START = {'postgresql': servers.postgresql, 'mysql': servers.mariadb}


def settings(url: str, timeout: float = TIMEOUT, pool_size: int = 2):
    return OwnerLookupSettings(url, timeout, pool_size, NOBODY, NOBODY)


def on(dialect: str, *values: object) -> object:
    """A parameter for when that database is wanted; itself unless values are given."""
    return pytest.param(
        *(values or (dialect,)),
        marks=pytest.mark.on_database(dialect),
        id=values[0] if len(values) == 1 else None,
    )


def start(stack: contextlib.ExitStack, dialect: str, *arguments: str):
    try:
        return stack.enter_context(START[dialect](arguments))
    except servers.ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope='session')
def server() -> Iterator[Callable[[str], servers.Server]]:
    """Servers by dialect, started when first asked for."""
    running: dict[str, servers.Server] = {}
    with contextlib.ExitStack() as stack:

        def get(dialect: str) -> servers.Server:
            if dialect not in running:
                running[dialect] = start(stack, dialect)
            return running[dialect]

        yield get


@pytest.fixture(
    scope='session',
    params=[on(dialect, name) for name, (dialect, _, _) in DATABASES.items()],
)
def url(request, server, tmp_path_factory) -> str:
    """An URL of a database with placement's schema."""
    dialect, charset, collation = DATABASES[request.param]
    if dialect == 'sqlite':
        made = f'sqlite:///{tmp_path_factory.mktemp("owners")}/placement.db'
    else:
        running = server(dialect)
        made = running.url(running.create_database(charset, collation))
    servers.create_schema(made)
    return made


@pytest.fixture
def tables(url: str) -> servers.Tables:
    return servers.Tables(url)


@pytest.fixture
def make(url: str) -> Iterator[Callable[..., DatabaseOwners]]:
    made = []

    def build(**others) -> DatabaseOwners:
        made.append(DatabaseOwners(settings(url, **others)))
        return made[-1]

    yield build
    for lookup in made:
        lookup.close()


@pytest.fixture
def lookup(make) -> DatabaseOwners:
    return make(timeout=10.0)


@pytest.fixture(params=['one', 'many'])
def ask(request, lookup: DatabaseOwners) -> Callable[[str], Owner]:
    """Look one id up, alone or in a batch: both statements must agree."""
    others = [str(uuid.uuid4()) for _ in range(3)] if request.param == 'many' else []
    return lambda id_: lookup.find({id_, *others})[id_]


def new_id() -> str:
    """An id with letters, so that it has another case."""
    return 'ce' + str(uuid.uuid4())[2:]


# Standings ------------------------------------------------------------------


def test_recorded(tables, ask) -> None:
    id_ = new_id()
    tables.consume(id_, 'project-b', 'user-b', 'INSTANCE', 7, allocations=3)
    found = ask(id_)
    assert isinstance(found.row_id, int)
    assert found == Owner(
        id_,
        OwnerStatus.RECORDED,
        'project-b',
        'user-b',
        'INSTANCE',
        7,
        found.row_id,
        has_allocations=True,
    )


def test_recorded_without_allocations_and_type(tables, ask) -> None:
    id_ = new_id()
    tables.consume(id_, allocations=0)
    found = ask(id_)
    assert (found.status, found.has_allocations) == (OwnerStatus.RECORDED, False)
    assert found.consumer_type is None


@pytest.mark.parametrize('project', [None, '', NOBODY], ids=['no row', 'empty', 'id'])
def test_nobodys_project(tables, ask, project) -> None:
    id_ = new_id()
    tables.consume(id_, project)
    found = ask(id_)
    assert (found.status, found.project_id) == (OwnerStatus.UNOWNED, None)
    assert found.has_allocations


def test_nobodys_user(tables, ask) -> None:
    id_ = new_id()
    tables.consume(id_, user=None)
    assert ask(id_).user_id is None
    assert ask(id_).status is OwnerStatus.RECORDED


def test_allocations_without_consumer_are_nobodys(tables, ask) -> None:
    id_ = new_id()
    tables.allocate(id_, 2)
    assert ask(id_) == Owner(id_, OwnerStatus.UNOWNED, has_allocations=True)


def test_absent(ask) -> None:
    id_ = new_id()
    assert ask(id_) == Owner(id_, OwnerStatus.ABSENT)


@pytest.mark.parametrize('generation', [-(2**31), -1, 0, 2**31 - 1])
def test_generations(tables, ask, generation) -> None:
    id_ = new_id()
    tables.consume(id_, generation=generation)
    assert ask(id_).generation == generation


# Spellings ------------------------------------------------------------------


def accented(id_: str) -> str:
    return id_.replace('e', '\xe9', 1)


@pytest.mark.parametrize(
    'respell',
    [
        str.upper,
        lambda id_: id_ + ' ',
        lambda id_: id_ + '\n',
        lambda id_: ' ' + id_,
        lambda id_: id_ + '\0',
        lambda id_: id_.replace('-', ''),
        accented,
        lambda id_: id_.replace('e', '\uff45', 1),
        lambda id_: id_[:-1] + '\ud800',
        lambda id_: id_[:-1] + '%',
        lambda id_: id_ + "' OR '1'='1",
        lambda id_: id_ + '\\',
        lambda id_: id_ + '-' * 200_000,
    ],
)
def test_another_spelling_is_another_consumer(tables, ask, respell) -> None:
    id_ = new_id()
    tables.consume(id_)
    other = respell(id_)
    assert ask(other) == Owner(other, OwnerStatus.ABSENT)
    assert ask(id_).status is OwnerStatus.RECORDED


@pytest.mark.parametrize('respell', [str.upper, accented, lambda id_: id_ + ' '])
def test_rows_of_another_spelling_are_not_mine(tables, ask, respell) -> None:
    id_ = new_id()[:30]
    tables.consume(respell(id_))
    assert ask(id_) == Owner(id_, OwnerStatus.ABSENT)


@pytest.mark.parametrize('respell', [str.upper, accented, lambda id_: id_ + ' '])
def test_anothers_allocations_are_not_mine(tables, ask, respell) -> None:
    id_ = new_id()[:30]
    tables.consume(id_, allocations=0)
    tables.allocate(respell(id_), 3)
    assert ask(id_).has_allocations is False


@pytest.mark.parametrize('respell', [str.upper, accented, lambda id_: id_ + ' '])
def test_anothers_allocations_do_not_hide_mine(tables, ask, respell) -> None:
    id_ = new_id()[:30]
    tables.allocate(respell(id_), 3)
    tables.consume(id_, allocations=2)
    tables.allocate(respell(id_), 3)
    assert ask(id_).has_allocations is True


def test_both_cases_in_one_batch(tables, lookup) -> None:
    id_ = new_id()
    tables.consume(id_)
    found = lookup.find([id_.upper(), id_, id_ + ' '])
    assert found[id_].status is OwnerStatus.RECORDED
    assert found[id_.upper()] == Owner(id_.upper(), OwnerStatus.ABSENT)
    assert found[id_ + ' '] == Owner(id_ + ' ', OwnerStatus.ABSENT)


@pytest.mark.on_database('mysql')
def test_mariadb_itself_is_lax(url, tables) -> None:
    """What the tests above are about: without the comparison they would fail."""
    if not url.startswith('mysql'):
        pytest.skip('only MariaDB and MySQL are lax')
    id_ = new_id()
    tables.consume(id_)
    with tables.engine.connect() as connection:

        def count(spelling: str) -> int:
            found = connection.execute(
                sa.text('SELECT count(*) FROM consumers WHERE uuid = :id'),
                {'id': spelling},
            )
            return found.scalar_one()

        collation = connection.execute(sa.text('SELECT @@collation_database')).scalar()
        assert count(id_ + ' ') == 1
        assert count(id_.upper()) == (0 if collation.endswith('_bin') else 1)


# Cost -----------------------------------------------------------------------


@pytest.mark.parametrize('count', [2, 2000, 70_000])
def test_one_statement_however_many(tables, make, count) -> None:
    lookup = make(timeout=60.0)
    ids = [str(uuid.uuid4()) for _ in range(count)]
    tables.fill(ids[:1000])
    lookup.find([new_id()])
    seen: list[str] = []
    with statements.noted(seen.append, lookup.engine):
        found = lookup.find(ids)
    assert len(seen) == 1
    assert [id_ for id_ in ids if found[id_].status is OwnerStatus.RECORDED] == ids[
        :1000
    ]
    assert len(found) == count


@pytest.fixture
def planned(url: str, lookup: DatabaseOwners) -> list[str]:
    """What psycopg2 sends; the connection is made already."""
    if not url.startswith('postgresql'):
        pytest.skip('only psycopg2 needs to be told')
    lookup.find([new_id()])
    return []


@pytest.mark.on_database('postgresql')
def test_planned_once_a_connection(tables, lookup, planned) -> None:
    ids = [new_id() for _ in range(20)]
    for id_ in ids:
        tables.consume(id_)
    with statements.noted(planned.append, lookup.engine):
        for id_ in ids:
            assert lookup.find([id_])[id_].status is OwnerStatus.RECORDED
    assert {text.split()[0] for text in planned} == {'EXECUTE'}
    assert len(planned) == 20


@pytest.mark.on_database('postgresql')
def test_sessions_that_do_not_keep_it(tables, lookup, planned) -> None:
    """As behind a pooler: right all the same, and not tried for ever."""
    id_ = new_id()
    tables.consume(id_)
    with lookup.engine.connect() as connection:
        connection.exec_driver_sql('DEALLOCATE ALL')
    with statements.noted(planned.append, lookup.engine):
        for _ in range(3):
            assert lookup.find([id_])[id_].status is OwnerStatus.RECORDED
    assert [text.split()[0] for text in planned] == ['EXECUTE', *['SELECT'] * 3]


@pytest.mark.on_database('postgresql')
def test_a_table_that_changes_under_it(tables, lookup, planned) -> None:
    """An upgrade of placement's schema costs one question more, once."""
    id_ = new_id()
    tables.consume(id_, project='project-b')
    change = 'ALTER TABLE projects ALTER COLUMN external_id TYPE {}'
    with tables.engine.begin() as connection:
        connection.exec_driver_sql(change.format('text'))
    try:
        with statements.noted(planned.append, lookup.engine):
            for _ in range(3):
                assert lookup.find([id_])[id_].project_id == 'project-b'
    finally:
        with tables.engine.begin() as connection:
            connection.exec_driver_sql(change.format('varchar(255)'))
    assert planned[-1].startswith('EXECUTE')


@pytest.mark.on_database('postgresql')
def test_it_is_no_transaction(url, lookup, planned) -> None:
    assert planned == []
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        states = connection.exec_driver_sql(
            "SELECT state FROM pg_stat_activity WHERE query LIKE '%%consumer_guard_%%'"
        ).all()
    assert ('idle',) in states
    assert ('idle in transaction',) not in states


def check_groups(tables, lookup, keys) -> None:
    """Groups say of a list's consumers what the look-up of each says."""
    ids = [str(uuid.uuid4()) for _ in range(12)]
    told = [
        ('project-a', 'user-a', 'INSTANCE'),
        ('project-a', 'user-a', None),
        ('project-a', 'user-b', 'INSTANCE'),
        ('project-b', 'user-a', 'MIGRATION'),
        ('project-b', NOBODY, None),
        ('project-b', None, None),
        (NOBODY, 'user-a', None),
        (None, 'user-a', None),
        ('', 'user-a', None),
    ]
    for id_, (project, user, kind) in zip(ids, told, strict=False):
        tables.consume(id_, project, user, kind)
    tables.allocate(ids[10])
    asked = [*ids, ids[0].upper(), 'weird\0', 'caf\xe9']
    expected = {}
    for id_, owner in lookup.find(asked).items():
        if owner.status is OwnerStatus.RECORDED:
            target = owner.target()
            expected[id_] = {key: target.get(key) for key in keys}
    found = {}
    for target, of in lookup.find_groups(asked, keys):
        assert target['project_id']
        for id_ in of:
            assert id_ not in found
            found[id_] = {key: target.get(key) for key in keys}
    assert found == expected
    assert len(found) == 6


@pytest.mark.parametrize(
    'keys',
    [
        (),
        ('project_id',),
        ('user_id',),
        ('consumer_type',),
        ('project_id', 'user_id', 'consumer_type'),
    ],
)
def test_groups(tables, lookup, keys) -> None:
    check_groups(tables, lookup, keys)


def test_no_transaction_stays_open(url, tables, lookup) -> None:
    id_ = new_id()
    tables.consume(id_)
    lookup.find([id_])
    tables.run('UPDATE consumers SET generation = 8 WHERE uuid = :id', id=id_)
    # A snapshot of an open transaction would still show the old one.
    assert lookup.find([id_])[id_].generation == 8
    assert lookup.engine.pool.checkedout() == 0
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
            assert mine.connection.dbapi_connection.isolation_level is None


def test_threads_get_their_own_answers(tables, make) -> None:
    lookup = make(timeout=30.0, pool_size=3)
    ids = [new_id() for _ in range(12)]
    for id_ in ids:
        tables.consume(id_, f'project-{id_}')
    barrier = threading.Barrier(6)

    def work(first: int) -> bool:
        barrier.wait(30)
        return all(
            lookup.find([id_])[id_].project_id == f'project-{id_}'
            for _ in range(20)
            for id_ in ids[first:] + ids[:first]
        )

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


# Forks ----------------------------------------------------------------------


@pytest.mark.parametrize('fork', [os.fork, hookless_fork])
def test_forked_children_interleaved(tables, make, fork) -> None:
    lookup = make(timeout=30.0)
    ids = [new_id() for _ in range(4)]
    for id_ in ids:
        tables.consume(id_, f'project-{id_}')
    lookup.find(ids[:1])

    def right(id_: str) -> bool:
        return all(
            lookup.find([id_])[id_].project_id == f'project-{id_}' for _ in range(200)
        )

    children = []
    for id_ in ids[1:]:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            child = fork()
        if child == 0:
            status = 2
            try:
                status = 0 if right(id_) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    pool = lookup.engine.pool
    try:
        assert right(ids[0])
    finally:
        statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0, 0, 0]
    assert right(ids[0])
    assert lookup.engine.pool is pool
    assert pool.checkedin() == 1


# Faults ---------------------------------------------------------------------


@pytest.fixture(scope='module', params=[on('postgresql'), on('mysql')])
def faulty(request) -> Iterator[tuple[servers.Server, str]]:
    """A server that may be stopped and hurt, and the URL of its database."""
    with contextlib.ExitStack() as stack:
        running = start(stack, request.param)
        made = running.url(running.create_database())
        servers.create_schema(made)
        yield running, made


@pytest.fixture
def victim(faulty) -> Iterator[DatabaseOwners]:
    lookup = DatabaseOwners(settings(faulty[1]))
    yield lookup
    lookup.close()


def fails_within(seconds: float, lookup: DatabaseOwners, id_: str) -> float:
    """Seconds that the look-up took to fail."""
    started = time.monotonic()
    with pytest.raises(errors.OwnersUnavailable):
        lookup.find([id_])
    spent = time.monotonic() - started
    assert spent < seconds
    return spent


def test_a_stopped_server(faulty, victim) -> None:
    running, url = faulty
    id_ = new_id()
    servers.Tables(url).consume(id_)
    assert victim.find([id_])[id_].status is OwnerStatus.RECORDED
    running.stop()
    for _ in range(3):
        fails_within(TIMEOUT, victim, id_)
    running.start()
    # By itself, at once, with the same object.
    assert victim.find([id_])[id_].status is OwnerStatus.RECORDED
    assert victim.engine.pool.checkedout() == 0


def test_a_server_that_was_down_at_the_start(faulty) -> None:
    running, url = faulty
    running.stop()
    lookup = DatabaseOwners(settings(url))
    fails_within(TIMEOUT, lookup, new_id())
    running.start()
    id_ = new_id()
    assert lookup.find([id_])[id_].status is OwnerStatus.ABSENT
    lookup.close()


def session(lookup: DatabaseOwners) -> int:
    name = {'postgresql': 'pg_backend_pid()', 'mysql': 'connection_id()'}
    with lookup.engine.connect() as connection:
        found = connection.exec_driver_sql(f'SELECT {name[lookup.engine.dialect.name]}')
        return found.scalar_one()


def test_a_killed_connection_is_retried(faulty, victim) -> None:
    running, url = faulty
    id_ = new_id()
    servers.Tables(url).consume(id_, 'project-k')
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
    assert victim.engine.pool.checkedout() == 0


def test_a_restart_between_two_look_ups(faulty, victim) -> None:
    running, url = faulty
    id_ = new_id()
    servers.Tables(url).consume(id_)
    with victim.engine.connect(), victim.engine.connect():
        pass  # more than one dead connection in the pool
    running.stop()
    running.start()
    assert victim.find([id_])[id_].status is OwnerStatus.RECORDED


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


def test_a_slow_look_up(faulty, victim) -> None:
    running, url = faulty
    id_ = new_id()
    servers.Tables(url).consume(id_)
    victim.find([id_])
    with locked_table(url):
        for _ in range(2):
            spent = fails_within(2 * TIMEOUT, victim, id_)
            assert spent > 0.9 * TIMEOUT
        # The server does not go on for nobody: that would use up its sessions.
        assert waiting(running) == 0
    assert victim.find([id_])[id_].status is OwnerStatus.RECORDED


def test_a_frozen_server(faulty, victim) -> None:
    running, url = faulty
    id_ = new_id()
    servers.Tables(url).consume(id_)
    victim.find([id_])
    running.freeze(sessions=True)
    try:
        fails_within(2 * TIMEOUT, victim, id_)
        # A new connection this time; libpq's least is two seconds.
        fails_within(2 + 2 * TIMEOUT, victim, id_)
    finally:
        running.thaw()
    assert victim.find([id_])[id_].status is OwnerStatus.RECORDED


def test_a_server_that_takes_no_connections(faulty) -> None:
    running, url = faulty
    lookup = DatabaseOwners(settings(url))
    running.freeze()
    try:
        # libpq's least is two seconds.
        fails_within(2 + 2 * TIMEOUT, lookup, new_id())
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
def test_drivers(server, dialect, driver, module) -> None:
    running = server(dialect)
    pytest.importorskip(module)
    url = running.url(running.create_database(), driver)
    servers.create_schema(running.url(sa.make_url(url).database))
    tables = servers.Tables(running.url(sa.make_url(url).database))
    ids = [new_id() for _ in range(5)]
    for id_ in ids[:3]:
        tables.consume(id_)
    lookup = DatabaseOwners(settings(url))
    assert lookup.find(ids[:1])[ids[0]].status is OwnerStatus.RECORDED
    found = lookup.find(ids)
    assert [found[id_].status for id_ in ids] == [OwnerStatus.RECORDED] * 3 + [
        OwnerStatus.ABSENT
    ] * 2
    with locked_table(running.url(sa.make_url(url).database)):
        assert fails_within(2 * TIMEOUT, lookup, ids[0]) > 0.9 * TIMEOUT
    lookup.close()


@pytest.mark.on_database('postgresql')
def test_postgresql_options_of_the_url_stay(server) -> None:
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
def test_mariadb_sessions_are_bounded(server) -> None:
    running = server('mysql')
    lookup = DatabaseOwners(settings(running.url(running.create_database()), 1.5))
    with lookup.engine.connect() as connection:
        limit = connection.exec_driver_sql('SELECT @@SESSION.max_statement_time')
        assert float(limit.scalar_one()) == 1.5
    lookup.close()


def galera_library() -> str:
    for path in (
        '/usr/lib/galera/libgalera_smm.so',
        '/usr/lib64/galera/libgalera_smm.so',
    ):
        if os.path.exists(path):
            return path
    return ''


@pytest.mark.on_database('mysql')
@pytest.mark.parametrize('clustered', [False, True])
def test_galera_waits_for_the_newest_rows(server, clustered) -> None:
    with contextlib.ExitStack() as stack:
        if clustered:
            if not galera_library():
                pytest.skip('no Galera library; on Debian: apt-get install galera-4')
            running = start(
                stack,
                'mysql',
                '--wsrep-on=ON',
                f'--wsrep-provider={galera_library()}',
                '--wsrep-cluster-address=gcomm://',
                '--binlog-format=ROW',
                '--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:0',
            )
        else:
            running = server('mysql')
        lookup = DatabaseOwners(settings(running.url(running.create_database())))
        with lookup.engine.connect() as connection:
            waits = connection.exec_driver_sql('SELECT @@SESSION.wsrep_sync_wait')
            assert waits.scalar_one() == int(clustered)
        lookup.close()
