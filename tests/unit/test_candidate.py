# SPDX-License-Identifier: Apache-2.0
"""Candidate rules: held against the authorizer, and what they must not disturb."""

import json
import logging
import math
import os
import pathlib
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_policy import policy

from consumer_guard.analysis import simulation
from consumer_guard.analysis.access import (
    CALLER_CLASSES,
    FOREIGN_PROJECT_ID,
    PROJECT_ID,
    USER_ID,
    Relation,
    make_cell_request,
)
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.claims import read_write_body
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import PolicyFileError, PolicyLocked
from consumer_guard.guard.model import Caller, Owner, OwnerStatus
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.candidate import (
    MAX_FILE_SIZE,
    CandidateRules,
    WouldChange,
    build_candidate,
    find_change,
    read_small_status,
)
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.nodes import Node, RemoteCheck
from consumer_guard.rules.remote import CallForRule
from consumer_guard.rules.rulebook import Rulebook
from tests.profiles import budget

LIST, UPDATE = model.ALLOCATIONS_LIST, model.ALLOCATIONS_UPDATE
NOBODYS = '00000000-0000-0000-0000-000000000000'
CHECKS = (
    *('role:admin', 'role:service', 'role:reader', 'role:member', '@', '!'),
    *(
        'project_id:%(project_id)s',
        'user_id:%(user_id)s',
        "'INSTANCE':%(consumer_type)s",
    ),
    *('http://127.0.0.1:1/x', 'domain_id:%(project_id)s'),
)
RULES = st.recursive(
    st.sampled_from(CHECKS),
    lambda inner: (
        st.builds('({} and {})'.format, inner, inner)
        | st.builds('({} or {})'.format, inner, inner)
        | st.builds('not {}'.format, inner)
    ),
    max_leaves=6,
)
UUIDS = [f'{number:08x}-0000-4000-8000-000000000000' for number in range(6)]
OWNERS = st.builds(
    Owner,
    st.just(''),
    st.sampled_from((OwnerStatus.RECORDED, *OwnerStatus)),
    st.sampled_from((PROJECT_ID, FOREIGN_PROJECT_ID)),
    st.sampled_from((USER_ID, None, 'other')),
    st.sampled_from(('INSTANCE', None)),
    st.just(1),
    st.just(1),
    st.booleans() | st.just(True),
)


def make_book(
    rule: str, build: Callable[[Sequence[PolicyText]], Rulebook] = Rulebook.build
) -> Rulebook:
    rules = {operation.rule: rule for operation in model.OPERATIONS}
    return build([PolicyText('x', json.dumps(rules))])


@st.composite
def make_situations(
    draw: st.DrawFn,
) -> tuple[GuardedRequest, Caller, simulation.KnownOwners]:
    """A request of any operation, about consumers of all kinds."""
    operation = draw(st.sampled_from(model.OPERATIONS))
    caller = draw(st.sampled_from(CALLER_CLASSES)).caller
    count = 1 if operation is not model.ALLOCATIONS_MANAGE else draw(st.integers(0, 3))
    owners = {uuid: draw(OWNERS)._replace(consumer_uuid=uuid) for uuid in UUIDS[:count]}
    claims = {
        uuid: simulation.make_claim(
            UUIDS[5],
            draw(st.sampled_from((PROJECT_ID, FOREIGN_PROJECT_ID))),
            USER_ID,
            draw(st.sampled_from((1, 1, 2, None))),
            'INSTANCE',
        )
        for uuid in owners
    }
    if operation not in (model.ALLOCATIONS_MANAGE, UPDATE):
        relation = draw(st.sampled_from(Relation))
        return (
            make_cell_request(operation, relation, NOBODYS)
            if operation.ownership is not model.Ownership.READ
            else _ask(operation, UUIDS[0], draw),
            caller,
            simulation.KnownOwners(owners),
        )
    path = operation.path.format(consumer_uuid=UUIDS[0])
    request = simulation.make_request(
        operation.method,
        path,
        microversion=draw(st.sampled_from(('latest', '1.28', '1.12', '9.9'))),
        body=simulation.make_body(operation, claims),
    )
    assert request is not None
    return request, caller, simulation.KnownOwners(owners)


