# SPDX-License-Identifier: Apache-2.0
"""Who gets what from both services: no caller is missing, none is there by mistake.

Random rules of the guard and of placement; every caller is decided one by one by the
authorizer and by oslo.policy's own checks.
"""

import dataclasses
import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.analysis.answering import (
    CaseConsumer,
    JudgedBy,
    Policy,
    answer_about,
)
from consumer_guard.analysis.client import Decider
from consumer_guard.analysis.effective import describe_access, find_access
from consumer_guard.analysis.simulation import Subject, simulate_caller
from consumer_guard.guard import model
from consumer_guard.guard.model import Operation, Ownership
from tests.profiles import budget
from tests.unit.test_assertions_properties import (
    GUARDS,
    PASSAGE,
    PLACEMENTS,
    ROLES,
    join,
    make_policy,
)

z3 = pytest.importorskip('z3')


def list_deciders(policy: Policy, operation: Operation) -> set[Decider]:
    """Who decides for any caller whom the guard allows."""
    found = set()
    consumers = [CaseConsumer(None)]
    if operation.ownership is not Ownership.NEVER:
        consumers += [
            CaseConsumer(project, user, 'INSTANCE')
            for project in 'AB'
            for user in ('caller', 'other')
        ]
    for size in range(len(ROLES) + 1):
        for roles in itertools.combinations(ROLES, size):
            for consumer in consumers:
                subject = Subject('caller', roles, project_id='A')
                client = answer_about(
                    policy,
                    policy.rulebook,
                    operation,
                    simulate_caller(subject, PASSAGE),
                    consumer,
                    JudgedBy.CLIENT,
                )
                found.add(client.decider)
    return found - {Decider.GUARD}


@budget(20, 3_000)
@given(
    operation=st.sampled_from(model.OPERATIONS),
    guards=join(GUARDS),
    placements=join(PLACEMENTS.filter(lambda text: ':None' not in text)),
)
def test_a_service_decides_for_somebody_if_and_only_if_it_is_shown(
    operation: Operation, guards: str, placements: str
) -> None:
    policy = make_policy(guards, placements, operation)
    access = find_access(operation, policy)
    shown = {each.decider for each in access.answers}
    assert access.complete
    assert list_deciders(policy, operation) <= shown
    assert not shown & {Decider.GUARD, Decider.GUARD_ALONE}


def test_a_caller_without_a_project_is_no_case_of_its_own() -> None:
    """For oslo.policy it is of a project that is called None; there is none."""
    policy = make_policy(
        'role:admin', 'role:reader and project_id:%(project_id)s', model.USAGES
    )
    assert describe_access(find_access(model.USAGES, policy)) == (
        'both services allow: admin and reader of the owning project. '
        'placement alone refuses: admin, without reader; admin of another project. '
        'consumer_guard refuses all others'
    )


def test_without_z3_there_is_an_example_and_a_word_that_there_may_be_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'z3', None)
    policy = make_policy('role:auditor', f'role:{PASSAGE}', model.ALLOCATIONS_LIST)
    access = find_access(model.ALLOCATIONS_LIST, policy)
    assert describe_access(access) == (
        'placement alone refuses: for example a caller with role:auditor. '
        'only z3 (consumer-guard[proof]) lists all others'
    )


@pytest.mark.parametrize('remote', [True, False])
def test_placement_that_is_not_known_is_said(remote: bool) -> None:
    """None of its rules is known, or this one depends on another server."""
    known = make_policy('role:auditor', 'http://pdp/x', model.ALLOCATIONS_LIST)
    policy = known if remote else dataclasses.replace(known, placement=None)
    access = find_access(model.ALLOCATIONS_LIST, policy)
    assert describe_access(access) == (
        "consumer_guard allows, and placement's answer is not known: auditor. "
        'consumer_guard refuses all others'
    )
