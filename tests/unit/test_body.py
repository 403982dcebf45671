# SPDX-License-Identifier: Apache-2.0
"""Bodies: read once, put back byte for byte, and parsed as placement does."""

import io
from typing import Any

import pytest
import webob

from consumer_guard.guard.body import WsgiPayload, parse_body, put_body, read_body
from consumer_guard.guard.errors import TooLarge, Unreadable

BODY = bytes(range(256)) * 1000


class Pipe(io.RawIOBase):
    """A socket: cannot seek, gives at most some bytes at a time, may break."""

    def __init__(
        self,
        body: bytes,
        *,
        most: int = 1000,
        fails_at: int = -1,
        fault: Exception | None = None,
    ) -> None:
        self._body = io.BytesIO(body)
        self._most = most
        self._fails_at = fails_at
        self._fault = fault or ConnectionResetError('gone')

    def read(self, size: int = -1, /) -> bytes:
        assert size >= 0, 'read to the end'
        if 0 <= self._fails_at == self._body.tell():
            # What follows is another request's.
            self._body.seek(0)
            raise self._fault
        return self._body.read(min(size, self._most))


class EndsOnce(Pipe):
    """It must not be read once more."""

    ended = False

    def read(self, size: int = -1, /) -> bytes:
        assert not self.ended
        piece = super().read(size)
        self.ended = not piece
        return piece


def _environ(stream: Any, length: object = None, **more: Any) -> dict[str, Any]:
    made = {'REQUEST_METHOD': 'PUT', 'wsgi.input': stream}
    if length is not None:
        made['CONTENT_LENGTH'] = str(length)
    return made | {key.replace('__', '.'): value for key, value in more.items()}


class TestReadBody:
    """B07 B09 B10 B11 R01: what was judged is what is forwarded."""

    @pytest.mark.parametrize('most', [1, 7, 65536, 10**6])
    @pytest.mark.parametrize('seekable', [True, False])
    @pytest.mark.parametrize('framing', ['length', 'chunked', 'both'])
    def test_a_body_that_was_read_can_be_read_again(
        self, framing: str, seekable: bool, most: int
    ) -> None:
        body = BODY[: most * 100]
        stream = io.BytesIO(body) if seekable else Pipe(body, most=most)
        environ = _environ(stream, None if framing == 'chunked' else len(body))
        if framing != 'length':
            environ['wsgi.input_terminated'] = True
        before = environ.copy()
        assert read_body(environ, 10**6) == body
        assert environ.keys() == before.keys()
        changed = {key for key in before if environ[key] is not before[key]}
        assert changed <= {'wsgi.input'}
        assert environ['wsgi.input'].read() == body

    @pytest.mark.parametrize('framing', ['length', 'chunked'])
    def test_placement_reads_the_same(self, framing: str) -> None:
        """Through webob, as placement's handlers do, once and again."""
        body = BODY[:9000]
        length = len(body) if framing == 'length' else None
        environ = _environ(Pipe(body), length, wsgi__input_terminated=True)
        for _ in range(2):
            assert read_body(environ, 10**6) == body
            assert read_body(environ, 10**6) == body
            assert webob.Request(environ).body == body

    def test_more_than_the_length_is_left(self) -> None:
        """What follows belongs to the next request."""
        stream = io.BytesIO(b'{}next')
        environ = _environ(stream, 2)
        assert read_body(environ, 10) == b'{}'
        assert environ['wsgi.input'].read() == b'{}'
        assert stream.read() == b'next'

    def test_nothing_is_read_beyond_the_end_of_a_chunked_body(self) -> None:
        """A server may wait for the next request there."""
        stream = EndsOnce(BODY[:9])
        environ = _environ(stream, wsgi__input_terminated=True)
        assert read_body(environ, 10) == BODY[:9]
        assert environ['wsgi.input'].read() == BODY[:9]

    @pytest.mark.parametrize(
        ('answer', 'error'),
        [
            (webob.exc.HTTPRequestEntityTooLarge(), TooLarge),
            (webob.exc.HTTPRequestTimeout(), Unreadable),
        ],
        ids=['413', '408'],
    )
    @pytest.mark.parametrize('terminated', [True, False])
    def test_the_answer_of_a_limit_in_front_is_given_to_placement_too(
        self, answer: webob.exc.HTTPException, error: type[Exception], terminated: bool
    ) -> None:
        """And not what follows the bytes that are lost."""
        length = None if terminated else len(BODY)
        stream = Pipe(BODY, fails_at=3000, fault=answer)
        environ = _environ(stream, length, wsgi__input_terminated=terminated)
        with pytest.raises(error):
            read_body(environ, 10**6)
        again = environ['wsgi.input']
        assert again.read(3000) == BODY[:3000]
        with pytest.raises(type(answer)):
            again.read(1)

    @pytest.mark.parametrize('length', ['0', 0])
    def test_a_length_of_zero_reads_nothing_and_leaves_the_rest(
        self, length: object
    ) -> None:
        environ = _environ(io.BytesIO(b'left'), length, wsgi__input_terminated=True)
        assert read_body(environ, 10) == b''
        assert environ['wsgi.input'].read() == b'left'

    @pytest.mark.parametrize('length', [None, 'x', '1.5'])
    def test_neither_length_nor_end(self, length: str | None) -> None:
        """A server that cannot tell the end is not read from: it would hang."""
        environ = _environ(io.BytesIO(b'left'), length)
        assert read_body(environ, 10) == b''
        assert environ['wsgi.input'].read() == b'left'

    def test_too_large_by_its_length(self) -> None:
        stream = io.BytesIO(BODY)
        environ = _environ(stream, len(BODY))
        with pytest.raises(TooLarge):
            read_body(environ, len(BODY) - 1)
        assert stream.tell() == 0
        assert environ['wsgi.input'] is stream

    @pytest.mark.parametrize('most', [1, 1000, 65536])
    @pytest.mark.parametrize('size', [1, 5000, 70000])
    def test_too_large_in_chunks(self, most: int, size: int) -> None:
        """Not much more than the limit is read; every byte is still there."""
        limit = 4096
        body = BODY[: limit + size]
        stream = Pipe(body, most=most)
        environ = _environ(stream, wsgi__input_terminated=True)
        with pytest.raises(TooLarge):
            read_body(environ, limit)
        assert stream._body.tell() <= limit + 65536
        again = environ['wsgi.input']
        assert again.read(10) == body[:10]
        assert again.read() == body[10:]
        assert again.read() == b''

    @pytest.mark.parametrize('size', [0, 1, 999])
    def test_shorter_than_its_length(self, size: int) -> None:
        """B09: as placement's own reader finds out, which may ask again."""
        environ = _environ(Pipe(BODY[:size]), 1000)
        with pytest.raises(Unreadable, match='shorter'):
            read_body(environ, 10**6)
        with pytest.raises(OSError, match='disconnected'):
            _ = webob.Request(environ).body
        assert environ['CONTENT_LENGTH'] == '1000'

    @pytest.mark.parametrize('terminated', [True, False])
    def test_a_client_that_goes_away(self, terminated: bool) -> None:
        length = None if terminated else len(BODY)
        stream = Pipe(BODY, fails_at=3000)
        environ = _environ(stream, length, wsgi__input_terminated=terminated)
        with pytest.raises(Unreadable, match='could not be read'):
            read_body(environ, 10**6)
        assert environ['wsgi.input'].read(3000) == BODY[:3000]

    @pytest.mark.parametrize('length', ['-1', '-99999999999'])
    def test_a_length_that_is_no_length_is_unreadable(self, length: str) -> None:
        environ = _environ(io.BytesIO(b'{}'), length)
        with pytest.raises(Unreadable):
            read_body(environ, 10)

    @pytest.mark.parametrize('length', [2, 4])
    def test_a_stale_flag(self, length: int) -> None:
        """B11: an outer filter read the body and left webob's mark."""
        stream = io.BytesIO(b'{"a"')
        stream.seek(3)
        environ = _environ(stream, length, webob__is_body_seekable=True)
        body = read_body(environ, 10)
        assert body == b'{"a"'[:length]
        assert webob.Request(environ).body == body

    def test_a_stale_flag_over_another_stream(self) -> None:
        """B11: what was replaced is read from its start, as webob would."""
        environ = _environ(io.BytesIO(b'old'), 3)
        assert webob.Request(environ).body == b'old'
        environ['wsgi.input'] = io.BytesIO(b'new')
        assert read_body(environ, 10) == b'new'
        assert webob.Request(environ).body == b'new'


