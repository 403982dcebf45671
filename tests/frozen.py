# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server on loopback that acknowledges everything and answers nothing."""

import contextlib
import socket
import struct
import threading


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

#: Seconds to wait for a client.
_PATIENCE = 60


class FrozenServer:
    """Lets everybody log in, and does not answer.

    :param answer: to the first statement; None: there is none, for ever
    """

    def __init__(self, answer: bytes | None = None) -> None:
        self._answer = answer
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._clients: list[socket.socket] = []
        self._arrived = threading.Event()
        self._over = False
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self._clients.append(client)
            if self._over:
                return
            self._arrived.set()
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

    def wait_for_client(self) -> None:
        """Until somebody has connected."""
        assert self._arrived.wait(_PATIENCE)

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
