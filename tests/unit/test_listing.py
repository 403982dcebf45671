# SPDX-License-Identifier: Apache-2.0
"""Lists that are filtered, with stand-ins for placement, rules and owners."""

import contextlib
import gzip
import json
import threading
import tracemalloc
from collections.abc import Collection, Iterable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
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
            ('399 Odd', 'application/json', RAW),
            ('500 Internal Server Error', 'application/json', RAW),
            ('503 Service Unavailable', 'application/json', RAW),
        ],
    )
    def test_what_cannot_be_read(
        self,
        caplog: pytest.LogCaptureFixture,
        status: str,
        content_type: str,
        body: bytes,
    ) -> None:
        recorder = Recorder([body], status=status, content_type=content_type)
        answer = send(make_guard(recorder), ask_for(LISTS))
        assert answer.status == 502
        assert 'withheld' in caplog.text
        assert 'secret' not in answer.everything
        assert OTHERS not in answer.everything
        assert [chunks.closed for chunks in recorder.answers] == [1]

    @pytest.mark.parametrize('status', ['400 Bad Request', '404 Not Found', '499 Odd'])
    def test_errors_of_the_request_pass(self, status: str) -> None:
        answer = send(make_guard(Recorder([b'why'], status=status)), ask_for(LISTS))
        assert (answer.status, answer.body) == (int(status[:3]), b'why')

    @pytest.mark.parametrize(
        'name', ['ETag', 'Content-MD5', 'Digest', 'Content-Digest', 'Repr-Digest']
    )
    def test_a_digest_of_the_whole_is_not_shown(self, name: str) -> None:
        """X15: it would confirm a guess of what others hold."""
        recorder = Recorder([RAW])
        recorder.headers.append((name, 'secret'))
        answer = send(make_guard(recorder), ask_for(LISTS))
        assert answer.status == 200
        assert 'secret' not in answer.everything

    def test_the_time_of_a_list_is_that_of_the_answer(self) -> None:
        """O16: the newest allocation's would tell of others' writes."""
        recorder = Recorder([RAW])
        recorder.headers.append(('Last-Modified', 'Thu, 01 Jan 1970 00:00:00 GMT'))
        before = datetime.now(timezone.utc).replace(microsecond=0)
        answer = send(make_guard(recorder), ask_for(LISTS))
        text = answer.header('Last-Modified') or ''
        assert text.endswith(' GMT')
        shown = parsedate_to_datetime(text)
        assert before <= shown <= datetime.now(timezone.utc)

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
    def test_faults(
        self, caplog: pytest.LogCaptureFixture, step: str, fault: Exception
    ) -> None:
        """F01"""
        recorder, rules, owners = Recorder([RAW]), FixedRules(), FixedOwners()
        if step == 'find':
            owners.fault = fault
        else:
            rules.fault, rules.faults_in = fault, step
        answer = send(make_guard(recorder, rules, owners), ask_for(LISTS))
        assert answer.status == 503
        assert 'could not be filtered' in caplog.text
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


def _write(document: dict[str, Any], count: int) -> bytes:
    ids = [f'{number:032x}' for number in range(count)]
    return json.dumps(
        {
            'allocations': {
                id_: document | {'consumer_generation': number}
                for number, id_ in enumerate(ids)
            },
            'resource_provider_generation': 7,
        }
    ).encode()


class EveryFew(FixedOwners):
    """Every third consumer is the caller's, or one in some other number."""

    def __init__(self, every: int = 3) -> None:
        super().__init__()
        self._every = every
        self.counts: list[int] = []

    def find(self, consumer_ids: Collection[str]) -> dict[str, model.Owner]:
        # The ids themselves would take as much memory as the list.
        self.counts.append(len({*consumer_ids}))
        return {
            id_: model.Owner(
                id_,
                model.OwnerStatus.RECORDED,
                'theirs' if int(id_, 16) % self._every else PROJECT,
            )
            for id_ in consumer_ids
        }


