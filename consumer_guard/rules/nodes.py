# SPDX-License-Identifier: Apache-2.0
"""Checks as immutable nodes that are evaluated with three values.

Here are the facts that they look at and the nodes that join others; the leaves
that compare something are in :mod:`consumer_guard.rules.leaves`. They are what
:mod:`consumer_guard.rules.compiler` makes of oslo.policy's check trees. On flat
targets and readable rules their answers are those of oslo.policy 6
(``oslo_policy/_checks.py``); the differences are on purpose:

* a target key that is missing, None, '' or not text makes its check unknown;
* a credential that is None or '' and would equal the right side: unknown;
* what oslo.policy would raise on is unknown, and so are foreign checks
  (``http:`` and the like) until they may be asked.

Unknown at the end of a decision refuses, under ``not`` too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from consumer_guard.guard.model import Truth

_NO, _UNKNOWN, _YES = Truth.NO, Truth.UNKNOWN, Truth.YES
_NEGATION = (_YES, _UNKNOWN, _NO)

#: What is asked elsewhere: called by oslo.policy's own convention.
RemoteCheck = Callable[..., object]
#: ``ask(check, target, credentials)``; may raise anything.
CallRemote = Callable[[RemoteCheck, Mapping[str, str], Mapping[str, Any]], bool]


class Facts(NamedTuple):
    """All that a check may look at.

    :ivar credentials: the caller's, see :attr:`model.Caller.credentials`
    :ivar roles: the caller's roles, lower-cased
    :ivar target: what is known of the target; an absent key is unknown
    :ivar ask: how to ask foreign checks, None while they must not be asked
    """

    credentials: Mapping[str, Any]
    roles: frozenset[str]
    target: Mapping[str, str]
    ask: CallRemote | None = None


class Node(Protocol):
    """A check; ``str()`` gives the oslo.policy text."""

    @property
    def reads(self) -> frozenset[str]:
        """The target keys that the answer can depend on."""

    def evaluate(self, facts: Facts) -> Truth:
        """Answer, without raising."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A node without operands.

    :ivar text: as oslo.policy writes it
    """

    text: str
    reads: frozenset[str]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Reference:
    """``rule:name``, with the other rule's node in it."""

    name: str
    node: Node
    reads: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'reads', self.node.reads)

    def __str__(self) -> str:
        return f'rule:{self.name}'

    def evaluate(self, facts: Facts) -> Truth:
        """The other rule's answer."""
        return self.node.evaluate(facts)


@dataclass(frozen=True, slots=True)
class Not:
    """``not check``; the opposite of unknown is unknown."""

    node: Node
    reads: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'reads', self.node.reads)

    def __str__(self) -> str:
        return f'not {self.node}'

    def evaluate(self, facts: Facts) -> Truth:
        """Kleene's not."""
        return _NEGATION[self.node.evaluate(facts)]


@dataclass(frozen=True, slots=True)
class AllOf:
    """``(a and b)``."""

    nodes: tuple[Node, ...]
    reads: frozenset[str] = field(init=False)
    steps: tuple[Node, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'reads', _union(self.nodes))
        object.__setattr__(self, 'steps', tuple(map(_resolve, self.nodes)))

    def __str__(self) -> str:
        return f'({" and ".join(map(str, self.nodes))})'

    def evaluate(self, facts: Facts) -> Truth:
        """Kleene's and, left to right, no further than needed."""
        result = _YES
        for node in self.steps:
            truth = node.evaluate(facts)
            if truth is _NO:
                return _NO
            if truth is _UNKNOWN:
                result = _UNKNOWN
        return result


@dataclass(frozen=True, slots=True)
class AnyOf:
    """``(a or b)``."""

    nodes: tuple[Node, ...]
    reads: frozenset[str] = field(init=False)
    steps: tuple[Node, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'reads', _union(self.nodes))
        object.__setattr__(self, 'steps', tuple(map(_resolve, self.nodes)))

    def __str__(self) -> str:
        return f'({" or ".join(map(str, self.nodes))})'

    def evaluate(self, facts: Facts) -> Truth:
        """Kleene's or, left to right, no further than needed."""
        result = _NO
        for node in self.steps:
            truth = node.evaluate(facts)
            if truth is _YES:
                return _YES
            if truth is _UNKNOWN:
                result = _UNKNOWN
        return result


def _resolve(node: Node) -> Node:
    """What a reference refers to; a call less for each at the request."""
    while isinstance(node, Reference):
        node = node.node
    return node


def _union(nodes: tuple[Node, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(node.reads for node in nodes))
