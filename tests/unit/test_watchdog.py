# SPDX-License-Identifier: Apache-2.0
"""The watch over libpq's connections: it shuts the late ones, and no others."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from consumer_guard.guard import errors
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.owners.engine import GRACE

NOBODY = '00000000-0000-0000-0000-000000000000'
TIMEOUT = 0.3


def say(kind: bytes, content: bytes = b'') -> bytes:
    """A message of PostgreSQL's protocol 3."""
    return kind + struct.pack('!I', len(content) + 4) + content


WELCOME = (
    say(b'R', struct.pack('!I', 0))
    + say(b'S', b'server_version\x0016.0\0')
    + say(b'S', b'DateStyle\0ISO, MDY\0')
    + say(b'S', b'client_encoding\0UTF8\0')
    + say(b'S', b'standard_conforming_strings\0on\0')
    + say(b'K', b'\0' * 8)
    + say(b'Z', b'I')
)
GOOD_BYE = say(b'E', b'SFATAL\0C57P01\0Mterminating connection\0\0')


class Server:
    """Lets everybody log in; what it says to the first statement is `answer`.

    :ivar answer: None for nothing, for ever
    """

    def __init__(self) -> None:
        self.answer: bytes | None = GOOD_BYE
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._clients: list[socket.socket] = []
        self._over = False
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self._clients.append(client)
            if self._over:
                return
            with contextlib.suppress(OSError, struct.error):
                if self._log_in(client) and self.answer is not None:
                    client.recv(4096)
                    client.sendall(self.answer)
                    client.close()

    @staticmethod
    def _log_in(client: socket.socket) -> bool:
        while True:
            head = client.recv(4, socket.MSG_WAITALL)
            if not head:
                return False
            (length,) = struct.unpack('!I', head)
            (code,) = struct.unpack('!I', client.recv(length - 4)[:4])
            if code == 196608:  # protocol 3.0
                client.sendall(WELCOME)
                return True
            client.sendall(b'N')  # neither TLS nor GSS

    def close(self) -> None:
        """The end, also of those who were let in and say nothing."""
        self._over = True
        for client in [*self._clients]:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        socket.create_connection(('127.0.0.1', self.port)).close()
        self._thread.join()
        for end in (self._listener, *self._clients):
            end.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(params=['psycopg2', 'psycopg'])
def lookup(request: pytest.FixtureRequest, server: Server) -> Iterator[DatabaseOwners]:
    pytest.importorskip(request.param)
    url = f'postgresql+{request.param}://u@127.0.0.1:{server.port}/d'
    made = DatabaseOwners(OwnerLookupSettings(url, TIMEOUT, 2, NOBODY, NOBODY))
    yield made
    made.close()


def wait_for_the_watchdog() -> None:
    time.sleep(1.5 * (TIMEOUT + GRACE))


def test_descriptors_of_others(lookup: DatabaseOwners) -> None:
    """A connection that fails while it is made leaves its number to somebody."""
    with pytest.raises(errors.OwnersUnavailable):
        lookup.find(['a'])
    others = [socket.socketpair() for _ in range(8)]
    wait_for_the_watchdog()
    for one, other in others:
        one.sendall(b'x')
        assert other.recv(1) == b'x'
        one.close()
        other.close()


def test_a_server_that_says_nothing(server: Server, lookup: DatabaseOwners) -> None:
    server.answer = None
    started = time.monotonic()
    with pytest.raises(errors.OwnersUnavailable):
        lookup.find(['a'])
    assert time.monotonic() - started < 10 * (TIMEOUT + GRACE)


def test_a_thread_that_could_not_be_started(
    server: Server, lookup: DatabaseOwners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one as soon as it can be."""

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, 'start', fail)
        with pytest.raises(errors.OwnersUnavailable):
            lookup.find(['a'])
    test_a_server_that_says_nothing(server, lookup)