def _ask(operation: model.Operation, uuid: str, draw: st.DrawFn) -> GuardedRequest:
    uuid = draw(st.sampled_from((uuid, uuid, uuid.replace('-', ''))))
    path = operation.path.format(consumer_uuid=uuid)
    request = simulation.make_request(operation.method, path, microversion='1.38')
    assert request is not None
    return request


class Answering(NamedTuple):
    """Remote checks that all have one answer."""

    answer: bool

    def build(self, files: Sequence[PolicyText]) -> Rulebook:
        return Rulebook.build(files, self)

    def prepare(self, rules: policy.Rules) -> CallForRule:
        return self.call

    def call(
        self,
        rule: str,
        check: RemoteCheck,
        target: Mapping[str, str],
        credentials: Mapping[str, Any],
    ) -> bool:
        return self.answer


class Given:
    """A source of candidate rules that a test sets."""

    def __init__(self, rules: Rulebook) -> None:
        self.rules = rules
        self.problem: str | None = None

    def current(self) -> Rulebook:
        return self.rules


def decide(
    rules: Rulebook, situation: tuple[GuardedRequest, Caller, simulation.KnownOwners]
) -> Decision:
    request, caller, owners = situation
    return Authorizer(rules, owners, patience=math.inf).authorize(request, caller)


@budget(75, 20_000)
@given(old=RULES, new=RULES, situation=make_situations(), reads_all=st.booleans())
def test_a_change_is_what_the_authorizer_would_decide(
    old: str,
    new: str,
    situation: tuple[GuardedRequest, Caller, simulation.KnownOwners],
    reads_all: bool,
) -> None:
    """With the owners that the decision knew; or it is undecided."""
    request, caller, owners = situation
    decision = decide(make_book(old).offline(), situation)
    shown = Fulfilment(decision, decision.body)
    if reads_all and decision.owners is None and request.consumer_uuid:
        known = owners.find((request.consumer_uuid,))
        shown = Fulfilment(decision._replace(owners=known))
    candidate = make_book(new, build_candidate)
    change = find_change(candidate, request, caller, shown)
    if change is WouldChange.UNDECIDED:
        return
    # The candidate's remote checks are not called here, and answer anything there.
    new_outcomes = [
        decide(make_book(new, Answering(answer).build), situation)
        for answer in (True, False)
    ]
    openness = {Outcome.REFUSE: 0, Outcome.FILTER: 1}
    before = openness.get(decision.outcome, 2)
    for outcome in new_outcomes:
        after = openness.get(outcome.outcome, 2)
        expected = None
        if after != before:
            expected = WouldChange.ALLOWED if after > before else WouldChange.REFUSED
        assert change is expected, (decision, outcome)


@given(rule=RULES, situation=make_situations())
def test_the_rules_in_force_change_nothing_as_candidate(
    rule: str, situation: tuple[GuardedRequest, Caller, simulation.KnownOwners]
) -> None:
    """Remote checks and undecidable ones included."""
    request, caller, _ = situation
    candidate = CandidateRules(Given(make_book(rule, build_candidate)))
    decision = decide(make_book(rule).offline(), situation)
    shown = Fulfilment(decision, decision.body)
    assert candidate.compare(request, caller, shown) is None


