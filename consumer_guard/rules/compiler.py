# SPDX-License-Identifier: Apache-2.0
"""oslo.policy's check trees, compiled into nodes.

oslo.policy owns the language: it parses every text. What it lets pass in
silence (text that it cannot parse denies, an unknown reference falls to the
rule ``default``, a cycle raises at the request) is an error here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from oslo_policy import policy

from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import leaves
from consumer_guard.rules.nodes import AllOf, AnyOf, Node, Not, Reference
from consumer_guard.rules.remote import Remote

#: How deep rules may be nested, references included.
MAX_DEPTH = 100

#: How many checks a rule may have, those of references included, each time: rules
#: that refer to each other twice have twice as many at every level.
MAX_CHECKS = 10_000

_DENY = re.compile(r'[(\s]*![)\s]*')


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule as it is written.

    :ivar value: what YAML made of it; only text is a rule
    :ivar path: the file that it is from
    :ivar repeated: whether the file has the name twice
    """

    name: str
    value: object
    path: str
    repeated: bool = False

    def error(self, why: str) -> PolicyFileError:
        """An error that names the file and the rule."""
        return PolicyFileError(f'{self.path}: rule "{self.name}": {why}')


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The named rules and all that they refer to.

    :ivar nodes: the nodes by rule name
    :ivar parsed: the same rules as oslo.policy's own check trees
    :ivar has_remote: whether a check among them is answered elsewhere
    """

    nodes: Mapping[str, Node]
    parsed: policy.Rules
    has_remote: bool


def compile_rules(texts: Mapping[str, RuleText], names: Iterable[str]) -> CompiledRules:
    """Compile the named rules and all that they refer to, and nothing else.

    :raises PolicyFileError: a rule is not text, empty, written twice, cannot be
        parsed, refers to an unknown rule or to itself, is nested too deep, or has
        too many checks
    """
    compiler = _Compiler(texts)
    for name in names:
        compiler.compile_rule(texts[name], 0)
    return CompiledRules(
        compiler.nodes, policy.Rules(compiler.parsed), compiler.has_remote
    )


class _Compiler:
    """One run; lives no longer than :func:`compile_rules`."""

    def __init__(self, texts: Mapping[str, RuleText]) -> None:
        self._texts = texts
        self._open: list[str] = []
        self._heights: dict[str, int] = {}
        self._deepest = 0
        self._counts: dict[str, int] = {}
        self._checks = 0
        self.nodes: dict[str, Node] = {}
        self.parsed: dict[str, Any] = {}
        self.has_remote = False
        # Types without a public name. Security: by exact type; a plugin's
        # subclass, or one registered in the place of oslo's, is remote.
        self._true = _own_type('@')
        self._false = _own_type('!')
        self._role = _own_type('role:x')
        self._generic = _own_type('consumer_guard.probe:x')

    def compile_rule(self, text: RuleText, depth: int) -> Node:
        if text.name in self.nodes:
            self._descend(text, depth + self._heights[text.name])
            return self.nodes[text.name]
        if text.name in self._open:
            trail = ' -> '.join((*self._open, text.name))
            raise text.error(f'refers to itself: {trail}')
        self._open.append(text.name)
        before, self._deepest = self._deepest, depth
        checks, self._checks = self._checks, 0
        check = self._parse(text)
        node = self._compile(check, text, depth)
        self._heights[text.name] = self._deepest - depth
        self._deepest = max(before, self._deepest)
        self._counts[text.name], self._checks = self._checks, checks
        self._open.pop()
        self.parsed[text.name] = check
        self.nodes[text.name] = node
        return node

    def _descend(self, text: RuleText, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise text.error(f'is nested deeper than {MAX_DEPTH}')
        self._deepest = max(self._deepest, depth)

    def _count(self, text: RuleText, checks: int) -> None:
        self._checks += checks
        if self._checks > MAX_CHECKS:
            raise text.error(
                f'has more than {MAX_CHECKS} checks, those of the rules that it '
                'refers to included'
            )

    def _parse(self, text: RuleText) -> object:
        written = text.value
        # Security: YAML lets the last one win, which may be the wider one.
        if text.repeated:
            raise text.error('appears twice in the file; keep one')
        # Security: oslo.policy reads "" and all that is not text as "allow".
        if not isinstance(written, str):
            raise text.error(f'the value is {written!r:.40}, not text; quote it')
        if not written.strip():
            raise text.error('the value is empty; write "@" to allow everybody')
        try:
            check = policy.RuleDefault(text.name, written).check
        except Exception as error:  # a plugin's check, or nesting without end
            raise text.error(f'cannot be parsed: {error!r:.200}') from error
        if not self._understood(check, written):
            raise text.error('cannot be parsed (a forgotten "rule:"?)')
        return check

    def _understood(self, check: object, written: str) -> bool:
        """Whether every denial in the tree was written as ``!``.

        Security: oslo.policy denies what it cannot parse, and ``not`` would
        turn that into "allow".
        """
        if type(check) is self._false:
            return _is_deny(written)
        denials = 0
        rest: list[object] = [check]
        while rest:
            node = rest.pop()
            denials += int(type(node) is self._false)
            if type(node) is policy.NotCheck:
                rest.append(node.rule)
            elif type(node) is policy.AndCheck or type(node) is policy.OrCheck:
                rest.extend(node.rules)
        tokens = [token.lstrip('(').rstrip(')') for token in re.split(r'\s+', written)]
        return denials == tokens.count('!')

    def _compile(self, check: object, text: RuleText, depth: int) -> Node:
        self._descend(text, depth)
        self._count(text, 1)
        if type(check) is policy.RuleCheck:
            other = self._texts.get(check.match)
            if other is None:
                raise text.error(f'refers to the unknown rule "{check.match}"')
            node = self.compile_rule(other, depth + 1)
            self._count(text, self._counts[check.match])
            return Reference(check.match, node)
        if type(check) is policy.NotCheck:
            return Not(self._compile(check.rule, text, depth + 1))
        if type(check) is policy.AndCheck:
            return AllOf(self._compile_all(check.rules, text, depth))
        if type(check) is policy.OrCheck:
            return AnyOf(self._compile_all(check.rules, text, depth))
        return self._compile_leaf(check, text)

    def _compile_all(
        self, rules: Iterable[object], text: RuleText, depth: int
    ) -> tuple[Node, ...]:
        return tuple(self._compile(rule, text, depth + 1) for rule in rules)

    def _compile_leaf(self, check: object, text: RuleText) -> Node:
        kind = type(check)
        if kind is self._true:
            return leaves.ALLOW_ALL
        if kind is self._false:
            return leaves.DENY_ALL
        if kind is self._role:
            role = cast(policy.Check, check)
            return leaves.make_role_check(str(role), role.match)
        if kind is self._generic:
            generic = cast(policy.Check, check)
            return leaves.make_generic_check(str(generic), generic.kind, generic.match)
        if not callable(check):
            raise text.error(
                f'a plugin turned it into {kind.__name__}, which is not a check'
            )
        self.has_remote = True
        name = str(getattr(check, 'kind', kind.__name__))
        return Remote(str(check), frozenset(model.TARGET_KEYS), name, check)


def _own_type(text: str) -> type | None:
    """The type that oslo.policy gives to a text, None when a plugin gave it."""
    found = type(policy.RuleDefault('probe', text).check)
    return found if found.__module__ == policy.RuleCheck.__module__ else None


def _is_deny(written: str) -> bool:
    balanced = written.count('(') == written.count(')')
    return balanced and _DENY.fullmatch(written) is not None
