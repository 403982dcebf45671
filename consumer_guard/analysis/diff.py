# SPDX-License-Identifier: Apache-2.0
"""What changes from one set of rules to another, newly allowed first."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from consumer_guard.analysis.access import Cell, survey
from consumer_guard.analysis.equivalence import Change, Comparison, compare_rules
from consumer_guard.analysis.replay import Effect, Kind, Tally
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.analysis.wording import describe_scenario
from consumer_guard.guard import model
from consumer_guard.guard.model import Operation
from consumer_guard.rules.rulebook import Rulebook


class Rank(enum.IntEnum):
    """In this order changes are shown."""

    NEWLY_ALLOWED = 0
    NEWLY_REFUSED = 1
    UNDECIDED = 2
    ALLOWED_OTHERWISE = 3
    REFUSED_OTHERWISE = 4

    def __str__(self) -> str:
        """In words."""
        return self.name.lower().replace('_', ' ')


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the result.

    :ivar by: 'class', 'rule' or 'record': how it was found
    :ivar who: caller class, caller in words, or service
    :ivar whose: the relation of the consumer to the class, else ''
    :ivar count: recorded requests, None where none are counted
    :ivar example: request id of one of them
    """

    rank: Rank
    by: str
    operation: str
    who: str
    whose: str
    old: str
    new: str
    count: int | None = None
    example: str = ''


_RANK_OF_CHANGE = {
    Change.ALLOWED: Rank.NEWLY_ALLOWED,
    Change.REFUSED: Rank.NEWLY_REFUSED,
    Change.OTHERWISE: Rank.REFUSED_OTHERWISE,
}
_RANK_OF_EFFECT = {
    Effect.ALLOWED: Rank.NEWLY_ALLOWED,
    Effect.REFUSED: Rank.NEWLY_REFUSED,
    Effect.UNDECIDED: Rank.UNDECIDED,
}
_TRUTHS = {
    model.Truth.YES: 'allowed',
    model.Truth.UNKNOWN: 'left to the owner, or unknown',
    model.Truth.NO: 'refused',
}


def compare_all(old: Rulebook, new: Rulebook) -> dict[Operation, Comparison]:
    """The rules of all operations, old against new."""
    return {
        operation: compare_rules(
            old.node(operation.rule), new.node(operation.rule), operation
        )
        for operation in model.OPERATIONS
    }


def list_differences(
    old: Rulebook,
    new: Rulebook,
    comparisons: dict[Operation, Comparison],
    tally: Tally | None,
) -> list[Difference]:
    """All that changes: for classes, in rules, and for recorded requests."""
    found = [*_compare_classes(old, new), *_show_rules(old, new, comparisons)]
    if tally is not None:
        found += [
            _show_requests(effect, kind, tally) for effect, kind in sorted_kinds(tally)
        ]
    return sorted(found, key=lambda difference: difference.rank)


def _compare_classes(old: Rulebook, new: Rulebook) -> Iterator[Difference]:
    before, after = survey(old), survey(new)
    for (who, operation, relation), cell in after.items():
        former = before[who, operation, relation]
        if former == cell:
            continue
        # Only the reason is another; the rule's own line tells of it.
        if not (former.allowed or cell.allowed) and former.answer == cell.answer:
            continue
        yield Difference(
            _rank_cells(former, cell),
            'class',
            operation,
            who,
            relation.value,
            _say(former),
            _say(cell),
        )


def _rank_cells(old: Cell, new: Cell) -> Rank:
    if old.allowed is new.allowed:
        return Rank.ALLOWED_OTHERWISE if new.allowed else Rank.REFUSED_OTHERWISE
    return Rank.NEWLY_ALLOWED if new.allowed else Rank.NEWLY_REFUSED


def _say(cell: Cell) -> str:
    return f'{cell.answer}: {cell.reason.value}'


def _show_rules(
    old: Rulebook, new: Rulebook, comparisons: dict[Operation, Comparison]
) -> Iterator[Difference]:
    for operation, comparison in comparisons.items():
        rule = operation.rule
        nodes = old.node(rule), new.node(rule)
        leaves = list_leaves(*nodes)
        for change, world in comparison.witnesses.items():
            yield Difference(
                _RANK_OF_CHANGE[change],
                'rule',
                operation.name,
                describe_scenario(world, leaves),
                '',
                _TRUTHS[world.judge(nodes[0])],
                _TRUTHS[world.judge(nodes[1])],
            )
        if not comparison.decided:
            more = 'more callers' if comparison.witnesses else 'any caller'
            yield Difference(
                Rank.UNDECIDED,
                'rule',
                operation.name,
                f'whether it changes for {more}: too much is in the rules to say',
                '',
                old.text(rule),
                new.text(rule),
            )


def sorted_kinds(tally: Tally) -> list[tuple[Effect, Kind]]:
    """The kinds of requests, the most frequent first."""
    return sorted(tally.kinds, key=lambda key: (-tally.kinds[key].number, key[1]))


def _show_requests(effect: Effect, kind: Kind, tally: Tally) -> Difference:
    count = tally.kinds[effect, kind]
    old, new = {
        Effect.ALLOWED: ('refused, or in part', 'allowed, or in part'),
        Effect.REFUSED: ('allowed, or in part', 'refused, or in part'),
    }.get(effect, ('', ''))
    return Difference(
        _RANK_OF_EFFECT[effect],
        'record',
        kind.operation,
        f'{kind.service} (user {kind.user_id}, project {kind.project_id})',
        '',
        old,
        new,
        count.number,
        count.example,
    )
