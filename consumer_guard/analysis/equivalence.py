# SPDX-License-Identifier: Apache-2.0
"""Whether two rules are equivalent, decided on the rules themselves.

Two rules are equal when they have the same truth, of three, in every scenario
(:mod:`consumer_guard.analysis.scenarios`). Where not all scenarios can be listed,
they are equal when they have the same truth for all truths of their leaves, of
which more may be possible than really are. Where neither shows it, it stays
undecided; it is never taken for equal.
"""

import enum
import itertools
import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from consumer_guard.analysis.scenarios import (
    Scenario,
    Shape,
    list_scenarios,
    list_shapes,
)
from consumer_guard.analysis.terms import list_leaves, read_terms
from consumer_guard.guard.model import TARGET_KEYS, Operation, Truth
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import Constant, HasRole

#: Scenarios, and truths of leaves, that are tried before it is undecided.
_MAX_TRIES = 2**16

_MOST_KEYS = len(TARGET_KEYS)


class Change(str, enum.Enum):
    """How new rules differ from old ones, in the order in which it is shown."""

    ALLOWED = 'newly allowed'
    REFUSED = 'newly refused'
    UNDECIDED = 'undecided'
    ALLOWED_OTHERWISE = 'allowed otherwise'
    #: No instead of unknown or the other way round: both refuse, but no needs no
    #: look-up, and ``denial = conceal`` tells them apart.
    REFUSED_OTHERWISE = 'refused otherwise'
    OTHERWISE = 'another way'  #: the same answer for another reason
    UNCHANGED = 'unchanged'


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of two rules.

    :ivar counterexamples: one scenario for each change that they show
    :ivar decided: whether there is no other change
    """

    counterexamples: Mapping[Change, Scenario]
    decided: bool

    @property
    def equal(self) -> bool:
        """Whether the rules are proven to be equivalent."""
        return self.decided and not self.counterexamples


def compare_rules(old: nodes.Node, new: nodes.Node, operation: Operation) -> Comparison:
    """Compare two rules on all that the guard judges an operation's rule on."""
    return compare(old, new, list_shapes(operation))


def compare(old: nodes.Node, new: nodes.Node, shapes: Iterable[Shape]) -> Comparison:
    """Compare two rules on targets of some shapes."""
    if _normalize(old) == _normalize(new):
        return Comparison({}, decided=True)
    leaves = list_leaves(old, new)
    terms = read_terms(leaves.values())
    scenarios = list_scenarios(terms, shapes)
    counterexamples: dict[Change, Scenario] = {}
    for scenario in itertools.islice(scenarios, _MAX_TRIES):
        change = classify(scenario.judge(old), scenario.judge(new))
        if change is not Change.UNCHANGED:
            shown = counterexamples.setdefault(change, scenario)
            counterexamples[change] = min(shown, scenario, key=_weigh)
    if terms.is_exact and next(scenarios, None) is None:
        return Comparison(counterexamples, decided=True)
    possible = _find_possible_changes(old, new, leaves)
    decided = possible is not None and possible <= {*counterexamples}
    return Comparison(counterexamples, decided)


def classify(old: Truth, new: Truth) -> Change:
    """What a change of truth is for the caller."""
    if old is new:
        return Change.UNCHANGED
    if new is Truth.YES:
        return Change.ALLOWED
    return Change.REFUSED if old is Truth.YES else Change.REFUSED_OTHERWISE


def evaluate_on(node: nodes.Node, truths: Mapping[str, Truth]) -> Truth:
    """A rule's truth when its leaves, by their text, have these."""
    if isinstance(node, nodes.Reference):
        return evaluate_on(node.node, truths)
    if isinstance(node, nodes.Not):
        return Truth(2 - evaluate_on(node.node, truths))
    if isinstance(node, nodes.AllOf):
        return min(evaluate_on(operand, truths) for operand in node.nodes)
    if isinstance(node, nodes.AnyOf):
        return max(evaluate_on(operand, truths) for operand in node.nodes)
    return truths[str(node)]


def _find_possible_changes(
    old: nodes.Node, new: nodes.Node, leaves: Mapping[str, nodes.Node]
) -> set[Change] | None:
    """The changes that any truths of the leaves make; None when too many."""
    choices = [_list_truths(leaf) for leaf in leaves.values()]
    if math.prod(map(len, choices)) > _MAX_TRIES:
        return None
    changes = set()
    for truths in itertools.product(*choices):
        assigned = dict(zip(leaves, truths, strict=True))
        changes.add(classify(evaluate_on(old, assigned), evaluate_on(new, assigned)))
    return changes - {Change.UNCHANGED}


def _list_truths(leaf: nodes.Node) -> tuple[Truth, ...]:
    """The truths that a leaf can have at all."""
    if isinstance(leaf, Constant):
        return (leaf.truth,)
    return (Truth.NO, Truth.YES) if isinstance(leaf, HasRole) else tuple(Truth)


def _normalize(node: nodes.Node) -> Hashable:
    """The rule without names of other rules, brackets, order and repetition.

    Kleene's and and or (minimum and maximum) do not depend on them.
    """
    if isinstance(node, nodes.Reference):
        return _normalize(node.node)
    if isinstance(node, nodes.Not):
        return ('not', _normalize(node.node))
    if isinstance(node, nodes.AllOf | nodes.AnyOf):
        parts: set[Hashable] = set()
        for operand in map(_normalize, node.nodes):
            flat = isinstance(operand, tuple) and operand[0] is type(node)
            parts |= operand[1] if flat else {operand}  # type: ignore[index]
        return (type(node), frozenset(parts)) if len(parts) > 1 else parts.pop()
    return (type(node), str(node))


def _weigh(scenario: Scenario) -> tuple[int, ...]:
    """How much a description of a scenario has to say; the least is shown."""
    credentials = scenario.caller.credentials
    texts = [*credentials.values(), *scenario.target.values()]
    known = frozenset(scenario.target.values())
    return (
        sum(value == 'None' or value == '' for value in texts),
        len(scenario.caller.roles),
        sum(truth is not Truth.NO for truth in scenario.answers.values()),
        -len(scenario.target) if scenario.final else -_MOST_KEYS,
        sum(text in known for text in texts if isinstance(text, str)),
        int(scenario.final),
    )
