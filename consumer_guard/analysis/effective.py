# SPDX-License-Identifier: Apache-2.0
"""Who gets what from the guard and placement together, of all callers.

By proof these are all, in words; without z3 there is one example of each kind. Each
line has been answered by both services' own evaluators before it is shown.
"""

import types
from collections.abc import Iterator
from typing import NamedTuple

from consumer_guard.analysis.answering import JudgedBy, Policy, answer_scenario
from consumer_guard.analysis.client import Decider, PlacementRules
from consumer_guard.analysis.clientrule import (
    Bound,
    make_client_rule,
    make_client_shape,
)
from consumer_guard.analysis.comparing import can_prove, find_gains
from consumer_guard.analysis.equivalence import Change
from consumer_guard.analysis.findings import Assessment, ok
from consumer_guard.analysis.lint.linter import Policies
from consumer_guard.analysis.scenarios import describe_scenario
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard.model import OPERATIONS, Operation, Ownership
from consumer_guard.rules.leaves import DENY_ALL
from consumer_guard.rules.nodes import AnyOf, Node
from consumer_guard.rules.rulebook import Rulebook


class CallerAnswer(NamedTuple):
    """Callers who get the same answer from the same service.

    :ivar decider: who decided; BOTH allow it
    :ivar who: in words
    """

    decider: Decider
    who: str


class Access(NamedTuple):
    """Who gets what with one operation.

    :ivar complete: whether all others are refused by the guard, certainly; projects,
        users and types that are called None are not considered
    """

    answers: tuple[CallerAnswer, ...]
    complete: bool


def find_access(operation: Operation, policy: Policy) -> Access:
    """All whom the guard allows, and what placement answers them."""
    answers, complete = dict[CallerAnswer, None](), True
    for question in _list_questions(operation, policy):
        # Nothing is called None. Sums of a project of that name would be a case of their
        # own in what is said of callers without a project.
        shape = make_client_shape(operation, owned=question.owned)
        shape = shape._replace(may_be_none=False)
        compared = find_gains(question.old, question.new, shape)
        complete = complete and compared.decided and not compared.counterexamples
        found = [(one.who, one.scenario, one.change) for one in compared.groups]
        leaves = list_leaves(question.old, question.new)
        found += [
            (f'for example {describe_scenario(scenario, leaves)}', scenario, change)
            for change, scenario in compared.counterexamples.items()
        ]
        for who, scenario, change in found:
            if change is not Change.ALLOWED:
                continue
            client = answer_scenario(
                scenario, operation, policy, JudgedBy.CLIENT, owned=question.owned
            )
            # Security: shown only when both evaluators give the same answer.
            if client.decider is question.decider:
                answers[CallerAnswer(question.decider, who)] = None
            else:
                complete = False
    return Access(tuple(answers), complete)


class _Question(NamedTuple):
    """Who gains from one rule to another, and who decides it."""

    decider: Decider
    owned: bool
    old: Node
    new: Node


def _list_questions(operation: Operation, policy: Policy) -> Iterator[_Question]:
    """First those who get it whoever the owner is, then those who get it by owning."""
    guards = policy.rulebook.node(operation.rule)
    before = _Rules(DENY_ALL, DENY_ALL, DENY_ALL)
    for owned in _list_ownerships(operation):
        allowed = make_client_rule(operation, guards, None, Bound.LEAST, owned=owned)
        now = _Rules(allowed, DENY_ALL, allowed)
        if policy.placement is not None:
            both = [
                make_client_rule(operation, guards, policy.placement, each, owned=owned)
                for each in Bound
            ]
            now = _Rules(allowed, *both)
        refused, unknown = (
            AnyOf((before.guard, now.most)),
            AnyOf((before.most, now.least)),
        )
        yield _Question(Decider.BOTH, owned, before.least, now.least)
        yield _Question(Decider.PLACEMENT, owned, refused, now.guard)
        yield _Question(Decider.GUARD_ALONE, owned, unknown, now.most)
        before = now


class _Rules(NamedTuple):
    """Whom the guard allows, and of these both: at least, and at most."""

    guard: Node
    least: Node
    most: Node


def _list_ownerships(operation: Operation) -> tuple[bool, ...]:
    """Whether the consumers that are meant have an owner."""
    if operation.ownership is Ownership.NEVER:
        return (False,)
    return (True,) if operation.ownership is Ownership.SUMS else (False, True)


#: Combinations that are shown for each; more are counted only.
_MAX_GROUPS = 6

#: What is said of those whom each decides.
_WORDS = types.MappingProxyType(
    {
        Decider.BOTH: 'both services allow',
        Decider.GUARD_ALONE: "consumer_guard allows, and placement's answer is not known",
        Decider.PLACEMENT: 'placement alone refuses',
    }
)


def describe_access(access: Access) -> str:
    """A few clauses for operators."""
    parts = []
    for decider, verb in _WORDS.items():
        who = {each.who for each in access.answers if each.decider is decider}
        shown = sorted(who, key=lambda words: (len(words), words))
        if len(shown) > _MAX_GROUPS:
            shown[_MAX_GROUPS:] = [f'{len(shown) - _MAX_GROUPS} more combinations']
        if shown:
            parts.append(f'{verb}: {"; ".join(shown)}')
    others = 'consumer_guard refuses all others'
    if not access.complete:
        others = (
            'the rules are too large to list all others'
            if can_prove()
            else 'only z3 (consumer-guard[proof]) lists all others'
        )
    return '. '.join([*parts, others])


def assess_access(policies: Policies) -> list[tuple[Operation, Assessment]]:
    """Who gets what with each operation.

    :raises consumer_guard.guard.errors.PolicyFileError: a file or a rule cannot be
        used
    """
    policy = Policy(
        Rulebook.build(policies.ours),
        PlacementRules.build(policies),
        policies.passage_role.strip(),
        nobodys_project_id='',  # no question here is about it
    )
    return [
        (operation, ok(describe_access(find_access(operation, policy))))
        for operation in OPERATIONS
    ]
