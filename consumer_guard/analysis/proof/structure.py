# SPDX-License-Identifier: Apache-2.0
"""The structure of rules: the same but for names, brackets, order, repetition.

:class:`Certain` is the one node that no rule is written with.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from consumer_guard.guard.model import Truth
from consumer_guard.rules.nodes import AllOf, AnyOf, Facts, Node, Not, Reference


@dataclass(frozen=True, slots=True)
class Certain:
    """Whether a check is true, and neither false nor unknown."""

    node: Node

    def __str__(self) -> str:
        return f'certainly {self.node}'

    @property
    def reads(self) -> frozenset[str]:
        """Those of the check."""
        return self.node.reads

    def evaluate(self, facts: Facts) -> Truth:
        """Yes or no."""
        return Truth.YES if self.node.evaluate(facts) is Truth.YES else Truth.NO


class Structures:
    """Numbers for the structures of nodes; equal structures have equal numbers.

    Kleene's and and or (minimum and maximum) do not depend on order and repetition.
    Each node is read once, however often rules refer to it.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._operands: dict[int, tuple[type, frozenset[int]]] = {}
        self._known: dict[int, tuple[Node, int]] = {}

    def number(self, node: Node) -> int:
        """The number of a rule's structure."""
        known = self._known.get(id(node))
        if known is None:
            # The node is kept, so that no other one can get its id.
            known = self._known[id(node)] = node, self._number(node)
        return known[1]

    def _number(self, node: Node) -> int:
        if isinstance(node, Reference):
            return self.number(node.node)
        if isinstance(node, Not | Certain):
            return self._give((type(node), self.number(node.node)))
        if not isinstance(node, AllOf | AnyOf):
            return self._give((type(node), str(node)))
        parts = set[int]()
        for number in map(self.number, node.nodes):
            kind, operands = self._operands.get(number, (None, frozenset[int]()))
            parts |= operands if kind is type(node) else {number}
        if len(parts) == 1:
            return parts.pop()
        number = self._give((type(node), frozenset(parts)))
        self._operands[number] = type(node), frozenset(parts)
        return number

    def _give(self, structure: Hashable) -> int:
        return self._numbers.setdefault(structure, len(self._numbers))


def have_same_structure(old: Node, new: Node) -> bool:
    """Whether two rules are the same, the way in which they are written aside."""
    structures = Structures()
    return structures.number(old) == structures.number(new)


def list_checks_of(*nodes: Node) -> list[Node]:
    """The checks of rules that compare something, by their text."""
    checks: dict[str, Node] = {}
    rest, seen = list(nodes), set[int]()
    while rest:
        node = rest.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Reference | Not | Certain):
            rest.append(node.node)
        elif isinstance(node, AllOf | AnyOf):
            rest.extend(node.nodes)
        else:
            checks[str(node)] = node
    return [checks[text] for text in sorted(checks)]
