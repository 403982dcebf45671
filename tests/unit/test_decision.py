# SPDX-License-Identifier: Apache-2.0
"""The one table of reasons, and a decision without values."""

import pytest

from consumer_guard.guard.decision import (
    CONSEQUENCES,
    Decision,
    Outcome,
    Phase,
    Reason,
    find_reason,
)
from consumer_guard.guard.errors import RequestError

ALLOWING = {Reason.ROLE, Reason.OWNER}


def test_every_reason_has_a_row() -> None:
    assert {*CONSEQUENCES} == {*Reason}


def test_no_two_reasons_have_the_same_text() -> None:
    assert len({reason.value for reason in Reason}) == len(Reason)


@pytest.mark.parametrize('error', RequestError.__subclasses__())
def test_every_error_of_a_request_stands_for_one_reason(
    error: type[RequestError],
) -> None:
    rows = [reason for reason, row in CONSEQUENCES.items() if row.error is error]
    assert [find_reason(error('x'))] == rows


@pytest.mark.parametrize('reason', Reason)
def test_only_reasons_that_allow_have_no_status_of_a_refusal(reason: Reason) -> None:
    status = CONSEQUENCES[reason].status
    assert status == 200 if reason in ALLOWING else status >= 400


@pytest.mark.parametrize('reason', Reason)
def test_only_what_depends_on_the_owner_is_concealed(reason: Reason) -> None:
    row = CONSEQUENCES[reason]
    assert not row.may_conceal or (row.phase is Phase.CONCLUDE and row.status == 403)


def test_a_decision_without_values_refuses() -> None:
    assert Decision().outcome is Outcome.REFUSE
    assert Decision().reason not in ALLOWING
    assert not Decision().depends
