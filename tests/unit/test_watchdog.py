# SPDX-License-Identifier: Apache-2.0
"""The watch over libpq's connections: it shuts the late ones, and no others."""

import _thread
import contextlib
import os
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from consumer_guard.guard import errors
from consumer_guard.owners import watchdog
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.owners.engine import GRACE
from tests.frozen import GOOD_BYE, FrozenServer
from tests.servers import get_pool
from tests.unit.psycopg_driver import Driver

NOBODY = '00000000-0000-0000-0000-000000000000'
TIMEOUT = 0.3
#: Seconds until a look-up counts as one that waits without end.
PATIENCE = 30.0


@pytest.fixture(params=['psycopg2', 'psycopg'])
def connect(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[FrozenServer], DatabaseOwners]]:
    pytest.importorskip(request.param)
    with contextlib.ExitStack() as stack:

        def make(server: FrozenServer) -> DatabaseOwners:
            stack.callback(server.close)
            url = f'postgresql+{request.param}://u@127.0.0.1:{server.port}/d'
            made = DatabaseOwners(OwnerLookupSettings(url, TIMEOUT, 2, NOBODY, NOBODY))
            stack.callback(made.close)
            return made

        yield make


def assert_given_up(server: FrozenServer, lookup: DatabaseOwners) -> None:
    """The watchdog ends a look-up that the server does not answer."""
    waited_for_long = threading.Event()

    def rescue() -> None:
        waited_for_long.set()
        server.hang_up()

    rescuer = threading.Timer(PATIENCE, rescue)
    rescuer.start()
    with pytest.raises(errors.OwnersUnavailable):
        lookup.find(['a'])
    rescuer.cancel()
    rescuer.join()
    assert not waited_for_long.is_set()


def test_descriptors_of_others_are_not_shut(
    connect: Callable[[FrozenServer], DatabaseOwners],
) -> None:
    """A connection that fails while it is made leaves its number to somebody."""
    with pytest.raises(errors.OwnersUnavailable):
        connect(FrozenServer(GOOD_BYE)).find(['a'])
    others = [socket.socketpair() for _ in range(8)]
    time.sleep(1.5 * (TIMEOUT + GRACE))  # until the watchdog has had its turn
    for one, other in others:
        one.sendall(b'x')
        assert other.recv(1) == b'x'
        one.close()
        other.close()


def test_a_server_that_does_not_answer_is_given_up(
    connect: Callable[[FrozenServer], DatabaseOwners],
) -> None:
    server = FrozenServer()
    assert_given_up(server, connect(server))


def test_nothing_is_patched_where_threads_are_not_green() -> None:
    assert watchdog.unpatched('time', 'sleep') is time.sleep
    assert watchdog.unpatched('socket', 'socket') is socket.socket


@pytest.mark.parametrize('patched', [True, False])
def test_what_gevent_has_patched_is_taken_unpatched(
    monkeypatch: pytest.MonkeyPatch, patched: bool
) -> None:
    monkey = types.SimpleNamespace(
        is_module_patched={'threading': patched}.__getitem__,
        get_original=lambda *names: names,
    )
    monkeypatch.setitem(sys.modules, 'gevent.monkey', monkey)
    expected = ('time', 'sleep') if patched else time.sleep
    assert watchdog.unpatched('time', 'sleep') == expected


@pytest.mark.parametrize('patched', [True, False])
def test_what_eventlet_has_patched_is_taken_unpatched(
    monkeypatch: pytest.MonkeyPatch, patched: bool
) -> None:
    original = types.SimpleNamespace(sleep='unpatched')
    patcher = types.SimpleNamespace(
        is_monkey_patched={'thread': patched}.__getitem__,
        original={'time': original}.__getitem__,
    )
    monkeypatch.setitem(sys.modules, 'eventlet.patcher', patcher)
    expected = 'unpatched' if patched else time.sleep
    assert watchdog.unpatched('time', 'sleep') == expected


