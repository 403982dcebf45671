# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - only where z3 is
"""The proof agrees with the enumeration, with every caller, and with oslo.policy.

Random pairs of rules; ``tox -e proof`` tries at least 20,000 of them.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.analysis.equivalence import classify, compare_rules
from consumer_guard.analysis.scenarios import list_shapes
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard import model
from consumer_guard.guard.model import Truth
from consumer_guard.rules import nodes
from tests.profiles import budget, many, seeded
from tests.unit.compiled import compile_text
from tests.unit.test_equivalence_properties import CALLERS, OWNERS, PAIRS
from tests.unit.test_rulebook_parity import (
    FULL,
    IDS,
    TOP,
    make_caller,
    make_credentials,
    make_enforcer,
)

z3 = pytest.importorskip('z3')
from consumer_guard.analysis import proving
from consumer_guard.analysis.proof import comparison, encoding, execution
from consumer_guard.analysis.proof.comparison import Pass, compare_nodes
from consumer_guard.analysis.proof.domain import Domain, Logic
from consumer_guard.analysis.proof.literals import Literal, Sign

#: Parts of the long run, which processes share.
SHARES = range(many(1, 4))

OPERATION = model.ALLOCATIONS_LIST


def compile_pair(pair: tuple[str, str]) -> tuple[nodes.Node, nodes.Node]:
    """Both as nodes."""
    return compile_text(pair[0]), compile_text(pair[1])


def check_pair(old: nodes.Node, new: nodes.Node) -> tuple[bool, bool]:
    """Hold both ways against each other; whether each of them decided."""
    proven = proving.prove_rules(old, new, OPERATION)
    listed = compare_rules(old, new, OPERATION)
    if proven.decided:
        assert listed.changes <= proven.changes
    if listed.decided:
        assert proven.changes <= listed.changes
    for group in proven.groups:
        judged = [group.scenario.judge(node) for node in (old, new)]
        assert classify(*judged) is group.change, group.who
    return proven.decided, listed.decided


@pytest.mark.parametrize(
    'pair',
    [
        # A target key may have the text 'True'.
        ('system_scope:True', 'is_admin_project:%(project_id)s'),
        # A caller has always a user id.
        ('user_id:None', '!'),
    ],
)
def test_pairs_that_the_long_run_found_are_decided_alike(pair: tuple[str, str]) -> None:
    assert check_pair(*compile_pair(pair)) == (True, True)


@pytest.mark.parametrize('share', SHARES)
def test_proof_and_enumeration_agree(share: int) -> None:
    """At least 20,000 pairs in the long run; the solver leaves fewer undecided."""
    undecided = [0, 0]

    @seeded(f'pairs {share}')
    @budget(30, 5_000)
    @given(pair=PAIRS)
    def check(pair: tuple[str, str]) -> None:
        for index, decided in enumerate(check_pair(*compile_pair(pair))):
            undecided[index] += not decided

    check()
    print(f'undecided: proof {undecided[0]}, enumeration {undecided[1]}', flush=True)
    assert undecided[0] <= undecided[1]


def holds(literal: Literal, truth: Truth) -> bool:
    """Whether a check of this truth satisfies a literal."""
    return {
        Sign.YES: truth is Truth.YES,
        Sign.NO: truth is Truth.NO,
        Sign.NOT_YES: truth is not Truth.YES,
        Sign.NOT_NO: truth is not Truth.NO,
    }[literal.sign]


@budget(30, 2_000)
@given(pair=PAIRS, callers=st.lists(CALLERS, min_size=6, max_size=6), owner=OWNERS)
def test_a_caller_is_affected_where_a_cube_says_so_and_only_there(
    pair: tuple[str, str], callers: list[model.Caller], owner: dict[str, str]
) -> None:
    old, new = compile_pair(pair)
    leaves = [*list_leaves(old, new).values()]
    for shape in list_shapes(OPERATION):
        domain = proving.make_domain(shape)
        judge = proving.make_judge(shape)
        (covers,) = compare_nodes(old, new, leaves, [Pass(domain, judge)])
        target = owner if shape.final else {}
        for caller in callers:
            facts = nodes.Facts(caller.credentials, caller.roles, target)
            effect = comparison.classify_effect(
                old.evaluate(facts), new.evaluate(facts)
            )
            for each in (comparison.Effect.GAIN, comparison.Effect.LOSS):
                cover = covers[each]
                named = any(
                    all(holds(one, one.leaf.evaluate(facts)) for one in cube.literals)
                    for cube in cover.cubes
                )
                assert named is (effect is each) or not (cover.decided or named)


@budget(30, 2_000)
@given(
    pair=PAIRS,
    cases=st.lists(st.tuples(make_credentials(IDS), FULL), min_size=4, max_size=4),
)
def test_a_proof_in_two_values_holds_for_the_enforcer(
    pair: tuple[str, str], cases: list[tuple[dict[str, Any], dict[str, str]]]
) -> None:
    """Random judgements by oslo.policy itself."""
    old, new = compile_pair(pair)
    leaves = [*list_leaves(old, new).values()]
    domain = Domain(Logic.OSLO)
    passes = [Pass(domain, execution.execute)]
    (covers,) = compare_nodes(old, new, leaves, passes)
    enforcers = [make_enforcer({TOP: text}) for text in pair]
    for values, target in itertools.product(*zip(*cases, strict=True)):
        caller = make_caller({**values, 'system_scope': None, 'domain_id': None})
        answers = [
            Truth.YES
            if each.authorize(TOP, target, dict(caller.credentials))
            else Truth.NO
            for each in enforcers
        ]
        effect = comparison.classify_effect(*answers)
        if effect is not None and covers[effect].decided:
            assert any(
                all(
                    _is_true(one.leaf, caller.credentials, target)
                    is (one.sign is Sign.YES)
                    for one in cube.literals
                )
                for cube in covers[effect].cubes
            )


def _is_true(
    leaf: nodes.Node, credentials: Mapping[str, Any], target: Mapping[str, str]
) -> bool:
    enforcer = make_enforcer({TOP: str(leaf)})
    return bool(enforcer.authorize(TOP, target, dict(credentials)))


@budget(30, 1_000)
@given(pair=PAIRS)
def test_no_condition_of_a_cube_can_be_left_out(pair: tuple[str, str]) -> None:
    """Without it the same words would cover somebody who is not affected."""
    old, new = compile_pair(pair)
    leaves = [*list_leaves(old, new).values()]
    for shape in list_shapes(OPERATION):
        domain = proving.make_domain(shape)
        judge = proving.make_judge(shape)
        (covers,) = compare_nodes(old, new, leaves, [Pass(domain, judge)])
        encoder = encoding.Encoder(domain, leaves)
        (was, _), (will, _) = encoder.encode(old), encoder.encode(new)
        solver = z3.SimpleSolver()
        solver.add(z3.Not(z3.And(will, z3.Not(was))))
        for cube in covers[comparison.Effect.GAIN].cubes:
            for literal in cube.literals:
                rest = [one for one in cube.literals if one is not literal]
                solver.push()
                solver.add(*(encoder.make_formula(*one) for one in rest))
                solver.add(*encoder.list_axioms())
                assert solver.check() == z3.sat, str(literal.leaf)
                solver.pop()
