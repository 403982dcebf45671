# SPDX-License-Identifier: Apache-2.0
"""What rules talk about: the roles, credentials, target keys and texts in them.

Read from the leaves of the rules, so that all callers and targets that the
rules can tell apart can be listed (:mod:`consumer_guard.analysis.scenarios`).
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from consumer_guard.guard.model import TARGET_KEYS
from consumer_guard.rules.leaves import CredentialIs, HasRole, HasRoleNamed, LiteralIs
from consumer_guard.rules.nodes import AllOf, AnyOf, Node, Not, Reference
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

_MAY_BE_NONE = CREDENTIALS - PLURAL - {'is_admin_project', 'user_id'}

#: A credential, ``c:name``, or a target key, ``t:key``.
Term = str


def list_leaves(*nodes: Node) -> dict[str, Node]:
    """The checks that compare something, by their text; references followed."""
    found: dict[str, Node] = {}
    rest = list(nodes)
    while rest:
        node = rest.pop()
        if isinstance(node, Reference | Not):
            rest.append(node.node)
        elif isinstance(node, AllOf | AnyOf):
            rest.extend(node.nodes)
        else:
            found[str(node)] = node
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What some leaves talk about.

    :ivar roles: names in ``role:name``, lower-cased
    :ivar named: right sides of ``role:%(key)s``
    :ivar rights: right sides that a credential is compared with, by its name
    :ivar keys: target keys that are read and that a target can have
    :ivar groups: for each target key, the texts and the keys that can meet it
        in a comparison
    :ivar foreign: checks that are answered elsewhere
    :ivar is_plain: whether each right side is one text or one key, so that
        listing texts and keys lists all that can be told apart
    """

    roles: tuple[str, ...]
    named: tuple[Template, ...]
    rights: Mapping[str, tuple[Template, ...]]
    keys: tuple[str, ...]
    groups: Mapping[str, 'Group']
    foreign: tuple[str, ...]
    is_plain: bool

    @classmethod
    def read(cls, leaves: Iterable[Node]) -> 'Vocabulary':
        """Read it from the leaves of rules."""
        leaves = list(leaves)
        rights: dict[str, list[Template]] = {}
        named = []
        reads: set[str] = set()
        for leaf in leaves:
            if isinstance(leaf, CredentialIs):
                rights.setdefault(leaf.path[0], []).append(leaf.right)
            elif isinstance(leaf, HasRoleNamed):
                named.append(leaf.right)
            if not isinstance(leaf, Remote):
                reads |= leaf.reads
        return cls(
            roles=tuple(leaf.name for leaf in leaves if isinstance(leaf, HasRole)),
            named=tuple(named),
            rights={
                name: tuple(some)
                for name, some in rights.items()
                if name in CREDENTIALS - OTHER_SCOPES
            },
            keys=tuple(sorted(reads & TARGET_KEYS)),
            groups=_group(leaves),
            foreign=tuple(leaf.text for leaf in leaves if isinstance(leaf, Remote)),
            is_plain=all(map(_is_plain, leaves)),
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Terms and texts that are compared with each other, directly or not."""

    terms: frozenset[Term]
    texts: frozenset[str]


def _is_plain(leaf: Node) -> bool:
    if isinstance(leaf, HasRoleNamed):
        return not leaf.right.keys  # role names are compared in lower case
    if isinstance(leaf, CredentialIs):
        if leaf.path[0] in PLURAL and (len(leaf.path) > 1 or leaf.right.keys):
            return False
        return _is_single(leaf.right)
    return not isinstance(leaf, LiteralIs) or _is_single(leaf.right)


def _is_single(right: Template) -> bool:
    return right.key is not None or not right.keys


def _group(leaves: Iterable[Node]) -> dict[str, Group]:
    """The groups by target key: the connected parts of "is compared with"."""
    groups: dict[Term, Group] = {}
    for leaf in leaves:
        terms, texts = set[Term](), set[str]()
        for kind, content in _compared(leaf):
            (texts if kind == 'text' else terms).add(content)
        for term in tuple(terms):
            known = groups.get(term, Group(frozenset(), frozenset()))
            terms |= known.terms
            texts |= known.texts
        # A credential that is None equals a target 'None', which is unknown.
        if any(term[2:] in _MAY_BE_NONE for term in terms if term[:2] == 'c:'):
            texts.add('None')
        merged = Group(frozenset(terms), frozenset(texts))
        groups |= dict.fromkeys(terms, merged)
    return {
        term.removeprefix('t:'): group
        for term, group in groups.items()
        if term.startswith('t:')
    }


def _compared(leaf: Node) -> Iterator[tuple[str, str]]:
    """What a leaf compares, as ('text', text) or ('term', term)."""
    if isinstance(leaf, HasRole):
        yield 'term', 'c:roles'
        yield 'text', leaf.name
        return
    if isinstance(leaf, CredentialIs):
        yield 'term', f'c:{leaf.path[0]}'
    elif isinstance(leaf, HasRoleNamed):
        yield 'term', 'c:roles'
    elif isinstance(leaf, LiteralIs):
        yield 'text', leaf.left
    else:
        return
    for key in leaf.right.keys:
        yield 'term', f't:{key}'
    for text in leaf.right.parts[::2]:
        if text:
            yield 'text', text


def list_subsets(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """All subsets, the small ones first."""
    unique = sorted({*names})
    sizes = range(len(unique) + 1)
    return itertools.chain.from_iterable(
        itertools.combinations(unique, size) for size in sizes
    )
