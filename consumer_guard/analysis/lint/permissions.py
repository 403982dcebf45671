# SPDX-License-Identifier: Apache-2.0
"""Lints of who is allowed: by the guard, by placement, and by one of them only.

Placement evaluates a rule without a target (source:
``placement.context.RequestContext.can`` of placement 16). Only
``placement:usages`` has one, the project of the query; everywhere else it is the
caller's own project and user.
"""

import difflib
import enum
import functools
import types
from collections.abc import Callable, Iterator
from typing import NamedTuple

from consumer_guard.analysis.comparing import compare_operation, find_gains
from consumer_guard.analysis.equivalence import Change
from consumer_guard.analysis.findings import Assessment, Finding, fail, note, warn
from consumer_guard.analysis.lint.callers import (
    FOREIGN,
    OWN,
    WEAK,
    Roles,
    allows,
    find_least,
    format_roles,
    list_role_names,
    list_roles,
    placement_allows,
)
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.analysis.scenarios import list_shapes
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard import model
from consumer_guard.guard.model import Operation, Ownership
from consumer_guard.rules.leaves import ALLOW_ALL, DENY_ALL
from consumer_guard.rules.nodes import Node

PREFIX = 'placement:'

#: As consumer_guard_passge is like consumer_guard_passage.
_ROLE_SIMILARITY = 0.85


def name_placement_rule(operation: Operation) -> str:
    """Placement's own rule of a guarded operation."""
    return PREFIX + operation.name


_GUARDED = types.MappingProxyType(
    {name_placement_rule(operation): operation for operation in model.OPERATIONS}
)


def lint_guard(rules: RuleSet, passage_role: str) -> Iterator[Finding]:
    """All about the guard's rules of operations.

    :param passage_role: the option, lower-cased; '' when it is turned off
    """
    for operation in model.OPERATIONS:
        node = rules.compile(operation.rule)
        if node is None:
            continue
        path, line = rules.locate(operation.rule)
        for assessment in (
            *_lint_openness(node, operation),
            *_lint_denial(node, operation),
            *_lint_ownership(node, operation),
            *_lint_use_of_passage(node, passage_role),
        ):
            yield assessment.at(path, operation.rule, line)


def _lint_openness(node: Node, operation: Operation) -> Iterator[Assessment]:
    """Who is allowed whoever owns it: everybody, those without a role, people."""
    open_to = find_least(WEAK, lambda roles: allows(node, roles, {}))
    if not open_to:
        return
    fix = (
        'list the roles of services and operators; for owners use '
        'rule:consumer_guard:owner_reader'
    )
    if open_to == [()]:
        whom = 'every caller with a token'
        if not find_gains(node, ALLOW_ALL, list_shapes(operation)[0]).equal:
            whom = 'callers without any role'
        yield warn(f'allows {whom}, for every consumer', fix)
    else:
        yield warn(
            f'allows {format_roles(open_to)} of any project, for every consumer', fix
        )


def _lint_denial(node: Node, operation: Operation) -> Iterator[Assessment]:
    # Most rules allow somebody at once, which is asked faster than for all changes.
    for shape in list_shapes(operation):
        if Change.ALLOWED in find_gains(DENY_ALL, node, shape).changes:
            return
    compared = compare_operation(DENY_ALL, node, operation)
    never = compared.decided and Change.ALLOWED not in compared.changes
    if never and {*list_leaves(node)} != {'!'}:
        yield warn(
            'can never be true: it refuses everybody',
            'write "!" if that is intended; otherwise check for a "not", or for two '
            'values of the same attribute',
        )


def _lint_ownership(node: Node, operation: Operation) -> Iterator[Assessment]:
    if operation.ownership is Ownership.NEVER:
        if node.reads:
            yield warn(
                f'uses {", ".join(sorted(node.reads))}, but {operation.method} '
                f'{operation.path} is never allowed by ownership',
                'use roles only; ownership never allows this operation',
            )
        return
    if operation.ownership is Ownership.SUMS:
        if 'consumer_uuid' in node.reads:
            yield warn(
                'uses consumer_uuid, which usages do not have: unknown, and therefore '
                'refused',
                'use project_id, user_id or consumer_type',
            )
    elif operation.ownership is Ownership.SEALED_WRITE and node.reads:
        yield note(
            'is open to owners: they can claim any resources on any provider, and '
            'shrink a running instance',
            'restrict writes to services unless this is intended',
        )
    if allows(node, WEAK, FOREIGN) and not allows(node, WEAK, {}):
        yield warn(
            "allows readers or members for another project's consumers",
            'compare with the owner: project_id:%(project_id)s',
        )