OWN, USER = 'project_id:%(project_id)s', 'user_id:%(user_id)s'
REMOTE = 'http://127.0.0.1:1/x'
RECORDED = Owner('', OwnerStatus.RECORDED, PROJECT_ID, USER_ID, 'INSTANCE', 1, 1, True)
CONSUMERS = {
    'own': RECORDED,
    "a colleague's": RECORDED._replace(user_id='other'),
    'typeless': RECORDED._replace(user_id='other', consumer_type=None),
    'foreign': RECORDED._replace(project_id=FOREIGN_PROJECT_ID),
    'ownerless': RECORDED._replace(status=OwnerStatus.UNOWNED, project_id=None),
    'oddly spelt': RECORDED._replace(project_id=f'{PROJECT_ID} '),
    'absent': Owner('', OwnerStatus.ABSENT),
}
#: A member of the project asks.
MEMBER = CALLER_CLASSES[3].caller
REQUESTS: dict[str, tuple[str, str]] = {
    'read': ('GET', f'/allocations/{UUIDS[0]}'),
    'odd read': ('GET', f'/allocations/{UUIDS[0].replace("-", "")}'),
    'list': ('GET', f'/resource_providers/{UUIDS[5]}/allocations'),
    'sums': ('GET', f'/usages?project_id={PROJECT_ID}'),
    "others' sums": ('GET', f'/usages?project_id={FOREIGN_PROJECT_ID}'),
    'empty sums': ('GET', '/usages?project_id='),
    "nobody's sums": ('GET', f'/usages?project_id=&user_id={USER_ID}'),
    'write': ('PUT', f'/allocations/{UUIDS[0]}'),
    'old write': ('PUT', f'/allocations/{UUIDS[0]}'),
    'typeless write': ('PUT', f'/allocations/{UUIDS[0]}'),
}
VERSIONS = {'old write': '1.12', 'typeless write': '1.37'}
KEEPS, INSTANCE = f'{OWN} and not {USER}', "'INSTANCE':%(consumer_type)s"
ALLOWED, REFUSED = WouldChange.ALLOWED, WouldChange.REFUSED
UNDECIDED = WouldChange.UNDECIDED


def make_known(
    consumer: str, request: str, *, empties: bool = False, **claim: Any
) -> tuple[GuardedRequest, Caller, simulation.KnownOwners]:
    """A member's request about one consumer."""
    method, path = REQUESTS[request]
    given: dict[str, Any] = {
        'project': PROJECT_ID,
        'user': USER_ID,
        'generation': 1,
        'type': 'INSTANCE',
    }
    claims = {UUIDS[0]: simulation.make_claim(UUIDS[5], *(given | claim).values())}
    if empties:
        claims[UUIDS[0]]['allocations'] = {}
    operation = UPDATE if method == 'PUT' else LIST
    version = VERSIONS.get(request, '1.38')
    made = simulation.make_request(
        method, path, microversion=version, body=simulation.make_body(operation, claims)
    )
    assert made is not None
    owner = CONSUMERS[consumer]._replace(consumer_uuid=UUIDS[0])
    return made, MEMBER, simulation.KnownOwners({UUIDS[0]: owner})


