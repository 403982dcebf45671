# SPDX-License-Identifier: Apache-2.0
"""Differential fuzzing: whatever is sent is answered as specified.

Real placement stands behind the guard with its rules open to everybody; A, a
member and reader of one project, sends requests that hypothesis makes up.
"""

import collections
import json
from collections.abc import Iterator

import pytest
from hypothesis import given

from consumer_guard.generations.values import SPACING
from consumer_guard.guard import model
from consumer_guard.guard.decision import Reason
from consumer_guard.guard.responses import DECOY
from tests.deployment import Tokens
from tests.fuzz import names
from tests.fuzz.accepted import accept, route
from tests.fuzz.corpus import with_corpus
from tests.fuzz.oracle import ATTACKER, RULES, Expected, expect
from tests.fuzz.requests import Request, requests
from tests.fuzz.wire import Answer, comparable
from tests.fuzz.world import Handled, Scenario
from tests.profiles import budget, seeded
from tests.specification import Facts, refuse_owner

pytestmark = [
    # The world is watched through a file of SQLite.
    pytest.mark.placement_on('sqlite'),
    # Webob, which placement reads with, leaves a large chunked body's file open.
    pytest.mark.filterwarnings('ignore:unclosed file <_io:ResourceWarning'),
]

PASSAGE = 'consumer_guard_passage'

#: What no answer may carry unless the request did.
SECRETS = (
    names.HIDDEN,
    str(names.HIDDEN_GENERATION),
    names.FOREIGN,
    names.OTHERS_USER,
    names.OTHERS_PROJECT,
)


@pytest.fixture(scope='module')
def world(
    tmp_path_factory: pytest.TempPathFactory, tokens: Tokens, database: str
) -> Iterator[Scenario]:
    made = Scenario(tmp_path_factory.mktemp('world'), tokens, database)
    yield made
    made.close()


#: Reasons that A meets here; the others need another caller, a fault or 2 MiB.
REASONS = {
    'owner',
    'never',
    'microversion',
    'unreadable',
    'no_seal',
    'empties',
    'absent',
    'unowned',
    'not_allowed',
    'no_allocations',
    'not_the_claimed',
    'generation',
}


@pytest.mark.parametrize('guard', ['forbid', 'conceal', 'roll'])
def test_every_request_is_answered_as_specified(world: Scenario, guard: str) -> None:
    """And no handler runs unless exactly what it acts on was allowed."""
    reached: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()

    @seeded(guard)
    @budget(short=60, long=60_000)
    @with_corpus()
    @given(request=requests())
    def check(request: Request) -> None:
        expected = expect(request, world.recorded, world.read_types())
        answer = world.ask(world.guarded[guard], request, world.attacker)
        ran = [handled for handled in world.journal.handled if handled.operation]
        try:
            assert_tells_nothing(answer, request)
            assert len(ran) <= 1
            if expected is None:
                assert not ran
                assert not world.journal.records
            else:
                reasons[expected.answer.reason] += expected.certain
                assert_decided(world, guard, expected, ran, answer)
                for handled in ran:
                    assert_forwarded(world, guard, handled, answer, request, expected)
            if not ran:
                assert_nothing_written(world)
            reached[_name(ran, answer)] += 1
            if reached.total() % 10_000 == 0:
                print(guard, reached.total(), 'requests so far', flush=True)
        finally:
            if world.changed():
                world.restore()

    check()
    print(guard, reached.total(), 'requests:', sorted(reached.items()))
    print(guard, reasons.total(), 'specified:', sorted(reasons.items()))
    wanted = {
        f'{operation.name} {"204" if operation.writes else "200"}'
        for operation in model.OPERATIONS
        if operation.ownership is not model.Ownership.NEVER
    }
    if guard == 'conceal':
        wanted.add('decoy 200')
    assert wanted <= set(reached), 'the requests are too far from what is allowed'
    assert set(+reasons) >= REASONS


def _name(ran: list[Handled], answer: Answer) -> str:
    if ran and ran[0].arguments.get('consumer_uuid') == DECOY:
        return f'decoy {answer.status}'
    operation = ran[0].operation if ran else None
    return f'{operation.name if operation else "none"} {answer.status}'


def assert_tells_nothing(answer: Answer, request: Request) -> None:
    """Nothing of B's that the client did not say itself."""
    told = answer.everything.lower()
    said = request.text.lower()
    for secret in SECRETS:
        assert secret not in told or secret in said


def assert_decided(
    world: Scenario, guard: str, expected: Expected, ran: list[Handled], answer: Answer
) -> None:
    """The record, the look-ups and the status are those of the specification."""
    (record,) = world.journal.records
    assert record['operation'] == expected.operation.name
    if not expected.certain:
        return
    specified = expected.answer
    refused = specified.outcome == 'refuse'
    assert record['outcome'] == ('deny' if refused else 'allow')
    assert Reason(record['reason']).name.lower() == specified.reason
    found = ran[0].found if ran else tuple(world.journal.found)
    looked_up = specified.looked_up
    assert found == ((frozenset(looked_up),) if looked_up else ())
    if guard == 'conceal' and specified.concealed:
        assert all(run.arguments['consumer_uuid'] == DECOY for run in ran)
    elif refused:
        assert not ran
        assert answer.status in ({specified.status} if specified.status else {400, 406})


