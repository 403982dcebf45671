# SPDX-License-Identifier: Apache-2.0
"""The access table for people and for files, and how two of them differ. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consumer_guard.analysis.access import (
    CALLER_CLASSES,
    AccessTable,
    CallerClass,
    Relation,
    compute_access,
    make_role_classes,
)
from consumer_guard.analysis.client import PlacementRules
from consumer_guard.analysis.equivalence import Change
from consumer_guard.analysis.terms import list_leaves, read_terms
from consumer_guard.guard import model
from consumer_guard.guard.decision import Outcome
from consumer_guard.rules.rulebook import Rulebook

#: One cell in a file: its key, then what it holds.
FIELDS = ('caller', 'operation', 'relation', 'allowed', 'outcome', 'reason', 'answer')
_KEYS = 3

#: One cell, in the order of :data:`FIELDS`.
MatrixRow = Sequence[str | bool]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Caller class by operation by relation.

    :ivar rules: text of the rule in force, by name of the operation
    :ivar remote: names of the operations whose rules have remote checks
    """

    classes: tuple[CallerClass, ...]
    cells: AccessTable
    rules: Mapping[str, str]
    remote: tuple[str, ...]

    def list_refused_by_placement(self) -> dict[str, list[str]]:
        """The caller classes whom placement alone refuses, by operation."""
        refused: dict[str, list[str]] = {}
        for (caller, operation, _), cell in self.cells.items():
            callers = refused.setdefault(operation, [])
            if cell.placement_refuses and caller not in callers:
                callers.append(caller)
        return {operation: callers for operation, callers in refused.items() if callers}

    def records(self) -> list[tuple[str | bool, ...]]:
        """One row per cell, in the order of :data:`FIELDS`."""
        return [
            (
                *(caller, operation, relation.value),
                cell.allowed,
                cell.outcome.name.lower(),
                cell.reason.value,
                cell.answer,
            )
            for (caller, operation, relation), cell in self.cells.items()
        ]

    def summarise(self, caller: str, operation: str) -> str:
        """The relations that are allowed, ``all``, or ``-`` for none."""
        cells = {each: self.cells[caller, operation, each] for each in Relation}
        allowed = [each.value for each, cell in cells.items() if cell.allowed]
        text = 'all' if len(allowed) == len(Relation) else ', '.join(allowed)
        filtered = [
            each.outcome is Outcome.FILTER and not each.placement_refuses
            for each in cells.values()
        ]
        if any(filtered):
            return f'list of {text}' if allowed else 'empty list'
        return text or '-'


def make_matrix(
    rulebook: Rulebook,
    roles: Sequence[str],
    *,
    conceal: bool,
    passage_role: str,
    nobodys_project_id: str,
    placement: PlacementRules | None = None,
) -> Matrix:
    """Compute the access table of the rules.

    :param roles: further roles that get rows, beside those in the rules
    :param placement: its own rules; without them the answers are the guard's alone
    """
    terms = {
        each.name: read_terms(list_leaves(rulebook.node(each.rule)).values())
        for each in model.OPERATIONS
    }
    known = {role for each in CALLER_CLASSES for role in each.caller.roles}
    named = {role.lower() for role in roles}
    named.update(*(each.roles for each in terms.values()))
    # No caller comes with the passage role: it is removed.
    named -= known | {passage_role.lower()}
    classes = [*CALLER_CLASSES]
    for role in sorted(named):
        classes += make_role_classes(role)
    return Matrix(
        tuple(classes),
        compute_access(
            rulebook,
            classes=classes,
            conceal=conceal,
            passage_role=passage_role,
            nobodys_project_id=nobodys_project_id,
            placement=placement,
        ),
        {each.name: rulebook.text(each.rule) for each in model.OPERATIONS},
        tuple(name for name, each in terms.items() if each.remote),
    )


class CellDifference(NamedTuple):
    """One cell that differs.

    :ivar change: newly allowed, newly refused, or another way
    :ivar before: reason and answer; '' where there was no such cell
    """

    change: Change
    caller: str
    operation: str
    relation: str
    before: str
    now: str


def compare_cells(
    before: Iterable[MatrixRow], now: Iterable[MatrixRow]
) -> list[CellDifference]:
    """What differs, newly allowed first, then in the order of the table.

    :param before: as :meth:`Matrix.records` makes them; a cell that is not there
        counts as refused
    """
    old = {tuple(map(str, row[:_KEYS])): row[_KEYS:] for row in before}
    new = {tuple(map(str, row[:_KEYS])): row[_KEYS:] for row in now}
    differences = []
    for key in new | old:
        if old.get(key) == new.get(key):
            continue
        was, is_now = (
            bool(side[key][0]) if key in side else False for side in (old, new)
        )
        change = Change.OTHERWISE
        if was is not is_now:
            change = Change.ALLOWED if is_now else Change.REFUSED
        texts = [_describe_cell(side.get(key)) for side in (old, new)]
        differences.append(CellDifference(change, *key, *texts))
    order = list(Change)
    return sorted(differences, key=lambda each: order.index(each.change))


def _describe_cell(content: MatrixRow | None) -> str:
    if content is None:
        return ''
    allowed, _, reason, answer = content
    return f'{"allowed" if allowed else "refused"}: {reason} ({answer})'
