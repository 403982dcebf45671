# SPDX-License-Identifier: Apache-2.0
"""The trace of a rule: every check with its value, and no id of an owner."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from oslo_policy import policy

from consumer_guard.analysis.simulation import Subject, simulate_caller
from consumer_guard.analysis.trace import Trace, trace_rule
from consumer_guard.guard.model import Truth
from consumer_guard.rules.rulebook import PolicyText, Rulebook

RULE = 'consumer_guard:usages'
OWNER = {'project_id': 'the-owner', 'user_id': 'its-user'}


class CountingCaller:
    """Answers every remote check the same way, and counts."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.calls = 0

    def prepare(self, rules: policy.Rules) -> 'CountingCaller':
        return self

    def __call__(
        self,
        rule: str,
        check: object,
        target: Mapping[str, str],
        credentials: Mapping[str, Any],
    ) -> bool:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def make_rulebook(
    text: str, remote: CountingCaller | None = None, **others: str
) -> Rulebook:
    content = yaml.safe_dump({RULE: text, **others})
    return Rulebook.build([PolicyText('policy.yaml', content)], remote)


def explain(
    rulebook: Rulebook,
    target: Mapping[str, str],
    *roles: str,
    final: bool = True,
    **token: Any,
) -> Trace:
    person = Subject('u', roles, **({'project_id': 'p'} | token))
    return trace_rule(rulebook, RULE, simulate_caller(person), target, final=final)


def test_each_check_of_a_rule_has_a_line_with_its_outcome() -> None:
    rulebook = make_rulebook(
        'rule:consumer_guard:service or (role:reader and not project_id:%(project_id)s)'
    )
    assert explain(rulebook, OWNER, 'reader').lines() == [
        'yes     consumer_guard:usages: any of',
        'no        rule:consumer_guard:service: is',
        'no          role:service',
        'yes       all of',
        'yes         role:reader',
        'yes         not',
        'no            project_id:%(project_id)s',
    ]


def test_what_is_not_known() -> None:
    rulebook = make_rulebook('project_id:%(project_id)s and user_id:%(user_id)s')
    trace = explain(rulebook, {'user_id': 'u'})
    assert trace.truth is Truth.UNKNOWN
    assert [part.why for part in trace.parts] == ['project_id not known', '']
    assert trace.as_dict()['parts'][0] == {
        'check': 'project_id:%(project_id)s',
        'value': 'unknown',
        'why': 'project_id not known',
    }


def test_a_credential_that_cannot_be_compared() -> None:
    rulebook = make_rulebook('domain_id:%(project_id)s')
    trace = explain(rulebook, {'project_id': 'None'})
    assert trace.parts[0].why == 'cannot be compared'


def test_a_rule_is_shown_once() -> None:
    rulebook = make_rulebook(
        'rule:consumer_guard:service or not rule:consumer_guard:service'
    )
    trace = explain(rulebook, {})
    again = trace.parts[1].parts[0]
    assert (again.why, again.parts, again.truth) == ('as above', (), Truth.NO)


def test_a_token_of_another_scope_is_refused_before_any_check() -> None:
    trace = explain(make_rulebook('@'), {}, system=True, project_id=None)
    assert trace.truth is Truth.NO
    assert trace.why == 'for project tokens only, not system'


@pytest.mark.parametrize(
    ('answer', 'truth'),
    [(True, Truth.YES), (False, Truth.NO), (OSError('secret'), Truth.UNKNOWN)],
)
def test_a_remote_check_is_called_once(answer: bool | Exception, truth: Truth) -> None:
    remote = CountingCaller(answer)
    rulebook = make_rulebook('role:admin or (role:reader and http://pdp/)', remote)
    trace = explain(rulebook, OWNER, 'reader')
    assert trace.truth is truth
    assert remote.calls == 1
    assert 'secret' not in '\n'.join(trace.lines())
    assert explain(rulebook, OWNER, 'reader', final=False).truth is Truth.UNKNOWN
    assert remote.calls == 1


ATOMS = st.sampled_from(
    (
        *('role:reader', 'role:admin', '@', '!', 'project_id:%(project_id)s'),
        *('user_id:%(user_id)s', "'x':%(consumer_type)s", 'system_scope:all'),
        *('rule:consumer_guard:owner_reader', 'rule:consumer_guard:owner_member'),
    )
)
RULES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map(lambda one: f'not ({one})'),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda some: f'({" and ".join(some)})'
        ),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda some: f'({" or ".join(some)})'
        ),
    ),
    max_leaves=6,
)


@given(
    RULES,
    st.sets(st.sampled_from(('reader', 'member', 'admin'))),
    st.dictionaries(
        st.sampled_from(('project_id', 'user_id', 'consumer_type')),
        st.sampled_from(('p', 'u', 'x', 'owner-1234')),
    ),
    st.booleans(),
)
def test_as_judged(
    rule: str, roles: set[str], target: dict[str, str], final: bool
) -> None:
    """The top of the trace is the ruling; values of targets are never shown."""
    rulebook = make_rulebook(rule)
    caller = simulate_caller(Subject('u', tuple(sorted(roles)), 'p'))
    trace = trace_rule(rulebook, RULE, caller, target, final=final)
    assert trace.truth is rulebook.judge(RULE, caller, target, final=final)
    assert 'owner-1234' not in '\n'.join(trace.lines())
    _assert_joined(trace)


def _assert_joined(trace: Trace) -> None:
    """Every inner value follows from those below it."""
    values = [part.truth for part in trace.parts]
    if trace.joins == 'all of':
        assert trace.truth == min(values)
    elif trace.joins == 'any of':
        assert trace.truth == max(values)
    elif trace.joins == 'not':
        assert trace.truth == 2 - values[0]
    elif trace.joins == 'is':
        assert trace.truth is values[0]
    for part in trace.parts:
        _assert_joined(part)
