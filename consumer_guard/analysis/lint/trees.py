# SPDX-License-Identifier: Apache-2.0
"""A rule's text as oslo.policy reads it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from oslo_policy import policy

from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import leaves, nodes
from consumer_guard.rules.compiler import RuleText, compile_rules

#: What stands before the colon of a check that asks elsewhere.
REMOTE = frozenset({'http', 'https'})


@dataclass(frozen=True, slots=True)
class Leaf:
    """One check in a rule.

    :ivar kind: what stands before the first colon, '' for ``@`` and ``!``
    :ivar match: what stands behind it
    :ivar negated: whether a ``not`` stands over it
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
        if self.is_reference or self.kind in REMOTE or not self.kind:
            return None
        return leaves.make_generic_check(self.text, self.kind, self.match)


def list_leaves(text: str) -> list[Leaf]:
    """The checks of a rule, as oslo.policy parses it; none when it cannot."""
    try:
        check: object = policy.RuleDefault('lint', text).check
    except Exception:
        return []
    return list(_walk(check, negated=False))


def _walk(check: object, *, negated: bool) -> Iterator[Leaf]:
    if isinstance(check, policy.NotCheck):
        yield from _walk(check.rule, negated=not negated)
    elif isinstance(check, policy.AndCheck | policy.OrCheck):
        for one in check.rules:
            yield from _walk(one, negated=negated)
    elif isinstance(check, policy.Check):
        yield Leaf(check.kind, check.match, negated)


def explain_refusal(name: str, value: object) -> str | None:
    """Why the guard does not take a value for a rule; None when it does.

    References are not followed.
    """
    texts = {name: RuleText(name, value, '')}
    for leaf in list_leaves(value) if isinstance(value, str) else ():
        if leaf.is_reference:
            texts.setdefault(leaf.match, RuleText(leaf.match, '!', ''))
    try:
        compile_rules(texts, [name])
    except PolicyFileError as error:
        why = str(error).partition(f'rule "{name}": ')[2] or str(error)
        return None if why.startswith('refers to itself') else why
    return None
