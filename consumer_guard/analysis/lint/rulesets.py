# SPDX-License-Identifier: Apache-2.0
"""All the rules of one service: those of its files over its defaults.

Rules are texts here, as oslo.policy reads them; :meth:`RuleSet.compile` makes
the guard's nodes of one.
"""

import ast
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from oslo_policy import policy

from consumer_guard.analysis.source import SourceFile, SourceRule
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import leaves, nodes
from consumer_guard.rules.compiler import RuleText, compile_rules
from consumer_guard.rules.rulebook import DEFAULTS

#: The kinds of checks that another server answers.
REMOTE_KINDS = frozenset({'http', 'https'})


@dataclass(frozen=True, slots=True)
class TextCheck:
    """One check in a rule.

    :ivar kind: the part before the first colon, '' for ``@`` and ``!``
    :ivar match: the part after it
    :ivar negated: whether it is under a ``not``
    """

    kind: str
    match: str
    negated: bool

    @property
    def text(self) -> str:
        """As oslo.policy writes it."""
        return f'{self.kind}:{self.match}'

    @property
    def is_reference(self) -> bool:
        """Whether it is ``rule:name``."""
        return self.kind == 'rule'

    @property
    def is_literal(self) -> bool:
        """Whether the kind is a literal, as ``'VM':`` or ``True:``."""
        try:
            ast.literal_eval(self.kind)
        except Exception:
            return False
        return True

    def make_node(self) -> nodes.Node | None:
        """The guard's own node; None for references and checks of plugins."""
        if self.kind == 'role':
            return leaves.make_role_check(self.text, self.match)
        if self.is_reference or self.kind in REMOTE_KINDS or not self.kind:
            return None
        return leaves.make_generic_check(self.text, self.kind, self.match)


def list_checks(value: object) -> list[TextCheck]:
    """The checks of a rule, as oslo.policy parses it; none when it cannot."""
    if not isinstance(value, str):
        return []
    try:
        check: object = policy.RuleDefault('lint', value).check
    except Exception:
        return []
    return list(_walk(check, negated=False))


def _walk(check: object, *, negated: bool) -> Iterator[TextCheck]:
    if isinstance(check, policy.NotCheck):
        yield from _walk(check.rule, negated=not negated)
    elif isinstance(check, policy.AndCheck | policy.OrCheck):
        for each in check.rules:
            yield from _walk(each, negated=negated)
    elif isinstance(check, policy.Check):
        yield TextCheck(check.kind, check.match, negated)


def explain_refusal(name: str, value: object) -> str | None:
    """Why the guard does not take a value for a rule; None when it does.

    References are not followed.
    """
    texts = {name: RuleText(name, value, '')}
    for check in list_checks(value):
        if check.is_reference:
            texts.setdefault(check.match, RuleText(check.match, '!', ''))
    try:
        compile_rules(texts, [name])
    except PolicyFileError as error:
        reason = str(error).partition(f'rule "{name}": ')[2] or str(error)
        return None if reason.startswith('refers to itself') else reason
    return None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules in force, and where they are from.

    :ivar files: in the order in which they override each other
    :ivar defaults: check strings by name; those of the code
    """

    files: tuple[SourceFile, ...]
    defaults: Mapping[str, str]

    @property
    def written(self) -> dict[str, SourceRule]:
        """The last rule of the files, by name."""
        return {rule.name: rule for file in self.files for rule in file.rules}

    @property
    def texts(self) -> dict[str, RuleText]:
        """The rules in force."""
        defaults = [RuleText(*each, DEFAULTS) for each in self.defaults.items()]
        written = [
            RuleText(rule.name, rule.value, rule.path) for rule in self.written.values()
        ]
        return {text.name: text for text in (*defaults, *written)}

    def compile(self, name: str) -> nodes.Node | None:
        """One rule as nodes; None where there is none or it cannot be used."""
        texts = self.texts
        if name not in texts:
            return None
        try:
            return compile_rules(texts, [name]).nodes[name]
        except PolicyFileError:
            return None

    def locate(self, name: str) -> tuple[str, int | None]:
        """Path and line of a rule.

        A default that refers to a written rule is where that one is.
        """
        written = self.written
        for reachable in self.list_reachable([name]):
            if reachable in written:
                return written[reachable].path, written[reachable].line
        return DEFAULTS, None

    def list_reachable(self, names: Iterable[str]) -> list[str]:
        """The rules and all that they refer to, the nearest first."""
        texts = self.texts
        reachable: list[str] = []
        queue = list(names)
        while queue:
            name = queue.pop(0)
            if name in reachable:
                continue
            reachable.append(name)
            if name in texts:
                checks = list_checks(texts[name].value)
                queue += [check.match for check in checks if check.is_reference]
        return reachable


def find_registered() -> Sequence[policy.RuleDefault] | None:
    """Placement's own defaults, where placement is installed."""
    try:
        placement = importlib.import_module('placement.policies')
    except ImportError:
        return None
    rules: Sequence[policy.RuleDefault] = placement.list_rules()
    return rules


def list_defaults(
    registered: Sequence[policy.RuleDefault],
    written: Mapping[str, SourceRule],
    *,
    new_alone: bool,
) -> dict[str, str]:
    """The check strings that placement uses where no file has one.

    :param written: rules in files
    :param new_alone: ``[oslo_policy] enforce_new_defaults``; without it the
        deprecated check is allowed as well
    """
    defaults = {}
    for rule in registered:
        check, old = rule.check_str, rule.deprecated_rule
        if replacement := find_replacement(rule, written):
            check = f'rule:{replacement}'
        elif old and old.check_str != check and rule.name not in written:
            check = check if new_alone else f'({check}) or ({old.check_str})'
        defaults[rule.name] = check
    return defaults


def find_replacement(
    rule: policy.RuleDefault, written: Mapping[str, SourceRule]
) -> str | None:
    """The deprecated name under which a file has a rule instead of the default.

    As in ``Enforcer._handle_deprecated_rule`` of oslo.policy 6: not where it says
    the text of the deprecated default, or refers to the new name.
    """
    old = rule.deprecated_rule
    if not old or old.name == rule.name or old.name not in written:
        return None
    if rule.name in written:
        return None
    value = written[old.name].value
    if isinstance(value, str):
        check = policy.RuleDefault(old.name, value).check
        if check == old.check or str(check) == f'rule:{rule.name}':
            return None
    return old.name
