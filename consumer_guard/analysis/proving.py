# SPDX-License-Identifier: Apache-2.0
"""The guard's own rules, compared by proof: who gains, who loses, nobody else.

Needs z3 (extra ``proof``); :mod:`consumer_guard.analysis.equivalence` is what
there is without it.
"""

import types
from collections.abc import Mapping
from typing import Any

from consumer_guard.analysis.equivalence import (
    CallerGroup,
    Change,
    Comparison,
    compare_rules,
)
from consumer_guard.analysis.proof.comparison import Effect, Pass, compare_nodes
from consumer_guard.analysis.proof.domain import Domain, Example, Logic, Values
from consumer_guard.analysis.proof.structure import have_same_structure
from consumer_guard.analysis.proof.wording import describe_cubes
from consumer_guard.analysis.scenarios import Scenario, Shape, list_shapes
from consumer_guard.analysis.terms import (
    CREDENTIALS,
    OTHER_SCOPES,
    PLURAL,
    list_leaves,
)
from consumer_guard.guard.model import Caller, Operation, Truth
from consumer_guard.rules import nodes

_CHANGES = types.MappingProxyType(
    {
        Effect.GAIN: Change.ALLOWED,
        Effect.LOSS: Change.REFUSED,
        Effect.OTHERWISE: Change.REFUSED_OTHERWISE,
    }
)

#: What a proven identity of project scope brings (:func:`identity.make_caller`).
_OF_IDENTITIES: Mapping[str, Values] = types.MappingProxyType(
    {
        **dict.fromkeys(CREDENTIALS - PLURAL - {'system'}, Values.TEXT_OR_NONE),
        **dict.fromkeys(OTHER_SCOPES - {'system'}, Values.NONE),
        'user_id': Values.TEXT,
        'is_admin_project': Values.FLAG,
    }
)


def prove_rules(old: nodes.Node, new: nodes.Node, operation: Operation) -> Comparison:
    """Compare two rules on all that the guard judges an operation's rule on.

    Where the solver does not decide, all scenarios are tried as well.
    """
    if have_same_structure(old, new):
        return Comparison({}, decided=True, proven=True)
    leaves = list_leaves(old, new)
    passes = _plan_passes(operation)
    given = [
        Pass(make_domain(shape), make_judge(shape), strict)
        for shape, strict, _ in passes
    ]
    results = compare_nodes(old, new, [*leaves.values()], given)
    groups = []
    for (shape, _, where), covers in zip(passes, results, strict=True):
        for effect, cover in covers.items():
            for who, example in describe_cubes(cover.cubes):
                scenario = make_scenario(example, shape)
                groups.append(CallerGroup(_CHANGES[effect], who + where, scenario))
    decided = all(cover.decided for covers in results for cover in covers.values())
    if not decided and not groups:
        enumerated = compare_rules(old, new, operation)
        if enumerated.decided:
            return enumerated
    return Comparison({}, decided, tuple(groups), proven=True)


def prove_gains(old: nodes.Node, new: nodes.Node, shape: Shape) -> Comparison:
    """All who gain on targets of one shape; those who lose are not looked for."""
    # Nobody gains over "a or b" by "a".
    parts = old.nodes if isinstance(old, nodes.AnyOf) else (old,)
    if any(have_same_structure(part, new) for part in parts):
        return Comparison({}, decided=True, proven=True)
    given = [Pass(make_domain(shape), make_judge(shape))]
    leaves = [*list_leaves(old, new).values()]
    (covers,) = compare_nodes(old, new, leaves, given, effects=(Effect.GAIN,))
    cover = covers[Effect.GAIN]
    groups = [
        CallerGroup(Change.ALLOWED, who, make_scenario(example, shape))
        for who, example in describe_cubes(cover.cubes)
    ]
    return Comparison({}, cover.decided, tuple(groups), proven=True)


def _plan_passes(operation: Operation) -> list[tuple[Shape, bool, str]]:
    """Shape, whether both answers are definite, and whose consumer it is.

    An answer that is left to the owner is a refusal where there is none.
    """
    first, *later = list_shapes(operation)
    everybodys = ', whoever owns the consumer'
    if not later:
        return [(first, False, everybodys)]
    owned = [(shape, False, '') for shape in later]
    return [
        (first, True, everybodys),
        (first, False, ', on an ownerless consumer'),
        *owned,
    ]


def make_domain(shape: Shape) -> Domain:
    """The callers and targets of one pass."""
    return Domain(
        Logic.KLEENE,
        _OF_IDENTITIES,
        PLURAL,
        shape.required,
        shape.optional,
        remote=shape.final,
        may_be_none=shape.may_be_none,
    )


def make_scenario(example: Example, shape: Shape) -> Scenario:
    """An example as the guard meets it."""
    credentials: dict[str, Any] = dict.fromkeys(CREDENTIALS - {'system'})
    credentials |= {'user_id': 'caller', 'project_id': 'caller-project'}
    credentials |= {'is_admin_project': True, 'service_roles': []}
    credentials |= example.credentials
    roles = frozenset([role.lower() for role in credentials['roles']])
    target = {key: f'owner-{key}' for key in shape.required} | {**example.target}
    caller = Caller(credentials, roles, 'project', 'req-0')
    return Scenario(caller, target, shape.final, example.answers)


def make_judge(shape: Shape) -> Any:
    def judge(node: nodes.Node, example: Example) -> Truth:
        return make_scenario(example, shape).judge(node)

    return judge
