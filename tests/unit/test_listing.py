# SPDX-License-Identifier: Apache-2.0
"""Lists that are filtered, with stand-ins for placement, rules and owners."""

import gzip
import json
from collections.abc import Iterable
from typing import Any

import pytest

from consumer_guard.guard import model
from tests.fuzz.alone import (
    CONSUMER,
    FAULTS,
    PROJECT,
    FixedOwners,
    FixedRules,
    Recorder,
    ask_for,
    make_guard,
)
from tests.fuzz.wire import Environ, send

LISTS = '/resource_providers/fa57f00d-0000-4000-8000-0000000000ab/allocations'
OTHERS = CONSUMER[:-1] + 'b'
LIST = {
    'allocations': {CONSUMER: {'resources': {}}, OTHERS: {'resources': {'secret': 1}}},
    'resource_provider_generation': 5,
}
RAW = json.dumps(LIST).encode()


class TestFilter:
    """F05 F04: whatever the list looks like, nothing of it goes by unread."""

    def test_a_list_in_whatever_chunks_shows_only_owned_consumers(self) -> None:
        for chunks in (
            [RAW],
            [RAW[:9], b'', RAW[9:]],
            [RAW[i : i + 1] for i in range(len(RAW))],
        ):
            recorder = Recorder(chunks)
            answer = send(make_guard(recorder), ask_for(LISTS))
            assert answer.status == 200
            assert list(json.loads(answer.body)['allocations']) == [CONSUMER]
            assert answer.header('Content-Length') in (None, str(len(answer.body)))
            assert [chunks.closed for chunks in recorder.answers] == [1]

    @pytest.mark.parametrize(
        ('status', 'content_type', 'body'),
        [
            ('200 OK', 'text/plain', RAW),
            ('200 OK', '', RAW),
            # Without the time, which would be in the test's id.
            ('200 OK', 'application/json', gzip.compress(RAW, mtime=0)),
            ('200 OK', 'application/json', RAW[:-1]),
            ('200 OK', 'application/json', b'\xef\xbb\xbf' + b'{'),
            ('200 OK', 'application/json', b'[' * 100000 + RAW),
            ('200 OK', 'application/json', b'null'),
            ('200 OK', 'application/json', json.dumps([LIST]).encode()),
            (
                '200 OK',
                'application/json',
                json.dumps(LIST | {'more': OTHERS}).encode(),
            ),
            (
                '200 OK',
                'application/json',
                json.dumps(LIST | {'allocations': [OTHERS, 'secret']}).encode(),
            ),
            ('200 OK', 'application/json', b''),
            ('206 Partial Content', 'application/json', RAW),
            ('304 Not Modified', 'application/json', RAW),
            ('302 Found', 'application/json', RAW),
            ('204 No Content', 'application/json', RAW),
            ('500 Internal Server Error', 'application/json', RAW),
            ('503 Service Unavailable', 'application/json', RAW),
        ],
    )
    def test_what_cannot_be_read(
        self, status: str, content_type: str, body: bytes
    ) -> None:
        recorder = Recorder([body], status=status, content_type=content_type)
        answer = send(make_guard(recorder), ask_for(LISTS))
        assert answer.status == 502
        assert 'secret' not in answer.everything
        assert OTHERS not in answer.everything
        assert [chunks.closed for chunks in recorder.answers] == [1]

    def test_a_list_with_a_content_encoding_is_a_bad_gateway(self) -> None:
        recorder = Recorder([gzip.compress(RAW)])
        recorder.headers.append(('Content-Encoding', 'gzip'))
        assert send(make_guard(recorder), ask_for(LISTS)).status == 502

    def test_a_list_that_is_written(self) -> None:
        """PEP 3333's write(), and an iterable behind it."""

        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            write = start_response('200 OK', [('Content-Type', 'application/json')])
            write(RAW[:20])
            return [RAW[20:]]

        answer = send(make_guard(application), ask_for(LISTS))
        assert list(json.loads(answer.body)['allocations']) == [CONSUMER]

    def test_a_list_that_says_a_consumer_twice(self) -> None:
        twice = f'{{"allocations": {{"{OTHERS}": 1, "{OTHERS}": 2}}, '
        body = (twice + '"resource_provider_generation": 1}').encode()
        answer = send(make_guard(Recorder([body])), ask_for(LISTS))
        assert json.loads(answer.body)['allocations'] == {}

    @pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: type(fault).__name__)
    @pytest.mark.parametrize('step', ['find', 'reads', 'judge final'])
    def test_faults(self, step: str, fault: Exception) -> None:
        """F01"""
        recorder, rules, owners = Recorder([RAW]), FixedRules(), FixedOwners()
        if step == 'find':
            owners.fault = fault
        else:
            rules.fault, rules.faults_in = fault, step
        answer = send(make_guard(recorder, rules, owners), ask_for(LISTS))
        assert answer.status == 503
        assert 'secret' not in answer.everything
        assert [chunks.closed for chunks in recorder.answers] == [1]

    def test_faults_of_the_application(self) -> None:
        """One that breaks in the middle of the list."""

        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response('200 OK', [('Content-Type', 'application/json')])
            yield RAW
            raise RuntimeError('secret')

        answer = send(make_guard(application), ask_for(LISTS))
        assert answer.status == 503
        assert OTHERS not in answer.everything

    def test_an_empty_list_looks_up_nothing(self) -> None:
        owners = FixedOwners()
        body = b'{"allocations": {}, "resource_provider_generation": 0}'
        answer = send(make_guard(Recorder([body]), owners=owners), ask_for(LISTS))
        assert answer.status == 200
        assert owners.asked in ([], [frozenset()])

    def test_nobodys_are_not_shown(self) -> None:
        owner = model.Owner(OTHERS, model.OwnerStatus.UNOWNED, PROJECT)
        owners = FixedOwners({OTHERS: owner})
        answer = send(make_guard(Recorder([RAW]), owners=owners), ask_for(LISTS))
        assert json.loads(answer.body)['allocations'] == {}
