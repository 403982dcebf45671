# SPDX-License-Identifier: Apache-2.0
"""Callers made of roles, and what rules say of them."""

import itertools
from collections.abc import Callable, Iterable, Mapping

from consumer_guard.analysis.equivalence import evaluate_on
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard.model import Caller, Truth
from consumer_guard.rules.leaves import HasRole
from consumer_guard.rules.nodes import Facts, Node

Roles = tuple[str, ...]

#: Roles that people have; services and operators have others.
WEAK: tuple[str, ...] = ('reader', 'member', 'manager')

_CALLER_PROJECT, _CALLER_USER = 'lint-project', 'lint-user'
#: A consumer of the caller's own, and one of somebody else's.
OWN = {
    'consumer_uuid': 'lint-consumer',
    'project_id': _CALLER_PROJECT,
    'user_id': _CALLER_USER,
    'consumer_type': 'INSTANCE',
}
FOREIGN = OWN | {'project_id': 'lint-other-project', 'user_id': 'lint-other-user'}


def make_caller(roles: Iterable[str]) -> Caller:
    """A caller of a project with these roles and nothing else."""
    names = sorted(roles)
    credentials = {
        'user_id': _CALLER_USER,
        'project_id': _CALLER_PROJECT,
        'roles': names,
        'is_admin_project': True,
        'service_roles': [],
    }
    return Caller(credentials, frozenset(names), 'project', 'req-0')


def judge(node: Node, roles: Roles, target: Mapping[str, str]) -> Truth:
    """What the guard says; checks that ask elsewhere stay unknown."""
    caller = make_caller(roles)
    return node.evaluate(Facts(caller.credentials, caller.roles, target))


def placement_allows(node: Node, roles: Roles, target: Mapping[str, str]) -> bool:
    """What placement says: a key that is not there makes a check false."""
    truths = {
        text: Truth.YES if judge(leaf, roles, target) is Truth.YES else Truth.NO
        for text, leaf in list_leaves(node).items()
    }
    return evaluate_on(node, truths) is Truth.YES


def list_roles(*nodes: Node) -> list[str]:
    """The roles that rules name, and those that every cloud has."""
    named = {
        leaf.name for leaf in list_leaves(*nodes).values() if isinstance(leaf, HasRole)
    }
    # No role has a comma or a quotation mark in its name.
    possible = {name for name in named if not {*name} & {*',"\''}}
    return sorted({*possible, *WEAK, 'admin', 'service'})


def find_least(names: Iterable[str], holds: Callable[[Roles], bool]) -> list[Roles]:
    """The smallest sets of at most two roles for which something holds."""
    found: list[Roles] = []
    names = list(names)
    for size in range(3):
        for roles in itertools.combinations(names, size):
            if not any(set(less) <= set(roles) for less in found) and holds(roles):
                found.append(roles)
    return found


def say_roles(sets: Iterable[Roles]) -> str:
    """``callers with role:a or role:b and role:c``."""
    if () in (found := list(sets)):
        return 'callers without any role'
    said = [' and '.join(f'role:{role}' for role in roles) for roles in found]
    return f'callers with {" or ".join(said)}'
