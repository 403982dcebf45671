# SPDX-License-Identifier: Apache-2.0
"""The survey of the rules as a table, and what two of them differ in. Pure."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consumer_guard.analysis.access import (
    CALLER_CLASSES,
    CallerClass,
    Cell,
    Relation,
    survey,
)
from consumer_guard.analysis.callers import make_role_classes
from consumer_guard.analysis.terms import Vocabulary, list_leaves
from consumer_guard.guard import model
from consumer_guard.guard.decision import Outcome
from consumer_guard.rules.rulebook import Rulebook

#: One cell in a file: its key, then what stands in it.
FIELDS = ('caller', 'operation', 'relation', 'allowed', 'outcome', 'reason', 'answer')
_KEYS = 3


@dataclass(frozen=True, slots=True)
class Matrix:
    """Caller class by operation by relation.

    :ivar rules: text of the rule in force, by name of the operation
    :ivar elsewhere: names of the operations whose rules ask elsewhere too
    """

    classes: tuple[CallerClass, ...]
    cells: Mapping[tuple[str, str, Relation], Cell]
    rules: Mapping[str, str]
    elsewhere: tuple[str, ...]

    def records(self) -> list[tuple[str | bool, ...]]:
        """One row a cell, in the order of :data:`FIELDS`."""
        return [
            (
                *(caller, operation, relation.value),
                cell.allowed,
                cell.outcome.value,
                cell.reason.value,
                cell.answer,
            )
            for (caller, operation, relation), cell in self.cells.items()
        ]

    def summarise(self, caller: str, operation: str) -> str:
        """The relations that are allowed, ``all``, or ``-`` for none."""
        found = {one: self.cells[caller, operation, one] for one in Relation}
        allowed = [one.value for one, cell in found.items() if cell.allowed]
        text = ', '.join(allowed) if allowed else '-'
        if len(allowed) == len(Relation):
            text = 'all'
        if any(cell.outcome is Outcome.FILTER for cell in found.values()):
            return f'list of {text}' if allowed else 'empty list'
        return text


def make_matrix(
    rulebook: Rulebook,
    roles: Sequence[str],
    *,
    conceal: bool,
    passage_role: str,
    nobodys_project_id: str,
) -> Matrix:
    """Survey the rules.

    :param roles: further roles that get rows, beside those in the rules
    """
    vocabularies = {
        one.name: Vocabulary.read(list_leaves(rulebook.node(one.rule)).values())
        for one in model.OPERATIONS
    }
    known = {role for one in CALLER_CLASSES for role in one.caller.roles}
    named = {role.lower() for role in roles}
    for vocabulary in vocabularies.values():
        named |= set(vocabulary.roles)
    # Nobody comes with the passage role: it is taken away.
    named -= known | {passage_role.lower()}
    classes = [*CALLER_CLASSES]
    for role in sorted(named):
        classes += make_role_classes(role)
    return Matrix(
        tuple(classes),
        survey(
            rulebook,
            classes=classes,
            conceal=conceal,
            passage_role=passage_role,
            nobodys_project_id=nobodys_project_id,
        ),
        {one.name: rulebook.text(one.rule) for one in model.OPERATIONS},
        tuple(name for name, one in vocabularies.items() if one.foreign),
    )


class Change(enum.Enum):
    """How a cell differs; the order is that of a comparison."""

    ALLOWED = 'newly allowed'
    REFUSED = 'newly refused'
    OTHER = 'another way'  #: allowed or refused as before, but not for the same reason


@dataclass(frozen=True, slots=True)
class Difference:
    """One cell that differs.

    :ivar before: reason and answer; '' where there was no such cell
    """

    change: Change
    caller: str
    operation: str
    relation: str
    before: str
    now: str


def compare(
    before: Iterable[Sequence[str | bool]], now: Iterable[Sequence[str | bool]]
) -> list[Difference]:
    """What differs, newly allowed first, then in the order of the table.

    :param before: rows as :meth:`Matrix.records` makes them; a cell that is not
        there counts as refused
    """
    old = {tuple(row[:_KEYS]): tuple(row[_KEYS:]) for row in before}
    new = {tuple(row[:_KEYS]): tuple(row[_KEYS:]) for row in now}
    found = []
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key) == new.get(key):
            continue
        was, is_ = (bool(side[key][0]) if key in side else False for side in (old, new))
        change = Change.OTHER
        if was is not is_:
            change = Change.ALLOWED if is_ else Change.REFUSED
        caller, operation, relation = map(str, key)
        found.append(
            Difference(
                change,
                caller,
                operation,
                relation,
                _describe(old.get(key)),
                _describe(new.get(key)),
            )
        )
    order = list(Change)
    return sorted(found, key=lambda one: order.index(one.change))


def _describe(content: Sequence[str | bool] | None) -> str:
    if content is None:
        return ''
    allowed, _, reason, answer = content
    return f'{"allowed" if allowed else "refused"}: {reason} ({answer})'
