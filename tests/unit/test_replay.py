# SPDX-License-Identifier: Apache-2.0
"""Which effect of new rules follows from a record, reason by reason."""

import json
from typing import Any

import pytest

from consumer_guard.analysis.equivalence import Change
from consumer_guard.analysis.replay import ReplaySummary, replay
from consumer_guard.guard import model
from consumer_guard.guard.decision import CONSEQUENCES, Phase, Reason
from consumer_guard.rules.rulebook import PolicyText, Rulebook

UUID = '10000000-0000-4000-8000-000000000001'
OWNER = 'project_id:%(project_id)s'
#: What no rule changes, and what a role overcomes.
ALWAYS_REFUSED = (Reason.NO_IDENTITY, Reason.SPENT, Reason.LOST_SWAP)
REFUSED_TO_OWNERS = (
    *(Reason.NEVER, Reason.EMPTIES, Reason.MICROVERSION, Reason.NO_SEAL),
    *(Reason.UNREADABLE, Reason.TOO_LARGE, Reason.UNOWNED, Reason.ABSENT),
    *(Reason.NO_ALLOCATIONS, Reason.NEW_NAMES, Reason.GENERATION),
)
PASSING = (*(Reason.FAULT, Reason.LOCKED, Reason.UNAVAILABLE, Reason.NO_SEAL_STORE),)


def make_line(operation: str, reason: Reason, **changes: Any) -> str:
    """A record of a caller of project p about a consumer of that project."""
    owner = {'consumer_uuid': UUID, 'project_id': 'p', 'user_id': 'u'}
    record = {
        'event': 'decision',
        'outcome': 'deny',
        'operation': operation,
        'user_id': 'u',
        'project_id': 'p',
        'domain_id': None,
        'roles': ['reader'],
        'scope': 'project',
        'microversion': '1.38',
        'by': None,
        'reason': reason.value,
        'targets': [
            {'about': 'recorded owner', 'standing': 'recorded', **owner},
            {'about': 'claimed owner', **owner},
        ],
        **changes,
    }
    return json.dumps(record)


def make_book(operation: str, rule: str) -> Rulebook:
    content = json.dumps({model.NAMESPACE + operation: rule})
    return Rulebook.build([PolicyText('x', content)])


def find_effect(line: str, old: str, new: str) -> tuple[Change, ReplaySummary]:
    operation = json.loads(line)['operation']
    books = make_book(operation, old), make_book(operation, new)
    summary = replay([line], *books, equal=())
    (effect,) = summary.totals
    return effect, summary


def test_every_reason_is_tried() -> None:
    by_rule = {reason for reason, row in CONSEQUENCES.items() if row.by_rule}
    assert {*ALWAYS_REFUSED, *REFUSED_TO_OWNERS, *PASSING} == {*Reason} - by_rule


@pytest.mark.parametrize('reason', ALWAYS_REFUSED)
def test_a_refusal_apart_from_rules_stays_under_every_rule(reason: Reason) -> None:
    line = make_line('allocations:update', reason)
    for old, new in (('!', '@'), ('@', '!'), (OWNER, '@')):
        assert find_effect(line, old, new)[0] is Change.UNCHANGED


@pytest.mark.parametrize('reason', REFUSED_TO_OWNERS)
def test_what_stops_owners_is_overcome_by_a_role_alone(reason: Reason) -> None:
    line = make_line('allocations:update', reason)
    assert find_effect(line, OWNER, '!')[0] is Change.UNCHANGED
    assert find_effect(line, '!', OWNER)[0] is Change.UNCHANGED
    effect, summary = find_effect(line, OWNER, 'role:reader')
    assert effect is Change.ALLOWED
    assert summary.unexplained == 0


@pytest.mark.parametrize('reason', PASSING)
def test_a_refusal_that_may_pass_by_another_time_decides_nothing(
    reason: Reason,
) -> None:
    line = make_line('allocations:update', reason)
    effect, summary = find_effect(line, OWNER, '!')
    assert effect is Change.UNDECIDED
    assert summary.unexplained == 0
    assert find_effect(line, '!', 'role:reader')[0] is Change.ALLOWED


