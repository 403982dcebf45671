# SPDX-License-Identifier: Apache-2.0
"""Whether two rules say the same, decided on the rules themselves.

Two rules are equal when they have the same truth, of three, in every world
(:mod:`consumer_guard.analysis.scenarios`). Where worlds cannot be listed completely, they
are equal when they have the same truth for all truths of their leaves, of
which more may be possible than really are. Where neither shows it, it stays
undecided; it is never taken for equal.
"""

import enum
import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from consumer_guard.analysis.scenarios import (
    Scenario,
    Shape,
    list_scenarios,
    list_shapes,
)
from consumer_guard.analysis.terms import Vocabulary, list_leaves
from consumer_guard.guard.model import TARGET_KEYS, Operation, Truth
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import Constant, HasRole

#: Worlds, and truths of leaves, that are looked at before it is undecided.
LIMIT = 2**16

_MOST_KEYS = len(TARGET_KEYS)


class Change(enum.Enum):
    """How one rule differs from another."""

    ALLOWED = 'newly allowed'
    REFUSED = 'newly refused'
    #: No instead of unknown or the other way round: both refuse, but the one
    #: without a look-up, and ``denial = conceal`` tells them apart.
    OTHERWISE = 'refused otherwise'


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of two rules.

    :ivar witnesses: for each change one world that shows it
    :ivar decided: whether there is no other change
    """

    witnesses: Mapping[Change, Scenario]
    decided: bool

    @property
    def equal(self) -> bool:
        """Whether the rules are proven to say the same."""
        return self.decided and not self.witnesses


def compare_rules(
    old: nodes.Node, new: nodes.Node, operation: Operation, *, limit: int = LIMIT
) -> Comparison:
    """Compare two rules on all that the guard judges an operation's rule on."""
    return compare(old, new, list_shapes(operation), limit=limit)


def compare(
    old: nodes.Node, new: nodes.Node, shapes: Iterable[Shape], *, limit: int = LIMIT
) -> Comparison:
    """Compare two rules on targets of some shapes.

    :param limit: how many worlds, and how many truths of leaves, are looked at
    """
    if _spell(old) == _spell(new):
        return Comparison({}, decided=True)
    leaves = list_leaves(old, new)
    words = Vocabulary.read(leaves.values())
    worlds = list_scenarios(words, shapes)
    found: dict[Change, Scenario] = {}
    for world in itertools.islice(worlds, limit):
        change = tell_change(world.judge(old), world.judge(new))
        if change is not None and (
            change not in found or _weigh(world) < _weigh(found[change])
        ):
            found[change] = world
    exhausted = next(worlds, None) is None
    if exhausted and words.is_plain:
        return Comparison(found, decided=True)
    possible = _find_possible_changes(old, new, leaves, limit)
    return Comparison(found, decided=possible is not None and possible <= set(found))


def tell_change(old: Truth, new: Truth) -> Change | None:
    """What a change of truth is for the caller, None for none."""
    if old is new:
        return None
    if new is Truth.YES:
        return Change.ALLOWED
    return Change.REFUSED if old is Truth.YES else Change.OTHERWISE


def list_truths(leaf: nodes.Node) -> tuple[Truth, ...]:
    """The truths that a leaf can have at all."""
    if isinstance(leaf, Constant):
        return (leaf.truth,)
    if isinstance(leaf, HasRole):
        return (Truth.NO, Truth.YES)
    return tuple(Truth)


def evaluate_on(node: nodes.Node, truths: Mapping[str, Truth]) -> Truth:
    """A rule's truth when its leaves, by their text, have these."""
    if isinstance(node, nodes.Reference):
        return evaluate_on(node.node, truths)
    if isinstance(node, nodes.Not):
        return Truth(2 - evaluate_on(node.node, truths))
    if isinstance(node, nodes.AllOf):
        return min(evaluate_on(one, truths) for one in node.nodes)
    if isinstance(node, nodes.AnyOf):
        return max(evaluate_on(one, truths) for one in node.nodes)
    return truths[str(node)]


def assign(choices: Mapping[str, Iterable[Truth]]) -> Iterator[dict[str, Truth]]:
    """All the ways to give each leaf one of its truths."""
    for truths in itertools.product(*choices.values()):
        yield dict(zip(choices, truths, strict=True))


def _find_possible_changes(
    old: nodes.Node,
    new: nodes.Node,
    leaves: Mapping[str, nodes.Node],
    limit: int,
) -> set[Change] | None:
    """The changes that any truths of the leaves make; None when too many."""
    choices = {text: list_truths(leaf) for text, leaf in leaves.items()}
    if math.prod(map(len, choices.values())) > limit:
        return None
    possible: set[Change] = set()
    for truths in assign(choices):
        change = tell_change(evaluate_on(old, truths), evaluate_on(new, truths))
        if change is not None:
            possible.add(change)
    return possible


def _spell(node: nodes.Node) -> Hashable:
    """The rule without names of other rules, brackets, order and repetition.

    Kleene's and and or (minimum and maximum) do not depend on them.
    """
    if isinstance(node, nodes.Reference):
        return _spell(node.node)
    if isinstance(node, nodes.Not):
        return ('not', _spell(node.node))
    if isinstance(node, nodes.AllOf | nodes.AnyOf):
        parts: set[Hashable] = set()
        for one in map(_spell, node.nodes):
            flat = isinstance(one, tuple) and one[0] is type(node)
            parts |= one[1] if flat else {one}  # type: ignore[index]
        return (type(node), frozenset(parts)) if len(parts) > 1 else parts.pop()
    return (type(node), str(node))


def _weigh(world: Scenario) -> tuple[int, ...]:
    """How much there is to say of a world; the least is shown."""
    credentials = world.caller.credentials
    texts = [*credentials.values(), *world.target.values()]
    known = frozenset(world.target.values())
    return (
        sum(value == 'None' or value == '' for value in texts),
        len(world.caller.roles),
        sum(truth is not Truth.NO for truth in world.answers.values()),
        -len(world.target) if world.final else -_MOST_KEYS,
        sum(text in known for text in texts if isinstance(text, str)),
        int(world.final),
    )