def _lint_use_of_passage(node: Node, passage_role: str) -> Iterator[Assessment]:
    if passage_role and passage_role in list_role_names(node):
        yield warn(
            f'names the passage role {passage_role}, which the guard removes from '
            'every request first: never true',
            "use it only in placement's rules",
        )


def lint_placement(rules: RuleSet, passage_role: str) -> Iterator[Finding]:
    """All about placement's rules in files, guarded operations or not.

    :param passage_role: the option, lower-cased; '' when it is turned off
    """
    names = {*rules.defaults, *rules.written}
    for name in sorted(name for name in names if name.startswith(PREFIX)):
        path, line = rules.locate(name)
        node = rules.compile(name)
        if node is None or line is None:
            continue  # another lint reports it, or placement's own defaults
        operation = _GUARDED.get(name)
        for assessment in (
            *_lint_passage(node, operation, passage_role),
            *_lint_unguarded_openness(node, operation),
            *_lint_target(node, operation),
        ):
            yield assessment.at(path, name, line)


def _lint_passage(
    node: Node, operation: Operation | None, passage_role: str
) -> Iterator[Assessment]:
    names = list_role_names(node)
    for name in names:
        similarity = difflib.SequenceMatcher(None, name, passage_role).ratio()
        if name != passage_role and similarity >= _ROLE_SIMILARITY:
            yield warn(
                f'names the role {name}, but passage_role is '
                f'{passage_role or "turned off"}: a keystone role of that name '
                'passes, and owners do not',
                f'write role:{passage_role}',
            )
    given = operation is not None and operation.ownership is not Ownership.NEVER
    if passage_role in names and not given:
        yield note(
            'names the passage role, which the guard never adds here',
            f'remove role:{passage_role}',
        )


def _lint_unguarded_openness(
    node: Node, operation: Operation | None
) -> Iterator[Assessment]:
    if operation is None:
        return
    open_to = find_open_to(node, operation)
    fix = 'open it only to the passage role: ... or role:consumer_guard_passage'
    if open_to == [()]:
        yield fail("is open to every caller, for every project's consumers", fix)
    elif open_to:
        yield warn(
            f"is open to {format_roles(open_to)}, for every project's consumers, "
            'wherever the guard is missing or in shadow mode',
            fix,
        )


def find_open_to(node: Node, operation: Operation) -> list[Roles]:
    """The least sets of people's roles that read another project by placement.

    :param node: placement's rule of the operation
    """
    target = _make_placement_target(operation, own=False)
    return find_least(WEAK, lambda roles: placement_allows(node, roles, target))


def _lint_target(node: Node, operation: Operation | None) -> Iterator[Assessment]:
    if operation is not None and operation.ownership is Ownership.SUMS:
        for key in sorted(node.reads - {'project_id'}):
            yield warn(
                f'uses {key}, but the only target here is the project_id of the query: '
                'never true',
                "decide this in the guard's rule",
            )
    elif node.reads:
        assess = note if operation is None else warn
        yield assess(
            f'uses {", ".join(sorted(node.reads))}, but placement evaluates it without '
            "a target: it compares with the caller's own project and user, so it is "
            'true for everybody',
            "use roles here, and ownership in the guard's rules",
        )


def _make_placement_target(operation: Operation, *, own: bool) -> dict[str, str]:
    """The target of placement's rule.

    :param own: whether the sums of the caller's own project are read
    """
    if operation.ownership is Ownership.SUMS:
        return {'project_id': (OWN if own else FOREIGN)['project_id']}
    return {key: OWN[key] for key in ('project_id', 'user_id')}


class Mismatch(enum.Enum):
    """Callers whom one service allows and the other does not."""

    PLACEMENT_REFUSES = 'role'
    PLACEMENT_REFUSES_OWNERS = 'owner'
    GUARD_REFUSES = 'guard'


class FoundMismatch(NamedTuple):
    """A mismatch of one operation.

    :ivar sets: the least sets of roles of such callers
    :ivar is_usual: the defaults have it as well
    """

    operation: Operation
    mismatch: Mismatch
    sets: list[Roles]
    is_usual: bool