@pytest.mark.parametrize(
    ('request_', 'consumer', 'old', 'new', 'expected'),
    [
        # Allowed by ownership: what was judged is judged again.
        ('read', 'own', OWN, '!', REFUSED),
        ('read', 'own', OWN, USER, None),
        ('read', "a colleague's", OWN, USER, REFUSED),
        ('read', 'own', OWN, f'{USER} and not role:member', REFUSED),
        ('read', 'own', OWN, REMOTE, UNDECIDED),
        ('read', 'own', OWN, '@', None),
        # Refused by the rule, with the owner known.
        ('read', 'foreign', OWN, '@', ALLOWED),
        ('read', 'foreign', OWN, 'role:none', None),
        ('read', 'foreign', OWN, USER, ALLOWED),
        ('read', "a colleague's", USER, OWN, ALLOWED),
        ('read', "a colleague's", USER, f'{OWN} and role:none', None),
        # Nobody's: only a role overcomes it.
        ('read', 'ownerless', OWN, '@', ALLOWED),
        ('read', 'ownerless', OWN, USER, None),
        ('read', 'absent', OWN, f'not {OWN}', None),
        ('read', 'ownerless', OWN, REMOTE, None),
        # By role: the owner was not looked up.
        ('read', 'own', '!', OWN, UNDECIDED),
        ('read', 'own', '!', '@', ALLOWED),
        ('read', 'own', '!', 'role:none', None),
        ('read', 'own', '@', OWN, UNDECIDED),
        ('read', 'own', '@', 'role:none', REFUSED),
        ('read', 'own', '@', 'role:member', None),
        # No owner can read it.
        ('odd read', 'own', '!', OWN, None),
        ('odd read', 'own', '@', OWN, REFUSED),
        ('old write', 'own', '!', OWN, None),
        # A list is filtered, whoever owns what.
        ('list', 'own', OWN, '!', REFUSED),
        ('list', 'own', OWN, '@', ALLOWED),
        ('list', 'own', OWN, USER, None),
        ('list', 'own', '!', OWN, ALLOWED),
        ('list', 'own', '@', OWN, REFUSED),
        # Sums name their project.
        ('sums', 'own', OWN, USER, REFUSED),
        ('sums', 'own', '!', OWN, ALLOWED),
        ('sums', 'own', '@', OWN, None),
        ('sums', 'own', '@', REMOTE, UNDECIDED),
        ('sums', 'own', '@', f'{OWN} and {USER}', REFUSED),
        ("others' sums", 'own', '!', OWN, None),
        ("others' sums", 'own', '@', OWN, REFUSED),
        ('empty sums', 'own', '!', f'not {OWN}', None),
        ("nobody's sums", 'own', '!', USER, None),
        # Writes: recorded and claimed owner.
        ('write', 'own', OWN, '!', REFUSED),
        ('write', 'own', OWN, USER, None),
        ('write', "a colleague's", OWN, USER, UNDECIDED),
        ('write', "a colleague's", OWN, f'{OWN} and role:member', None),
        ('write', 'foreign', OWN, '@', UNDECIDED),
        ('write', 'foreign', OWN, f'{OWN} or role:none', None),
        ('write', 'own', '!', OWN, UNDECIDED),
        ('write', 'own', '!', '@', ALLOWED),
        ('write', 'own', '@', OWN, UNDECIDED),
    ],
)
def test_what_would_change_is_said_as_far_as_it_is_known(
    request_: str, consumer: str, old: str, new: str, expected: WouldChange | None
) -> None:
    request, caller, _ = situation = make_known(consumer, request_)
    decision = decide(make_book(old), situation)
    shown = Fulfilment(decision, decision.body)
    candidate = make_book(new, build_candidate)
    assert find_change(candidate, request, caller, shown) is expected


@pytest.mark.parametrize(
    ('consumer', 'type_', 'old', 'new', 'expected'),
    [
        # Allowed with a type that is in no allocation yet: it was looked up.
        ('own', 'NEW', OWN, USER, None),
        ('own', 'NEW', OWN, f'{OWN} and {INSTANCE}', UNDECIDED),
        # The recorded owner is allowed, not the claimed one.
        ("a colleague's", 'INSTANCE', KEEPS, f'{KEEPS} and role:member', None),
        ("a colleague's", 'INSTANCE', KEEPS, f'{KEEPS} or {USER}', UNDECIDED),
    ],
)
def test_a_write_that_was_judged_is_judged_on_what_it_claims(
    consumer: str, type_: str, old: str, new: str, expected: WouldChange | None
) -> None:
    request, caller, _ = situation = make_known(consumer, 'write', type=type_)
    decision = decide(make_book(old), situation)
    assert decision.rulings[-1].about == 'claimed owner'
    shown = Fulfilment(decision, read_write_body(request))
    candidate = make_book(new, build_candidate)
    assert find_change(candidate, request, caller, shown) is expected


def test_a_remote_check_is_not_called_even_where_it_would_answer() -> None:
    request, caller, _ = situation = make_known('own', 'read')
    shown = Fulfilment(decide(make_book(OWN), situation))
    candidate = make_book(REMOTE, Answering(True).build)
    assert find_change(candidate, request, caller, shown) is UNDECIDED