@pytest.mark.parametrize(
    'body',
    [
        b'',
        b'{',
        b'{}{}',
        b'\xef\xbb\xbf{}',
        '{}'.encode('utf-16'),
        b'\xff',
        b'"\xed\xa0\x80"',
        b'[' * 10**6,
        b'1' * 5000,
        b"{'a': 1}",
        b'{}\x00',
    ],
)
def test_other_bytes(body: bytes) -> None:
    """B06 B12 B15 G06: placement's own parser, and none that guesses more."""
    with pytest.raises(Unreadable):
        parse_body(body)


def test_the_last_of_two_keys() -> None:
    """B04"""
    assert parse_body(b'{"a": 1, "\\u0061": 2}') == {'a': 2}


class TestWsgiPayload:
    def test_a_document_can_be_read_again_by_placement(self) -> None:
        environ = _environ(io.BytesIO(b'{"a": 1}'), 8)
        payload = WsgiPayload(environ, 8)
        for _ in range(2):
            assert payload.read_document() == {'a': 1}
        assert webob.Request(environ).body == b'{"a": 1}'

    def test_a_document_beyond_the_limit_is_not_read(self) -> None:
        environ = _environ(io.BytesIO(b'{"a": 1}'), 8)
        with pytest.raises(TooLarge, match='7 bytes'):
            WsgiPayload(environ, 7).read_document()

    def test_the_target_of_usages_is_in_the_query(self) -> None:
        payload = WsgiPayload({'QUERY_STRING': 'project_id=a'}, 0)
        assert payload.read_usages_target() == {'project_id': 'a'}
        assert WsgiPayload({}, 0).read_usages_target() == {}


@pytest.mark.parametrize('framing', ['length', 'chunked'])
def test_another_body_is_read_to_its_own_end(framing: str) -> None:
    length = 2 if framing == 'length' else None
    environ = _environ(io.BytesIO(b'{}'), length, wsgi__input_terminated=True)
    put_body(environ, b'{"longer": true}')
    assert ('CONTENT_LENGTH' in environ) is (framing == 'length')
    assert webob.Request(environ).body == b'{"longer": true}'