def assert_forwarded(
    world: Scenario,
    guard: str,
    handled: Handled,
    answer: Answer,
    request: Request,
    expected: Expected,
) -> None:
    """One run of a handler: allowed, by the right rule, and with what was sent."""
    operation = handled.operation
    assert operation is expected.operation
    (record,) = world.journal.records
    assert record['microversion'] == handled.microversion
    assert handled.roles.split(',')[-1] == PASSAGE, 'forwarded by role'
    judged = world.journal.judged
    assert {asked.rule for asked in judged} == {operation.rule}
    assert {asked.project_id for asked in judged} == {names.OWN_PROJECT}
    if handled.arguments.get('consumer_uuid') == DECOY:
        assert guard == 'conceal'
        assert expected.answer.concealed
        assert not world.changed()
        assert answer.status != 200 or answer.body == b'{"allocations": {}}'
        return
    routed = route(request.method, request.path)
    assert routed == (operation, handled.arguments)
    assert handled.query == request.query
    if operation.ownership is model.Ownership.SEALED_WRITE:
        assert_sealed(world, handled, expected, answer)
        return
    assert expected.answer.outcome in ('passage', 'filter')
    assert not world.changed()
    if operation is model.PROVIDER_ALLOCATIONS_LIST:
        assert_filtered(world, handled.arguments['uuid'], answer)
    else:
        assert_judged(world, expected)


def assert_judged(world: Scenario, expected: Expected) -> None:
    """The rule allowed the caller for every owner that matters, and for no other."""
    final = [asked for asked in world.journal.judged if asked.final]
    assert {asked.truth for asked in final} == {model.Truth.YES}
    assert len(final) == len(expected.targets)
    for target in expected.targets:
        assert any(target.items() <= asked.target.items() for asked in final), target


def assert_filtered(world: Scenario, provider: str, answer: Answer) -> None:
    if answer.status != 200:
        assert 400 <= answer.status < 500
        return
    facts = Facts(recorded=world.recorded)
    rule = RULES[model.PROVIDER_ALLOCATIONS_LIST]
    visible = {
        id_
        for id_ in world.read_holders(provider)
        if refuse_owner(ATTACKER, rule, id_, facts) is None
    }
    shown = json.loads(answer.body)
    assert set(shown['allocations']) == visible
    assert shown['resource_provider_generation'] is None


def assert_sealed(
    world: Scenario, handled: Handled, expected: Expected, answer: Answer
) -> None:
    """A write: placement acts on what was judged, on generations of the guard's own."""
    operation = expected.operation
    minor = int(handled.microversion.partition('.')[2])
    consumer = handled.arguments.get('consumer_uuid')
    parts = accept(operation, minor, consumer, handled.body)
    if parts is None:
        assert_nothing_written(world)
        return
    assert expected.certain
    assert expected.answer.outcome == 'passage'
    assert expected.claimed is not None
    assert_judged(world, expected)
    assert expected.claimed.keys() == parts.keys()
    now = world.read_known()
    for key, part in parts.items():
        sealed = part['consumer_generation']
        assert part == {**expected.claimed[key], 'consumer_generation': sealed}
        assert abs(sealed - (world.known[key].generation or 0)) >= SPACING
        assert now[key].generation == (sealed + 1 if answer.status == 204 else sealed)


def assert_nothing_written(world: Scenario) -> None:
    """Nothing; but an allowed write is sealed before placement refuses it."""
    if not world.changed():
        return
    assert [record['outcome'] for record in world.journal.records] == ['allow']
    for key, now in world.read_known().items():
        before = world.known[key]
        if now != before:
            assert before.project_id == names.OWN_PROJECT
            assert now == before._replace(generation=now.generation)


@pytest.mark.parametrize(
    ('who', 'guard'), [('admin', 'forbid'), ('attacker', 'shadow')]
)
def test_nobody_notices(world: Scenario, who: str, guard: str) -> None:
    """A role-holder's request, and any in shadow mode, is as without the guard."""
    user = {'admin': world.admin, 'attacker': world.attacker}[who]
    compared: collections.Counter[int] = collections.Counter()

    @seeded(f'{who} {guard}')
    @budget(short=20, long=10_000)
    @with_corpus(every=4)
    @given(request=requests())
    def check(request: Request) -> None:
        seen = []
        for application in (world.bare, world.guarded[guard]):
            answer = world.ask(application, request, user)
            ran = [(run.operation, run.arguments) for run in world.journal.handled]
            seen.append((comparable(answer), ran, world.read()))
            if world.changed():
                world.restore()
        assert seen[0] == seen[1]
        compared[answer.status] += 1

    check()
    print(who, guard, compared.total(), 'compared:', sorted(compared.items()))
