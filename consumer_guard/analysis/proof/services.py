# SPDX-License-Identifier: Apache-2.0
"""The rules of any service that are in force, as oslo.policy reads them.

Here, unlike in the guard, what is empty allows everybody, what cannot be parsed
denies, and what is unknown refers to the rule ``default``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from oslo_policy import policy

from consumer_guard.analysis.proof.installed import ServiceRule
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.compiler import RuleText, compile_rules
from consumer_guard.rules.nodes import Node

_DEFAULT = 'default'


class CompiledRule(NamedTuple):
    """A rule in force.

    :ivar node: None where it cannot be read
    :ivar text: as oslo.policy writes it; why it cannot be read, where there is no
        node
    :ivar reached: where there is no node, its text and those of all rules that it
        refers to
    """

    node: Node | None
    text: str
    reached: frozenset[tuple[str, str]]
    scopes: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """The rules of one service.

    :ivar defaults: those that it registers
    :ivar written: those of its policy files, by name; values as YAML reads them
    """

    defaults: tuple[ServiceRule, ...]
    written: Mapping[str, object]

    @property
    def names(self) -> list[str]:
        """The rules that the service asks for; without defaults, all that are written."""
        return [rule.name for rule in self.defaults] or list(self.written)

    def compile(self, asked: Iterable[str] = ()) -> dict[str, CompiledRule]:
        """All rules of :attr:`names`.

        :param asked: more rules, for a policy without defaults; where they are not
            written the rule ``default`` decides
        """
        scopes = {rule.name: rule.scopes for rule in self.defaults}
        names = dict.fromkeys(self.names if self.defaults else [*self.names, *asked])
        texts = self._list_texts(names)
        return {
            name: CompiledRule(*_compile_rule(texts, name), scopes.get(name))
            for name in names
        }

    def _list_texts(self, names: Iterable[str]) -> dict[str, RuleText]:
        values = {rule.name: self._choose(rule) for rule in self.defaults}
        texts = {
            name: RuleText(name, normalize_text(name, value), '')
            for name, value in (values | {**self.written}).items()
        }
        other = f'rule:{_DEFAULT}' if _DEFAULT in texts else '!'
        for name in {*_list_references(texts.values()), *names} - {*texts}:
            texts[name] = RuleText(name, other, '')
        return texts

    def _choose(self, rule: ServiceRule) -> object:
        """The check of a rule that no file has (``Enforcer._handle_deprecated_rule``).

        Operators may have written its deprecated name. ``enforce_new_defaults`` is
        taken to be true, which is oslo.policy's default.
        """
        if rule.deprecated is None:
            return rule.check
        name, check = rule.deprecated
        if name == rule.name or name not in self.written:
            return rule.check
        written = self.written[name]
        text = normalize_text(name, written)
        if text in (normalize_text(name, check), f'rule:{rule.name}'):
            return rule.check
        return written


def normalize_text(name: str, value: object) -> str:
    """A value as oslo.policy understands it, in its own words.

    :raises PolicyFileError: oslo.policy raises
    """
    try:
        return str(policy.RuleDefault(name, value).check)  # type: ignore[arg-type]
    except Exception as error:
        raise PolicyFileError(
            f'rule "{name}": cannot be parsed: {error!r:.200}'
        ) from error


def _list_references(texts: Iterable[RuleText]) -> Iterator[str]:
    rest: list[object] = [
        policy.RuleDefault(text.name, str(text.value)).check for text in texts
    ]
    while rest:
        check = rest.pop()
        if isinstance(check, policy.RuleCheck):
            yield str(check.match)
        elif isinstance(check, policy.NotCheck):
            rest.append(check.rule)
        elif isinstance(check, policy.AndCheck | policy.OrCheck):
            rest.extend(check.rules)


def _compile_rule(
    texts: Mapping[str, RuleText], name: str
) -> tuple[Node | None, str, frozenset[tuple[str, str]]]:
    try:
        node = compile_rules(texts, [name]).nodes[name]
    except PolicyFileError as error:
        reached = frozenset((one, str(texts[one].value)) for one in _reach(texts, name))
        return None, str(error).removeprefix(': '), reached
    return node, str(texts[name].value), frozenset()


def _reach(texts: Mapping[str, RuleText], name: str) -> set[str]:
    reached, rest = set[str](), [name]
    while rest:
        one = rest.pop()
        if one not in reached:
            reached.add(one)
            rest += _list_references([texts[one]])
    return reached
