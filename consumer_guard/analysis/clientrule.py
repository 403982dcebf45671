# SPDX-License-Identifier: Apache-2.0
"""The rules of the guard and of placement as one rule, of whom both allow.

It is judged on the recorded owner of a consumer. The guard's rule is part of it
twice: on the owner, and with the owner unknown, since a caller whom it allows then is
forwarded without the passage role.
"""

import enum
from dataclasses import dataclass, replace

from consumer_guard.analysis.client import PlacementRules
from consumer_guard.analysis.proof.structure import Certain
from consumer_guard.analysis.scenarios import Shape
from consumer_guard.guard.model import TARGET_KEYS, Operation, Ownership, Truth
from consumer_guard.rules.leaves import (
    ALLOW_ALL,
    DENY_ALL,
    NOTHING,
    Constant,
    CredentialIs,
    HasRole,
)
from consumer_guard.rules.nodes import AllOf, AnyOf, Node, Not, Reference
from consumer_guard.rules.remote import Remote


class Bound(enum.Enum):
    """What placement is taken to answer where that is not known."""

    LEAST = 'refuses'
    MOST = 'allows'

    @property
    def opposite(self) -> 'Bound':
        """The other one, for what is negated."""
        return Bound.MOST if self is Bound.LEAST else Bound.LEAST


def forget_owner(node: Node) -> Node:
    """The rule with the owner unknown, whatever the target is."""
    if isinstance(node, Reference):
        return forget_owner(node.node)
    if isinstance(node, Not):
        return Not(forget_owner(node.node))
    if isinstance(node, AllOf | AnyOf):
        return type(node)(tuple(map(forget_owner, node.nodes)))
    if node.reads or isinstance(node, Remote):
        # Leaves are known by their text; this one differs from the one with an owner.
        return Constant(f'{node} (no owner)', NOTHING, Truth.UNKNOWN)
    return node


def make_client_rule(
    operation: Operation,
    guards: Node,
    placement: PlacementRules | None,
    bound: Bound,
    *,
    owned: bool,
) -> Node:
    """Who gets an answer, and neither the guard's refusal nor placement's.

    :param guards: the guard's rule of the operation
    :param placement: its rules; None where the guard alone is meant
    :param owned: whether the consumer has a recorded owner
    """
    by_role = forget_owner(guards)
    decides = owned and operation.ownership is not Ownership.NEVER
    if placement is None:
        # What is allowed with the owner unknown is allowed for each.
        return guards if decides else by_role
    by_owner = guards if decides else DENY_ALL
    theirs = placement.nodes.get(operation.name)
    translated = [
        _translate(
            theirs or _make_unknown(bound),
            _Context(operation, placement.passage_role.lower(), passage, bound),
        )
        for passage in (False, True)
    ]
    certain = Certain(by_role)
    return AnyOf(
        (
            AllOf((certain, translated[0])),
            AllOf((Certain(by_owner), Not(certain), translated[1])),
        )
    )


def make_client_shape(operation: Operation, *, owned: bool) -> Shape:
    """The targets on which such a rule is judged.

    :param owned: whether the consumer has a recorded owner, with all its attributes
    """
    required, optional = frozenset[str](), frozenset[str]()
    if owned and operation.ownership is Ownership.SUMS:
        required, optional = frozenset({'project_id'}), frozenset({'user_id'})
    elif owned:
        # A rule that allows where an attribute is missing allows whatever it is.
        required = frozenset(TARGET_KEYS)
    return Shape(required, optional, final=True)


@dataclass(frozen=True, slots=True)
class _Context:
    """What a check of placement's is translated for.

    :ivar role: the passage role, lower-cased
    :ivar passage: whether the caller is forwarded with it
    """

    operation: Operation
    role: str
    passage: bool
    bound: Bound

    @property
    def sums(self) -> bool:
        """Whether the target is the project of the query."""
        return self.operation.ownership is Ownership.SUMS

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the target on which placement evaluates."""
        return frozenset(['project_id'] if self.sums else ['project_id', 'user_id'])


def _translate(node: Node, context: _Context) -> Node:
    """Placement's rule with the two values of oslo.policy."""
    if isinstance(node, Reference):
        return _translate(node.node, context)
    if isinstance(node, Not):
        negated = replace(context, bound=context.bound.opposite)
        return Not(_translate(node.node, negated))
    if isinstance(node, AllOf | AnyOf):
        return type(node)(tuple(_translate(one, context) for one in node.nodes))
    return _translate_leaf(node, context)


def _translate_leaf(leaf: Node, context: _Context) -> Node:
    if isinstance(leaf, HasRole):
        if leaf.name == context.role:
            return ALLOW_ALL if context.passage else DENY_ALL
        return leaf
    if isinstance(leaf, Constant) and leaf.truth is not Truth.UNKNOWN:
        return leaf
    if isinstance(leaf, Remote | Constant):
        return _make_unknown(context.bound)
    if leaf.reads - context.keys:
        return DENY_ALL  # oslo.policy: a key that is missing
    if not leaf.reads or context.sums:
        # None equals None there, and is unknown here.
        least = context.bound is Bound.LEAST
        return Certain(leaf) if least else Not(Certain(Not(leaf)))
    if isinstance(leaf, CredentialIs) and leaf.key == leaf.right.key:
        return ALLOW_ALL  # the caller's own, compared with itself
    return _make_unknown(context.bound)


def _make_unknown(bound: Bound) -> Constant:
    return ALLOW_ALL if bound is Bound.MOST else DENY_ALL
