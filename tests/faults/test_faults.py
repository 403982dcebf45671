# SPDX-License-Identifier: Apache-2.0
"""Faults under load: never a foreign read or write, 503 and no hang, and back."""

import contextlib
import pathlib
import re
import time
import uuid
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import sqlalchemy as sa

from consumer_guard.owners.breaker import PAUSE
from tests import servers
from tests.configuration import OWNER_RULES
from tests.faults.http import ask
from tests.faults.load import Load, headers_of
from tests.faults.proxy import Proxy
from tests.faults.service import Service

Start = Callable[..., Service]

#: Seconds; the guard's look-up gives up after one.
OPTIONS = {'lookup_timeout': 1}

#: Seconds that a fault lasts.
LASTS = 3.0

#: Seconds within which all is well again after a fault, by itself. A connection
#: that waits for its time-out is let go first.
WELL_AGAIN = 5.0 + 2 * PAUSE

#: Seconds: what an answer may take while look-ups fail: waiting for a connection
#: of the pool, for an answer, once more for a new connection, on a busy machine.
LONGEST = 8.0


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Start services; they are stopped in the end."""
    with contextlib.ExitStack() as stack:

        def make(database: str, **more: Any) -> Service:
            service = Service(tmp_path / 'service', database, **more)
            stack.callback(service.stop)
            return service

        yield make


@pytest.fixture
def proxied(
    start: Start, server: servers.Server, database: str
) -> Iterator[tuple[Service, Proxy, Load]]:
    """The guard reaches the database by a proxy, placement directly."""
    proxy = Proxy(server.port)
    connection = re.sub(rf':{server.port}/', f':{proxy.port}/', database)
    service = start(database, options={**OPTIONS, 'connection': connection})
    load = Load(service)
    load.prepare()
    yield service, proxy, load
    proxy.close()


def _assert_only(load: Load, **allowed: set[int]) -> None:
    """Every answer is accounted for."""
    for kind, statuses in {
        'read own': {200},
        'read foreign': {403},
        'write own': {204},
        'write foreign': {403},
        'by role': {200},
    }.items():
        also = allowed.get(kind.replace(' ', '_'), allowed.get('owners', set()))
        if kind == 'by role':
            also = allowed.get('role', set())
        assert set(load.account.statuses(kind)) <= statuses | also, load.account


@pytest.mark.parametrize('fault', ['refused', 'slow'])
def test_the_look_up_fails(proxied: tuple[Service, Proxy, Load], fault: str) -> None:
    """Owners get 503 and nobody waits for long; a service notices nothing."""
    _service, proxy, load = proxied
    with load.run():
        time.sleep(1)
        if fault == 'refused':
            proxy.refuse()
        else:
            proxy.delay = 2.5
        time.sleep(LASTS)
        proxy.refusing, proxy.delay = False, 0.0
        load.wait_until_well(WELL_AGAIN)
        time.sleep(0.5)
    _assert_only(load, owners={503})
    assert 503 in {status for _, status in load.account.answers}, load.account
    assert load.account.slowest < LONGEST, load.account
    load.check()
    # Two workers, five connections each.
    assert proxy.connections <= 10


def test_connections_are_killed(proxied: tuple[Service, Proxy, Load]) -> None:
    """Again and again: the look-up is tried once more on a new connection."""
    _service, proxy, load = proxied
    with load.run():
        for _ in range(10):
            time.sleep(0.3)
            proxy.cut()
        load.wait_until_well(WELL_AGAIN)
    _assert_only(load, owners={503})
    shares = load.account.statuses('read own')
    assert shares[200] > 20 * shares.get(503, 0), load.account
    load.check()
    assert proxy.connections <= 10


def test_the_pool_is_exhausted(
    start: Start, server: servers.Server, database: str
) -> None:
    """One connection, slow answers: some get 503, nobody hangs, none is lost."""
    proxy = Proxy(server.port)
    connection = re.sub(rf':{server.port}/', f':{proxy.port}/', database)
    options = {**OPTIONS, 'connection': connection, 'lookup_pool_size': 1}
    service = start(database, options=options, workers=1)
    load = Load(service)
    load.prepare()
    with load.run():
        time.sleep(0.5)
        proxy.delay = 0.6
        time.sleep(LASTS)
        proxy.delay = 0.0
        load.wait_until_well(WELL_AGAIN)
    _assert_only(load, owners={503})
    assert 503 in {status for _, status in load.account.answers}, load.account
    assert load.account.slowest < LONGEST, load.account
    load.check()
    assert proxy.connections <= 1
    proxy.close()


def test_a_lock_on_the_table(
    start: Start, server: servers.Server, database: str
) -> None:
    """The server answers too late: placement waits, the guard does not."""
    service = start(database, options=OPTIONS)
    # Fewer than a worker's threads, which may all come to wait in placement.
    load = Load(service, threads=3)
    load.prepare()
    statement = {
        'postgresql': 'LOCK TABLE consumers IN ACCESS EXCLUSIVE MODE',
        'mysql': 'LOCK TABLES consumers WRITE',
    }[server.dialect]
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    with load.run():
        time.sleep(0.5)
        with engine.connect() as connection:
            connection.execute(sa.text(statement))
            until = time.monotonic() + LASTS
            answer = load.read_own(load.users[0])
            left = until - time.monotonic()
            time.sleep(max(0, left))
        load.wait_until_well(WELL_AGAIN + 5)
    engine.dispose()
    assert answer.status == 503
    assert left > 0
    _assert_only(load, owners={503}, role=set())
    load.check()


def test_the_server_is_stopped_and_started(
    start: Start, server: servers.Server, database: str
) -> None:
    """Placement itself fails meanwhile: 500 is its answer, never the guard's."""
    service = start(database, options=OPTIONS)
    load = Load(service)
    load.prepare()
    with load.run():
        time.sleep(1)
        server.stop()
        time.sleep(LASTS)
        server.start()
        load.wait_until_well(2 * WELL_AGAIN)
        time.sleep(0.5)
    _assert_only(
        load,
        read_own={503, 500},
        write_own={503, 500},
        read_foreign={503},
        write_foreign={503},
        role={500, 503},
    )
    assert 503 in {status for _, status in load.account.answers}, load.account
    load.check()