class TestParts:
    """A list that is too long to be read at once."""

    @pytest.mark.parametrize(
        'document',
        [
            {'resources': {'VCPU': 1}},
            {'resources': {'VCPU': 1}, 'more': {'a': {}}, 'z': {'b': {'c': {}}}},
            {'resources': {}, 'text': '}, "x": {"\\" \u00e9'},
        ],
        ids=['known', 'nested', 'text'],
    )
    @pytest.mark.parametrize('indent', [None, 1])
    def test_parts_show_what_the_whole_would(
        self, document: dict[str, Any], indent: int | None
    ) -> None:
        whole = json.loads(_write(document, 1000))
        text = json.dumps(whole, indent=indent).encode()
        owners = EveryFew()
        answer = send(make_guard(Recorder([text]), owners=owners), ask_for(LISTS))
        consumers = whole['allocations']
        expected = {id_: consumers[id_] for id_ in [*consumers][::3]}
        assert json.loads(answer.body)['allocations'] == expected
        assert (len(owners.counts) > 1) is ('more' not in document)
        assert sum(owners.counts) == 1000

    def test_few_visible_consumers_are_shown_from_any_part(self) -> None:
        text = _write({'resources': {'VCPU': 1}}, 1000)
        recorder, owners = Recorder([text]), EveryFew(700)
        answer = send(make_guard(recorder, owners=owners), ask_for(LISTS))
        consumers = json.loads(text)['allocations']
        expected = {id_: consumers[id_] for id_ in [*consumers][::700]}
        assert json.loads(answer.body)['allocations'] == expected

    def test_members_in_another_order_are_read_as_a_whole(self) -> None:
        whole = json.loads(_write({'resources': {'VCPU': 1}}, 1000))
        text = json.dumps(dict(reversed(whole.items()))).encode()
        answer = send(make_guard(Recorder([text]), owners=EveryFew()), ask_for(LISTS))
        consumers = whole['allocations']
        expected = {id_: consumers[id_] for id_ in [*consumers][::3]}
        assert json.loads(answer.body)['allocations'] == expected

    def test_a_part_that_is_nested_too_deeply_is_a_bad_gateway(self) -> None:
        text = _write({'resources': {'VCPU': 1}}, 1000)
        deep = text.replace(b': 1}', b': %b1%b}' % (b'[' * 100_000, b']' * 100_000), 1)
        recorder = Recorder([deep])
        answer = send(make_guard(recorder, owners=EveryFew()), ask_for(LISTS))
        assert answer.status == 502

    @pytest.mark.parametrize('at', [0.3, 0.6, 0.999])
    def test_a_list_that_breaks_in_a_later_part_shows_nothing(self, at: float) -> None:
        text = bytearray(_write({'resources': {'VCPU': 1}}, 1000))
        text[int(len(text) * at)] = 0
        recorder = Recorder([bytes(text)])
        answer = send(make_guard(recorder, owners=EveryFew()), ask_for(LISTS))
        assert answer.status == 502

    @pytest.mark.parametrize('every', [1, 3, 10**9])
    @pytest.mark.parametrize('count', [5_000, 20_000])
    def test_memory_is_at_most_three_times_the_list(
        self, every: int, count: int
    ) -> None:
        """Allocations are counted, which no other work on the machine changes."""
        text = _write({'resources': {'VCPU': 1}}, count)
        environ = ask_for(LISTS)
        guard = make_guard(Recorder([text]), owners=EveryFew(every))
        guard(dict(environ), lambda *_: None)
        tracemalloc.start()
        try:
            guard(environ, lambda *_: None)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 3 * len(text)


class TestAtOnce:
    """As many lists are filtered at once as the option says."""

    def test_one_list_too_many_is_refused_until_another_is_done(self) -> None:
        inside, leave = threading.Barrier(2), threading.Event()

        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            if threading.current_thread() is slow:
                inside.wait(10)
                assert leave.wait(10)
            start_response('200 OK', [('Content-Type', 'application/json')])
            return [RAW]

        guard = make_guard(application, max_filtered_lists='1')
        statuses = []
        slow = threading.Thread(
            target=lambda: statuses.append(send(guard, ask_for(LISTS)).status)
        )
        slow.start()
        inside.wait(10)
        refused = send(guard, ask_for(LISTS))
        other = send(guard, ask_for())
        leave.set()
        slow.join(10)
        assert refused.status == 429
        assert refused.header('Retry-After') == '1'
        (error,) = json.loads(refused.body)['errors']
        assert error['status'] == 429
        assert error['detail'].rstrip().endswith('try again.')
        # What is no list is not bounded.
        assert other.status == 200
        assert statuses == [200]
        assert send(guard, ask_for(LISTS)).status == 200

    def test_a_role_holder_is_not_counted(self) -> None:
        """More of them at once than there are places."""
        depth = 3

        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            nonlocal depth
            depth -= 1
            if depth:
                assert send(guard, ask_for(LISTS)).body == RAW
            start_response('200 OK', [('Content-Type', 'application/json')])
            return [RAW]

        rules = FixedRules(first=model.Truth.YES)
        guard = make_guard(application, rules, max_filtered_lists='1')
        assert send(guard, ask_for(LISTS)).status == 200
        assert depth == 0

    @pytest.mark.parametrize('fault', [RuntimeError('secret'), KeyboardInterrupt()])
    def test_a_list_that_fails_gives_its_place_back(self, fault: BaseException) -> None:
        owners = FixedOwners()
        guard = make_guard(Recorder([RAW]), owners=owners, max_filtered_lists='1')
        for error in (fault, fault):
            owners.fault = error
            with contextlib.suppress(KeyboardInterrupt):
                assert send(guard, ask_for(LISTS)).status == 503
        owners.fault = None
        assert send(guard, ask_for(LISTS)).status == 200
