# SPDX-License-Identifier: Apache-2.0
"""The terms of rules: their roles, credentials, target keys and texts.

Read from the leaves of the rules, so that all callers and targets that the
rules can tell apart can be listed (:mod:`consumer_guard.analysis.scenarios`).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from consumer_guard.analysis.proof.structure import list_checks_of
from consumer_guard.guard.model import TARGET_KEYS
from consumer_guard.rules.leaves import CredentialIs, HasRole, HasRoleNamed, LiteralIs
from consumer_guard.rules.nodes import Node
from consumer_guard.rules.remote import Remote
from consumer_guard.rules.templates import Template

#: The names of credentials (``oslo_context.RequestContext.to_policy_values``
#: 6.5 and ``system``); a check on any other name compares with nothing.
CREDENTIALS = frozenset(
    {
        'user_id',
        'user_domain_id',
        'system_scope',
        'system',
        'domain_id',
        'project_id',
        'project_domain_id',
        'roles',
        'is_admin_project',
        'service_user_id',
        'service_user_domain_id',
        'service_project_id',
        'service_project_domain_id',
        'service_roles',
    }
)

#: Nothing for tokens of project scope, and rules are for those alone.
OTHER_SCOPES = frozenset({'system_scope', 'system', 'domain_id'})

PLURAL = frozenset({'roles', 'service_roles'})

_OF_PROJECTS = CREDENTIALS - OTHER_SCOPES
#: Nothing for some tokens of project scope.
MAY_BE_NONE = CREDENTIALS - PLURAL - {'is_admin_project', 'user_id'}


def list_leaves(*nodes: Node) -> dict[str, Node]:
    """The checks that compare something, by their text; references followed."""
    return {str(leaf): leaf for leaf in list_checks_of(*nodes)}


class TermGroup(NamedTuple):
    """What is compared with each other, directly or not.

    :ivar terms: credentials (``c:name``) and target keys (``t:key``)
    """

    terms: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()


class Terms(NamedTuple):
    """The terms of some leaves.

    :ivar roles: names in ``role:name``, lower-cased
    :ivar role_templates: right sides of ``role:%(key)s``
    :ivar templates: right sides that a credential is compared with, by its name
    :ivar keys: target keys that are read and that a target can have
    :ivar groups: the group of each target key that is compared
    :ivar remote: remote checks
    :ivar is_exact: whether each right side is one text or one key, so that
        listing texts and keys lists all that can be distinguished
    """

    roles: tuple[str, ...]
    role_templates: tuple[Template, ...]
    templates: Mapping[str, tuple[Template, ...]]
    keys: tuple[str, ...]
    groups: Mapping[str, TermGroup]
    remote: tuple[str, ...]
    is_exact: bool


def read_terms(leaves: Collection[Node]) -> Terms:
    """Read the terms of the leaves of rules."""
    templates: dict[str, tuple[Template, ...]] = {}
    reads: set[str] = set()
    for leaf in leaves:
        if isinstance(leaf, CredentialIs) and leaf.path[0] in _OF_PROJECTS:
            name = leaf.path[0]
            templates[name] = (*templates.get(name, ()), leaf.right)
        if not isinstance(leaf, Remote):
            reads |= leaf.reads
    return Terms(
        roles=tuple(leaf.name for leaf in leaves if isinstance(leaf, HasRole)),
        role_templates=tuple(
            leaf.right for leaf in leaves if isinstance(leaf, HasRoleNamed)
        ),
        templates=templates,
        keys=tuple(sorted(reads.intersection(TARGET_KEYS))),
        groups=_group(leaves),
        remote=tuple(leaf.text for leaf in leaves if isinstance(leaf, Remote)),
        is_exact=all(map(_is_exact, leaves)),
    )


def _is_exact(leaf: Node) -> bool:
    if isinstance(leaf, HasRoleNamed):
        return not leaf.right.keys  # role names are compared in lower case
    if not isinstance(leaf, CredentialIs | LiteralIs):
        return True
    if isinstance(leaf, CredentialIs) and leaf.path[0] in PLURAL:
        return len(leaf.path) == 1 and not leaf.right.keys
    return leaf.right.key is not None or not leaf.right.keys


def _group(leaves: Iterable[Node]) -> dict[str, TermGroup]:
    """The groups by target key: the connected parts of "is compared with"."""
    groups: dict[str, TermGroup] = {}
    for leaf in leaves:
        terms, texts = _list_compared(leaf)
        for term in tuple(terms):
            known = groups.get(term, TermGroup())
            terms |= known.terms
            texts |= known.texts
        # A credential that is None equals a target 'None', which is unknown.
        if any(term.removeprefix('c:') in MAY_BE_NONE for term in terms):
            texts.add('None')
        if 'c:is_admin_project' in terms:
            texts |= {'True', 'False'}
        groups |= dict.fromkeys(terms, TermGroup(frozenset(terms), frozenset(texts)))
    return {term[2:]: group for term, group in groups.items() if term[:2] == 't:'}


def _list_compared(leaf: Node) -> tuple[set[str], set[str]]:
    """The terms and the texts that a leaf compares."""
    if isinstance(leaf, HasRole):
        return {'c:roles'}, {leaf.name}
    if isinstance(leaf, CredentialIs):
        terms, texts = {f'c:{leaf.path[0]}'}, set[str]()
    elif isinstance(leaf, HasRoleNamed):
        terms, texts = {'c:roles'}, set()
    elif isinstance(leaf, LiteralIs):
        terms, texts = set(), {leaf.left}
    else:
        return set(), set()
    terms |= {f't:{key}' for key in leaf.right.keys}
    return terms, texts | {text for text in leaf.right.parts[::2] if text}
