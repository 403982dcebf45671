# SPDX-License-Identifier: Apache-2.0
"""Bodies: read once, put back byte for byte, and what they claim."""

import io
import json
from typing import Any

import pytest
import webob

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import claims, model
from consumer_guard.guard.body import parse_body, read_body
from consumer_guard.guard.errors import TooLarge, Unreadable
from consumer_guard.guard.request import GuardedRequest

UUID = 'ca000000-0000-4000-8000-0000000000a1'
OTHER = 'cb000000-0000-4000-8000-0000000000b1'
BODY = bytes(range(256)) * 1000


class Pipe(io.RawIOBase):
    """A socket: cannot seek, gives at most some bytes at a time, may break."""

    def __init__(self, body: bytes, *, most: int = 1000, fails_at: int = -1) -> None:
        self._body = io.BytesIO(body)
        self._most = most
        self._fails_at = fails_at

    def read(self, size: int = -1, /) -> bytes:
        assert size >= 0, 'read to the end'
        if 0 <= self._fails_at <= self._body.tell():
            raise ConnectionResetError('gone')
        return self._body.read(min(size, self._most))


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
    def test_restored(self, framing: str, seekable: bool, most: int) -> None:
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
        assert stream.read() == b'next'
        assert environ['wsgi.input'].read() == b'{}'

    @pytest.mark.parametrize('length', ['0', 0])
    def test_no_body(self, length: object) -> None:
        environ = _environ(io.BytesIO(b'left'), length, wsgi__input_terminated=True)
        assert read_body(environ, 10) == b''
        assert environ['wsgi.input'].read() == b'left'

    def test_neither_length_nor_end(self) -> None:
        """A server that cannot tell the end is not read from: it would hang."""
        environ = _environ(io.BytesIO(b'left'))
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
    def test_negative(self, length: str) -> None:
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


def _request(
    operation: model.Operation = model.ALLOCATIONS_UPDATE,
    version: tuple[int, int] = (1, 38),
) -> GuardedRequest:
    uuid = UUID if operation is model.ALLOCATIONS_UPDATE else None
    return GuardedRequest(operation, uuid, None, version, GivenPayload())


CLAIM: dict[str, Any] = {
    'allocations': {'x': {'resources': {'VCPU': 1}}},
    'project_id': 'p',
    'user_id': 'u',
    'consumer_generation': 1,
    'consumer_type': 'INSTANCE',
}


