# SPDX-License-Identifier: Apache-2.0
"""The watch over libpq's connections: it shuts the late ones, and no others."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from consumer_guard.guard import errors
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.owners.engine import GRACE

NOBODY = '00000000-0000-0000-0000-000000000000'
TIMEOUT = 0.3
#: Seconds until a look-up counts as one that waits without end.
PATIENCE = 30.0


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
    """Lets everybody log in.

    :param answer: to the first statement; None: there is none, for ever
    """

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
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
                if self._log_in(client) and self._answer is not None:
                    client.recv(4096)
                    client.sendall(self._answer)
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

    def hang_up(self) -> None:
        """Close the connections of those who wait."""
        for client in [*self._clients]:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The end, also of those who wait."""
        self._over = True
        self.hang_up()
        socket.create_connection(('127.0.0.1', self.port)).close()
        self._thread.join()
        for end in (self._listener, *self._clients):
            end.close()


@pytest.fixture(params=['psycopg2', 'psycopg'])
def connect(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[Server], DatabaseOwners]]:
    pytest.importorskip(request.param)
    with contextlib.ExitStack() as stack:

        def make(server: Server) -> DatabaseOwners:
            stack.callback(server.close)
            url = f'postgresql+{request.param}://u@127.0.0.1:{server.port}/d'
            made = DatabaseOwners(OwnerLookupSettings(url, TIMEOUT, 2, NOBODY, NOBODY))
            stack.callback(made.close)
            return made

        yield make


def assert_given_up(server: Server, lookup: DatabaseOwners) -> None:
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
    connect: Callable[[Server], DatabaseOwners],
) -> None:
    """A connection that fails while it is made leaves its number to somebody."""
    with pytest.raises(errors.OwnersUnavailable):
        connect(Server(GOOD_BYE)).find(['a'])
    others = [socket.socketpair() for _ in range(8)]
    time.sleep(1.5 * (TIMEOUT + GRACE))  # until the watchdog has had its turn
    for one, other in others:
        one.sendall(b'x')
        assert other.recv(1) == b'x'
        one.close()
        other.close()


def test_a_server_that_does_not_answer_is_given_up(
    connect: Callable[[Server], DatabaseOwners],
) -> None:
    server = Server(None)
    assert_given_up(server, connect(server))


def test_a_thread_that_could_not_be_started_is_started_later(
    connect: Callable[[Server], DatabaseOwners], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(None)
    lookup = connect(server)

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, 'start', fail)
        with pytest.raises(errors.OwnersUnavailable):
            lookup.find(['a'])
    assert_given_up(server, lookup)
