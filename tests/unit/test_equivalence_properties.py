# SPDX-License-Identifier: Apache-2.0
"""What is called equal is equal for everybody; what is shown differs.

Random pairs of rules, random callers as the middleware makes them, and random
targets as the guard makes them; judged by the guard's rulebook and, where
nothing is unknown, by oslo.policy's own Enforcer.
"""

from collections.abc import Mapping
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.analysis.equivalence import Change, classify, compare_rules
from consumer_guard.analysis.terms import CREDENTIALS, OTHER_SCOPES
from consumer_guard.guard import model
from consumer_guard.rules.rulebook import Rulebook
from tests.profiles import budget
from tests.unit.test_rulebook_parity import (
    FULL,
    ROLE_NAMES,
    TOP,
    VALUES,
    make_book,
    make_enforcer,
    make_texts,
)

YES = model.Truth.YES

IDS = st.sampled_from((*VALUES, 'other', None))
ROLES = st.lists(st.sampled_from((*ROLE_NAMES, 'A', 'x-a')), max_size=3)
CALLERS = st.fixed_dictionaries(
    {
        **dict.fromkeys(sorted(CREDENTIALS - OTHER_SCOPES), IDS),
        'user_id': st.sampled_from((*VALUES, 'other')),
        'roles': ROLES,
        'service_roles': ROLES,
        'is_admin_project': st.booleans(),
        'system_scope': st.none(),
        'domain_id': st.none(),
    }
).map(
    lambda values: model.Caller(
        values,
        frozenset(role.lower() for role in cast(list[str], values['roles'])),
        'project',
        'req-1',
    )
)
OWNERS = st.fixed_dictionaries(
    {key: st.sampled_from(VALUES) for key in ('consumer_uuid', 'project_id')},
    optional={key: st.sampled_from(VALUES) for key in ('user_id', 'consumer_type')},
)
TEXTS = make_texts()


def compare(old: str, new: str) -> tuple[Any, Rulebook, Rulebook]:
    """Both as the rule of reads."""
    books = make_book({TOP: old}), make_book({TOP: new})
    old_node, new_node = (book.node(TOP) for book in books)
    return compare_rules(old_node, new_node, model.ALLOCATIONS_LIST), *books


SAME = (
    '({0}) or ({0})',
    '({0}) and ({0})',
    'not (not ({0}))',
    '({0}) or !',
    '@ and ({0})',
    '({0}) or (({0}) and role:reader)',
    '({0}) and (({0}) or user_id:%(user_id)s)',
)
NEAR = ('({0}) or role:reader', '({0}) and not role:reader')
PAIRS = st.tuples(TEXTS, st.sampled_from((*SAME, *NEAR)) | TEXTS).map(
    lambda pair: (pair[0], pair[1].replace('{0}', pair[0]))
)


@budget(60, 10_000)
@given(pair=PAIRS, callers=st.lists(CALLERS, min_size=6, max_size=6), owner=OWNERS)
def test_equal_for_every_caller(
    pair: tuple[str, str], callers: list[model.Caller], owner: dict[str, str]
) -> None:
    comparison, old, new = compare(*pair)
    for caller in callers:
        for target, final in (({}, False), (owner, True)):
            change = classify(
                old.judge(TOP, caller, target, final=final),
                new.judge(TOP, caller, target, final=final),
            )
            # What is decided names every kind of change that there is.
            assert (
                change is Change.UNCHANGED
                or not comparison.decided
                or change in comparison.counterexamples
            )


@budget(60, 10_000)
@given(pair=PAIRS, callers=st.lists(CALLERS, min_size=6, max_size=6), target=FULL)
def test_equal_for_oslo_policy(
    pair: tuple[str, str], callers: list[model.Caller], target: dict[str, str]
) -> None:
    comparison, _, _ = compare(*pair)
    if not comparison.equal:
        return
    old, new = (make_enforcer({TOP: text}) for text in pair)
    for caller in callers:
        credentials = dict(caller.credentials)
        assert old.authorize(TOP, target, dict(credentials)) == new.authorize(
            TOP, target, dict(credentials)
        )


@budget(60, 10_000)
@given(pair=PAIRS)
def test_what_is_shown_differs(pair: tuple[str, str]) -> None:
    comparison, old, new = compare(*pair)
    for change, scenario in comparison.counterexamples.items():
        judged = [
            book.judge(TOP, scenario.caller, scenario.target, final=scenario.final)
            for book in (old, new)
        ]
        assert classify(*judged) is change
        if (
            scenario.final
            and len(scenario.target) == 4
            and change is not Change.REFUSED_OTHERWISE
        ):
            assert differs_for_oslo_policy(pair, scenario.caller, scenario.target)


def differs_for_oslo_policy(
    pair: tuple[str, str], caller: model.Caller, target: Mapping[str, str]
) -> bool:
    """Where nobody is None: there oslo.policy and the guard part by design."""
    credentials = dict(caller.credentials)
    if 'None' in target.values() or any('None' in text for text in pair):
        return True
    old, new = (
        make_enforcer({TOP: text}).authorize(TOP, target, dict(credentials))
        for text in pair
    )
    return bool(old) is not bool(new)


@budget(60, 5_000)
@given(text=TEXTS, index=st.integers(0, len(SAME) - 1))
def test_nothing_is_shown_where_nothing_differs(text: str, index: int) -> None:
    comparison, _, _ = compare(text, SAME[index].format(text))
    assert not comparison.counterexamples