def test_only_refusals_for_a_time_are_taken_for_such() -> None:
    phases = {Phase.IDENTITY, Phase.OBLIGATIONS}
    assert {*PASSING} == {
        reason for reason, row in CONSEQUENCES.items() if row.status >= 500
    }
    assert {*ALWAYS_REFUSED} == {
        reason
        for reason, row in CONSEQUENCES.items()
        if row.phase in phases and row.status < 500
    }


def test_an_owner_that_the_rule_refused_is_decided_by_a_new_rule() -> None:
    line = make_line(
        'allocations:list',
        Reason.NOT_ALLOWED,
        targets=[
            {
                'about': 'recorded owner',
                'standing': 'recorded',
                'consumer_uuid': 'h:aa',
                'project_id': 'h:bb',
            }
        ],
    )
    assert find_effect(line, OWNER, f'not {OWNER}')[0] is Change.ALLOWED
    assert find_effect(line, OWNER, f'{OWNER} or role:admin')[0] is Change.UNCHANGED
    assert find_effect(line, OWNER, "'x':%(project_id)s")[0] is Change.UNDECIDED


def test_the_generation_of_a_write_that_a_role_allowed_is_not_known() -> None:
    line = make_line('allocations:update', Reason.ROLE, by='role', outcome='allow')
    assert find_effect(line, 'role:reader', OWNER)[0] is Change.UNDECIDED
    line = make_line(
        'allocations:update', Reason.OWNER, by='ownership', outcome='allow'
    )
    assert find_effect(line, 'role:reader', OWNER)[0] is Change.UNCHANGED


def test_an_id_that_is_not_canonical_stops_owners() -> None:
    targets = [
        {
            'about': 'recorded owner',
            'standing': 'recorded',
            'consumer_uuid': UUID.replace('-', ''),
            'project_id': 'p',
        }
    ]
    line = make_line('allocations:list', Reason.ROLE, by='role', targets=targets)
    assert find_effect(line, 'role:reader', OWNER)[0] is Change.REFUSED


def test_an_owner_that_the_record_does_not_name_decides_nothing() -> None:
    line = make_line('allocations:list', Reason.DENIED, targets=[])
    assert find_effect(line, '!', OWNER)[0] is Change.UNDECIDED


@pytest.mark.parametrize(
    'changes',
    [{'targets': []}, {'targets': [{'about': 'asked owner', 'project_id': 'p'}] * 2}],
)
def test_targets_that_the_record_does_not_name_decide_nothing(
    changes: dict[str, Any],
) -> None:
    line = make_line('usages', Reason.ROLE, by='role', target_count=3, **changes)
    assert find_effect(line, 'role:reader', OWNER)[0] is Change.UNDECIDED


def test_a_target_that_is_missing_by_the_count_decides_nothing() -> None:
    targets = [{'about': 'asked owner', 'project_id': 'p'}]
    whole = make_line('usages', Reason.ROLE, by='role', targets=targets)
    assert find_effect(whole, 'role:reader', OWNER)[0] is Change.UNCHANGED
    cut = make_line('usages', Reason.ROLE, by='role', targets=targets, target_count=2)
    assert find_effect(cut, 'role:reader', OWNER)[0] is Change.UNDECIDED


@pytest.mark.parametrize('standing', ['nobody', 'absent'])
def test_a_consumer_without_an_owner_is_for_roles_only(standing: str) -> None:
    targets = [
        {
            'about': 'recorded owner',
            'standing': standing,
            'consumer_uuid': UUID,
            'project_id': 'p',
        }
    ]
    line = make_line('allocations:list', Reason.ROLE, by='role', targets=targets)
    assert find_effect(line, 'role:reader', OWNER)[0] is Change.REFUSED


def test_the_answer_of_a_remote_check_is_not_known() -> None:
    line = make_line('allocations:list', Reason.OWNER, by='ownership')
    rule = f'{OWNER} and http://localhost/'
    assert find_effect(line, OWNER, rule)[0] is Change.UNDECIDED


def test_a_rule_for_another_scope_refuses_before_and_after() -> None:
    line = make_line('allocations:list', Reason.DENIED, scope='system')
    assert find_effect(line, '!', '@')[0] is Change.UNCHANGED
