# SPDX-License-Identifier: Apache-2.0
"""Callers made of roles, and the answers that rules give them."""

import itertools
import types
from collections.abc import Callable, Collection, Mapping

from consumer_guard.analysis.equivalence import evaluate_on
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard.model import Caller, Truth
from consumer_guard.rules.leaves import HasRole
from consumer_guard.rules.nodes import Facts, Node

Roles = tuple[str, ...]

#: Roles that people have; services and operators have others.
WEAK: tuple[str, ...] = ('reader', 'member', 'manager')

#: Roles of which all pairs are tried.
_MAX_COMBINED = 50

#: Sets of roles that are named in a row; more are counted only.
_MAX_SETS = 8

_CALLER_PROJECT, _CALLER_USER = 'lint-project', 'lint-user'
#: A consumer of the caller's own, and one of somebody else's.
OWN = types.MappingProxyType(
    {
        'consumer_uuid': 'lint-consumer',
        'project_id': _CALLER_PROJECT,
        'user_id': _CALLER_USER,
        'consumer_type': 'INSTANCE',
    }
)
FOREIGN = types.MappingProxyType(
    {**OWN, 'project_id': 'lint-other-project', 'user_id': 'lint-other-user'}
)


def allows(node: Node, roles: Roles, target: Mapping[str, str]) -> bool:
    """Whether the guard allows it; remote checks stay unknown.

    :param roles: of a caller of a project who has nothing else
    """
    names = sorted(roles)
    credentials = {
        'user_id': _CALLER_USER,
        'project_id': _CALLER_PROJECT,
        'roles': names,
        'is_admin_project': True,
        'service_roles': [],
    }
    caller = Caller(credentials, frozenset(names), 'project', 'req-0')
    facts = Facts(caller.credentials, caller.roles, target)
    return node.evaluate(facts) is Truth.YES


def placement_allows(node: Node, roles: Roles, target: Mapping[str, str]) -> bool:
    """Whether placement allows it, where a missing key makes a check false."""
    truths = {
        text: Truth.YES if allows(leaf, roles, target) else Truth.NO
        for text, leaf in list_leaves(node).items()
    }
    return evaluate_on(node, truths) is Truth.YES


def list_role_names(node: Node) -> list[str]:
    """The roles that ``role:`` checks of a rule name."""
    checks = list_leaves(node).values()
    return [check.name for check in checks if isinstance(check, HasRole)]


def list_roles(*nodes: Node) -> list[str]:
    """The roles that rules name, and those that every cloud has."""
    named = {name for node in nodes for name in list_role_names(node)}
    # No role has a comma or a quotation mark in its name.
    possible = {name for name in named if not {*name} & {*',"\''}}
    return sorted({*possible, *WEAK, 'admin', 'service'})


def find_least(names: Collection[str], holds: Callable[[Roles], bool]) -> list[Roles]:
    """The smallest sets of at most two roles for which something holds.

    Pairs are tried of as many roles as take little time.
    """
    if holds(()):
        return [()]
    enough = {name: holds((name,)) for name in names}
    least: list[Roles] = [(name,) for name in names if enough[name]]
    others = [name for name in names if not enough[name]]
    if len(others) > _MAX_COMBINED:
        return least
    return least + [pair for pair in itertools.combinations(others, 2) if holds(pair)]


def format_roles(sets: list[Roles]) -> str:
    """``callers with role:a or role:b and role:c``; of many the first ones."""
    if () in sets:
        return 'callers without any role'
    texts = [' and '.join(f'role:{role}' for role in roles) for roles in sets]
    if len(texts) > _MAX_SETS:
        texts[_MAX_SETS:] = [f'{len(texts) - _MAX_SETS} others']
    return f'callers with {" or ".join(texts)}'
