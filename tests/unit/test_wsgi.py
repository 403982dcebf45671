# SPDX-License-Identifier: Apache-2.0
"""The WSGI shell: a part of a pipeline, and faults in every step of it."""

import functools
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from oslo_context import context as oslo_context

from consumer_guard.guard.decision import Reason
from consumer_guard.guard.errors import OwnersUnavailable, PolicyLocked
from consumer_guard.guard.model import Truth
from tests.fuzz.alone import (
    CLAIM,
    CONSUMER,
    FAULTS,
    REQUESTS,
    FixedOwners,
    FixedRules,
    Recorder,
    SealingOwners,
    ask_for,
)
from tests.fuzz.alone import make_guard as make_plain_guard
from tests.fuzz.wire import Answer, Environ, make_environ, send

#: An owner's read goes through as it is; tests/unit/test_answers.py has the other.
make_guard = functools.partial(make_plain_guard, hide_provider_generation='false')


class CountingBody(io.BytesIO):
    """Counts the bytes that were read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        read = super().read(size)
        self.taken += len(read)
        return read


class TestLargeBody:
    """Two megabytes that take a second to be parsed."""

    BODY = b'[' + b'[],' * 690_000 + b'[]]'

    def test_it_is_not_read_where_the_caller_does_not_own_the_consumer(self) -> None:
        """Foreign or unknown: the same answer, and nothing of the body."""
        own = SealingOwners().find([CONSUMER])[CONSUMER]
        foreign = own._replace(project_id='theirs')
        for known in ({CONSUMER: foreign}, {'another': foreign}):
            environ = ask_for(method='PUT', body=self.BODY)
            stream = environ['wsgi.input'] = CountingBody(self.BODY)
            guard = make_guard(Recorder(), owners=SealingOwners(known))
            answer = send(guard, environ)
            assert (answer.status, stream.taken) == (403, 0)
            assert b'allocations:update' in answer.body

    def test_it_is_read_and_refused_where_the_caller_owns_the_consumer(self) -> None:
        environ = ask_for(method='PUT', body=self.BODY)
        stream = environ['wsgi.input'] = CountingBody(self.BODY)
        answer = send(make_guard(Recorder()), environ)
        assert (answer.status, stream.taken) == (400, len(self.BODY))


class TestContract:
    """F04: the guard is a transparent part of a WSGI pipeline."""

    @pytest.mark.parametrize('name', [*REQUESTS, 'unguarded'])
    @pytest.mark.parametrize('first', [Truth.YES, Truth.UNKNOWN])
    def test_iterables_go_through(self, name: str, first: Truth) -> None:
        """The application's own object, not yet read, closed by the server."""
        recorder = Recorder([b'one', b'two'])
        environ = REQUESTS.get(name, lambda: ask_for('/traits'))()
        returned = make_guard(recorder, FixedRules(first=first))(
            environ, lambda *_: lambda _: None
        )
        assert returned is recorder.answers[0]
        assert recorder.answers[0].closed == 0

    @pytest.mark.parametrize('path', [f'/allocations/{CONSUMER}', '/traits'])
    def test_the_passage_role_of_a_client_goes_nowhere(self, path: str) -> None:
        """Neither to what is guarded nor to the other routes."""
        recorder = Recorder()
        environ = ask_for(path)
        environ['HTTP_X_ROLES'] += ',consumer_guard_passage'
        rules = FixedRules(first=Truth.YES)
        assert send(make_guard(recorder, rules), environ).status == 200
        assert recorder.asked[0]['HTTP_X_ROLES'] == 'member,reader'

    def test_exc_info_and_write_go_through(self) -> None:
        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response('200 OK', [])
            write = start_response('500 Oops', [], ('type', 'value', 'traceback'))
            write(b'written')
            return []

        heard: list[Any] = []

        def start_response(*arguments: Any) -> Callable[[bytes], object]:
            heard.append(arguments)
            return heard.append

        by_role = make_guard(application, FixedRules(first=Truth.YES))
        for environ in (ask_for(), REQUESTS['PUT'](), ask_for('/traits')):
            del heard[:]
            by_role(environ, start_response)
            assert heard == [
                ('200 OK', []),
                ('500 Oops', [], ('type', 'value', 'traceback')),
                b'written',
            ]

    def test_an_owners_write_gets_the_last_status_of_the_application(self) -> None:
        """Its answer is held back until it is known not to be a 409."""

        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response('200 OK', [])
            write = start_response('500 Oops', [], ('type', 'value', 'traceback'))
            write(b'written')
            return []

        answer = send(make_guard(application), REQUESTS['PUT']())
        assert (answer.status, answer.body) == (500, b'written')


