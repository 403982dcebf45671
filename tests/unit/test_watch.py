# SPDX-License-Identifier: Apache-2.0
"""What an allowed write owes: its seal, or its roll, or nothing."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.generations.alarm import GenerationAlarm
from consumer_guard.generations.store import Judged, Swap
from consumer_guard.generations.thresholds import Thresholds
from consumer_guard.generations.values import SPACING
from consumer_guard.generations.watch import GenerationWatch
from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.guard.model import Body, Claim, Owner, OwnerStatus
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from tests.fuzz.alone import CLAIM, CONSUMER, PROJECT, USER, FixedOwners, SealingOwners
from tests.rows import LIMIT, LOWEST

OTHER = 'cb000000-0000-4000-8000-0000000000b1'
THRESHOLDS = Thresholds(limit=LIMIT, warning=100, alarm=40, reserve=3)
BY_ROLE = Decision(Outcome.ROLE, Reason.ROLE)


def make_owners(**generations: int | None) -> dict[str, Owner]:
    ids = {'one': CONSUMER, 'other': OTHER}
    status = OwnerStatus.RECORDED
    return {
        ids[name]: Owner(ids[name], status, PROJECT, USER, None, generation, 5, True)
        for name, generation in generations.items()
    }


def make_watch(
    owners: FixedOwners, *, roll_to: int | None = None, acts: bool = True
) -> GenerationWatch:
    return GenerationWatch(
        THRESHOLDS,
        owners,
        GenerationAlarm(THRESHOLDS),
        store=owners if isinstance(owners, SealingOwners) else None,
        roll_to=roll_to,
        acts=acts,
    )


def put(
    generation: int | None, version: tuple[int, int] = (1, 38), **others: Any
) -> GuardedRequest:
    document = CLAIM | {'consumer_generation': generation} | others
    payload = GivenPayload(body=json.dumps(document).encode())
    operation = model.ALLOCATIONS_UPDATE
    return GuardedRequest(operation, CONSUMER, None, version, payload)


class DeepPayload(GivenPayload):
    """Parsed by the smaller stack of a parser in C; it cannot be written again."""

    def read_document(self) -> Any:
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        return super().read_document() | {'mappings': deep}


def read_generation(fulfilment: Fulfilment) -> object:
    assert fulfilment.content is not None
    return json.loads(fulfilment.content)['consumer_generation']


def judge_owners(owners: Mapping[str, Owner]) -> Decision:
    """A write by ownership of all these consumers, upon what is stored."""
    claims = tuple(
        Claim(id_, PROJECT, USER, None, owner.generation, False)
        for id_, owner in owners.items()
    )
    document = CLAIM | {'consumer_generation': owners[CONSUMER].generation}
    return Decision(
        Outcome.PASSAGE,
        Reason.OWNER,
        depends=True,
        owners=owners,
        body=Body(document, claims),
    )


class TestNothingIsOwed:
    """Refused requests, reads, and DELETE."""

    def test_a_refused_write_moves_nothing(self) -> None:
        owners = SealingOwners(make_owners(one=LIMIT))
        refused = Decision(Outcome.REFUSE, Reason.NOT_ALLOWED)
        fulfilment = make_watch(owners, roll_to=LOWEST).fulfil(put(LIMIT), refused)
        assert fulfilment == Fulfilment(refused)
        assert (owners.asked, owners.swapped) == ([], [])

    @pytest.mark.parametrize(
        'operation', [model.ALLOCATIONS_LIST, model.ALLOCATIONS_DELETE, model.USAGES]
    )
    def test_what_writes_no_generation_moves_nothing(
        self, operation: model.Operation
    ) -> None:
        owners = SealingOwners(make_owners(one=LIMIT))
        request = put(LIMIT)._replace(operation=operation)
        fulfilment = make_watch(owners, roll_to=LOWEST).fulfil(request, BY_ROLE)
        assert fulfilment == Fulfilment(BY_ROLE)

    @pytest.mark.parametrize('version', [(1, 28), (1, 38)])
    def test_a_generation_that_is_fine_costs_no_look_up(
        self, version: tuple[int, int]
    ) -> None:
        owners = SealingOwners(make_owners(one=5))
        fulfilment = make_watch(owners).fulfil(put(5, version), BY_ROLE)
        assert fulfilment.decision == BY_ROLE
        assert fulfilment.content is None
        assert fulfilment.afterwards is None
        assert owners.asked == []


class TestSeal:
    """A write that ownership allowed."""

    def test_the_judged_row_moves_to_a_generation_that_the_write_carries(self) -> None:
        recorded = make_owners(one=7)
        owners = SealingOwners(recorded)
        fulfilment = make_watch(owners).fulfil(put(7), judge_owners(recorded))
        [swap] = owners.swapped
        assert (swap.uuid, swap.expected) == (CONSUMER, 7)
        assert swap.judged == Judged(5, PROJECT, USER)
        assert swap.new < 0
        assert abs(swap.new - 7) >= SPACING
        assert read_generation(fulfilment) == swap.new
        assert fulfilment.decision.outcome is Outcome.PASSAGE

    def test_a_row_that_was_sealed_before_goes_on_from_there(self) -> None:
        """By 2 to 16 points of the grid, so that no value comes again by chance."""
        stored = LOWEST + 100 * SPACING
        recorded = make_owners(one=stored)
        owners = SealingOwners(recorded)
        make_watch(owners).fulfil(put(stored), judge_owners(recorded))
        [swap] = owners.swapped
        assert (swap.new - stored) / SPACING in range(2, 17)

    def test_without_a_store_no_owner_writes(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorded = make_owners(one=7)
        watch = make_watch(FixedOwners(recorded))
        fulfilment = watch.fulfil(put(7), judge_owners(recorded))
        assert fulfilment.decision.outcome is Outcome.REFUSE
        assert fulfilment.decision.reason is Reason.NO_SEAL_STORE
        assert 'cannot compare and swap' in caplog.text

    def test_a_lost_swap_refuses_the_write(self) -> None:
        recorded = make_owners(one=7)
        owners = SealingOwners(recorded)
        owners.wins = False
        fulfilment = make_watch(owners).fulfil(put(7), judge_owners(recorded))
        assert fulfilment.decision.reason is Reason.LOST_SWAP
        assert fulfilment.content is None

    def test_a_swap_of_which_nothing_is_known_refuses_the_write(self) -> None:
        recorded = make_owners(one=7)
        owners = SealingOwners(recorded)
        owners.swap_fault = OwnersUnavailable('away')
        fulfilment = make_watch(owners).fulfil(put(7), judge_owners(recorded))
        decision = fulfilment.decision
        assert (decision.outcome, decision.reason) == (
            Outcome.REFUSE,
            Reason.UNAVAILABLE,
        )
        assert decision.error is owners.swap_fault

    def test_a_body_that_cannot_be_sealed_is_refused_before_the_swap(self) -> None:
        recorded = make_owners(one=7)
        owners = SealingOwners(recorded)
        judged = judge_owners(recorded)
        assert judged.body is not None
        document = DeepPayload(body=json.dumps(CLAIM).encode()).read_document()
        body = judged.body._replace(document=document)
        fulfilment = make_watch(owners).fulfil(put(7), judged._replace(body=body))
        assert fulfilment.decision.reason is Reason.UNREADABLE
        assert owners.swapped == []

    def test_in_shadow_mode_nothing_is_moved(self) -> None:
        recorded = make_owners(one=7)
        owners = SealingOwners(recorded)
        watch = make_watch(owners, acts=False)
        fulfilment = watch.fulfil(put(7), judge_owners(recorded))
        assert fulfilment.decision.outcome is Outcome.PASSAGE
        assert fulfilment.content is None
        assert fulfilment.afterwards is None, 'there is no seal to confirm'
        assert owners.swapped == []


class TestReserve:
    """A role-holder's write of a generation at its reserve."""

    def test_it_is_refused_where_counters_are_not_rolled(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        owners = SealingOwners(make_owners(one=LIMIT))
        fulfilment = make_watch(owners).fulfil(put(LIMIT), BY_ROLE)
        decision = fulfilment.decision
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, Reason.SPENT)
        assert f'generation roll --consumer {CONSUMER}' in caplog.text
        assert owners.swapped == []

    def test_it_is_rolled_and_goes_on_in_the_same_request(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        owners = SealingOwners(make_owners(one=LIMIT - 3))
        watch = make_watch(owners, roll_to=LOWEST)
        fulfilment = watch.fulfil(put(LIMIT - 3), BY_ROLE)
        assert owners.swapped == [Swap(CONSUMER, LIMIT - 3, LOWEST)]
        assert read_generation(fulfilment) == LOWEST
        assert fulfilment.decision == BY_ROLE
        assert f'was rolled from {LIMIT - 3} to {LOWEST}' in caplog.text

    def test_where_it_cannot_be_written_again_it_goes_on_as_it_is(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level('INFO')
        owners = SealingOwners(make_owners(one=LIMIT))
        body = json.dumps(CLAIM | {'consumer_generation': LIMIT}).encode()
        request = put(LIMIT)._replace(payload=DeepPayload(body=body))
        fulfilment = make_watch(owners, roll_to=LOWEST).fulfil(request, BY_ROLE)
        assert (fulfilment.decision, fulfilment.content) == (BY_ROLE, None)
        assert owners.swapped == []
        assert 'without a generation check' in caplog.text

    def test_without_a_store_it_is_refused(self) -> None:
        watch = make_watch(FixedOwners(make_owners(one=LIMIT)), roll_to=LOWEST)
        fulfilment = watch.fulfil(put(LIMIT), BY_ROLE)
        assert fulfilment.decision.reason is Reason.SPENT

    # Rolled, it would be the stored one of a client that has not read it.
    @pytest.mark.parametrize('stored', [7, LIMIT - 1])
    def test_a_number_that_is_not_stored_is_placements_conflict(
        self, stored: int
    ) -> None:
        owners = SealingOwners(make_owners(one=stored))
        fulfilment = make_watch(owners, roll_to=LOWEST).fulfil(put(LIMIT), BY_ROLE)
        assert fulfilment.decision == BY_ROLE
        assert fulfilment.content is None
        assert owners.swapped == []

    def test_beside_a_new_consumer_another_one_is_rolled(self) -> None:
        owners = SealingOwners(make_owners(one=None, other=LIMIT))
        claims = {
            CONSUMER: CLAIM | {'consumer_generation': None},
            OTHER: CLAIM | {'consumer_generation': LIMIT},
        }
        payload = GivenPayload(body=json.dumps(claims).encode())
        post = GuardedRequest(model.ALLOCATIONS_MANAGE, None, None, (1, 38), payload)
        make_watch(owners, roll_to=LOWEST).fulfil(post, BY_ROLE)
        assert owners.swapped == [Swap(OTHER, LIMIT, LOWEST)]

    def test_a_write_that_empties_goes_on_until_the_limit(self) -> None:
        for generation, reason in ((LIMIT - 1, Reason.ROLE), (LIMIT, Reason.SPENT)):
            owners = SealingOwners(make_owners(one=generation))
            request = put(generation, allocations={})
            fulfilment = make_watch(owners).fulfil(request, BY_ROLE)
            assert fulfilment.decision.reason is reason

    def test_below_1_28_the_stored_generation_is_looked_up(self) -> None:
        owners = SealingOwners(make_owners(one=LIMIT))
        watch = make_watch(owners, roll_to=LOWEST)
        fulfilment = watch.fulfil(put(None, (1, 27)), BY_ROLE)
        assert owners.asked == [frozenset({CONSUMER})]
        assert owners.swapped == [Swap(CONSUMER, LIMIT, LOWEST)]
        assert fulfilment.content is None, 'a body below 1.28 carries none'

    def test_in_shadow_mode_it_is_only_named(self) -> None:
        owners = SealingOwners(make_owners(one=LIMIT))
        watch = make_watch(owners, roll_to=LOWEST, acts=False)
        fulfilment = watch.fulfil(put(LIMIT), BY_ROLE)
        assert fulfilment.decision == BY_ROLE
        assert owners.swapped == []

    def test_in_shadow_mode_no_line_calls_it_refused(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        owners = SealingOwners(make_owners(one=LIMIT))
        fulfilment = make_watch(owners, acts=False).fulfil(put(LIMIT), BY_ROLE)
        assert fulfilment.decision.reason is Reason.SPENT, 'for the record'
        assert not caplog.text

    @pytest.mark.parametrize('roll_to', [None, LOWEST])
    def test_a_look_up_that_fails_leaves_a_role_holder_unwatched(
        self, roll_to: int | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        owners = SealingOwners()
        owners.fault = OwnersUnavailable('away')
        fulfilment = make_watch(owners, roll_to=roll_to).fulfil(put(LIMIT), BY_ROLE)
        assert fulfilment.decision == BY_ROLE
        assert 'without a generation check' in caplog.text

    @pytest.mark.parametrize('version', [None, (1, 38)])
    def test_what_cannot_be_read_is_forwarded_unwatched(
        self, version: tuple[int, int] | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level('INFO')
        owners = SealingOwners(make_owners(one=LIMIT))
        request = put(LIMIT)._replace(
            microversion=version, payload=GivenPayload(body=b'{')
        )
        fulfilment = make_watch(owners, roll_to=LOWEST).fulfil(request, BY_ROLE)
        assert fulfilment.decision == BY_ROLE
        assert (owners.asked, owners.swapped) == ([], [])
        # A microversion that placement refuses is not worth a line.
        assert bool(version) == ('without a generation check' in caplog.text)


def test_a_generation_near_its_end_is_noted_after_the_write_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = make_watch(SealingOwners(make_owners(one=LIMIT - 50)))
    fulfilment = watch.fulfil(put(LIMIT - 50), BY_ROLE)
    assert not caplog.text
    assert fulfilment.afterwards is not None
    fulfilment.afterwards()
    assert '50 steps' in caplog.text
    assert CONSUMER in caplog.text
