# SPDX-License-Identifier: Apache-2.0
"""Lints of one check: what it can never be, and what it hardly means."""

import ast
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from consumer_guard.analysis.lint.findings import Complaint, note, suggest, warn
from consumer_guard.analysis.lint.trees import REMOTE, Leaf
from consumer_guard.analysis.terms import CREDENTIALS, OTHER_SCOPES, PLURAL
from consumer_guard.guard.model import TARGET_KEYS
from consumer_guard.rules.leaves import Constant, LiteralIs

_KINDS = frozenset({'role', 'rule', *REMOTE})
_COMPARABLE = CREDENTIALS - OTHER_SCOPES - {'roles'}
_IDS = ('project_id', 'user_id')


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a check is read in.

    :ivar names: of all rules that are defined
    :ivar asked: who asks the rule: 'the guard' or 'placement'
    :ivar prefix: of the service's rules, with the colon
    :ivar keys: target keys that there are
    """

    names: Collection[str]
    asked: str
    prefix: str
    keys: Collection[str] = TARGET_KEYS


def lint_leaf(leaf: Leaf, around: Surroundings) -> Iterator[Complaint]:
    """All complaints about one check."""
    if leaf.text in around.names:
        yield warn(
            f'"{leaf.text}" is the name of a rule, but is read as the credential '
            f'"{leaf.kind}" compared with "{leaf.match}", which is never true',
            f'write rule:{leaf.text}',
        )
        return
    for look in _LOOKS:
        yield from look(leaf, around)


def _look_at_role(leaf: Leaf, _around: Surroundings) -> Iterator[Complaint]:
    if leaf.kind != 'role':
        return
    if not leaf.match:
        yield warn('"role:" names no role and is never true', 'name the role')
    elif any(char in leaf.match for char in ',"\''):
        yield warn(
            f'"{leaf.text}": no role has such a name, so it is never true',
            'write one check for each role, joined by "or", without quotes',
        )


def _look_at_credential(leaf: Leaf, _around: Surroundings) -> Iterator[Complaint]:
    if leaf.kind in _KINDS or leaf.is_literal or not leaf.kind:
        return
    if isinstance(leaf.make_node(), Constant):
        return  # said by another look
    name = leaf.kind.split('.')[0]
    if name in OTHER_SCOPES:
        yield warn(
            f'"{leaf.text}" is never true: rules are for tokens of project scope, '
            f'which have no {name}',
            'remove it; a token of system or domain scope is refused first',
        )
    elif name not in CREDENTIALS:
        known = (*CREDENTIALS - OTHER_SCOPES, *_KINDS)
        yield warn(
            f'"{leaf.text}" is never true: callers have no credential '
            f'"{leaf.kind}"{suggest(leaf.kind.lower().replace("tenant", "project"), known)}',
            f'compare with one of {", ".join(sorted(_COMPARABLE))}',
        )
    elif name == 'roles':
        yield warn(
            f'"{leaf.text}" takes case into account, other than "role:"',
            f'write role:{leaf.match}',
        )
    elif name == 'is_admin_project' and leaf.match not in ('True', 'False'):
        yield warn(
            f'"{leaf.text}" is never true: the value is "True" or "False"',
            'write is_admin_project:True',
        )
    elif '.' in leaf.kind and name not in PLURAL:
        yield warn(
            f'"{leaf.text}" is never true: {name} has no parts', f'write {name}:'
        )


def _look_at_literal(leaf: Leaf, _around: Surroundings) -> Iterator[Complaint]:
    node = leaf.make_node() if leaf.is_literal else None
    if not isinstance(node, LiteralIs):
        return
    if not node.reads:
        always = 'always' if node.left == ''.join(node.right.parts) else 'never'
        yield warn(
            f'"{leaf.text}" compares two texts and is {always} true',
            'write @ or !, or compare with a target key',
        )
    elif not isinstance(ast.literal_eval(leaf.kind), str):
        yield warn(
            f'"{leaf.text}": targets are text, and {leaf.kind} is compared as '
            f'the text "{node.left}"',
            'write a text in quotes',
        )


def _look_at_undecidable(leaf: Leaf, around: Surroundings) -> Iterator[Complaint]:
    node = leaf.make_node()
    if isinstance(node, Constant):
        end = 'refuses' if around.asked == 'the guard' else 'may answer 500'
        yield warn(
            f'"{leaf.text}" cannot be evaluated: {around.asked} {end}',
            "write name:value, name:%(key)s or 'text':%(key)s",
        )


def _look_at_keys(leaf: Leaf, around: Surroundings) -> Iterator[Complaint]:
    node = leaf.make_node()
    if node is None:
        return
    for key in sorted(node.reads - {*around.keys}):
        yield warn(
            f'"{leaf.text}": targets have no "{key}"{suggest(key, around.keys)}',
            f'use one of {", ".join(sorted(around.keys))}',
        )
    wanted = leaf.kind.removeprefix('service_')
    if wanted in _IDS and node.reads & {*_IDS} - {wanted} and wanted not in node.reads:
        yield warn(
            f'"{leaf.text}" compares ids of different things',
            f'write {leaf.kind}:%({wanted})s',
        )


def _look_at_remote(leaf: Leaf, _around: Surroundings) -> Iterator[Complaint]:
    if leaf.kind not in REMOTE:
        return
    if leaf.negated:
        yield warn(
            f'"not {leaf.text}" allows when the decision point fails: an error '
            'page counts as "False"',
            'ask the opposite question there, without "not"',
        )
    elif leaf.kind == 'http':
        yield note(
            f'"{leaf.text}" is asked in the clear; whoever is between can answer',
            'use https, with remote_ssl_verify_server_crt = true',
        )


_LOOKS: tuple[Callable[[Leaf, Surroundings], Iterator[Complaint]], ...] = (
    _look_at_role,
    _look_at_credential,
    _look_at_literal,
    _look_at_undecidable,
    _look_at_keys,
    _look_at_remote,
)
