# SPDX-License-Identifier: Apache-2.0
"""Lints of one rule as text: its value, its references, and each of its checks.

A check is linted for what it can never be, and what it hardly means.
"""

import ast
import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from consumer_guard.analysis.findings import Assessment, fail, note, warn
from consumer_guard.analysis.lint.rulesets import (
    REMOTE_KINDS,
    RuleSet,
    TextCheck,
    explain_refusal,
    list_checks,
)
from consumer_guard.analysis.terms import CREDENTIALS, OTHER_SCOPES, PLURAL
from consumer_guard.guard.model import TARGET_KEYS
from consumer_guard.rules.leaves import Constant, LiteralIs

REFUSED = 'the guard refuses the file'

_KINDS = frozenset({'role', 'rule', *REMOTE_KINDS})
_COMPARABLE = CREDENTIALS - OTHER_SCOPES - {'roles'}
_IDS = ('project_id', 'user_id')
_FIX_EMPTY = 'write "@" to allow everybody, "!" to allow nobody'


@dataclass(frozen=True, slots=True)
class RuleContext:
    """The service whose rules are linted.

    :ivar names: of all rules that are defined
    :ivar service: 'the guard' or 'placement'
    :ivar prefix: of the service's rules, with the colon
    """

    names: Collection[str]
    service: str
    prefix: str

    @property
    def is_guard(self) -> bool:
        """Whether they are the guard's."""
        return self.service == 'the guard'


