# SPDX-License-Identifier: Apache-2.0
"""Differential fuzzing: whatever is sent, placement acts on what was judged.

Real placement stands behind the guard with its rules open to everybody; A, a
member and reader of one project, sends requests that hypothesis makes up.
"""

import collections
import dataclasses
import json
import uuid
from collections.abc import Collection, Iterator

import pytest
import webob
from hypothesis import given

from consumer_guard.guard import model
from consumer_guard.guard.responses import DECOY
from tests.deployment import Tokens
from tests.fuzz import names
from tests.fuzz.accepted import accept
from tests.fuzz.corpus import with_corpus
from tests.fuzz.profiles import budget, seeded
from tests.fuzz.requests import Request, requests
from tests.fuzz.wire import Answer, comparable
from tests.fuzz.world import ROLLED_TO, Handled, Scenario

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


@pytest.mark.parametrize('guard', ['forbid', 'conceal', 'roll'])
def test_what_ran_was_judged(world: Scenario, guard: str) -> None:
    """No request reaches a handler unless exactly what it acts on was allowed."""
    reached: collections.Counter[str] = collections.Counter()

    @seeded(guard)
    @budget(short=150, long=60_000)
    @with_corpus()
    @given(request=requests())
    def check(request: Request) -> None:
        answer = world.ask(world.guarded[guard], request, world.attacker)
        ran = [handled for handled in world.journal.handled if handled.operation]
        try:
            assert_tells_nothing(answer, request)
            assert len(ran) <= 1
            for handled in ran:
                assert_allowed(world, guard, handled, answer, request)
            if not ran:
                assert_nothing_written(world, guard)
            reached[_name(ran, answer)] += 1
            if reached.total() % 10_000 == 0:
                print(guard, reached.total(), 'requests so far', flush=True)
        finally:
            if world.changed():
                world.restore()

    check()
    print(guard, reached.total(), 'requests:', sorted(reached.items()))
    wanted = {
        f'{operation.name} {"204" if operation.writes else "200"}'
        for operation in model.OPERATIONS
        if operation.ownership is not model.Ownership.NEVER
    }
    if guard == 'conceal':
        wanted.add('decoy 200')
    assert wanted <= set(reached), 'the requests are too far from what is allowed'


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


def assert_allowed(
    world: Scenario, guard: str, handled: Handled, answer: Answer, request: Request
) -> None:
    """One run of a handler against what the guard asked and answered."""
    operation = handled.operation
    assert operation is not None
    (record,) = world.journal.records
    assert record['operation'] == operation.name
    assert record['microversion'] == handled.microversion
    assert handled.roles.split(',')[-1] == PASSAGE, 'forwarded by role'
    judged = world.journal.judged
    assert {asked.rule for asked in judged} == {operation.rule}
    assert {asked.project_id for asked in judged} == {names.OWN_PROJECT}
    consumer = handled.arguments.get('consumer_uuid')
    if consumer == DECOY:
        assert operation is model.ALLOCATIONS_LIST
        assert record['outcome'] == 'deny'
        assert not world.changed()
        assert answer.status != 200 or answer.body == b'{"allocations": {}}'
        return
    assert record['outcome'] == 'allow'
    assert operation.ownership is not model.Ownership.NEVER
    if operation is not model.PROVIDER_ALLOCATIONS_LIST:
        final = [asked for asked in judged if asked.final]
        assert final
        assert {asked.truth for asked in final} == {model.Truth.YES}
    if operation is model.USAGES:
        assert_sums(world, handled)
    elif operation is model.PROVIDER_ALLOCATIONS_LIST:
        assert_filtered(world, answer)
    elif operation is model.ALLOCATIONS_LIST:
        assert consumer is not None
        assert_owned(world, handled, [consumer])
    else:
        assert_sealed(world, guard, handled, request)