class Killed(BaseException):
    """As gevent's GreenletExit, or a worker's time-out."""


class BrokenStream(io.RawIOBase):
    """Breaks when it is read."""

    def __init__(self, fault: BaseException) -> None:
        self._fault = fault

    def read(self, _size: int = -1, /) -> bytes:
        raise self._fault


class BrokenToken:
    """It cannot be read at first; then it is nobody's."""

    def __init__(self) -> None:
        self._read = False

    @property
    def user(self) -> None:
        if not self._read:
            self._read = True
            raise RuntimeError


def assert_unavailable(answer: Answer, recorder: Recorder) -> None:
    assert answer.status == 503
    assert answer.header('Retry-After') == '1'
    (error,) = json.loads(answer.body)['errors']
    assert error['status'] == 503
    assert error['code'] == 'placement.undefined_code'
    assert 'secret' not in answer.everything
    assert 'Error' not in answer.everything
    assert recorder.asked == []


class TestFaults:
    """F01: whatever breaks, wherever: nothing is forwarded."""

    @pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: type(fault).__name__)
    @pytest.mark.parametrize('step', ['current', 'judge', 'judge final'])
    @pytest.mark.parametrize('name', REQUESTS)
    def test_rules_that_break_are_a_503_and_forward_nothing(
        self, name: str, step: str, fault: Exception
    ) -> None:
        recorder, rules = Recorder(), FixedRules()
        rules.fault, rules.faults_in = fault, step
        answer = send(make_guard(recorder, rules), REQUESTS[name]())
        assert_unavailable(answer, recorder)

    @pytest.mark.parametrize(
        'fault',
        [*FAULTS, OwnersUnavailable()],
        ids=lambda fault: type(fault).__name__,
    )
    @pytest.mark.parametrize('name', ['GET', 'PUT', 'POST'])
    def test_owners_that_cannot_be_looked_up_forward_nothing(
        self, name: str, fault: Exception
    ) -> None:
        recorder, owners = Recorder(), FixedOwners()
        owners.fault = fault
        answer = send(make_guard(recorder, owners=owners), REQUESTS[name]())
        assert_unavailable(answer, recorder)

    @pytest.mark.parametrize('name', REQUESTS)
    def test_locked(self, name: str) -> None:
        """F02: no usable policy since the start."""
        recorder, rules = Recorder(), FixedRules()
        rules.fault, rules.faults_in = PolicyLocked(), 'current'
        answer = send(make_guard(recorder, rules), REQUESTS[name]())
        assert_unavailable(answer, recorder)

    @pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: type(fault).__name__)
    def test_a_body_that_breaks_while_it_is_read_forwards_nothing(
        self, fault: Exception
    ) -> None:
        recorder = Recorder()
        environ = REQUESTS['PUT']() | {'wsgi.input': BrokenStream(fault)}
        assert_unavailable(send(make_guard(recorder), environ), recorder)

    @pytest.mark.parametrize(
        'fault', [Killed(), GeneratorExit(), KeyboardInterrupt(), SystemExit(1)]
    )
    @pytest.mark.parametrize('step', ['current', 'judge', 'judge final', 'find'])
    @pytest.mark.parametrize('enforcement', ['enforce', 'shadow'])
    def test_the_end_of_a_worker(
        self, enforcement: str, step: str, fault: BaseException
    ) -> None:
        """Not caught, as it is the server's; and nothing is forwarded."""
        recorder, rules, owners = Recorder(), FixedRules(), FixedOwners()
        if step == 'find':
            owners.fault = fault
        else:
            rules.fault, rules.faults_in = fault, step
        guard = make_guard(recorder, rules, owners, enforcement=enforcement)
        with pytest.raises(type(fault)):
            send(guard, ask_for())
        assert recorder.asked == []

    @pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: type(fault).__name__)
    @pytest.mark.parametrize('step', ['current', 'judge', 'find'])
    def test_shadow(self, step: str, fault: Exception) -> None:
        """Forwarded, without the passage role, for a proven identity alone."""
        for proven in (True, False):
            recorder, rules, owners = Recorder(), FixedRules(), FixedOwners()
            if step == 'find':
                owners.fault = fault
            else:
                rules.fault, rules.faults_in = fault, step
            guard = make_guard(recorder, rules, owners, enforcement='shadow')
            environ = ask_for()
            if not proven:
                del environ['keystone.token_info']
            answer = send(guard, environ)
            assert answer.status == (200 if proven else 401)
            assert len(recorder.asked) == proven
            for asked in recorder.asked:
                assert asked['HTTP_X_ROLES'] == 'member,reader'

    @pytest.mark.parametrize(
        ('enforcement', 'strategy', 'proven', 'forwarded'),
        [
            ('enforce', 'keystone', True, False),
            ('enforce', 'noauth2', True, False),
            ('shadow', 'keystone', True, True),
            ('shadow', 'keystone', False, False),
            ('shadow', 'noauth2', False, True),
        ],
    )
    def test_log_and_record_say_whether_a_fault_was_forwarded(
        self,
        records: 'Records',
        caplog: pytest.LogCaptureFixture,
        enforcement: str,
        strategy: str,
        proven: bool,
        forwarded: bool,
    ) -> None:
        recorder, rules = Recorder(), FixedRules()
        rules.fault, rules.faults_in = RuntimeError(), 'current'
        options = {'enforcement': enforcement, 'auth_strategy': strategy}
        environ = ask_for()
        if not proven:
            environ['keystone.token_auth'] = BrokenToken()
        answer = send(make_guard(recorder, rules, **options), environ)
        assert answer.status == (200 if forwarded else 503)
        assert len(recorder.asked) == forwarded
        [line] = [line for line in caplog.messages if 'could not be decided' in line]
        assert line.endswith('is forwarded (shadow)' if forwarded else 'is refused')
        [record] = records.records
        assert record['outcome'] == ('would deny' if forwarded else 'deny')
        assert record['reason'] == Reason.FAULT.value

    @pytest.mark.parametrize(
        'fault',
        [*FAULTS, OwnersUnavailable()],
        ids=lambda fault: type(fault).__name__,
    )
    @pytest.mark.parametrize('name', ['PUT', 'POST'])
    def test_a_seal_that_fails_forwards_nothing(
        self, name: str, fault: Exception
    ) -> None:
        recorder, owners = Recorder(status='204 No Content'), SealingOwners()
        owners.swap_fault = fault
        answer = send(make_guard(recorder, owners=owners), REQUESTS[name]())
        assert_unavailable(answer, recorder)