def test_a_thread_that_could_not_be_started_is_started_later(
    connect: Callable[[FrozenServer], DatabaseOwners], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FrozenServer()
    lookup = connect(server)

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(_thread, 'start_new_thread', fail)
        with pytest.raises(errors.OwnersUnavailable):
            lookup.find(['a'])
    assert_given_up(server, lookup)


@pytest.mark.parametrize('error', [RuntimeError, SystemExit])
def test_a_connection_that_cannot_be_watched_is_closed(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error("can't start new thread")

    driver = Driver()
    engine = driver.make_engine(monkeypatch)
    monkeypatch.setattr(_thread, 'start_new_thread', fail)
    with pytest.raises(error):
        engine.connect()
    (connection,) = driver.connections
    assert connection.closed


class Watched:
    """An engine with a watch of a tenth of a second, and its connection's socket."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        driver = Driver()
        self.engine = driver.make_engine(patch, timeout=60.0)
        watchdog.Watchdog(0.1).guard(self.engine)
        self.engine.connect().close()
        self.socket, self._own = socket.socketpair()
        (self._connection,) = driver.connections
        self._connection.descriptor = self._own.fileno()

    def is_shut(self, within: float = PATIENCE) -> bool:
        """Whether it is within so many seconds; at once if it is already."""
        self.socket.settimeout(within)
        try:
            return self.socket.recv(1) == b''
        except TimeoutError:
            return False

    def close(self) -> None:
        # First: its descriptor may be somebody else's afterwards.
        self._connection.close()
        self.socket.close()
        self._own.close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    with contextlib.closing(Watched(monkeypatch)) as made:
        yield made


def test_a_connection_that_is_used_for_too_long_is_shut(watched: Watched) -> None:
    with watched.engine.connect():
        assert watched.is_shut()


def test_a_connection_is_not_shut_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock of the test's own, without the thread."""
    now = 100.0
    started: list[Any] = []
    driver = Driver()
    engine = driver.make_engine(monkeypatch)
    monkeypatch.setattr(_thread, 'start_new_thread', lambda *it: started.append(it))
    monkeypatch.setattr(time, 'monotonic', lambda: now)
    with engine.connect():
        ((watch, (_, connections, *_)),) = started
        turns = iter([1.5 + GRACE - 0.1, 1.5 + GRACE + 0.1])
        living: Iterator[object] = iter([engine, engine, None])
        shut: list[tuple[float, object]] = []

        def sleep() -> None:
            nonlocal now
            now = 100.0 + next(turns)

        watch(
            lambda: next(living), connections, sleep, lambda it: shut.append((now, it))
        )
    assert shut == [(102.1, driver.connections[0])]


def test_a_connection_that_was_given_back_is_not_shut(watched: Watched) -> None:
    watched.engine.connect().close()
    assert not watched.is_shut(within=0.3)


def test_a_connection_that_left_the_pool_is_not_shut(watched: Watched) -> None:
    with watched.engine.connect() as connection:
        connection.detach()
        assert not watched.is_shut(within=0.3)


def test_a_child_gives_back_what_its_parent_took(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection is watched in it yet."""
    connection = watched.engine.connect()
    monkeypatch.setattr(os, 'getpid', lambda: 2**22 + 1)  # above Linux's highest
    connection.close()
    assert get_pool(watched.engine).checkedin() == 1


def test_a_process_has_one_thread_for_its_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []
    engine = Driver().make_engine(monkeypatch)
    monkeypatch.setattr(_thread, 'start_new_thread', lambda *it: started.append(it))
    for _ in range(3):
        engine.connect().close()
    ((_, (*_, sleep, _)),) = started
    # An answer is waited for at most a fifth longer.
    assert sleep.args == ((1.5 + GRACE) / 5,)
    monkeypatch.setattr(os, 'getpid', lambda: 2**22 + 1)  # above Linux's highest
    for _ in range(3):
        engine.connect().close()
    assert len(started) == 2