def test_a_worker_is_killed(start: Start, database: str) -> None:
    """Its connections are cut; the others and its successor go on."""
    service = start(database, options=OPTIONS)
    load = Load(service)
    load.prepare()
    with load.run():
        for _ in range(3):
            time.sleep(1)
            service.kill_worker()
        load.wait_until_well(4 * WELL_AGAIN)
    _assert_only(load, owners={0}, role={0})
    load.check()


def test_a_policy_file_breaks_and_is_mended(start: Start, database: str) -> None:
    """The last good rules stay; the mended ones are taken by all workers."""
    service = start(database, options=OPTIONS)
    load = Load(service)
    load.prepare()
    with load.run():
        for broken in ('{', '"consumer_guard:allocations:list": 1\n', ''):
            service.policy_file.write_text(broken)
            time.sleep(1)
        service.write_rules(OWNER_RULES)
        time.sleep(1)
    _assert_only(load)
    load.check()
    closed = {'consumer_guard:allocations:list': 'role:admin'}
    service.write_rules(closed)
    time.sleep(1)
    again = Load(service)
    again.prepare()
    with again.run():
        time.sleep(2)
    # The first request after a pause looks, the next but one sees it twice.
    refused = again.account.statuses('read own')
    assert refused[403] > 10 * refused.get(200, 0), again.account


def test_disks_are_full(start: Start, database: str) -> None:
    """Neither records nor log lines can be written: the answers are the same."""
    options = {**OPTIONS, 'audit': 'all', 'audit_unmasked_file': '/dev/full'}
    service = start(database, options=options, output='/dev/full')
    load = Load(service)
    load.prepare()
    with load.run():
        time.sleep(LASTS)
    _assert_only(load)
    assert load.account.total > 100
    load.check()


#: Moves the time of day, by a file; the monotonic clock does not jump.
_MOVED_CLOCK = """
import time
now = time.time
def moved():
    with open({clock!r}) as file:
        return now() + float(file.read() or 0)
time.time = moved
"""


def test_the_clock_jumps(start: Start, database: str, tmp_path: pathlib.Path) -> None:
    """Two days ahead and back: time-outs and looks at files go on as before."""
    clock = tmp_path / 'clock'
    clock.write_text('0')
    module = tmp_path / 'moved'
    module.mkdir()
    (module / 'sitecustomize.py').write_text(_MOVED_CLOCK.format(clock=str(clock)))
    service = start(database, options=OPTIONS, path=str(module))
    load = Load(service)
    load.prepare()
    path = f'/allocations/{uuid.uuid4()}'

    def read_date() -> float:
        answer = ask(service.port, 'GET', path, headers=headers_of(load.users[0]))
        return parsedate_to_datetime(answer.headers['Date']).timestamp()

    with load.run():
        before = read_date()
        for moved in (172800, -172800, 0):
            clock.write_text(f'{moved}')
            time.sleep(1)
            if moved > 0:
                assert read_date() - before > 86400, 'the clock did not jump'
        service.write_rules(OWNER_RULES | {'consumer_guard:usages': '!'})
        time.sleep(1)
    _assert_only(load)
    load.check()
    user = load.users[0]
    closed = ask(
        service.port,
        'GET',
        f'/usages?project_id={user.project_id}',
        headers=headers_of(user),
    )
    assert closed.status == 403, 'an edit after the jumps is taken'