@pytest.mark.parametrize('name', ['PUT', 'POST'])
def test_a_write_is_forwarded_with_the_generation_of_its_seal(name: str) -> None:
    recorder, owners = Recorder(status='204 No Content'), SealingOwners()
    answer = send(make_guard(recorder, owners=owners), REQUESTS[name]())
    assert answer.status == 204
    [swap] = owners.swapped
    assert (swap.uuid, swap.expected) == (CONSUMER, 1)
    [body] = map(json.loads, recorder.bodies)
    sent = body if name == 'PUT' else body[CONSUMER]
    assert sent == CLAIM | {'consumer_generation': swap.new}


def test_a_write_whose_swap_is_lost_is_refused_as_a_conflict() -> None:
    recorder, owners = Recorder(), SealingOwners()
    owners.wins = False
    answer = send(make_guard(recorder, owners=owners), REQUESTS['PUT']())
    assert answer.status == 409
    assert recorder.asked == []


def test_the_threads_context_is_left_alone() -> None:
    """I18: what was there before is there afterwards, or nothing."""
    guard = make_guard(Recorder())
    oslo_context._request_store.context = None
    for before in (None, oslo_context.RequestContext(user_id='x')):
        oslo_context._request_store.context = before
        for path in (f'/allocations/{CONSUMER}', '/allocations/x', '/traits'):
            send(guard, ask_for(path))
            assert oslo_context.get_current() is before


