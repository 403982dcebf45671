# SPDX-License-Identifier: Apache-2.0
"""The body of a request: read as placement reads it, and left to be read again.

Parsed by placement's own parser: ``jsonutils.loads`` of the raw bytes (UTF-8
whatever the charset says, the last of duplicate keys wins).
"""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import webob
import webob.exc
from oslo_serialization import jsonutils

from consumer_guard.guard.errors import TooLarge, Unreadable
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.request import parse_usages_target


class WsgiPayload(NamedTuple):
    """The query and the body of a WSGI request, see :class:`request.Payload`.

    :ivar max_body_size: bytes; a larger body is not read
    """

    environ: Environ
    max_body_size: int

    def read_usages_target(self) -> Mapping[str, str]:
        """The target that the query names."""
        return parse_usages_target(self.environ.get('QUERY_STRING', ''))

    def read_document(self) -> Any:
        """The parsed body; placement can read its bytes again."""
        return parse_body(read_body(self.environ, self.max_body_size))


def read_body(environ: Environ, max_body_size: int) -> bytes:
    """Read the body as placement will, and leave it for placement to read.

    Whatever happens, ``wsgi.input`` gives the same bytes again afterwards, and
    no header of the request is changed.

    :param max_body_size: bytes; little more than that is ever held
    :raises TooLarge: the body is larger
    :raises Unreadable: the body is shorter than its length, or the client went away
    """
    request = webob.Request(environ)
    length = request.content_length
    if length is not None and length < 0:
        raise Unreadable('The Content-Length is not valid.')
    if not request.is_body_readable:
        return b''
    if length is not None and length > max_body_size:
        raise TooLarge(f'The body is larger than {max_body_size} bytes.')
    if environ.pop('webob.is_body_seekable', False):
        environ['wsgi.input'].seek(0)
    body = _read(environ, length, max_body_size + 1)
    if len(body) > max_body_size:
        raise TooLarge(f'The body is larger than {max_body_size} bytes.')
    if length is not None and len(body) < length:
        raise Unreadable('The body is shorter than its Content-Length.')
    return body


def _read(environ: Environ, length: int | None, most: int) -> bytes:
    """Read the body, or the beginning of an endless one, and put it back.

    :param length: bytes, None for a chunked body, which ends by itself
    """
    stream = environ['wsgi.input']
    pieces: list[bytes] = []
    left = most if length is None else length
    ended, rest = False, stream
    try:
        while left > 0 and not ended:
            piece = stream.read(min(left, 65536))
            ended = not piece
            pieces.append(piece)
            left -= len(piece)
    except OSError:
        raise Unreadable('The body could not be read.') from None
    except webob.exc.HTTPException as answer:
        # A limit in front of us. Security: placement gets the same answer, and not
        # what follows the bytes that are lost.
        ended, length, rest = False, None, _Ended(answer)
        if answer.wsgi_response.status_code == 413:
            raise TooLarge('The body exceeds a limit of the web server.') from None
        raise Unreadable('The body could not be read.') from None
    finally:
        # Security: what was judged is what is forwarded.
        body = b''.join(pieces)
        environ['wsgi.input'] = (
            io.BytesIO(body)
            if ended or length is not None
            else io.BufferedReader(_Rejoined(body, rest))
        )
    return body


class _Ended(NamedTuple):
    """The rest of a stream that ended with an answer."""

    answer: webob.exc.HTTPException

    def read(self, _size: int) -> bytes:
        raise self.answer


class _Rejoined(io.RawIOBase):
    """Bytes that were read already, then the rest of their stream."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head.read(len(buffer)) or self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def parse_body(body: bytes) -> Any:
    """Parse a body with placement's own parser.

    :raises Unreadable: not JSON, not UTF-8, or nested too deeply
    """
    try:
        return jsonutils.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable('The body is not valid JSON.') from None


def put_body(environ: Environ, content: bytes) -> None:
    """Make the request carry another body."""
    environ['wsgi.input'] = io.BytesIO(content)
    if environ.get('CONTENT_LENGTH'):
        environ['CONTENT_LENGTH'] = str(len(content))
