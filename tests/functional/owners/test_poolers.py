# SPDX-License-Identifier: Apache-2.0
"""The driver ``database`` behind a real pgbouncer, in front of a real PostgreSQL."""

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from consumer_guard.generations.store import Judged, Swap
from consumer_guard.guard import errors
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.owners.sessions import BEGIN
from consumer_guard.testing.sources import make_id
from tests import poolers, servers
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.functional.owners.databases import settings
from tests.functional.owners.test_servers import locked_table
from tests.rows import Tables
from tests.scenery import Scene

TIMEOUT = 1.0

#: pgbouncer refuses the limits at the start of a connection, or drops them.
REFUSED = ''
DROPPED = 'ignore_startup_parameters = extra_float_digits, options'

pytestmark = pytest.mark.on_database('postgresql')


def through(port: int, url: str) -> str:
    """The URL by another port."""
    return sa.make_url(url).set(port=port).render_as_string(hide_password=False)


@contextlib.contextmanager
def pooled(server_port: int, mode: str, *extra: str) -> Iterator[int]:
    """A pgbouncer; skips the test where there is none on this machine."""
    with contextlib.ExitStack() as stack:
        try:
            port = stack.enter_context(poolers.pgbouncer(server_port, mode, *extra))
        except servers.ServerMissing as missing:
            pytest.skip(str(missing))
        yield port


@pytest.fixture(scope='module')
def plain(server: Callable[[str], servers.Server]) -> str:
    """URL of a database, past any pooler."""
    running = server('postgresql')
    url = running.url(running.create_database())
    servers.create_schema(url)
    return url


@pytest.fixture(params=['psycopg2', 'psycopg'])
def driver(request: pytest.FixtureRequest) -> str:
    """SQLAlchemy's name of a driver that is installed."""
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture(scope='module', params=[REFUSED, DROPPED], ids=['refused', 'dropped'])
def limits(request: pytest.FixtureRequest) -> str:
    """What becomes of the limits at the start of a connection."""
    return str(request.param)


@pytest.fixture(scope='module', params=['session', 'transaction'])
def mode(request: pytest.FixtureRequest) -> str:
    """pgbouncer's ``pool_mode``."""
    return str(request.param)


@pytest.fixture(scope='module')
def pooler(plain: str, mode: str, limits: str) -> Iterator[int]:
    port = sa.make_url(plain).port
    assert port is not None
    with pooled(port, mode, limits) as own:
        yield own


@pytest.fixture
def make_behind(
    pooler: int, plain: str, driver: str
) -> Iterator[Callable[[float], DatabaseOwners]]:
    """Make the driver by its time-out."""
    made = []
    url = sa.make_url(through(pooler, plain)).set(drivername=f'postgresql+{driver}')

    def make(timeout: float) -> DatabaseOwners:
        text = url.render_as_string(hide_password=False)
        made.append(DatabaseOwners(settings(text, timeout, pool_size=3)))
        return made[-1]

    yield make
    for lookup in made:
        lookup.close()


@pytest.fixture
def behind(make_behind: Callable[[float], DatabaseOwners]) -> DatabaseOwners:
    return make_behind(20.0)


