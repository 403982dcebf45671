# SPDX-License-Identifier: Apache-2.0
"""The pure part of the decision, branch by branch, with values."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable, Unreadable
from consumer_guard.guard.model import Body, Claim, Owner, OwnerStatus, Ruling, Truth
from consumer_guard.guard.ownership import (
    conclude_recorded,
    conclude_sums,
    conclude_write,
    find_empties,
    find_obstacle,
)
from consumer_guard.guard.request import GuardedRequest

ONE = 'ca000000-0000-4000-8000-0000000000a1'
TWO = 'cb000000-0000-4000-8000-0000000000b1'
RULE = 'consumer_guard:allocations:update'


class Judge:
    """Allows some projects, and keeps what it was asked.

    :ivar asked: the targets and what they are about
    """

    def __init__(self, *allowed: str, otherwise: Truth = Truth.NO) -> None:
        self._allowed = allowed
        self._otherwise = otherwise
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(self, target: Mapping[str, str], about: str) -> Ruling:
        self.asked.append((about, target))
        allowed = target.get('project_id') in self._allowed
        return Ruling(RULE, about, Truth.YES if allowed else self._otherwise, target)


def make_owner(
    uuid: str = ONE,
    project: str = 'mine',
    generation: int | None = 7,
    has_allocations: bool = True,
) -> Owner:
    status = OwnerStatus.RECORDED
    return Owner(uuid, status, project, 'me', 'VM', generation, 1, has_allocations)


def make_claim(
    uuid: str = ONE,
    project: str = 'mine',
    generation: float | None = 7,
    empties: bool = False,
) -> Claim:
    return Claim(uuid, project, 'me', 'VM', generation, empties)


def recorded(judge: Judge, *owners: Owner) -> Decision:
    return conclude_recorded({owner.consumer_uuid: owner for owner in owners}, judge)


def write(judge: Judge, owners: list[Owner], *claims: Claim) -> Decision:
    by_id = {owner.consumer_uuid: owner for owner in owners}
    before = conclude_recorded(by_id, judge)
    own = {'project_id': ('mine',), 'user_id': ('me',), 'consumer_type': ('VM', 'X')}
    return conclude_write(Body({}, claims), before, own, judge)


class TestObstacle:
    """What no owner can overcome."""

    def make_request(
        self,
        operation: model.Operation,
        version: tuple[int, int] | None = (1, 38),
        uuid: str | None = None,
        canonical: bool = True,
    ) -> GuardedRequest:
        return GuardedRequest(operation, uuid, None, version, GivenPayload(), canonical)

    @pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
    def test_only_delete_and_reshape_are_never_an_owners(
        self, operation: model.Operation
    ) -> None:
        never = operation in (model.ALLOCATIONS_DELETE, model.RESHAPE)
        request = self.make_request(operation)
        assert find_obstacle(request) is (Reason.NEVER if never else None)

    def test_what_is_never_allowed_is_named_before_all_else(self) -> None:
        request = self.make_request(model.ALLOCATIONS_DELETE, None, 'odd', False)
        assert find_obstacle(request) is Reason.NEVER

    def test_an_unknown_microversion_is_named_before_an_odd_id(self) -> None:
        request = self.make_request(model.ALLOCATIONS_LIST, None, 'odd')
        assert find_obstacle(request) is Reason.MICROVERSION

    @pytest.mark.parametrize('uuid', [ONE.upper(), f'{ONE}\n', '', 'x'])
    def test_an_id_that_is_not_canonical_is_unreadable(self, uuid: str) -> None:
        with pytest.raises(Unreadable):
            find_obstacle(self.make_request(model.ALLOCATIONS_LIST, uuid=uuid))

    def test_a_path_that_is_not_canonical_is_unreadable(self) -> None:
        request = self.make_request(model.USAGES, canonical=False)
        with pytest.raises(Unreadable):
            find_obstacle(request)

    @pytest.mark.parametrize(
        'operation', [model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE]
    )
    @pytest.mark.parametrize(
        ('version', 'reason'),
        [((1, 0), Reason.NO_SEAL), ((1, 27), Reason.NO_SEAL), ((1, 28), None)],
    )
    def test_a_write_without_a_generation_has_no_seal(
        self,
        operation: model.Operation,
        version: tuple[int, int],
        reason: Reason | None,
    ) -> None:
        assert find_obstacle(self.make_request(operation, version)) is reason

    def test_a_read_needs_no_seal(self) -> None:
        request = self.make_request(model.ALLOCATIONS_LIST, (1, 0), ONE)
        assert find_obstacle(request) is None


class TestSums:
    """GET /usages: the owner is in the query."""

    def test_the_callers_own_sums_are_allowed(self) -> None:
        decision = conclude_sums({'project_id': 'mine'}, Judge('mine'))
        assert (decision.outcome, decision.reason) == (Outcome.PASSAGE, Reason.OWNER)
        assert decision.depends
        assert [ruling.about for ruling in decision.rulings] == ['asked owner']

    @pytest.mark.parametrize('truth', [Truth.NO, Truth.UNKNOWN])
    def test_sums_that_the_rule_does_not_allow_are_refused(self, truth: Truth) -> None:
        judge = Judge(otherwise=truth)
        decision = conclude_sums({'project_id': 'theirs'}, judge)
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.NOT_ALLOWED

    def test_sums_of_no_project_are_refused_whatever_the_rule_says(self) -> None:
        judge = Judge(otherwise=Truth.YES)
        decision = conclude_sums({'user_id': 'me'}, judge)
        assert decision.outcome is Outcome.REFUSE
        assert judge.asked, 'judged all the same'


class TestRecorded:
    """The rule on the recorded owners."""

    def test_a_recorded_owner_that_the_rule_allows_passes(self) -> None:
        judge = Judge('mine')
        decision = recorded(judge, make_owner())
        assert (decision.outcome, decision.reason) == (Outcome.PASSAGE, Reason.OWNER)
        assert decision.owners == {ONE: make_owner()}
        about, target = judge.asked[0]
        assert about == 'recorded owner'
        assert target == make_owner().target()

    @pytest.mark.parametrize('truth', [Truth.NO, Truth.UNKNOWN])
    def test_an_owner_that_the_rule_does_not_allow_is_refused(
        self, truth: Truth
    ) -> None:
        decision = recorded(Judge(otherwise=truth), make_owner())
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.NOT_ALLOWED
        assert [ruling.truth for ruling in decision.rulings] == [truth]

    @pytest.mark.parametrize(
        ('owner', 'reason'),
        [
            (Owner(ONE, OwnerStatus.ABSENT), Reason.ABSENT),
            (Owner(ONE, OwnerStatus.UNOWNED), Reason.UNOWNED),
            (Owner(ONE, OwnerStatus.UNOWNED, 'mine'), Reason.UNOWNED),
            (Owner(ONE, OwnerStatus.RECORDED, None), Reason.UNOWNED),
            (Owner(ONE, OwnerStatus.RECORDED, ''), Reason.UNOWNED),
        ],
    )
    def test_an_ownerless_consumer_is_refused_whatever_the_rule_says(
        self, owner: Owner, reason: Reason
    ) -> None:
        judge = Judge(otherwise=Truth.YES)
        decision = recorded(judge, owner)
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, reason)
        assert decision.rulings == ()

    @pytest.mark.parametrize(
        'owner',
        [
            Owner(ONE, OwnerStatus.ABSENT),
            Owner(ONE, OwnerStatus.UNOWNED, '', 'somebody', 'TYPE', 3, True),
            Owner(ONE, OwnerStatus.RECORDED, '', 'somebody', 'TYPE', 3, True),
        ],
    )
    def test_an_ownerless_consumer_is_judged_as_nobody_in_particular(
        self, owner: Owner
    ) -> None:
        """X01: a remote check cannot tell by what it is asked that it has no owner."""
        judge = Judge()
        recorded(judge, owner)
        [(about, target)] = judge.asked
        assert about == 'nobody'
        assert target == {
            'consumer_uuid': ONE,
            'project_id': model.PLACEHOLDER_ID,
            'user_id': model.PLACEHOLDER_ID,
        }

    def test_one_refused_owner_refuses_all_and_all_are_judged(self) -> None:
        judge = Judge('mine')
        owners = [make_owner(ONE, 'theirs'), make_owner(TWO)]
        assert recorded(judge, *owners).reason is Reason.NOT_ALLOWED
        assert len(judge.asked) == 2
        assert recorded(judge, *owners[::-1]).reason is Reason.NOT_ALLOWED

    def test_the_first_reason_is_the_one_that_is_given(self) -> None:
        owners = [Owner(ONE, OwnerStatus.ABSENT), Owner(TWO, OwnerStatus.UNOWNED)]
        assert recorded(Judge(), *owners).reason is Reason.ABSENT
        assert recorded(Judge(), *owners[::-1]).reason is Reason.UNOWNED

    def test_no_consumer_at_all_is_refused(self) -> None:
        """B20: an empty set is never "all allowed"."""
        decision = recorded(Judge(otherwise=Truth.YES))
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.NOT_ALLOWED

    def test_what_the_judge_raises_goes_through(self) -> None:
        def judge(_target: Mapping[str, str], _about: str) -> Ruling:
            raise OwnersUnavailable

        with pytest.raises(OwnersUnavailable):
            conclude_recorded({ONE: make_owner()}, judge)


class TestWrite:
    """The rule on the claims, then the generations."""

    def test_an_owners_write_upon_the_judged_generation_passes(self) -> None:
        judge = Judge('mine')
        decision = write(judge, [make_owner()], make_claim())
        assert (decision.outcome, decision.reason) == (Outcome.PASSAGE, Reason.OWNER)
        assert decision.body == Body({}, (make_claim(),))
        assert decision.owners == {ONE: make_owner()}
        assert [about for about, _ in judge.asked] == [
            'recorded owner',
            'claimed owner',
        ]
        assert [ruling.about for ruling in decision.rulings] == [
            'recorded owner',
            'claimed owner',
        ]

    def test_a_claim_for_somebody_else_is_refused(self) -> None:
        decision = write(Judge('mine'), [make_owner()], make_claim(project='theirs'))
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.NOT_THE_CLAIMED
        assert decision.body is None

    def test_an_unknown_claim_is_refused(self) -> None:
        judge = Judge('mine', otherwise=Truth.UNKNOWN)
        decision = write(judge, [make_owner()], make_claim(project='theirs'))
        assert decision.reason is Reason.NOT_THE_CLAIMED

    @pytest.mark.parametrize(
        ('recorded', 'claimed', 'passes'),
        [
            ({}, {}, True),
            ({'user_id': 'other'}, {'user_id': 'other'}, True),
            ({'user_id': 'other'}, {}, True),
            ({'user_id': None}, {}, True),
            ({}, {'user_id': 'other'}, False),
            ({'user_id': None}, {'user_id': 'other'}, False),
            ({'user_id': 'third'}, {'user_id': 'other'}, False),
            ({'consumer_type': 'OLD'}, {'consumer_type': 'OLD'}, True),
            ({'consumer_type': 'OLD'}, {'consumer_type': 'X'}, True),
            ({'consumer_type': 'OLD'}, {'consumer_type': None}, True),
            ({'consumer_type': None}, {'consumer_type': None}, True),
            ({'consumer_type': 'OLD'}, {'consumer_type': 'NEW'}, False),
            ({'consumer_type': None}, {'consumer_type': 'NEW'}, False),
            ({}, {'consumer_type': 'x'}, False),
            ({'project_id': 'ours'}, {'project_id': 'ours'}, True),
            ({'project_id': 'ours'}, {}, True),
            ({}, {'project_id': 'ours'}, False),
        ],
    )
    def test_a_claim_adds_no_name_but_the_callers_own(
        self, recorded: dict[str, Any], claimed: dict[str, Any], passes: bool
    ) -> None:
        owner = make_owner()._replace(**recorded)
        claim = dataclasses.replace(make_claim(), **claimed)
        decision = write(Judge('mine', 'ours'), [owner], claim)
        reason = Reason.OWNER if passes else Reason.NEW_NAMES
        assert decision.reason is reason
        assert (decision.outcome is Outcome.PASSAGE) is passes

    def test_the_names_are_the_reason_before_the_generation(self) -> None:
        claim = dataclasses.replace(make_claim(generation=1), user_id='other')
        decision = write(Judge('mine'), [make_owner()], claim)
        assert decision.reason is Reason.NEW_NAMES

    @pytest.mark.parametrize('generation', [None, 0, 6, 8, -7, 2**31])
    def test_another_generation_than_the_judged_one_is_refused(
        self, generation: int | None
    ) -> None:
        claim = make_claim(generation=generation)
        decision = write(Judge('mine'), [make_owner()], claim)
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.GENERATION

    def test_the_judged_generation_as_a_float_passes(self) -> None:
        """G06: JSON's 7.0 is 7 for placement, too."""
        decision = write(Judge('mine'), [make_owner()], make_claim(generation=7.0))
        assert decision.outcome is Outcome.PASSAGE

    def test_null_seals_nothing_even_where_nothing_is_recorded(self) -> None:
        owner = make_owner(generation=None)
        decision = write(Judge('mine'), [owner], make_claim(generation=None))
        assert decision.reason is Reason.GENERATION

    def test_a_row_without_allocations_is_refused(self) -> None:
        """O19: its owner can move while its generation stays."""
        owner = make_owner(has_allocations=False)
        decision = write(Judge('mine'), [owner], make_claim())
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.NO_ALLOCATIONS

    def test_the_recorded_owner_is_the_reason_before_the_claim(self) -> None:
        owners = [make_owner(project='theirs')]
        decision = write(Judge('mine'), owners, make_claim(project='theirs'))
        assert decision.reason is Reason.NOT_ALLOWED

    def test_the_claim_is_the_reason_before_the_generation(self) -> None:
        """A generation tells nothing of what the caller may not have."""
        claim = make_claim(project='theirs', generation=1)
        decision = write(Judge('mine'), [make_owner()], claim)
        assert decision.reason is Reason.NOT_THE_CLAIMED

    @pytest.mark.parametrize('place', [0, 1])
    @pytest.mark.parametrize(
        ('other', 'reason'),
        [
            (make_claim(TWO, 'theirs'), Reason.NOT_THE_CLAIMED),
            (make_claim(TWO, generation=8), Reason.GENERATION),
        ],
        ids=['claimed', 'generation'],
    )
    def test_one_refused_claim_refuses_all(
        self, place: int, other: Claim, reason: Reason
    ) -> None:
        """B20: wherever it stands."""
        claims = [make_claim()]
        claims.insert(place, other)
        owners = [make_owner(claim.consumer_uuid) for claim in claims]
        decision = write(Judge('mine'), owners, *claims)
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, reason)

    def test_a_write_that_claims_nothing_is_refused(self) -> None:
        decision = write(Judge('mine'), [make_owner()])
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.NOT_ALLOWED


@pytest.mark.parametrize(
    ('empties', 'reason'),
    [
        ((), None),
        ((False,), None),
        ((True,), Reason.EMPTIES),
        ((False, True), Reason.EMPTIES),
        ((True, False), Reason.EMPTIES),
    ],
)
def test_one_claim_without_allocations_makes_a_write_that_empties(
    empties: tuple[bool, ...], reason: Reason | None
) -> None:
    """O20"""
    claims = tuple(make_claim(empties=each) for each in empties)
    assert find_empties(Body({}, claims)) is reason