def suggest(name: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?``, or nothing when no name is near."""
    near = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    return f'; did you mean "{near[0]}"?' if near else ''


def lint_text(name: str, rules: RuleSet, context: RuleContext) -> Iterator[Assessment]:
    """All that is wrong with one rule's text.

    :param name: of a rule in force
    """
    value = rules.texts[name].value
    yield from _lint_value(value, context)
    if not isinstance(value, str) or not value.strip():
        return
    reason = explain_refusal(name, value)
    if reason is not None and reason.startswith('cannot be parsed'):
        shown = value if len(value) <= 60 else value[:57] + '...'
        end = REFUSED if context.is_guard else 'placement denies everybody'
        yield fail(
            f'"{shown}" cannot be parsed; {end}{_find_unprefixed(value, context)}',
            'write checks as kind:value, joined by and, or, not; a reference to a '
            'rule as rule:name',
        )
        return
    if reason is not None:
        yield fail(reason, 'split the rule, or install the required plug-in')
    for check in dict.fromkeys(list_checks(value)):
        if check.is_reference:
            yield from _lint_reference(name, check.match, rules, context)
        else:
            yield from _lint_check(check, context)


def _lint_value(value: object, context: RuleContext) -> Iterator[Assessment]:
    if isinstance(value, str):
        if not value.strip():
            end = REFUSED if context.is_guard else 'it allows everybody'
            yield fail(f'the value is empty; {end}', _FIX_EMPTY)
        return
    shown = f'the value {value!r:.40} is not text'
    is_list = bool(value) and _is_old_list(value)
    fix = f'write "{_join_old_list(value)}"' if is_list else 'put it in quotes'
    if context.is_guard:
        yield fail(f'{shown}; {REFUSED}', fix)
    elif not value:
        yield fail(f'{shown}; it allows everybody', f'{_FIX_EMPTY}, in quotes')
    elif is_list:
        yield warn(f'{shown}; lists of checks are deprecated', fix)
    else:
        yield fail(f'{shown}; placement cannot read the file', 'put it in quotes')


def _is_old_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str)
        or (isinstance(one, list) and all(isinstance(each, str) for each in one))
        for one in value
    )


def _join_old_list(value: Any) -> str:
    """The text of a list: one of its elements, each with all of its checks."""
    parts = [[one] if isinstance(one, str) else one for one in value if one]
    texts = [' and '.join(checks) for checks in parts]
    several = len(texts) > 1
    return ' or '.join(
        f'({text})' if several and len(checks) > 1 else text
        for text, checks in zip(texts, parts, strict=True)
    )


def _find_unprefixed(value: str, context: RuleContext) -> str:
    """Whether a word in the text is a rule's name without ``rule:``."""
    for word in value.replace('(', ' ').replace(')', ' ').split():
        for name in (word, context.prefix + word):
            if name in context.names:
                return f'; write rule:{name} for "{word}"'
    return ''


def _lint_reference(
    name: str, other: str, rules: RuleSet, context: RuleContext
) -> Iterator[Assessment]:
    if other not in context.names:
        end = 'placement uses its rule "default" instead, or denies'
        if context.is_guard:
            end = REFUSED
        yield fail(
            f'refers to the unknown rule "{other}"; {end}'
            f'{suggest(other, context.names)}',
            'define it, or refer to another',
        )
    elif name in rules.list_reachable([other]):
        yield fail(
            f'refers to itself through "{other}"',
            'remove the cycle: a rule cannot refer to itself',
        )


def _lint_check(check: TextCheck, context: RuleContext) -> Iterator[Assessment]:
    if check.text in context.names:
        yield warn(
            f'"{check.text}" is the name of a rule, but is read as the credential '
            f'"{check.kind}" compared with "{check.match}", which is never true',
            f'write rule:{check.text}',
        )
        return
    yield from _lint_role(check)
    yield from _lint_credential(check)
    yield from _lint_literal(check)
    yield from _lint_undecidable(check, context)
    yield from _lint_keys(check)
    yield from _lint_remote(check)


def _lint_role(check: TextCheck) -> Iterator[Assessment]:
    if check.kind != 'role':
        return
    if not check.match:
        yield warn('"role:" contains no role name and is never true', 'name the role')
    elif any(char in check.match for char in ',"\''):
        yield warn(
            f'"{check.text}": no role has such a name, so it is never true',
            'write one check for each role, joined by "or", without quotes',
        )


def _lint_credential(check: TextCheck) -> Iterator[Assessment]:
    if check.kind in _KINDS or check.is_literal or not check.kind:
        return
    if isinstance(check.make_node(), Constant):
        return  # another lint reports it
    name = check.kind.split('.')[0]
    if name in OTHER_SCOPES:
        yield warn(
            f'"{check.text}" is never true: rules are for tokens of project scope, '
            f'which have no {name}',
            'remove it; a token of system or domain scope is refused first',
        )
    elif name not in CREDENTIALS:
        known = (*CREDENTIALS - OTHER_SCOPES, *_KINDS)
        near = suggest(check.kind.lower().replace('tenant', 'project'), known)
        fix = f'compare with one of {", ".join(sorted(_COMPARABLE))}'
        # The nearest names mean something else.
        if check.kind == 'is_admin':
            near, fix = '', 'write role:admin'
        elif check.kind.endswith('_name'):
            near, fix = '', 'compare with an id; rules do not get names'
        yield warn(
            f'"{check.text}" is never true: callers have no credential '
            f'"{check.kind}"{near}',
            fix,
        )
    elif name == 'roles':
        yield warn(
            f'"{check.text}" is case-sensitive, unlike "role:"',
            f'write role:{check.match}',
        )
    elif name == 'is_admin_project' and check.match not in ('True', 'False'):
        yield warn(
            f'"{check.text}" is never true: the value is "True" or "False"',
            'write is_admin_project:True',
        )
    elif '.' in check.kind and name not in PLURAL:
        yield warn(
            f'"{check.text}" is never true: {name} has no parts', f'write {name}:'
        )


def _lint_literal(check: TextCheck) -> Iterator[Assessment]:
    node = check.make_node() if check.is_literal else None
    if not isinstance(node, LiteralIs):
        return
    if not node.reads:
        always = 'always' if node.left == ''.join(node.right.parts) else 'never'
        yield warn(
            f'"{check.text}" compares two texts and is {always} true',
            'write @ or !, or compare with a target key',
        )
    elif not isinstance(ast.literal_eval(check.kind), str):
        yield warn(
            f'"{check.text}": targets are text, and {check.kind} is compared as '
            f'the text "{node.left}"',
            'write a text in quotes',
        )


def _lint_undecidable(check: TextCheck, context: RuleContext) -> Iterator[Assessment]:
    if isinstance(check.make_node(), Constant):
        end = 'refuses' if context.is_guard else 'may answer 500'
        yield warn(
            f'"{check.text}" cannot be evaluated: {context.service} {end}',
            "write name:value, name:%(key)s or 'text':%(key)s",
        )


def _lint_keys(check: TextCheck) -> Iterator[Assessment]:
    node = check.make_node()
    if node is None:
        return
    for key in sorted(node.reads - {*TARGET_KEYS}):
        yield warn(
            f'"{check.text}": targets have no "{key}"{suggest(key, TARGET_KEYS)}',
            f'use one of {", ".join(sorted(TARGET_KEYS))}',
        )
    wanted = check.kind.removeprefix('service_')
    if wanted in _IDS and node.reads & {*_IDS} - {wanted} and wanted not in node.reads:
        yield warn(
            f'"{check.text}" compares ids of different things',
            f'write {check.kind}:%({wanted})s',
        )


def _lint_remote(check: TextCheck) -> Iterator[Assessment]:
    if check.kind not in REMOTE_KINDS:
        return
    if check.negated:
        yield warn(
            f'"not {check.text}" allows when the decision point fails: an error page '
            'counts as "False"',
            'invert the answer of the decision point, and remove "not"',
        )
    elif check.kind == 'http':
        yield note(
            f'"{check.text}" is sent unencrypted; anyone on the path can answer',
            'use https, with remote_ssl_verify_server_crt = true',
        )