@pytest.mark.parametrize(
    ('request_', 'consumer', 'claim', 'old', 'new', 'expected'),
    [
        ('read', 'own', {}, '!', OWN, ALLOWED),
        ('read', 'own', {}, '@', OWN, None),
        ('read', 'foreign', {}, '@', OWN, REFUSED),
        ('read', "a colleague's", {}, '!', USER, None),
        ('read', 'ownerless', {}, '!', USER, None),
        ('write', 'own', {}, '!', OWN, ALLOWED),
        ('write', 'own', {}, '@', OWN, None),
        ('write', 'own', {}, '!', f'{OWN} and {USER}', ALLOWED),
        ('write', 'foreign', {}, '!', OWN, UNDECIDED),
        ('write', "a colleague's", {}, '!', OWN, ALLOWED),
        # What both owners have in common is enough.
        ('write', "a colleague's", {}, '!', f'{OWN} or {USER}', ALLOWED),
        ('write', "a colleague's", {}, '!', USER, UNDECIDED),
        # What the rule reads is the same of both, and not enough: it is refused.
        (
            'typeless write',
            'typeless',
            {'type': None},
            '!',
            f'{OWN} and {INSTANCE}',
            None,
        ),
        # Ownership refuses these, whatever the rules are.
        ('write', 'own', {'project': FOREIGN_PROJECT_ID}, '!', OWN, None),
        ('write', 'own', {'user': 'other'}, '!', OWN, None),
        ('write', 'own', {'generation': 2}, '!', OWN, None),
        ('write', 'own', {'empties': True}, '!', OWN, None),
        ('write', 'ownerless', {}, '!', OWN, None),
        ('write', 'oddly spelt', {'project': f'{PROJECT_ID} '}, '!', USER, None),
        ('write', 'own', {'generation': 2}, '@', OWN, REFUSED),
        # Whether placement knows the type was not looked up.
        ('write', 'own', {'type': 'NEW'}, '!', OWN, UNDECIDED),
        ('write', 'own', {'type': 'NEW', 'generation': 2}, '!', OWN, None),
    ],
)
def test_where_a_role_decides_known_owners_and_claims_are_judged(
    request_: str,
    consumer: str,
    claim: dict[str, Any],
    old: str,
    new: str,
    expected: WouldChange | None,
) -> None:
    """As ``audit = all`` knows them, or the watch over generations."""
    request, caller, owners = situation = make_known(consumer, request_, **claim)
    decision = decide(make_book(old), situation)
    decision = decision._replace(owners=owners.find((UUIDS[0],)))
    body = read_write_body(request) if 'write' in request_ else None
    candidate = make_book(new, build_candidate)
    assert (
        find_change(candidate, request, caller, Fulfilment(decision, body)) is expected
    )


def test_a_write_of_which_the_body_is_not_known_is_undecided() -> None:
    request, caller, owners = situation = make_known('own', 'write')
    decision = decide(make_book('@'), situation)
    decision = decision._replace(owners=owners.find((UUIDS[0],)))
    candidate = make_book(OWN, build_candidate)
    change = find_change(candidate, request, caller, Fulfilment(decision))
    assert change is UNDECIDED


NESTED = {'r': 'role:x', 's': 'role:x', 't': 'role:y'}


def make_nested(rule: str) -> Rulebook:
    rules = {operation.rule: rule for operation in model.OPERATIONS}
    return build_candidate([PolicyText('x', json.dumps(rules | NESTED))])


@pytest.mark.parametrize(
    ('one', 'other', 'same'),
    [
        ('role:x', 'role:x', True),
        ('role:x', 'role:y', False),
        ('rule:r', 'rule:s', True),
        ('rule:r', 'rule:t', False),
        ('rule:r', 'not role:admin', False),
        ('not role:admin', 'not role:Admin', False),
        ('role:x and role:y', 'role:x and role:y', True),
        ('role:x and role:y', 'role:x or role:y', False),
        ('role:x and role:y', 'role:x and role:z', False),
        ('role:x and role:y', 'role:x and role:y and role:z', False),
        ('role:x and role:y', 'role:y and role:x', False),
        ('rule:r and rule:r', 'rule:s and rule:s', True),
    ],
)
def test_rules_that_are_written_the_same_are_not_compared(
    one: str, other: str, same: bool
) -> None:
    """The candidate refuses; where it is compared, that is a change."""
    enforced, source = make_nested(one), Given(make_nested(other))
    request, caller, _ = make_role_situation()
    shown = Fulfilment(Decision(Outcome.ROLE, Reason.ROLE, rules=enforced))
    change = CandidateRules(source).compare(request, caller, shown)
    assert (change is None) is same


class Watched(Rulebook):
    """Counts how often its rules are looked at."""

    def node(self, rule: str) -> Node:
        RULINGS.append(rule)
        return super().node(rule)