def test_identity_is_asked_for_first() -> None:
    """I01: without a proof neither rules nor owners are asked, nor the body."""
    recorder, rules, owners = Recorder(), FixedRules(), FixedOwners()
    rules.fault, rules.faults_in = AssertionError('asked'), 'current'
    environ = make_environ('PUT', f'/allocations/{CONSUMER}')
    environ['wsgi.input'] = BrokenStream(Killed())
    assert send(make_guard(recorder, rules, owners), environ).status == 401
    assert not recorder.asked
    assert not owners.asked


class Records(logging.Handler):
    """Decision records, and the user whom the thread's context names."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self.statuses: list[object] = []
        self.users: list[object] = []
        self.requests: list[object] = []
        self.fault: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(json.loads(record.getMessage()))
        self.statuses.append(self.records[-1]['status'])
        context = oslo_context.get_current()
        self.users.append(context and context.user_id)
        self.requests.append(context and context.request_id)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def records() -> Iterator[Records]:
    handler, logger = Records(), logging.getLogger('consumer_guard.audit')
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


class TestRecords:
    """A record has the status of the answer, and stands under its caller."""

    def test_the_last_status_counts(self, records: Records) -> None:
        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response('200 OK', [])
            start_response('500 Oops', [], ('type', 'value', 'traceback'))
            return []

        send(make_guard(application, audit='all'), ask_for())
        assert records.statuses == [500]

    @pytest.mark.parametrize('fault', [RuntimeError('x'), Killed()])
    @pytest.mark.parametrize('enforcement', ['enforce', 'shadow'])
    def test_an_application_that_breaks_leaves_a_record_without_one(
        self, records: Records, enforcement: str, fault: BaseException
    ) -> None:
        def application(_environ: Environ, _start_response: Any) -> Iterable[bytes]:
            raise fault

        guard = make_guard(application, audit='all', enforcement=enforcement)
        with pytest.raises(type(fault)):
            send(guard, ask_for())
        assert records.statuses == [None]

    def test_an_answer_that_has_not_begun_leaves_a_record_without_one(
        self, records: Records
    ) -> None:
        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response('200 OK', [])
            yield b'late'

        answer = send(make_guard(application, audit='all'), ask_for())
        assert (answer.status, answer.body) == (200, b'late')
        assert records.statuses == [None]

    @pytest.mark.parametrize(
        ('line', 'status'),
        [
            ('nonsense', None),
            ('', None),
            ('\u00b2\u00b2\u00b2 x', None),
            ('20x', None),
            ('204', 204),
        ],
    )
    def test_a_status_of_any_form_goes_through(
        self, records: Records, line: str, status: int | None
    ) -> None:
        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response(line, [])
            return []

        heard: list[str] = []
        guard = make_guard(application, audit='all')
        guard(ask_for(), lambda status, _headers: heard.append(status))
        assert heard == [line]
        assert records.statuses == [status]

    def test_without_an_identity_it_stands_under_nobody_and_the_requests_id(
        self, records: Records
    ) -> None:
        environ = ask_for() | {'openstack.request_id': 'req-1'}
        del environ['keystone.token_info']
        assert send(make_guard(Recorder()), environ).status == 401
        assert (records.users, records.requests) == ([None], ['req-1'])

    @pytest.mark.parametrize('name', REQUESTS)
    def test_a_refusal_has_its_own(self, records: Records, name: str) -> None:
        guard = make_guard(Recorder(), FixedRules(first=Truth.NO))
        assert send(guard, REQUESTS[name]()).status == 403
        assert records.statuses == [403]

    def test_it_stands_under_its_caller_and_not_under_the_applications(
        self, records: Records
    ) -> None:
        def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
            made = oslo_context.RequestContext(user_id='of the application')
            made.request_id = environ['openstack.request_id']
            start_response('200 OK', [])
            return []

        environ = ask_for() | {'openstack.request_id': 'req-1'}
        before = oslo_context.RequestContext(request_id='req-1')
        send(make_guard(application, audit='all'), environ)
        assert records.users == [environ['HTTP_X_USER_ID']]
        # A filter in front that made a context logs under the application's.
        current = oslo_context.get_current()
        assert current is not before
        assert current is not None
        assert current.user_id == 'of the application'
        oslo_context._request_store.context = None

    @pytest.mark.parametrize('audit', ['none', 'all'])
    @pytest.mark.parametrize(
        ('line', 'looks'),
        [
            ('204 No Content', True),
            ('200 OK', True),
            ('100 Continue', False),
            ('199 Odd', False),
            ('300 Odd', False),
            ('409 Conflict', False),
        ],
    )
    def test_the_guard_looks_at_a_write_once_more_where_it_has_succeeded(
        self, audit: str, line: str, looks: bool
    ) -> None:
        """Whether or not a record is written."""
        owners, before = SealingOwners(), []

        def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            before.extend(owners.asked)
            start_response(line, [])
            return []

        guard = make_guard(application, owners=owners, audit=audit)
        guard(REQUESTS['PUT'](), lambda *_: None)
        assert before
        assert len(owners.asked) - len(before) == looks

    def test_an_answer_that_has_not_begun_owes_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A role-holder's write of a generation near its end, which is noted."""
        body = json.dumps(CLAIM | {'consumer_generation': 2**31 - 50_000_000}).encode()

        for late in (True, False):

            def application(_environ: Environ, start_response: Any) -> Iterable[bytes]:
                start_response('204 No Content', [])
                yield b''

            def at_once(environ: Environ, start_response: Any) -> Iterable[bytes]:
                return [*application(environ, start_response)]

            rules = FixedRules(first=Truth.YES)
            guard = make_guard(application if late else at_once, rules)
            caplog.clear()
            assert send(guard, ask_for(method='PUT', body=body)).status == 204
            assert ('to reset it' in caplog.text) is not late

    @pytest.mark.parametrize('step', ['afterwards', 'answered'])
    def test_a_worker_that_is_stopped_keeps_the_context_and_the_record(
        self, records: Records, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """Whatever is raised after the answer: the guard's context does not stay."""
        owners = SealingOwners()

        def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
            made = oslo_context.RequestContext(user_id='of the application')
            made.request_id = environ['openstack.request_id']
            start_response('204 No Content', [])
            if step == 'afterwards':
                owners.fault = Killed()
            else:
                records.fault = Killed()
            return []

        environ = REQUESTS['PUT']() | {'openstack.request_id': 'req-1'}
        before = oslo_context.RequestContext(request_id='req-1')
        monkeypatch.setattr(oslo_context._request_store, 'context', before)
        guard = make_guard(application, owners=owners, audit='all')
        with pytest.raises(Killed):
            guard(environ, lambda *_: None)
        current = oslo_context.get_current()
        assert current is not None
        assert current.user_id == 'of the application'
        assert records.statuses == [204]
