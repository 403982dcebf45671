# SPDX-License-Identifier: Apache-2.0
"""Checks as immutable nodes that are evaluated with three values.

This module has the facts that checks read and the nodes that join others;
:mod:`consumer_guard.rules.leaves` has those that compare.
:mod:`consumer_guard.rules.compiler` makes them of oslo.policy's check trees.
On flat targets and readable rules their answers are those of oslo.policy 6
(``oslo_policy/_checks.py``); the differences are deliberate:

* a target key that is missing, None, '' or not text makes its check unknown;
* a credential that is None or '' and would equal the right side: unknown;
* what oslo.policy would raise on is unknown, and so are remote checks
  (``http:`` and the like) until they may be called.

Unknown at the end of a decision refuses, under ``not`` too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from consumer_guard.guard.model import Truth

# A name costs less than an attribute of the enumeration, at every check.
NO, UNKNOWN, YES = Truth.NO, Truth.UNKNOWN, Truth.YES
_NEGATION = (YES, UNKNOWN, NO)

#: oslo.policy's own check object, called by its convention.
RemoteCheck = Callable[..., object]
#: ``call_remote(check, target, credentials)``; may raise anything.
CallRemote = Callable[[RemoteCheck, Mapping[str, str], Mapping[str, Any]], bool]


class Facts(NamedTuple):
    """All that a check may read.

    :ivar credentials: the caller's, see :attr:`model.Caller.credentials`
    :ivar roles: the caller's roles, lower-cased
    :ivar target: what is known of the target; an absent key is unknown
    :ivar call_remote: calls remote checks; None while they must not be called
    """

    credentials: Mapping[str, Any]
    roles: frozenset[str]
    target: Mapping[str, str]
    call_remote: CallRemote | None = None


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

    def __str__(self) -> str:
        return f'rule:{self.name}'

    @property
    def reads(self) -> frozenset[str]:
        """Those of the other rule."""
        return self.node.reads

    def evaluate(self, facts: Facts) -> Truth:
        """The other rule's answer."""
        return self.node.evaluate(facts)


@dataclass(frozen=True, slots=True)
class Not:
    """``not check``; the opposite of unknown is unknown."""

    node: Node

    def __str__(self) -> str:
        return f'not {self.node}'

    @property
    def reads(self) -> frozenset[str]:
        """Those of the negated check."""
        return self.node.reads

    def evaluate(self, facts: Facts) -> Truth:
        """Kleene's not."""
        return _NEGATION[self.node.evaluate(facts)]


@dataclass(frozen=True, slots=True)
class Junction:
    """Several checks that are joined.

    :ivar steps: the checks, references replaced by what they refer to: saves a
        call for each at every evaluation
    """

    nodes: tuple[Node, ...]
    reads: frozenset[str] = field(init=False)
    steps: tuple[Node, ...] = field(init=False)

    def __post_init__(self) -> None:
        reads = frozenset[str]().union(*(node.reads for node in self.nodes))
        object.__setattr__(self, 'reads', reads)
        object.__setattr__(self, 'steps', tuple(map(_resolve, self.nodes)))


class AllOf(Junction):
    """``(a and b)``."""

    __slots__ = ()

    def __str__(self) -> str:
        return f'({" and ".join(map(str, self.nodes))})'

    def evaluate(self, facts: Facts) -> Truth:
        """Kleene's and, left to right, no further than needed."""
        result = YES
        for node in self.steps:
            truth = node.evaluate(facts)
            if truth is NO:
                return NO
            if truth is UNKNOWN:
                result = UNKNOWN
        return result


class AnyOf(Junction):
    """``(a or b)``."""

    __slots__ = ()

    def __str__(self) -> str:
        return f'({" or ".join(map(str, self.nodes))})'

    def evaluate(self, facts: Facts) -> Truth:
        """Kleene's or, left to right, no further than needed."""
        result = NO
        for node in self.steps:
            truth = node.evaluate(facts)
            if truth is YES:
                return YES
            if truth is UNKNOWN:
                result = UNKNOWN
        return result


def _resolve(node: Node) -> Node:
    while isinstance(node, Reference):
        node = node.node
    return node
