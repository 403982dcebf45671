# SPDX-License-Identifier: Apache-2.0
"""The checks that compare: roles, credentials and literals.

Source of their meaning: ``RoleCheck`` and ``GenericCheck`` of oslo.policy 6
(``oslo_policy/_checks.py``), with the differences that
:mod:`consumer_guard.rules.nodes` names.
"""

import ast
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard.model import Truth
from consumer_guard.rules.nodes import NO, UNKNOWN, YES, Facts, Leaf, Node
from consumer_guard.rules.templates import Template

#: The target keys of a check that reads none.
NOTHING: frozenset[str] = frozenset()

# Credentials that are lists of names: text in their place is no list of one.
_PLURAL = frozenset({'roles', 'service_roles'})


@dataclass(frozen=True, slots=True)
class Constant(Leaf):
    """``@``, ``!``, or a check that can never be evaluated (always unknown)."""

    truth: Truth

    def evaluate(self, facts: Facts) -> Truth:  # noqa: ARG002 - the protocol's
        """The same for everybody."""
        return self.truth


ALLOW_ALL = Constant('@', NOTHING, YES)
DENY_ALL = Constant('!', NOTHING, NO)


@dataclass(frozen=True, slots=True)
class HasRole(Leaf):
    """``role:name``; the name is lower-cased and not empty."""

    name: str

    def evaluate(self, facts: Facts) -> Truth:
        """Whether the caller has the role."""
        return YES if self.name in facts.roles else NO


@dataclass(frozen=True, slots=True)
class HasRoleNamed(Leaf):
    """``role:%(key)s``: the target names the role."""

    right: Template

    def evaluate(self, facts: Facts) -> Truth:
        """Whether the caller has the role; unknown while its name is."""
        name = self.right.fill(facts.target)
        if name is None:
            return UNKNOWN
        if name.lower() not in facts.roles:
            return NO
        # Security: an empty role (X-Roles: "a,") is nobody's role.
        return YES if name else UNKNOWN


@dataclass(frozen=True, slots=True)
class LiteralIs(Leaf):
    """``'text':right``, ``True:right``: a literal, as oslo.policy prints it."""

    left: str
    right: Template

    def evaluate(self, facts: Facts) -> Truth:
        """Whether both sides are the same text."""
        right = self.right.fill(facts.target)
        if right is None:
            return UNKNOWN
        return YES if self.left == right else NO


@dataclass(frozen=True, slots=True)
class CredentialIs(Leaf):
    """``name:right``, ``dotted.path:right``: a credential, or one of a list."""

    path: tuple[str, ...]
    right: Template
    key: str | None  #: the path where it has one step only, for speed

    def evaluate(self, facts: Facts) -> Truth:
        """Whether the credential, printed, is the right side."""
        right = self.right.fill(facts.target)
        if right is None:
            return UNKNOWN
        if self.key is not None:
            value = facts.credentials.get(self.key)
            if value and type(value) is str:
                return YES if value == right else NO
        return _match_path(facts.credentials, self.path, right)


def _match_path(value: Any, path: tuple[str, ...], right: str) -> Truth:
    if not path:
        if str(value) != right:
            return NO
        # Security: a token without a project must not equal an owner 'None'.
        return UNKNOWN if value is None or value == '' else YES
    try:
        value = value[path[0]]
    except KeyError:
        return NO
    except TypeError:
        # Security: oslo.policy raises here; not a mapping is not "no match".
        return UNKNOWN
    rest = path[1:]
    if not isinstance(value, list):
        # Security: roles as one text would match as if it were a list.
        return UNKNOWN if path[0] in _PLURAL else _match_path(value, rest, right)
    return max((_match_path(item, rest, right) for item in value), default=NO)


def make_role_check(text: str, match: str) -> Node:
    """``role:name`` or ``role:%(key)s``; undecidable with another ``%``."""
    right = Template.parse(match)
    if right is None:
        return make_undecidable(text)
    if right.keys or not match:
        return HasRoleNamed(text, right.keys, right)
    return HasRole(text, NOTHING, match.lower())


def make_generic_check(text: str, kind: str, match: str) -> Node:
    """``literal:right`` or ``path:right``; undecidable where neither is readable."""
    right = Template.parse(match)
    if right is None:
        return make_undecidable(text)
    try:
        left = str(ast.literal_eval(kind))
    except ValueError:
        path = tuple(kind.split('.'))
        # Security: `a-b`, `f(x)` and the like are names for oslo.policy too,
        # but not what anybody can have meant.
        if not all(name.isidentifier() for name in path):
            return make_undecidable(text)
        key = path[0] if len(path) == 1 and path[0] not in _PLURAL else None
        return CredentialIs(text, right.keys, path, right, key)
    except Exception:
        # Security: oslo.policy raises out of enforce on `1a:` and `class:`.
        return make_undecidable(text)
    return LiteralIs(text, right.keys, left, right)


def make_undecidable(text: str) -> Node:
    """A check that oslo.policy would raise on: always unknown."""
    return Constant(text, NOTHING, UNKNOWN)
