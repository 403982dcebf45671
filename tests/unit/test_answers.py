# SPDX-License-Identifier: Apache-2.0
"""Answers to owners, with a stand-in for placement."""

import gzip
import json

import pytest

from tests.fuzz.alone import CONSUMER, REQUESTS, Recorder, ask_for, make_guard
from tests.fuzz.wire import send

OWN = {'allocations': {'rp': {'generation': 5, 'resources': {'VCPU': 1}}}}
GZIPPED = gzip.compress(json.dumps(OWN).encode(), mtime=0)


@pytest.mark.parametrize(
    ('body', 'headers', 'status'),
    [
        (json.dumps(OWN).encode(), [], '200 OK'),
        (json.dumps(OWN).encode(), [('ETag', '"secret"')], '200 OK'),
        (json.dumps(OWN).encode(), [('Content-MD5', 'secret')], '200 OK'),
        (GZIPPED, [('Content-Encoding', 'gzip')], '200 OK'),
        (json.dumps(OWN).encode()[:-1], [], '200 OK'),
        (json.dumps(OWN, separators=(',', ':')).encode(), [], '200 OK'),
        (json.dumps(OWN).encode('utf-16'), [], '200 OK'),
        (json.dumps(OWN).replace('gen', r'\u0067en').encode(), [], '200 OK'),
        (b'[' * 100_000, [], '200 OK'),
        (b'null', [], '200 OK'),
        (b'{"consumer_generation": 5}', [], '200 OK'),
        (b'{"allocations": [5]}', [], '200 OK'),
        (b'{"allocations": {"rp": 5}}', [], '200 OK'),
        (json.dumps(OWN).encode(), [], '206 Partial Content'),
        (json.dumps(OWN).encode(), [], '203 Non-Authoritative Information'),
    ],
    ids=lambda value: f'{str(value)[:40]!a}',
)
def test_an_answer_that_is_not_understood_shows_nothing(
    body: bytes, headers: list[tuple[str, str]], status: str
) -> None:
    """X15 F05: compressed, cut, partial: 502; digests of the whole are dropped."""
    behind = Recorder([body], status=status)
    behind.headers += headers
    answer = send(make_guard(behind), ask_for())
    assert [chunks.closed for chunks in behind.answers] == [1]
    assert 'secret' not in answer.everything
    if answer.status == 200:
        assert json.loads(answer.body)['allocations']['rp']['generation'] is None
    else:
        assert answer.status == 502
        assert b'"generation"' not in answer.body


@pytest.mark.parametrize(
    'text', ['"generation": 5', '\\"generation": 5', 'generation": 5', 'é', '"']
)
@pytest.mark.parametrize('generation', [5, 0, -5, 2**31, None])
def test_everything_but_the_generations_stays_byte_for_byte(
    text: str, generation: int | None
) -> None:
    own = OWN['allocations']['rp'] | {'generation': generation}
    rest = {'project_id': text, 'consumer_generation': 5}
    known = {'allocations': {'rp': own, 'other': own}, **rest}
    body = json.dumps(known).encode()
    answer = send(make_guard(Recorder([body[:9], body[9:]])), ask_for())
    hidden = own | {'generation': None}
    expected = {'allocations': {'rp': hidden, 'other': hidden}, **rest}
    assert answer.body == json.dumps(expected).encode()


def test_a_generation_under_a_key_that_comes_twice_is_not_shown() -> None:
    """A parser reads the last one; the client has the text."""
    text = json.dumps(OWN).replace('{"gen', r'{"\u0067eneration": 66, "gen')
    answer = send(make_guard(Recorder([text.encode()])), ask_for())
    assert answer.status == 200
    assert b'66' not in answer.body


@pytest.mark.parametrize(
    'status', ['400 Bad Request', '404 Not Found', '503 Service Unavailable']
)
def test_errors_of_the_application_pass(status: str) -> None:
    behind = Recorder([b'err', b'or'], status=status)
    answer = send(make_guard(behind), ask_for())
    assert (answer.status, answer.body) == (int(status[:3]), b'error')


@pytest.mark.parametrize('status', ['201 Created', '304 Not Modified', '399 Odd'])
def test_what_is_neither_an_answer_nor_an_error_is_withheld(
    status: str, caplog: pytest.LogCaptureFixture
) -> None:
    behind = Recorder([b'secret'], status=status)
    assert send(make_guard(behind), ask_for()).status == 502
    assert 'withheld' in caplog.text


@pytest.mark.parametrize('method', ['PUT', 'POST'])
@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        (b'Unable to allocate inventory: full', True),
        (b'Inventory and/or allocations changed while attempting to allocate: x', True),
        (b'consumer generation conflict - expected 5 but got 3', False),
        (b'any other words, 5', False),
        (gzip.compress(b'expected 5', mtime=0), False),
    ],
)
def test_a_409_that_is_not_known_is_replaced(
    method: str, text: bytes, shown: bool
) -> None:
    """X16: texts of another release of placement, too."""
    behind = Recorder([text], status='409 Conflict')
    answer = send(make_guard(behind), REQUESTS[method]())
    assert answer.status == 409
    assert (answer.body == text) is shown
    assert [chunks.closed for chunks in behind.answers] == [1]
    if not shown:
        assert b'another write came first' in answer.body
        assert b'5' not in answer.body.replace(CONSUMER.encode(), b'').split(b'req-')[0]
