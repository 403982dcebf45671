# SPDX-License-Identifier: Apache-2.0
"""A rule's check tree with the value of every check, for people to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard.model import Caller, Truth
from consumer_guard.rules.nodes import (
    AllOf,
    AnyOf,
    CallRemote,
    Facts,
    Node,
    Not,
    Reference,
    RemoteCheck,
)
from consumer_guard.rules.remote import Remote
from consumer_guard.rules.rulebook import Rulebook

_WIDTH = max(len(truth.name) for truth in Truth) + 1
_INDENT = '  '


@dataclass(frozen=True, slots=True)
class Trace:
    """One check and what it came to.

    :ivar check: as oslo.policy writes it; the rule's name at the top
    :ivar joins: ``any of``, ``all of`` or ``not`` where there are parts
    :ivar why: what the value does not tell by itself, or ''. Security: names
        attributes, never values; an owner's ids stay out of it
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
        found: dict[str, Any] = {'check': self.check, 'value': self.truth.name.lower()}
        if self.joins:
            found['joins'] = self.joins
        if self.why:
            found['why'] = self.why
        if self.parts:
            found['parts'] = [part.as_dict() for part in self.parts]
        return found


def explain(
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
    if entry.scopes is not None and caller.scope not in entry.scopes:
        why = f'for {", ".join(sorted(entry.scopes))} tokens only'
        return Trace(rule, Truth.NO, why=f'{why}, not {caller.scope}')
    call = _call_once(entry.call_remote) if final and entry.call_remote else None
    facts = Facts(caller.credentials, caller.roles, target, call)
    return _Tracer(facts).trace(entry.node, rule)


class _Tracer:
    """One run; lives no longer than :func:`explain`."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._shown: set[str] = set()

    def trace(self, node: Node, name: str = '') -> Trace:
        truth = node.evaluate(self._facts)
        if isinstance(node, Reference):
            if node.name in self._shown:
                return Trace(str(node), truth, why='as above')
            self._shown.add(node.name)
            return self.trace(node.node, str(node))
        joins, operands = _take_apart(node)
        if joins:
            parts = tuple(self.trace(one) for one in operands)
            return Trace(name, truth, joins, parts=parts)
        leaf = Trace(str(node), truth, why=self._explain(node, truth))
        return Trace(name, truth, 'is', parts=(leaf,)) if name else leaf

    def _explain(self, node: Node, truth: Truth) -> str:
        if truth is not Truth.UNKNOWN:
            return ''
        if isinstance(node, Remote):
            if self._facts.call_remote is None:
                return 'is answered elsewhere and not asked here'
            return 'is answered elsewhere, and there was no answer'
        missing = sorted(node.reads - set(self._facts.target))
        if missing:
            return f'{" and ".join(missing)} not known'
        return 'cannot be compared'


def _take_apart(node: Node) -> tuple[str, tuple[Node, ...]]:
    if isinstance(node, AllOf):
        return 'all of', node.nodes
    if isinstance(node, AnyOf):
        return 'any of', node.nodes
    if isinstance(node, Not):
        return 'not', (node.node,)
    return '', ()


def _call_once(call: CallRemote) -> CallRemote:
    """Call every check once, although several lines need its answer."""
    answers: dict[int, bool | Exception] = {}

    def call_once(
        check: RemoteCheck, target: Mapping[str, str], credentials: Mapping[str, Any]
    ) -> bool:
        if id(check) not in answers:
            try:
                answers[id(check)] = call(check, target, credentials)
            except Exception as error:
                answers[id(check)] = error
        answer = answers[id(check)]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call_once