def test_rules_are_held_against_each_other_once() -> None:
    request, caller, _ = make_role_situation()
    candidate = CandidateRules(Given(make_book('role:x', Watched.build)))
    shown = Fulfilment(decide(make_book('role:admin'), make_role_situation()))
    RULINGS.clear()
    first = candidate.compare(request, caller, shown)
    looked_at = len(RULINGS)
    assert looked_at >= len(model.OPERATIONS)
    assert candidate.compare(request, caller, shown) == first
    assert len(RULINGS) == looked_at


def test_what_differs_is_found_again_when_either_rules_change() -> None:
    request, caller, _ = make_role_situation()
    source = Given(make_nested('role:x'))
    candidate = CandidateRules(source)

    def differs(enforced: Rulebook) -> bool:
        shown = Fulfilment(Decision(Outcome.ROLE, Reason.ROLE, rules=enforced))
        return candidate.compare(request, caller, shown) is not None

    same, other = make_nested('role:x'), make_nested('role:y')
    assert [differs(same), differs(other), differs(same)] == [False, True, False]
    source.rules = make_nested('role:y')
    assert [differs(same), differs(other)] == [True, False]


RULINGS: list[str] = []


class Counting(Rulebook):
    """Counts its rulings."""

    def judge(
        self,
        rule: str,
        caller: model.Caller,
        target: Mapping[str, str],
        *,
        final: bool,
    ) -> model.Truth:
        RULINGS.append(rule)
        return super().judge(rule, caller, target, final=final)


@given(old=RULES, new=RULES, situation=make_situations())
def test_a_comparison_takes_one_ruling_at_most_and_no_look_up(
    old: str,
    new: str,
    situation: tuple[GuardedRequest, Caller, simulation.KnownOwners],
) -> None:
    request, caller, _ = situation
    decision = decide(make_book(old).offline(), situation)
    candidate = CandidateRules(Given(make_book(new, Counting.build)))
    RULINGS.clear()
    candidate.compare(request, caller, Fulfilment(decision, decision.body))
    assert len(RULINGS) <= 1


def make_role_situation() -> tuple[GuardedRequest, Caller, simulation.KnownOwners]:
    request = simulation.make_request('GET', f'/allocations/{UUIDS[0]}')
    assert request is not None
    return request, CALLER_CLASSES[0].caller, simulation.KnownOwners({})


def compare(
    candidate: CandidateRules, reason: Reason = Reason.ROLE
) -> WouldChange | None:
    request, caller, _ = make_role_situation()
    outcome = Outcome.ROLE if reason is Reason.ROLE else Outcome.REFUSE
    decision = Decision(outcome, reason, rules=make_book('role:admin'))
    change = candidate.compare(request, caller, Fulfilment(decision))
    return WouldChange(change[0]) if change else None


def test_a_narrower_candidate_is_reported_with_its_digest() -> None:
    book = make_book('role:service', build_candidate)
    request, caller, _ = situation = make_role_situation()
    shown = Fulfilment(decide(make_book('role:admin'), situation))
    change = CandidateRules(Given(book)).compare(request, caller, shown)
    assert change == ('newly refused', book.digest)


def test_what_depends_on_the_owner_is_reported_as_undecided() -> None:
    book = make_book(OWN, build_candidate)
    request, caller, _ = situation = make_known('own', 'read')
    shown = Fulfilment(decide(make_book('@'), situation))
    change = CandidateRules(Given(book)).compare(request, caller, shown)
    assert change == ('undecided', book.digest)


@pytest.mark.parametrize('reason', [Reason.SPENT, Reason.LOST_SWAP])
def test_what_is_refused_to_everybody_is_not_compared(reason: Reason) -> None:
    for rule in ('!', '@'):
        candidate = CandidateRules(Given(make_book(rule, build_candidate)))
        assert compare(candidate, reason) is None


@pytest.mark.parametrize(
    'reason', [Reason.UNAVAILABLE, Reason.NO_SEAL_STORE, Reason.UNOWNED]
)
def test_a_role_alone_overcomes_what_stops_owners(reason: Reason) -> None:
    owners = CandidateRules(Given(make_book('project_id:%(project_id)s')))
    assert compare(owners, reason) is None
    roles = CandidateRules(Given(make_book('role:admin or role:x')))
    assert compare(roles, reason) is WouldChange.ALLOWED


