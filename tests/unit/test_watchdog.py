# SPDX-License-Identifier: Apache-2.0
"""The watch over libpq's connections: it shuts the late ones, and no others."""

import _thread
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from consumer_guard.guard import errors
from consumer_guard.owners import watchdog
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.owners.engine import GRACE
from tests.frozen import GOOD_BYE, FrozenServer

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
