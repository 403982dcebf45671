# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 byte for byte: what a careful client would never send, too."""

import contextlib
import dataclasses
import json
import select
import socket
from collections.abc import Iterator, Mapping
from typing import Any

#: Seconds to wait for an answer.
PATIENCE = 30


class Closed(Exception):
    """The server has closed the connection instead of answering."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """One response.

    :ivar headers: by lower-case name; the last one wins
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def make_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Request line and headers, as they are given."""
    lines = [f'{method} {target} HTTP/1.1', 'Host: placement']
    lines += [f'{name}: {value}' for name, value in headers.items()]
    return '\r\n'.join([*lines, '', '']).encode('latin-1')


def chunk(body: bytes, size: int = 7) -> bytes:
    """A body in small chunks, with the last one."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = [b'%x\r\n%s\r\n' % (len(part), part) for part in parts]
    return b''.join([*chunks, b'0\r\n\r\n'])


class Connection:
    """One connection, kept alive as long as the server does."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(('127.0.0.1', port), PATIENCE)
        self._file = self._socket.makefile('rb')

    def send(self, data: bytes) -> None:
        """Send; a server that listens no more is met in the answer."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def wait(self, seconds: float) -> bool:
        """Whether something comes back within that time."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def receive(self, *, to_head: bool = False) -> Answer:
        """Read one response.

        :param to_head: of a request whose answer has no body
        :raises Closed: there is none
        """
        try:
            return self._receive(to_head)
        except ConnectionError as exc:
            raise Closed(str(exc)) from None

    def _receive(self, to_head: bool) -> Answer:
        line = self._file.readline()
        if not line:
            raise Closed
        version, status = line.split()[:2]
        assert version in (b'HTTP/1.1', b'HTTP/1.0'), line
        headers: dict[str, str] = {}
        while (line := self._file.readline()) not in (b'\r\n', b'\n', b''):
            name, _, value = line.decode('latin-1').partition(':')
            headers[name.strip().lower()] = value.strip()
        code = int(status)
        body = b''
        if not to_head and code not in (204, 304):
            body = self._read_body(headers)
        return Answer(code, headers, body)

    def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get('transfer-encoding', '').lower() == 'chunked':
            body = b''
            while size := int(self._file.readline().split(b';')[0], 16):
                body += self._file.read(size)
                self._file.readline()
            while self._file.readline() not in (b'\r\n', b'\n', b''):
                pass
            return body
        if 'content-length' in headers:
            return self._file.read(int(headers['content-length']))
        return self._file.read()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


@contextlib.contextmanager
def connect(port: int) -> Iterator[Connection]:
    """A connection for the length of the ``with``."""
    connection = Connection(port)
    try:
        yield connection
    finally:
        connection.close()