class TestReadClaims:
    def test_put(self) -> None:
        claim = model.Claim(UUID, 'p', 'u', 'INSTANCE', 1, False)
        assert claims.read_claims(_request(), CLAIM) == (claim,)

    def test_post(self) -> None:
        request = _request(model.ALLOCATIONS_MANAGE)
        document = {UUID: CLAIM, OTHER: CLAIM | {'allocations': {}}}
        assert claims.read_claims(request, document) == (
            model.Claim(UUID, 'p', 'u', 'INSTANCE', 1, False),
            model.Claim(OTHER, 'p', 'u', 'INSTANCE', 1, True),
        )

    def test_reshape(self) -> None:
        """B27: the sub-document that placement takes the consumers from."""
        request = _request(model.RESHAPE)
        document = {'inventories': {OTHER: {}}, 'allocations': {UUID: CLAIM}}
        (claim,) = claims.read_claims(request, document)
        assert claim.consumer_uuid == UUID
        none = claims.read_claims(request, {'inventories': {}, 'allocations': {}})
        assert none == ()

    @pytest.mark.parametrize(
        ('version', 'project_id', 'generation'),
        [((1, 7), None, None), ((1, 8), 'p', None), ((1, 27), 'p', None)],
    )
    def test_old_versions(
        self, version: tuple[int, int], project_id: str | None, generation: object
    ) -> None:
        """B17 G11: what the version's body carries counts, and nothing else."""
        document = CLAIM | {'allocations': [{}]}
        (claim,) = claims.read_claims(_request(version=version), document)
        assert claim.project_id == project_id
        assert claim.generation == generation
        assert not claim.empties

    @pytest.mark.parametrize('document', [None, [], 'x', 5, True, [CLAIM], {}])
    @pytest.mark.parametrize(
        'operation', [model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE]
    )
    def test_other_documents(
        self, operation: model.Operation, document: object
    ) -> None:
        """B12: never allowed by nothing to check."""
        with pytest.raises(Unreadable):
            claims.read_claims(_request(operation), document)

    @pytest.mark.parametrize('value', [None, [], 'x', 5, {}])
    def test_other_parts(self, value: object) -> None:
        document = {UUID: CLAIM, OTHER: value}
        for operation, body in (
            (model.ALLOCATIONS_MANAGE, document),
            (model.RESHAPE, {'allocations': document}),
        ):
            with pytest.raises(Unreadable):
                claims.read_claims(_request(operation), body)

    @pytest.mark.parametrize('name', ['project_id', 'user_id'])
    @pytest.mark.parametrize(
        'value',
        [
            None,
            5,
            5.0,
            True,
            ['p'],
            {'a': 1},
            '',
            'p' * 256,
        ],
    )
    def test_other_ids(self, name: str, value: object) -> None:
        """B13: only text is compared with text."""
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), CLAIM | {name: value})

    @pytest.mark.parametrize('name', ['project_id', 'user_id'])
    @pytest.mark.parametrize(
        'value',
        [
            ' ',
            'p ',
            '\tp',
            'p\n',
            'p\x00',
            '\x7f',
            '\u00a0p',
            'p\u200b',
            '\u2028',
            '\ud800',
        ],
    )
    def test_odd_ids(self, name: str, value: str) -> None:
        """B13: placement takes them; for ownership there is one spelling only."""
        (claim,) = claims.read_claims(_request(), CLAIM | {name: value})
        assert getattr(claim, name) == value
        with pytest.raises(Unreadable) as caught:
            claims.demand_canonical_claim(claim)
        assert name in str(caught.value)
        assert value not in str(caught.value).replace(' ', '')

    @pytest.mark.parametrize('name', ['project_id', 'user_id', 'consumer_generation'])
    def test_missing(self, name: str) -> None:
        document = {key: value for key, value in CLAIM.items() if key != name}
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), document)

    @pytest.mark.parametrize('value', [5, True, ['X'], {}])
    def test_odd_types(self, value: object) -> None:
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), CLAIM | {'consumer_type': value})

    @pytest.mark.parametrize(
        ('text', 'expected'),
        [
            ('null', None),
            ('1', 1),
            ('1.0', 1),
            ('1e0', 1),
            ('-0.0', 0),
            ('-1', -1),
            ('1' + '0' * 400, 10**400),
            ('1e300', 1e300),
        ],
    )
    def test_generations(self, text: str, expected: object) -> None:
        """G06: read and compared as placement's schema and compare do."""
        document = CLAIM | {'consumer_generation': json.loads(text)}
        (claim,) = claims.read_claims(_request(), document)
        assert claim.generation == expected

    @pytest.mark.parametrize(
        'text', ['true', '"1"', '1.5', 'NaN', 'Infinity', '1e400', '[1]', '{}']
    )
    def test_other_generations(self, text: str) -> None:
        """G06"""
        document = CLAIM | {'consumer_generation': json.loads(text)}
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), document)

    @pytest.mark.parametrize('value', [None, 'x', 5, True])
    def test_no_allocations(self, value: object) -> None:
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), CLAIM | {'allocations': value})


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


def test_texts_tell_nothing() -> None:
    """X07: no value of a body comes back in an error."""
    for value in ('secret' * 50, ['secret']):
        with pytest.raises(Unreadable) as caught:
            claims.read_claims(_request(), CLAIM | {'project_id': value})
        assert 'secret' not in str(caught.value)
