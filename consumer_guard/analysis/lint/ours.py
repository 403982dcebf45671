# SPDX-License-Identifier: Apache-2.0
"""Lints of the guard's rules by what they say of callers."""

from collections.abc import Iterator

from consumer_guard.analysis.equivalence import Change, compare, compare_rules
from consumer_guard.analysis.lint.callers import (
    FOREIGN,
    WEAK,
    find_least,
    judge,
    say_roles,
)
from consumer_guard.analysis.lint.findings import Complaint, Finding, note, warn
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.analysis.scenarios import list_shapes
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard import model
from consumer_guard.guard.model import Operation, Ownership, Truth
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import NOTHING, Constant, HasRole

_NOBODY = Constant('!', NOTHING, Truth.NO)
_EVERYBODY = Constant('@', NOTHING, Truth.YES)


def lint_ours(rules: RuleSet, passage_role: str) -> Iterator[Finding]:
    """All complaints about the rules of operations.

    :param passage_role: the option, lower-cased; '' when it is turned off
    """
    for operation in model.OPERATIONS:
        node = rules.compile(operation.rule)
        if node is None:
            continue
        for complaint in (
            *_look_at_openness(node, operation),
            *_look_at_denial(node, operation),
            *_look_at_ownership(node, operation),
            *_look_at_passage_role(node, passage_role),
        ):
            yield Finding.make(complaint, *rules.place(operation.rule), operation.rule)


def _look_at_openness(node: nodes.Node, operation: Operation) -> Iterator[Complaint]:
    """Who is allowed whoever owns it: everybody, those without a role, people."""
    open_to = find_least(WEAK, lambda roles: judge(node, roles, {}) is Truth.YES)
    if not open_to:
        return
    cure = (
        'name the roles of services and operators; for owners '
        'rule:consumer_guard:owner_reader'
    )
    if open_to == [()]:
        whom = 'every caller with a token'
        if not compare(_EVERYBODY, node, list_shapes(operation)[:1]).equal:
            whom = 'callers without any role'
        yield warn(f'allows {whom}, for every consumer', cure)
    else:
        yield warn(
            f'allows {say_roles(open_to)} of any project, for every consumer', cure
        )


def _look_at_denial(node: nodes.Node, operation: Operation) -> Iterator[Complaint]:
    compared = compare_rules(_NOBODY, node, operation)
    never = compared.decided and Change.ALLOWED not in compared.witnesses
    if never and {*list_leaves(node)} != {'!'}:
        yield warn(
            'can never be true: it refuses everybody',
            'write "!" if that is meant; look for a "not" or for two different '
            'values of one thing',
        )


def _look_at_ownership(node: nodes.Node, operation: Operation) -> Iterator[Complaint]:
    if operation.ownership is Ownership.NEVER:
        if node.reads:
            yield warn(
                f'looks at {", ".join(sorted(node.reads))}, but {operation.method} '
                f'{operation.path} is never allowed by ownership',
                'let roles decide; for DELETE owners PUT empty allocations at 1.28',
            )
    elif operation.ownership is Ownership.SUMS:
        if 'consumer_uuid' in node.reads:
            yield warn(
                'looks at consumer_uuid, which sums do not have: unknown, and so '
                'refused',
                'use project_id, user_id or consumer_type',
            )
    elif operation.ownership is Ownership.SEALED_WRITE and node.reads:
        yield note(
            'is open to owners: they can take any resources on any provider, and '
            'empty a running instance',
            'keep writes to services unless that is meant',
        )
    if operation.ownership is not Ownership.NEVER and (
        judge(node, WEAK, FOREIGN) is Truth.YES
        and judge(node, WEAK, {}) is not Truth.YES
    ):
        yield warn(
            "allows readers or members for another project's consumers",
            'compare with the owner: project_id:%(project_id)s',
        )


def _look_at_passage_role(node: nodes.Node, passage_role: str) -> Iterator[Complaint]:
    for leaf in list_leaves(node).values():
        if passage_role and isinstance(leaf, HasRole) and leaf.name == passage_role:
            yield warn(
                f'names the passage role {passage_role}, which the guard takes away '
                'from every request before it asks: never true',
                "name it in placement's rules only",
            )
