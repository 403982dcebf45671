# SPDX-License-Identifier: Apache-2.0
"""Lints of placement's rules, as placement asks them: without a target.

Source: ``placement.context.RequestContext.can`` of placement 16. Only
``placement:usages`` has a target, the project that is asked for; everywhere
else it is the caller's own project and user.
"""

import difflib
from collections.abc import Iterator

from consumer_guard.analysis.lint.callers import (
    FOREIGN,
    OWN,
    WEAK,
    find_least,
    placement_allows,
    say_roles,
)
from consumer_guard.analysis.lint.findings import Complaint, Finding, fail, note, warn
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard import model
from consumer_guard.guard.model import Operation, Ownership
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import HasRole

PREFIX = 'placement:'

#: As consumer_guard_passge is like consumer_guard_passage.
_LIKENESS = 0.85


def name_rule(operation: Operation) -> str:
    """Placement's own rule of a guarded operation."""
    return PREFIX + operation.name


_GUARDED = {name_rule(operation): operation for operation in model.OPERATIONS}


def make_target(operation: Operation, *, own: bool) -> dict[str, str]:
    """The target that placement asks about.

    :param own: whether the sums of the caller's own project are asked for
    """
    if operation.ownership is Ownership.SUMS:
        return {'project_id': (OWN if own else FOREIGN)['project_id']}
    return {key: OWN[key] for key in ('project_id', 'user_id')}


def lint_placement(rules: RuleSet, passage_role: str) -> Iterator[Finding]:
    """All complaints about placement's rules, guarded operations or not.

    :param passage_role: the option, lower-cased; '' when it is turned off
    """
    names = {*rules.defaults, *rules.written}
    for name in sorted(name for name in names if name.startswith(PREFIX)):
        path, line = rules.place(name)
        node = rules.compile(name)
        if node is None or line is None:
            continue  # said by another lint, or placement's own defaults
        operation = _GUARDED.get(name)
        complaints = [*_look_at_passage_role(node, operation, passage_role)]
        if operation is not None:
            complaints += [*_look_at_openness(node, operation)]
        complaints += [*_look_at_target(node, operation)]
        for complaint in complaints:
            yield Finding.make(complaint, path, line, name)


def _look_at_openness(node: nodes.Node, operation: Operation) -> Iterator[Complaint]:
    target = make_target(operation, own=False)
    open_to = find_least(WEAK, lambda roles: placement_allows(node, roles, target))
    if not open_to:
        return
    cure = 'open it to the passage role alone: ... or role:consumer_guard_passage'
    if open_to == [()]:
        yield fail("is open to every caller, for every project's consumers", cure)
    else:
        yield warn(
            f"is open to {say_roles(open_to)}, for every project's consumers, "
            'wherever the guard is not in front or is in shadow mode',
            cure,
        )


def _look_at_target(
    node: nodes.Node, operation: Operation | None
) -> Iterator[Complaint]:
    reads = node.reads
    if operation is not None and operation.ownership is Ownership.SUMS:
        for key in sorted(reads - {'project_id'}):
            yield warn(
                f'looks at {key}, but the only target here is the project_id that '
                'is asked for: never true',
                "let the guard's rule decide about it",
            )
    elif reads:
        complain = note if operation is None else warn
        yield complain(
            f'looks at {", ".join(sorted(reads))}, but placement asks without a '
            "target: it compares with the caller's own project and user, so it is "
            'true for everybody',
            'let roles decide here, and the guard about owners',
        )


def _look_at_passage_role(
    node: nodes.Node, operation: Operation | None, passage_role: str
) -> Iterator[Complaint]:
    names = [
        leaf.name for leaf in list_leaves(node).values() if isinstance(leaf, HasRole)
    ]
    for name in names:
        alike = difflib.SequenceMatcher(None, name, passage_role).ratio()
        if name != passage_role and alike >= _LIKENESS:
            yield warn(
                f'names the role {name}, but passage_role is '
                f'{passage_role or "turned off"}: a keystone role of that name '
                'passes, and owners do not',
                f'write role:{passage_role}',
            )
    given = operation is not None and operation.ownership is not Ownership.NEVER
    if passage_role in names and not given:
        yield note(
            'names the passage role, which the guard never gives here',
            f'remove role:{passage_role}',
        )