def test_a_problem_of_the_file_stops_comparing_until_it_is_fixed() -> None:
    source = Given(make_book('!', build_candidate))
    candidate = CandidateRules(source)
    source.problem = 'policy.yaml: not YAML'
    assert compare(candidate) is None
    source.problem = None
    assert compare(candidate) is WouldChange.REFUSED


class Failing(Given):
    """A source without rules."""

    def __init__(self, error: Exception) -> None:
        super().__init__(make_book('!'))
        self.error = error

    def current(self) -> Rulebook:
        raise self.error


@pytest.mark.parametrize(
    ('error', 'lines'), [(PolicyLocked('never'), 0), (RuntimeError('secret'), 1)]
)
def test_a_source_without_rules_is_compared_with_nothing(
    error: Exception, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert compare(CandidateRules(Failing(error))) is None
    assert len(caplog.records) == lines
    assert 'secret' not in caplog.text


@pytest.mark.parametrize('reason', [Reason.LOCKED, Reason.FAULT])
def test_a_decision_without_rules_is_compared_with_nothing(
    reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    request, caller, _ = make_role_situation()
    candidate = CandidateRules(Given(make_book('@', build_candidate)))
    shown = Fulfilment(Decision(Outcome.REFUSE, reason))
    caplog.clear()
    assert candidate.compare(request, caller, shown) is None
    assert not caplog.text


def test_where_nothing_would_change_nothing_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = make_book('role:admin or role:x', build_candidate)
    candidate = CandidateRules(Given(book))
    assert compare(candidate) is None
    assert not caplog.text


class Breaking(Rulebook):
    """Raises at every ruling."""

    def judge(
        self,
        rule: str,
        caller: model.Caller,
        target: Mapping[str, str],
        *,
        final: bool,
    ) -> model.Truth:
        raise RecursionError('secret')


def test_a_candidate_that_breaks_is_logged_once_and_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Given(make_book('!', Breaking.build))
    candidate = CandidateRules(source)
    with caplog.at_level(logging.ERROR):
        assert [compare(candidate) for _ in range(3)] == [None] * 3
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert 'RecursionError' in record.getMessage()
    assert 'secret' not in caplog.text
    source.rules = make_book('!', build_candidate)
    assert compare(candidate) is WouldChange.REFUSED


def test_a_candidate_that_would_be_slow_is_not_loaded() -> None:
    doubled = {f'r{n}': f'rule:r{n + 1} and rule:r{n + 1}' for n in range(40)}
    rules = {LIST.rule: 'rule:r0', **doubled, 'r40': 'role:x'}
    with pytest.raises(PolicyFileError, match=r'^x: rule "r\d+": has more than 10000'):
        build_candidate([PolicyText('x', json.dumps(rules))])


def test_a_file_that_is_too_large_is_not_read(tmp_path: pathlib.Path) -> None:
    path, link = tmp_path / 'candidate.yaml', tmp_path / 'link'
    link.symlink_to(path)
    path.write_text('#' * MAX_FILE_SIZE)
    assert read_small_status(str(path)).st_size == MAX_FILE_SIZE == 262_144
    path.write_text('#' * (MAX_FILE_SIZE + 1))
    for name in (path, link):
        with pytest.raises(OSError, match=f'larger than {MAX_FILE_SIZE} bytes'):
            read_small_status(str(name))
    assert stat.S_ISLNK(read_small_status(str(link), follow_symlinks=False).st_mode)


def test_a_folder_on_the_way_may_be_of_any_size(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders of file systems that say so are as large as the files in them."""
    fields = list(tmp_path.stat())
    fields[stat.ST_SIZE] = MAX_FILE_SIZE + 1
    with monkeypatch.context() as patch:
        patch.setattr(os, 'stat', lambda *_, **__: os.stat_result(fields))
        status = read_small_status(str(tmp_path))
    assert status.st_size == MAX_FILE_SIZE + 1