def find_often(lookup: DatabaseOwners, ids: list[str], times: int) -> list[object]:
    """What is not as it is recorded, of look-ups by several threads."""
    wrong: list[object] = []

    def work(id_: str) -> None:
        for _ in range(times):
            try:
                owner = lookup.find([id_])[id_]
            except errors.OwnersUnavailable as error:
                wrong.append(error.__cause__)
            else:
                if owner.project_id != f'project-{id_}':
                    wrong.append(owner)

    threads = [threading.Thread(target=work, args=(id_,)) for id_ in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def test_every_owner_is_found_by_many_threads(
    behind: DatabaseOwners, plain: str
) -> None:
    ids = [make_id() for _ in range(4)]
    for id_ in ids:
        Tables(plain).consume(id_, f'project-{id_}')
    assert find_often(behind, ids, 100) == []
    found = behind.find([*ids, make_id()])
    assert [found[id_].project_id for id_ in ids] == [f'project-{id_}' for id_ in ids]
    assert servers.get_pool(behind.engine).checkedout() == 0


def test_a_judged_row_is_moved(behind: DatabaseOwners, plain: str) -> None:
    id_ = make_id()
    Tables(plain).consume(id_, 'project-p')
    owner = behind.find([id_])[id_]
    judged = Judged(owner.row_id, owner.project_id, owner.user_id)
    assert owner.generation is not None
    swap = Swap(id_, owner.generation, -(2**16), judged)
    assert behind.swap_generations([swap])
    assert not behind.swap_generations([swap])
    assert behind.find([id_])[id_].generation == -(2**16)


def count_waiting(plain: str) -> int:
    """Statements of look-ups and seals that the server is still at."""
    statement = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
        " AND query LIKE '%consumers%' AND pid <> pg_backend_pid()"
        " AND query NOT LIKE 'LOCK%'"
    )
    with Tables(plain).engine.connect() as connection:
        return int(connection.execute(statement).scalar_one())


def test_the_server_ends_what_is_slow_and_placement_keeps_its_own_limits(
    make_behind: Callable[[float], DatabaseOwners], plain: str, pooler: int
) -> None:
    """In a session that is shared nothing is SET: placement would get it, too."""
    behind = make_behind(TIMEOUT)
    id_ = make_id()
    Tables(plain).consume(id_, 'project-p')
    owner = behind.find([id_])[id_]
    with locked_table(plain):
        started = time.monotonic()
        with pytest.raises(errors.OwnersUnavailable):
            behind.find([id_])
        with pytest.raises(errors.OwnersUnavailable):
            behind.swap_generations(
                [Swap(id_, owner.generation or 0, 5, Judged(owner.row_id, 'p', None))]
            )
        assert time.monotonic() - started > 1.8 * TIMEOUT
        assert count_waiting(plain) == 0
    behind.close()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            engine = sa.create_engine(through(pooler, plain), poolclass=sa.NullPool)
            connection = stack.enter_context(engine.connect())
            for name, value in (('statement_timeout', '0'), ('jit', 'on')):
                assert connection.exec_driver_sql(f'SHOW {name}').scalar() == value


# Connections that are in use when it is given up are closed by the collector.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_statements_that_are_lost_or_there_already_are_given_up(
    server: Callable[[str], servers.Server],
) -> None:
    """Where the account has the limits, nothing else shows that there is a pooler."""
    pytest.importorskip('psycopg')
    running = server('postgresql')
    database = running.create_database()
    servers.create_schema(running.url(database))
    running.execute(f"ALTER DATABASE {database} SET statement_timeout = '19s'")
    ids = [make_id() for _ in range(6)]
    for id_ in ids:
        Tables(running.url(database)).consume(id_, f'project-{id_}')
    with pooled(running.port, 'transaction', DROPPED) as port:
        url = through(port, running.url(database, 'psycopg'))
        lookup = DatabaseOwners(settings(url, 20.0, pool_size=6))
        with lookup.engine.connect() as connection:
            assert BEGIN not in connection.info
        assert find_often(lookup, ids, 100) == []
        lookup.close()
        del connection
        gc.collect()


@pytest.mark.placement_on('postgresql')
def test_owners_read_and_write_behind_a_pooler(
    deploy: Deploy, database: str, mode: str, limits: str
) -> None:
    port = sa.make_url(database).port
    assert port is not None
    with pooled(port, mode, limits) as own:
        options = {'connection': through(own, database)}
        scene = Scene(deploy(rules=OWNER_RULES, options=options))
        for _ in range(10):
            assert scene.get(scene.alice).status_int == 200
            assert scene.put(scene.alice).status_int == 204
        assert scene.get(scene.bob).status_int == 403
