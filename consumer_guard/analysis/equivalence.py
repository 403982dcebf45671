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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from consumer_guard.analysis.proof.structure import Certain, have_same_structure
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

#: Checks that are evaluated for it: some seconds.
_MAX_CHECKS = 2**21

_MOST_KEYS = len(TARGET_KEYS)


class Change(str, enum.Enum):
    """How new rules differ from old ones, in the order in which it is shown."""

    ALLOWED = 'newly allowed'
    REFUSED = 'newly refused'
    UNDECIDED = 'undecided'
    ALLOWED_OTHERWISE = 'allowed otherwise'
    #: No instead of unknown or the other way round: both refuse, but no needs no
    #: look-up, and ``denial = conceal`` tells them apart.
    REFUSED_OTHERWISE = 'refused differently'
    OTHERWISE = 'another way'  #: the same answer for another reason
    UNCHANGED = 'unchanged'


class CallerGroup(NamedTuple):
    """Callers whose answer changes, all of them in the same way.

    :ivar who: in words
    :ivar scenario: one of them
    """

    change: Change
    who: str
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of two rules.

    :ivar counterexamples: one scenario for each change that they show
    :ivar decided: whether there is no other change
    :ivar groups: all whose answer changes, in the place of counterexamples
    :ivar proven: whether a solver compared them, by proof
    """

    counterexamples: Mapping[Change, Scenario]
    decided: bool
    groups: tuple[CallerGroup, ...] = ()
    proven: bool = False

    @property
    def changes(self) -> frozenset[Change]:
        """The changes that are certain."""
        return frozenset([*self.counterexamples, *(one.change for one in self.groups)])

    @property
    def equal(self) -> bool:
        """Whether the rules are proven to be equivalent."""
        return self.decided and not self.changes


def compare_rules(old: nodes.Node, new: nodes.Node, operation: Operation) -> Comparison:
    """Compare two rules on all that the guard judges an operation's rule on."""
    return compare(old, new, list_shapes(operation))


def compare(old: nodes.Node, new: nodes.Node, shapes: Iterable[Shape]) -> Comparison:
    """Compare two rules on targets of some shapes."""
    if have_same_structure(old, new):
        return Comparison({}, decided=True)
    leaves = list_leaves(old, new)
    terms = read_terms(leaves.values())
    differing = {*list_leaves(old)} ^ {*list_leaves(new)}
    first = [leaf.name for leaf in _list_role_checks(leaves) if str(leaf) in differing]
    scenarios = list_scenarios(terms, shapes, first)
    counterexamples: dict[Change, Scenario] = {}
    tries = min(_MAX_TRIES, _MAX_CHECKS // max(1, len(leaves)))
    for scenario in itertools.islice(scenarios, tries):
        change = classify(scenario.judge(old), scenario.judge(new))
        if change is not Change.UNCHANGED:
            shown = counterexamples.setdefault(change, scenario)
            counterexamples[change] = min(shown, scenario, key=_weigh)
    if terms.is_exact and next(scenarios, None) is None:
        return Comparison(counterexamples, decided=True)
    possible = _find_possible_changes(old, new, leaves)
    decided = possible is not None and possible <= {*counterexamples}
    if not decided:
        # Whoever reads "refused differently" takes it that nobody is newly allowed.
        counterexamples.pop(Change.REFUSED_OTHERWISE, None)
    return Comparison(counterexamples, decided)


def _list_role_checks(leaves: Mapping[str, nodes.Node]) -> list[HasRole]:
    return [leaf for leaf in leaves.values() if isinstance(leaf, HasRole)]


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
    if isinstance(node, Certain):
        certain = evaluate_on(node.node, truths) is Truth.YES
        return Truth.YES if certain else Truth.NO
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
