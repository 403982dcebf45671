# SPDX-License-Identifier: Apache-2.0
"""Suggestions lie between what was recorded and the rules in force."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.analysis.equivalence import Change, compare_rules
from consumer_guard.analysis.evidence import gather
from consumer_guard.analysis.grants import list_grants
from consumer_guard.analysis.proposal import write_proposal, write_rules
from consumer_guard.analysis.simulation import KnownOwners
from consumer_guard.analysis.suggestion import (
    Learner,
    Suggestion,
    count_refused,
    suggest_rules,
)
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.decision import Outcome
from consumer_guard.guard.model import Caller, Operation
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.journal import LOG, Journal
from consumer_guard.telemetry.metrics import NONE
from consumer_guard.telemetry.recorder import Recorder
from tests.loglines import LogLines, keep_lines
from tests.profiles import budget
from tests.unit.test_candidate import RULES, make_situations

LIST, USAGES = model.ALLOCATIONS_LIST, model.USAGES
POLICIES = st.fixed_dictionaries(
    {operation.rule: RULES for operation in model.OPERATIONS}
)
Situation = tuple[GuardedRequest, Caller, KnownOwners]


@pytest.fixture(scope='module')
def journal() -> Iterator[LogLines]:
    with keep_lines(LOG) as lines:
        yield lines


def build(rules: dict[str, str] | str) -> Rulebook:
    text = rules if isinstance(rules, str) else json.dumps(rules)
    return Rulebook.build([PolicyText('x', text)])


def decide(rules: Rulebook, situation: Situation) -> Outcome:
    request, caller, owners = situation
    authorizer = Authorizer(rules.offline(), owners, patience=math.inf)
    return authorizer.authorize(request, caller).outcome


def record(
    journal: LogLines, rules: Rulebook, traffic: Sequence[Situation], mode: str
) -> list[str]:
    """The lines that a guard writes of some traffic."""
    journal.take()
    for request, caller, owners in traffic:
        authorizer = Authorizer(rules.offline(), owners, patience=math.inf)
        decision = authorizer.authorize(request, caller)
        recorder = Recorder('all', mode, Journal('k', '', NONE), NONE, owners)
        shown = recorder.look_up(request, Fulfilment(decision, decision.body))
        write = recorder.record_decision(request, caller, {}, shown, 0.001)
        assert write is not None
        write(200)
    return journal.take()


def learn(lines: Sequence[str], rules: Rulebook, **options: bool) -> Suggestion:
    evidence = gather(lines, rules)
    return suggest_rules(
        evidence, Learner(rules), **({'close_unseen': False} | options)
    )


@budget(50, 1_000)
@given(
    truth=POLICIES,
    traffic=st.lists(make_situations(), min_size=1, max_size=12),
    others=st.lists(make_situations(), max_size=12),
    mode=st.sampled_from(('enforce', 'shadow')),
    close_unseen=st.booleans(),
)
def test_a_suggestion_lies_between_the_traffic_and_the_true_policy(
    journal: LogLines,
    truth: dict[str, str],
    traffic: list[Situation],
    others: list[Situation],
    mode: str,
    close_unseen: bool,
) -> None:
    rules = build(truth)
    lines = record(journal, rules, traffic, mode)
    evidence, learner = gather(lines, rules), Learner(rules)
    suggestion = suggest_rules(evidence, learner, close_unseen=close_unseen)
    text = write_proposal(suggestion, evidence, [])
    proposed = build(text)
    assert proposed.digest == build(write_rules(suggestion)).digest
    assert count_refused(suggestion, evidence, learner, proposed) == 0
    for situation in traffic:
        if decide(rules, situation) is not Outcome.REFUSE:
            assert decide(proposed, situation) is not Outcome.REFUSE, text
    for situation in itertools.chain(traffic, others):
        if decide(rules, situation) is Outcome.REFUSE:
            assert decide(proposed, situation) is Outcome.REFUSE, text
    for operation, each in suggestion.rules.items():
        comparison = compare_rules(
            rules.node(operation.rule), proposed.node(operation.rule), operation
        )
        assert Change.ALLOWED not in comparison.changes
        assert all(kept.cases for kept in each.kept), 'each grant is needed'


def make_line(operation: Operation, user: str, *roles: str, **more: Any) -> str:
    """A decision on a caller that a role allowed."""
    record: dict[str, Any] = {
        'event': 'decision',
        'outcome': 'allow',
        'operation': operation.name,
        'user_id': user,
        'project_id': 'p',
        'domain_id': None,
        'roles': roles,
        'scope': 'project',
        'microversion': '1.38',
        'by': 'role',
        'reason': 'the rule allows the caller whoever the owner is',
        'user_agent': 'nova-compute keystoneauth1',
        'request_id': f'req-{user}',
        'targets': [],
    }
    return json.dumps(record | more)


def find_text(suggestion: Suggestion, operation: Operation) -> str:
    line = write_rules(suggestion).splitlines()[model.OPERATIONS.index(operation)]
    return str(json.loads(f'{{{line}}}')[operation.rule])


def test_service_is_preferred_to_admin_where_callers_have_both() -> None:
    lines = [make_line(LIST, 'nova', 'admin', 'service', 'reader')] * 3
    assert find_text(learn(lines, build('')), LIST) == 'role:service'


def test_admin_is_kept_only_where_nothing_else_allows_a_record() -> None:
    lines = [make_line(LIST, 'nova', 'service'), make_line(LIST, 'op', 'admin')]
    text = find_text(learn(lines, build('')), LIST)
    assert text == '(role:admin or role:service)'
    rules = build({LIST.rule: 'role:admin or role:x or role:y'})
    lines = [
        make_line(LIST, 'a', 'admin', 'x'),
        make_line(LIST, 'b', 'admin', 'y'),
        make_line(LIST, 'c', 'x', 'y'),
    ]
    assert find_text(learn(lines, rules), LIST) == '(role:x or role:y)'


def test_a_role_that_owners_hold_becomes_the_users_that_need_it() -> None:
    rules = build({USAGES.rule: 'role:reader or role:admin'})
    lines = [make_line(USAGES, 'bill', 'member', 'reader')]
    text = find_text(learn(lines, rules), USAGES)
    assert text == '(role:reader and user_id:bill)'
    crowd = [make_line(USAGES, f'u{number}', 'reader') for number in range(21)]
    suggestion = learn(crowd, rules)
    assert find_text(suggestion, USAGES) == 'role:reader'
    assert [grant.text for grant in suggestion.rules[USAGES].wide] == ['role:reader']


def test_what_everybody_may_is_narrowed_to_a_role_of_operators() -> None:
    rules = build({USAGES.rule: '@'})
    lines = [make_line(USAGES, 'bill', 'reader', 'accounting', 'admin')]
    assert find_text(learn(lines, rules), USAGES) == 'role:accounting'


@pytest.mark.parametrize('user', ['a b', '%(user_id)s', 'x) or (@', '"\n', ''])
def test_an_id_that_is_no_plain_text_is_never_written_into_a_rule(user: str) -> None:
    rules = build({USAGES.rule: 'role:reader'})
    suggestion = learn([make_line(USAGES, user, 'reader')], rules)
    assert find_text(suggestion, USAGES) == 'role:reader'


def test_unseen_operations_stay_unless_they_are_closed() -> None:
    rules = build({USAGES.rule: 'role:x and not (role:y or user_id:z)'})
    lines = [make_line(LIST, 'nova', 'service')]
    kept = learn(lines, rules)
    assert build(write_rules(kept)).digest != rules.digest
    assert find_text(kept, USAGES) == '(role:x and not (role:y or user_id:z))'
    assert find_text(learn(lines, rules, close_unseen=True), USAGES) == '!'
    refused = [make_line(USAGES, 'u', 'member', outcome='deny', by=None)]
    closed = learn(lines + refused, rules, close_unseen=True)
    assert find_text(closed, USAGES) == '!'


def test_the_last_fifth_is_judged_by_rules_learnt_from_the_others() -> None:
    early = [make_line(LIST, 'nova', 'service')] * 8
    late = [make_line(LIST, 'op', 'admin'), make_line(LIST, 'nova', 'service')]
    suggestion = learn(early + late, build(''))
    assert (suggestion.held_back, suggestion.missed) == (2, 1)
    assert find_text(suggestion, LIST) == '(role:admin or role:service)'


def test_the_evidence_names_shared_accounts_and_what_is_rare() -> None:
    lines = [make_line(LIST, 'nova', 'service')] * 30
    lines += [make_line(LIST, 'nova', 'service', user_agent='neutron')] * 5
    lines += [make_line(LIST, 'nova', 'service', user_agent='neutron/2')] * 5
    lines += [make_line(LIST, 'op', 'admin', rules_digest='x')] * 2
    evidence = gather(lines, build(''))
    suggestion = suggest_rules(evidence, Learner(build('')), close_unseen=False)
    text = write_proposal(suggestion, evidence, ['Verified.'])
    assert '# Verified.\n# Records that other rules have decided: 2.\n' in text
    assert (
        '# Shared account: user nova sends requests by neutron, nova-compute.' in text
    )
    assert '#   2 by nova-compute, user op, project p, roles admin (rare)' in text
    assert 'role:admin, without which 2 would be refused, such as req-op (rare)' in text
    assert 'would refuse 2 of 8 allowed requests of the last fifth (25.0 %)' in text
    assert '# Not seen: allocations:update, ' in text


@budget(100, 1_000)
@given(
    texts=st.lists(st.text(min_size=1, max_size=30), min_size=4, max_size=4),
)
def test_no_text_of_a_record_becomes_more_than_a_comment(texts: list[str]) -> None:
    agent, user, project, request_id = texts
    more = {'user_agent': agent, 'project_id': project, 'request_id': request_id}
    line = make_line(LIST, user, 'service', **more)
    rules = build('')
    evidence = gather([line, line], rules)
    if evidence.counts:
        suggestion = suggest_rules(evidence, Learner(rules), close_unseen=False)
        text = write_proposal(suggestion, evidence, [])
        assert build(text).digest == build(write_rules(suggestion)).digest


def test_grants_that_no_record_has_used_are_listed() -> None:
    lines = [make_line(LIST, 'nova', 'service')]
    rules = build('')
    evidence = gather(lines, rules)
    used = Learner(rules).list_unused(LIST, evidence.of(LIST))
    assert {(grant.text, unused) for grant, unused in used} == {
        ('role:admin', True),
        ('role:service', False),
        ('(project_id:%(project_id)s and role:reader)', True),
    }


@budget(100, 1_000)
@given(rule=RULES)
def test_the_grants_of_a_rule_say_what_the_rule_says(rule: str) -> None:
    """And neither a bracket nor a reference is lost when they are written."""
    node = build({USAGES.rule: f'rule:r and {rule}', 'r': rule}).node(USAGES.rule)
    grants = list_grants(node)
    again = build({USAGES.rule: ' or '.join(grant.text for grant in grants) or '!'})
    comparison = compare_rules(node, again.node(USAGES.rule), USAGES)
    assert not comparison.counterexamples
