# SPDX-License-Identifier: Apache-2.0
"""Lints of both services' rules side by side: whom only one of them allows."""

import enum
from collections.abc import Iterator

from consumer_guard.analysis.lint.callers import (
    OWN,
    Roles,
    find_least,
    judge,
    list_roles,
    placement_allows,
    say_roles,
)
from consumer_guard.analysis.lint.findings import Complaint, Finding, note, warn
from consumer_guard.analysis.lint.placement import make_target, name_rule
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.guard import model
from consumer_guard.guard.model import Operation, Ownership, Truth


class Mismatch(enum.Enum):
    """Whom one service allows and the other does not."""

    PLACEMENT_REFUSES = 'role'
    PLACEMENT_REFUSES_OWNERS = 'owner'
    GUARD_REFUSES = 'guard'


def lint_across(
    ours: RuleSet, placements: RuleSet, passage_role: str
) -> Iterator[Finding]:
    """All mismatches that are not those of the defaults.

    Owners whom placement refuses by default are noted: its rule is to be
    opened to the passage role in the end.
    """
    usual = ours.without_files(), placements.without_files()
    for operation in model.OPERATIONS:
        found = find_mismatches(ours, placements, operation, passage_role)
        known = find_mismatches(*usual, operation, passage_role)
        for mismatch, sets in found.items():
            new = [roles for roles in sets if roles not in known[mismatch]]
            complaint = None
            if new:
                complaint = _complain(mismatch, new, operation, passage_role)
            elif mismatch is Mismatch.PLACEMENT_REFUSES_OWNERS and sets:
                warned = _complain(mismatch, sets, operation, passage_role)
                complaint = note(warned.what, warned.cure)
            if complaint is not None:
                yield _place(complaint, ours, placements, operation, mismatch)


def find_mismatches(
    ours: RuleSet, placements: RuleSet, operation: Operation, passage_role: str
) -> dict[Mismatch, list[Roles]]:
    """The least sets of roles for each mismatch; none where a rule is missing."""
    guard = ours.compile(operation.rule)
    placement = placements.compile(name_rule(operation))
    if guard is None or placement is None:
        return {mismatch: [] for mismatch in Mismatch}
    names = [name for name in list_roles(guard, placement) if name != passage_role]
    never = operation.ownership is Ownership.NEVER

    def by_role(roles: Roles) -> bool:
        return judge(guard, roles, {}) is Truth.YES

    def by_ownership(roles: Roles) -> bool:
        return not never and judge(guard, roles, OWN) is Truth.YES

    def behind(roles: Roles, *, own: bool) -> bool:
        return placement_allows(placement, roles, make_target(operation, own=own))

    def behind_passage(roles: Roles) -> bool:
        return behind((*roles, passage_role) if passage_role else roles, own=True)

    return {
        Mismatch.PLACEMENT_REFUSES: find_least(
            names, lambda roles: by_role(roles) and not behind(roles, own=False)
        ),
        Mismatch.PLACEMENT_REFUSES_OWNERS: find_least(
            names,
            lambda roles: (
                by_ownership(roles) and not by_role(roles) and not behind_passage(roles)
            ),
        ),
        Mismatch.GUARD_REFUSES: find_least(
            names,
            lambda roles: (
                behind(roles, own=True)
                and not by_role(roles)
                and not by_ownership(roles)
            ),
        ),
    }


def _complain(
    mismatch: Mismatch, sets: list[Roles], operation: Operation, passage_role: str
) -> Complaint:
    who, theirs = say_roles(sets), name_rule(operation)
    if mismatch is Mismatch.PLACEMENT_REFUSES:
        return warn(
            f'the guard lets {who} through, and "{theirs}" refuses them',
            f'let them in there as well, or not in "{operation.rule}"',
        )
    if mismatch is Mismatch.GUARD_REFUSES:
        return warn(
            f'"{theirs}" allows {who}, and the guard refuses them',
            f'let them in by "{operation.rule}" as well, or not by placement\'s',
        )
    return warn(
        f'the guard lets owners through, {who}, and "{theirs}" refuses them',
        f'open "{theirs}" to role:{passage_role or "<passage_role>"}',
    )


def _place(
    complaint: Complaint,
    ours: RuleSet,
    placements: RuleSet,
    operation: Operation,
    mismatch: Mismatch,
) -> Finding:
    """At the rule that is in a file; where both are, at the one that refuses."""
    sides = [(placements, name_rule(operation)), (ours, operation.rule)]
    if mismatch is Mismatch.GUARD_REFUSES:
        sides.reverse()
    for rules, name in sides:
        path, line = rules.place(name)
        if line is not None:
            return Finding.make(complaint, path, line, name)
    rules, name = sides[0]
    return Finding.make(complaint, *rules.place(name), name)
