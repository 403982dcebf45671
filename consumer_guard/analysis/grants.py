# SPDX-License-Identifier: Apache-2.0
"""The grants of a rule: alternatives, each of which is enough to be allowed.

A rule is "this grant or that one or ...". Any part of its grants allows nobody whom
the rule does not allow.
"""

import enum
import itertools
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from consumer_guard.guard.model import Truth
from consumer_guard.rules.leaves import (
    DENY_ALL,
    NOTHING,
    Constant,
    CredentialIs,
    HasRole,
    make_generic_check,
)
from consumer_guard.rules.nodes import AllOf, AnyOf, Node, Not, Reference

#: Roles that keystone gives to the users of projects.
OWNER_ROLES = frozenset({'reader', 'member', 'manager'})

#: Roles that are no owners' even where a rule combines them with an owner.
_OPERATORS = frozenset({'admin', 'service'})

#: Grants that the brackets of a rule are resolved into, at most.
_MAX_GRANTS = 64

#: Role names and user ids that can be written into a rule as they are.
_PLAIN = re.compile(r'[A-Za-z0-9_.-]{1,255}')


class Rank(enum.IntEnum):
    """How much a grant gives away; the lower one is preferred."""

    OWNER = 0  #: to owners alone
    SERVICE = 1
    ROLE = 2
    ADMIN = 3
    USER = 4  #: one user, whose roles are not known


@dataclass(frozen=True, slots=True)
class Grant:
    """One alternative of a rule.

    :ivar text: as it is written in a policy file; equal for equal grants
    :ivar parts: the checks that all have to be true, in the order of their texts
    """

    text: str
    parts: tuple[Node, ...] = field(compare=False)

    @classmethod
    def join(cls, parts: Iterable[Node]) -> 'Grant':
        """The grant that demands all of these."""
        by_text = {write_rule(part): part for part in parts}
        ordered = tuple([by_text[text] for text in sorted(by_text)])
        node = ordered[0] if len(ordered) == 1 else AllOf(ordered)
        return cls(write_rule(node), ordered)

    @property
    def node(self) -> Node:
        """The grant as a rule."""
        return self.parts[0] if len(self.parts) == 1 else AllOf(self.parts)

    @property
    def roles(self) -> frozenset[str]:
        """The roles that it demands, lower-cased."""
        return frozenset(
            [each.name for each in self.parts if isinstance(each, HasRole)]
        )

    @property
    def rank(self) -> Rank:
        """How much it gives away."""
        compared = [each for each in self.parts if isinstance(each, CredentialIs)]
        if any(each.right.keys for each in compared):
            return Rank.OWNER
        if any(each.key == 'user_id' for each in compared):
            return Rank.USER
        if 'service' in self.roles:
            return Rank.SERVICE
        return Rank.ADMIN if 'admin' in self.roles else Rank.ROLE

    def is_wide(self, owner_roles: Collection[str]) -> bool:
        """Whether whoever owns anything has it, for everybody's consumers."""
        plain = all(
            isinstance(each, HasRole)
            or (isinstance(each, Constant) and each.truth is Truth.YES)
            # True for everybody, unless keystone knows an admin project.
            or (isinstance(each, CredentialIs) and each.key == 'is_admin_project')
            for each in self.parts
        )
        return plain and self.roles <= {*owner_roles}


def list_grants(node: Node) -> tuple[Grant, ...]:
    """The grants of a rule; brackets are resolved where few grants come of it.

    Kleene's logic is distributive, so that the rule has the same truth as all of
    its grants together.
    """
    return tuple(dict.fromkeys(map(Grant.join, _resolve_grants(node))))


def _resolve_grants(node: Node) -> list[tuple[Node, ...]]:
    if isinstance(node, Reference):
        return _resolve_grants(node.node)
    if isinstance(node, AnyOf):
        return [parts for each in node.nodes for parts in _resolve_grants(each)]
    if isinstance(node, AllOf):
        operands = [_resolve_grants(each) for each in node.nodes]
        if math.prod(map(len, operands)) <= _MAX_GRANTS:
            return [
                tuple(itertools.chain(*chosen))
                for chosen in itertools.product(*operands)
            ]
    if isinstance(node, Constant) and node.truth is Truth.NO:
        return []
    return [(node,)]


def find_owner_roles(grants: Collection[Grant]) -> frozenset[str]:
    """The roles that owners hold, by keystone's bootstrap and by the rules."""
    of_owners = [each.roles for each in grants if each.rank is Rank.OWNER]
    return OWNER_ROLES.union(*of_owners) - _OPERATORS


def refine(
    grant: Grant,
    roles: Collection[str],
    users: Collection[str],
    owners: Collection[str],
) -> list[Grant]:
    """Narrower grants in place of a wide one.

    :param roles: held by callers that need it; one role each
    :param users: ids of callers that need it; one user each
    :param owners: roles that owners hold; one each, for their own project
    """
    own = make_generic_check(
        'project_id:%(project_id)s', 'project_id', '%(project_id)s'
    )
    by_owner = [
        _narrow(grant, HasRole(f'role:{name}', NOTHING, name), own)
        for name in sorted(owners)
        if _PLAIN.fullmatch(name)
    ]
    by_role = [
        _narrow(grant, HasRole(f'role:{name}', NOTHING, name))
        for name in sorted({*roles} - {*owners})
        if _PLAIN.fullmatch(name)
    ]
    by_user = [
        _narrow(grant, make_generic_check(f'user_id:{name}', 'user_id', name))
        for name in sorted(users)
        if _PLAIN.fullmatch(name)
    ]
    return [*by_owner, *by_role, *by_user]


def _narrow(grant: Grant, *more: Node) -> Grant:
    # "@" adds nothing to what is narrower.
    kept = [each for each in grant.parts if not isinstance(each, Constant)]
    return Grant.join((*kept, *more))


def join_grants(grants: Sequence[Grant]) -> Node:
    """The rule of some grants; ``!`` for none."""
    if not grants:
        return DENY_ALL
    return grants[0].node if len(grants) == 1 else AnyOf(tuple(g.node for g in grants))


def write_rule(node: Node) -> str:
    """A rule as it is written in a file, without references to other rules."""
    if isinstance(node, Reference):
        return write_rule(node.node)
    if isinstance(node, Not):
        return f'not {write_rule(node.node)}'
    if isinstance(node, AllOf | AnyOf):
        word = ' and ' if isinstance(node, AllOf) else ' or '
        return f'({word.join(map(write_rule, node.nodes))})'
    return str(node)