def assert_owned(world: Scenario, handled: Handled, consumers: Collection[str]) -> None:
    """Exactly these were looked up, at once, and all of them are A's."""
    assert handled.found == (frozenset(consumers),)
    for consumer in consumers:
        assert world.known[consumer].project_id == names.OWN_PROJECT
        assert_was_judged(world, consumer, names.OWN_PROJECT)


def assert_was_judged(world: Scenario, consumer: str, project_id: str) -> None:
    wanted = {'consumer_uuid': consumer, 'project_id': project_id}
    assert any(
        wanted.items() <= asked.target.items()
        for asked in world.journal.judged
        if asked.final
    )


def assert_sums(world: Scenario, handled: Handled) -> None:
    environ = {'REQUEST_METHOD': 'GET', 'QUERY_STRING': handled.query}
    asked = webob.Request(environ).GET
    assert asked.get('project_id') == names.OWN_PROJECT
    (target,) = [judged.target for judged in world.journal.judged if judged.final]
    for name in ('project_id', 'user_id', 'consumer_type'):
        assert target.get(name) == (asked.get(name) or None)
    assert not world.changed()


def assert_filtered(world: Scenario, answer: Answer) -> None:
    if answer.status != 200:
        assert 400 <= answer.status < 500
        return
    shown = json.loads(answer.body)
    for consumer in shown['allocations']:
        assert world.known[consumer].project_id == names.OWN_PROJECT
    assert shown['resource_provider_generation'] is None
    assert not world.changed()


def assert_sealed(
    world: Scenario, guard: str, handled: Handled, request: Request
) -> None:
    """A write: every consumer, its recorded owner, its claim and generation."""
    operation = handled.operation
    assert operation is not None
    major, minor = map(int, handled.microversion.split('.'))
    assert (major, minor) >= (1, 28)
    consumer = handled.arguments.get('consumer_uuid')
    if consumer is not None:
        # As placement.handlers.allocation spells it.
        consumer = str(uuid.UUID(consumer))
        assert_owned(world, handled, [consumer])
    parts = accept(operation, minor, consumer, handled.body)
    if parts is None:
        assert_nothing_written(world, guard)
        return
    sent = webob.Request(request.environ(None)).body
    assert_owned(world, handled, parts)
    said = accept(operation, minor, consumer, sent)
    assert said is not None
    assert said.keys() == parts.keys()
    for key, part in parts.items():
        known = world.known[key]
        assert known.holds
        assert known.generation == said[key]['consumer_generation']
        expected = dict(said[key])
        # The guard's own rewrite; the last write, which empties it, needs none.
        if guard == 'roll' and (expected['allocations'] or known.generation == 7):
            expected['consumer_generation'] = ROLLED_TO
        assert part == expected
        assert part['project_id'] == names.OWN_PROJECT
        claimed = {'consumer_uuid': key, 'user_id': part['user_id']}
        assert any(
            claimed.items() <= asked.target.items()
            for asked in world.journal.judged
            if asked.final
        )


def assert_nothing_written(world: Scenario, guard: str) -> None:
    """Nothing; but what was allowed may be rolled before placement refuses it."""
    if not world.changed():
        return
    assert guard == 'roll', 'a refused request wrote'
    assert [record['outcome'] for record in world.journal.records] == ['allow']
    for key, now in world.read_known().items():
        before = world.known[key]
        if now != before:
            assert before.project_id == names.OWN_PROJECT
            assert now == dataclasses.replace(before, generation=ROLLED_TO)


@pytest.mark.parametrize(
    ('who', 'guard'), [('admin', 'forbid'), ('attacker', 'shadow')]
)
def test_nobody_notices(world: Scenario, who: str, guard: str) -> None:
    """A role-holder's request, and any in shadow mode, is as without the guard."""
    user = {'admin': world.admin, 'attacker': world.attacker}[who]
    compared: collections.Counter[int] = collections.Counter()

    @seeded(f'{who} {guard}')
    @budget(short=50, long=10_000)
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