def list_mismatches(
    guards: RuleSet, placements: RuleSet, passage_role: str
) -> Iterator[FoundMismatch]:
    """All mismatches that are not those of the defaults.

    Owners whom placement refuses by default are listed: its rule is to be opened to
    the passage role in the end.
    """
    defaults = RuleSet((), guards.defaults), RuleSet((), placements.defaults)
    for operation in model.OPERATIONS:
        mismatches = _find_mismatches(guards, placements, operation, passage_role)
        usual = _find_mismatches(*defaults, operation, passage_role)
        for mismatch, sets in mismatches.items():
            known = usual.get(mismatch, ())
            shown = [roles for roles in sets if roles not in known]
            if shown:
                yield FoundMismatch(operation, mismatch, shown, is_usual=False)
            elif sets and mismatch is Mismatch.PLACEMENT_REFUSES_OWNERS:
                yield FoundMismatch(operation, mismatch, sets, is_usual=True)


def lint_mismatches(
    guards: RuleSet, placements: RuleSet, passage_role: str
) -> Iterator[Finding]:
    """A warning for each mismatch; a note for one that the defaults have as well."""
    for found in list_mismatches(guards, placements, passage_role):
        assess = note if found.is_usual else warn
        texts = describe_mismatch(found, passage_role)
        place = _locate(guards, placements, found.operation, found.mismatch)
        yield assess(*texts).at(*place)


def _find_mismatches(
    guards: RuleSet, placements: RuleSet, operation: Operation, passage_role: str
) -> dict[Mismatch, list[Roles]]:
    """The least sets of roles for each mismatch; none where a rule is missing."""
    guard = guards.compile(operation.rule)
    placement = placements.compile(name_placement_rule(operation))
    if guard is None or placement is None:
        return {}
    names = [name for name in list_roles(guard, placement) if name != passage_role]
    own = _make_placement_target(operation, own=True)
    foreign = _make_placement_target(operation, own=False)
    passage = (passage_role,) if passage_role else ()

    @functools.cache
    def compare_answers(roles: Roles) -> Mismatch | None:
        if allows(guard, roles, {}):
            agrees = placement_allows(placement, roles, foreign)
            return None if agrees else Mismatch.PLACEMENT_REFUSES
        if operation.ownership is not Ownership.NEVER and allows(guard, roles, OWN):
            agrees = placement_allows(placement, (*roles, *passage), own)
            return None if agrees else Mismatch.PLACEMENT_REFUSES_OWNERS
        agrees = not placement_allows(placement, roles, own)
        return None if agrees else Mismatch.GUARD_REFUSES

    def gives(mismatch: Mismatch) -> Callable[[Roles], bool]:
        return lambda roles: compare_answers(roles) is mismatch

    return {mismatch: find_least(names, gives(mismatch)) for mismatch in Mismatch}


def describe_mismatch(found: FoundMismatch, passage_role: str) -> tuple[str, str]:
    """Text and fix."""
    operation, mismatch = found.operation, found.mismatch
    who, theirs = format_roles(found.sets), name_placement_rule(operation)
    if mismatch is Mismatch.PLACEMENT_REFUSES:
        return (
            f'the guard allows {who}, and "{theirs}" refuses them',
            f'allow them there as well, or remove them from "{operation.rule}"',
        )
    if mismatch is Mismatch.GUARD_REFUSES:
        return (
            f'"{theirs}" allows {who}, and the guard refuses them',
            f'allow them in "{operation.rule}" as well, or not in "{theirs}"',
        )
    return (
        f'the guard allows owners, {who}, and "{theirs}" refuses them',
        f'open "{theirs}" to role:{passage_role or "<passage_role>"}',
    )


def _locate(
    guards: RuleSet, placements: RuleSet, operation: Operation, mismatch: Mismatch
) -> tuple[str, str, int | None]:
    """Path, rule and line of a rule in a file; of two, of the one that refuses."""
    sides = [(placements, name_placement_rule(operation)), (guards, operation.rule)]
    if mismatch is Mismatch.GUARD_REFUSES:
        sides.reverse()
    places = [(*rules.locate(name), name) for rules, name in sides]
    path, line, name = next((one for one in places if one[1] is not None), places[0])
    return path, name, line
