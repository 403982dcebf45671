# SPDX-License-Identifier: Apache-2.0
"""Which refusal a decision becomes, and which ones may be concealed."""

import pytest

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import model, refusals
from consumer_guard.guard.decision import CONSEQUENCES, Decision, Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable, Unreadable
from consumer_guard.guard.refusals import UNAVAILABLE, make_refusal, may_conceal
from consumer_guard.guard.request import GuardedRequest

REFUSED = [reason for reason, row in CONSEQUENCES.items() if row.status >= 400]


def make_request(operation: model.Operation) -> GuardedRequest:
    return GuardedRequest(operation, None, None, (1, 38), GivenPayload())


def refuse(reason: Reason, **others: object) -> Decision:
    return Decision(Outcome.REFUSE, reason)._replace(**others)  # type: ignore[arg-type]


def test_the_statuses_without_a_decision_are_those_of_http() -> None:
    assert refusals.NO_IDENTITY.status == 401
    assert refusals.UNAVAILABLE.status == 503
    assert refusals.UNREADABLE.status == 502
    assert refusals.TOO_MANY_LISTS.status == 429


@pytest.mark.parametrize('depends', [True, False])
@pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
@pytest.mark.parametrize('reason', REFUSED)
def test_only_a_read_of_one_consumer_that_depends_on_its_owner_is_concealed(
    reason: Reason, operation: model.Operation, depends: bool
) -> None:
    """C06: everything else would tell by its own answer what is concealed."""
    concealed = may_conceal(make_request(operation), refuse(reason, depends=depends))
    assert concealed is (
        depends
        and operation is model.ALLOCATIONS_LIST
        and reason in (Reason.NOT_ALLOWED, Reason.UNOWNED, Reason.ABSENT)
    )


@pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
def test_a_403_names_the_rule_and_then_the_way(operation: model.Operation) -> None:
    refusal = make_refusal(make_request(operation), refuse(Reason.NEVER))
    assert refusal.status == 403
    assert refusal.text == (
        f'Policy does not allow {operation.rule} to be performed. '
        'This operation requires a role; ownership is not sufficient.'
    )


def test_a_403_without_a_way_ends_after_the_rule() -> None:
    request = make_request(model.ALLOCATIONS_LIST)
    texts = {
        make_refusal(request, refuse(reason)).text
        for reason in (Reason.NOT_ALLOWED, Reason.UNOWNED, Reason.ABSENT)
    }
    assert texts == {f'Policy does not allow {request.operation.rule} to be performed.'}


@pytest.mark.parametrize('reason', [Reason.GENERATION, Reason.SPENT, Reason.LOST_SWAP])
def test_a_409_is_the_conflict_that_nova_looks_for(reason: Reason) -> None:
    refusal = make_refusal(make_request(model.ALLOCATIONS_UPDATE), refuse(reason))
    assert (refusal.status, refusal.code) == (409, 'placement.concurrent_update')
    assert refusal.text.startswith('consumer generation conflict - ')


def test_the_text_of_an_error_replaces_the_hint() -> None:
    decision = refuse(Reason.UNREADABLE, error=Unreadable('The body is odd.'))
    refusal = make_refusal(make_request(model.ALLOCATIONS_UPDATE), decision)
    assert (refusal.status, refusal.text) == (400, 'The body is odd.')


def test_an_error_without_a_text_says_to_try_again() -> None:
    decision = refuse(Reason.UNAVAILABLE, error=OwnersUnavailable())
    refusal = make_refusal(make_request(model.ALLOCATIONS_LIST), decision)
    assert (refusal.status, refusal.text) == (503, UNAVAILABLE.text)
