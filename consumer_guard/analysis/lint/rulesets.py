# SPDX-License-Identifier: Apache-2.0
"""All the rules of one service: those of its files over its defaults."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from consumer_guard.analysis.lint.trees import list_leaves
from consumer_guard.analysis.source import WrittenFile, WrittenRule
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import nodes
from consumer_guard.rules.compiler import RuleText, compile_rules
from consumer_guard.rules.rulebook import DEFAULTS


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules in force, and how they came to be.

    :ivar files: in the order in which they override each other
    :ivar defaults: check strings by name; those of the code
    """

    files: tuple[WrittenFile, ...]
    defaults: Mapping[str, str]

    @property
    def written(self) -> dict[str, WrittenRule]:
        """The rule that a file says last, by name."""
        return {rule.name: rule for file in self.files for rule in file.rules}

    @property
    def texts(self) -> dict[str, RuleText]:
        """The rules in force."""
        texts = {
            name: RuleText(name, check, DEFAULTS)
            for name, check in self.defaults.items()
        }
        return texts | {
            rule.name: RuleText(rule.name, rule.value, rule.path)
            for rule in self.written.values()
        }

    def without_files(self) -> 'RuleSet':
        """The defaults alone."""
        return RuleSet((), self.defaults)

    def compile(self, name: str) -> nodes.Node | None:
        """One rule as nodes; None where there is none or it cannot be used."""
        texts = self.texts
        if name not in texts:
            return None
        try:
            return compile_rules(texts, [name]).nodes[name]
        except PolicyFileError:
            return None

    def place(self, name: str) -> tuple[str, int | None]:
        """Where a rule is from: path and line.

        A default that refers to a written rule is where that one is.
        """
        written = self.written
        for one in self.list_reachable([name]):
            if one in written:
                return written[one].path, written[one].line
        return DEFAULTS, None

    def list_reachable(self, names: Iterable[str]) -> list[str]:
        """The rules and all that they refer to, the nearest first."""
        texts = self.texts
        found: list[str] = []
        rest = list(names)
        while rest:
            name = rest.pop(0)
            if name in found:
                continue
            found.append(name)
            value = texts[name].value if name in texts else None
            if isinstance(value, str):
                rest += [leaf.match for leaf in list_leaves(value) if leaf.is_reference]
        return found
