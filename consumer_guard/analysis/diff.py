# SPDX-License-Identifier: Apache-2.0
"""What changes from one set of rules to another, newly allowed first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from consumer_guard.analysis.access import Cell, compute_access
from consumer_guard.analysis.comparing import compare_operation
from consumer_guard.analysis.equivalence import Change, Comparison
from consumer_guard.analysis.replay import ReplaySummary
from consumer_guard.analysis.scenarios import describe_scenario
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard import model
from consumer_guard.guard.model import Operation, Truth
from consumer_guard.rules.rulebook import Rulebook


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the result, its columns in order.

    :ivar by: how it is shown: for a 'class', by 'proof' for all who are meant, for
        one caller whom a 'rule' treats otherwise, or for a 'record'
    :ivar who: caller class, callers in words, or service
    :ivar whose: the relation of the consumer to the class, else ''
    :ivar count: recorded requests, None where none are counted
    :ivar example: request id of one of them
    """

    change: Change
    by: str
    operation: str
    who: str
    whose: str
    old: str
    new: str
    count: int | None = None
    example: str = ''


def compare_all(old: Rulebook, new: Rulebook) -> dict[Operation, Comparison]:
    """The rules of all operations, old against new; by proof where z3 is there."""
    return {
        operation: compare_operation(
            old.node(operation.rule), new.node(operation.rule), operation
        )
        for operation in model.OPERATIONS
    }


def list_unaffected(
    comparisons: Mapping[Operation, Comparison], change: Change
) -> list[str]:
    """The operations for which it is proven that a change is nobody's."""
    return [
        operation.name
        for operation, known in comparisons.items()
        if known.decided and known.proven and change not in known.changes
    ]


def list_differences(
    old: Rulebook,
    new: Rulebook,
    comparisons: Mapping[Operation, Comparison],
    replayed: ReplaySummary | None,
) -> list[Difference]:
    """All that changes: for classes, in rules, and for recorded requests."""
    differences = [*_compare_classes(old, new)]
    for operation, comparison in comparisons.items():
        differences += _describe_rules(operation, comparison, old, new)
    if replayed is not None:
        differences += _describe_requests(replayed)
    order = list(Change)
    return sorted(differences, key=lambda each: order.index(each.change))


def _compare_classes(old: Rulebook, new: Rulebook) -> Iterator[Difference]:
    former = compute_access(old)
    for (caller, operation, relation), cell in compute_access(new).items():
        before = former[caller, operation, relation]
        change = _classify_cells(before, cell)
        # Where only the reason of a refusal changes, the rule's own line shows it.
        if before == cell or (
            change is Change.REFUSED_OTHERWISE and before.answer == cell.answer
        ):
            continue
        yield Difference(
            change,
            'class',
            operation,
            caller,
            relation.value,
            f'{before.answer}: {before.reason.value}',
            f'{cell.answer}: {cell.reason.value}',
        )


def _classify_cells(old: Cell, new: Cell) -> Change:
    if old.allowed is new.allowed:
        return Change.ALLOWED_OTHERWISE if new.allowed else Change.REFUSED_OTHERWISE
    return Change.ALLOWED if new.allowed else Change.REFUSED


def _describe_rules(
    operation: Operation, comparison: Comparison, old: Rulebook, new: Rulebook
) -> Iterator[Difference]:
    rule = operation.rule
    old_node, new_node = old.node(rule), new.node(rule)
    leaves = list_leaves(old_node, new_node)
    shown = [
        ('rule', change, describe_scenario(scenario, leaves), scenario)
        for change, scenario in comparison.counterexamples.items()
    ] + [('proof', *group) for group in comparison.groups]
    for by, change, who, scenario in shown:
        yield Difference(
            change,
            by,
            operation.name,
            who,
            '',
            _describe_truth(scenario.judge(old_node)),
            _describe_truth(scenario.judge(new_node)),
        )
    if not comparison.decided:
        who = 'other callers' if comparison.changes else 'any caller'
        yield Difference(
            Change.UNDECIDED,
            'rule',
            operation.name,
            f'{who}: the rules are too large to compare exhaustively',
            '',
            old.text(rule),
            new.text(rule),
        )


def _describe_truth(truth: Truth) -> str:
    if truth is Truth.UNKNOWN:
        return 'depends on the owner, or unknown'
    return 'allowed' if truth is Truth.YES else 'refused'


def _describe_requests(replayed: ReplaySummary) -> Iterator[Difference]:
    """The groups of requests, the most frequent first."""
    groups = sorted(replayed.groups.items(), key=lambda item: (-item[1], item[0][1]))
    for (change, group), count in groups:
        old, new = 'allowed, or in part', 'refused, or in part'
        if change is Change.ALLOWED:
            old, new = new, old
        decided = change is not Change.UNDECIDED
        yield Difference(
            change,
            'record',
            group.operation,
            f'{group.service} (user {group.user_id}, project {group.project_id})',
            '',
            old if decided else '',
            new if decided else '',
            count,
            replayed.examples[change, group],
        )
