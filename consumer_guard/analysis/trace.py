# SPDX-License-Identifier: Apache-2.0
"""A rule's check tree with the value of every check, for people to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard.model import Caller, Truth
from consumer_guard.rules.nodes import (
    AllOf,
    AnyOf,
    Facts,
    Node,
    Not,
    Reference,
)
from consumer_guard.rules.remote import Remote
from consumer_guard.rules.rulebook import Rulebook

_WIDTH = max(len(truth.name) for truth in Truth) + 1
_INDENT = '  '


@dataclass(frozen=True, slots=True)
class Trace:
    """One check and its truth.

    :ivar check: as oslo.policy writes it; the rule's name at the top
    :ivar joins: ``any of``, ``all of`` or ``not`` where there are parts
    :ivar why: an explanation of the truth, or ''. Security: names attributes,
        never values, so that it holds no id of an owner
    """

    check: str
    truth: Truth
    joins: str = ''
    why: str = ''
    parts: 'tuple[Trace, ...]' = ()

    def lines(self, depth: int = 0) -> list[str]:
        """The value first, then the check, parts below it and further in."""
        text = ': '.join(part for part in (self.check, self.joins) if part)
        why = f' ({self.why})' if self.why else ''
        value = self.truth.name.lower().ljust(_WIDTH)
        own = f'{value}{_INDENT * depth}{text}{why}'
        return [own, *(line for part in self.parts for line in part.lines(depth + 1))]

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        fields = {
            'joins': self.joins,
            'why': self.why,
            'parts': [part.as_dict() for part in self.parts],
        }
        shown = {name: value for name, value in fields.items() if value}
        return {'check': self.check, 'value': self.truth.name.lower(), **shown}


def trace_rule(
    rulebook: Rulebook,
    rule: str,
    caller: Caller,
    target: Mapping[str, str],
    *,
    final: bool,
) -> Trace:
    """A ruling check by check, those included that it did not need.

    Parameters as for :meth:`Rulebook.judge`; each remote check is called once.

    :raises KeyError: no such rule
    """
    entry = rulebook.entry(rule)
    if caller.scope not in entry.scopes:
        why = f'for {", ".join(sorted(entry.scopes))} tokens only'
        return Trace(rule, Truth.NO, why=f'{why}, not {caller.scope}')
    call = entry.call_remote if final else None
    facts = Facts(caller.credentials, caller.roles, target, call)
    return _Tracer(facts).trace(entry.node, rule)


class _Tracer:
    """One run; lives no longer than :func:`trace_rule`."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._references: dict[str, Truth] = {}

    def trace(self, node: Node, name: str = '') -> Trace:
        if isinstance(node, Reference):
            known = self._references.get(node.name)
            if known is not None:
                return Trace(str(node), known, why='as above')
            traced = self.trace(node.node, str(node))
            self._references[node.name] = traced.truth
            return traced
        if isinstance(node, Not):
            part = self.trace(node.node)
            return Trace(name, Truth(2 - part.truth), 'not', parts=(part,))
        if isinstance(node, AllOf | AnyOf):
            parts = tuple([self.trace(operand) for operand in node.nodes])
            join = min if isinstance(node, AllOf) else max
            words = 'all of' if isinstance(node, AllOf) else 'any of'
            return Trace(name, join(part.truth for part in parts), words, parts=parts)
        truth = node.evaluate(self._facts)
        leaf = Trace(str(node), truth, why=self._find_why(node, truth))
        return Trace(name, truth, 'is', parts=(leaf,)) if name else leaf

    def _find_why(self, node: Node, truth: Truth) -> str:
        """Why a check is unknown, as far as its text does not show it."""
        if truth is not Truth.UNKNOWN:
            return ''
        if isinstance(node, Remote):
            if self._facts.call_remote is None:
                return 'is a remote check and not called here'
            return 'is a remote check, and there was no response'
        missing = sorted(node.reads - set(self._facts.target))
        return f'{" and ".join(missing)} not known' if missing else 'cannot be compared'
