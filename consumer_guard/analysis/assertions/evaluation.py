# SPDX-License-Identifier: Apache-2.0
"""Assertions evaluated: each case decided, each statement proven or refuted.

Every decision is the authorizer's, and every answer of placement's is oslo.policy's
own, on the example that is shown.
"""

import enum
import types
from typing import NamedTuple

from consumer_guard.analysis import simulation
from consumer_guard.analysis.answering import (
    AnsweredRules,
    JudgedBy,
    Policy,
    answer_about,
    answer_scenario,
)
from consumer_guard.analysis.assertions.document import (
    Ownerships,
    RequestCase,
    SameUser,
    Statement,
)
from consumer_guard.analysis.client import ClientAnswer, list_answers
from consumer_guard.analysis.clientrule import (
    Bound,
    make_client_rule,
    make_client_shape,
)
from consumer_guard.analysis.comparing import can_prove, find_gains
from consumer_guard.analysis.equivalence import Change
from consumer_guard.analysis.scenarios import Scenario, describe_scenario
from consumer_guard.analysis.simulation import Subject
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard.model import OPERATIONS, Operation, Ownership
from consumer_guard.rules.leaves import (
    DENY_ALL,
    NOTHING,
    HasRole,
    make_generic_check,
)
from consumer_guard.rules.nodes import AllOf, Node, Not

_ELSEWHERE = 'depends on a remote check, or on an unknown rule of placement'
_TOO_LARGE = 'the rules are too large to decide'


class Verified(enum.Enum):
    """Whether an assertion holds."""

    HOLDS = 'holds'
    FAILS = 'fails'
    UNDECIDED = 'undecided'


class Verification(NamedTuple):
    """One line of the result.

    :ivar operation: its name, or those for which a statement holds
    :ivar detail: the answer, or a counterexample
    :ivar decided_by: which of the two services
    """

    verified: Verified
    place: str
    name: str
    operation: str
    detail: str
    decided_by: str


def verify_case(case: RequestCase, policy: Policy) -> Verification:
    """Decide the request of a case."""
    subject = Subject(
        case.user_id,
        case.roles,
        project_id=case.project_id,
        service_roles=case.service_roles,
    )
    caller = simulation.simulate_caller(subject, policy.passage_role)
    # Security: remote checks are not called; whatever they answer is tried.
    answers = [
        answer_about(
            policy,
            AnsweredRules(policy.rulebook, Scenario(caller, {}, True, truths)),
            case.operation,
            caller,
            case.consumer,
            case.judge,
        )
        for truths in list_answers(policy.rulebook.node(case.operation.rule))
    ]
    line = Verification(
        Verified.UNDECIDED, case.place, case.name, case.operation.name, _ELSEWHERE, ''
    )
    same = len({client.allowed for client in answers}) == 1
    if not same or not all(policy.is_certain(client) for client in answers):
        return line
    client = answers[0]
    word = 'allowed' if client.allowed else 'refused'
    return line._replace(
        verified=Verified.HOLDS if client.allowed is case.allowed else Verified.FAILS,
        detail=f'{word}: {client.short}',
        decided_by=client.decider.value,
    )


def verify_statement(statement: Statement, policy: Policy) -> list[Verification]:
    """Prove a statement for each of its operations, or refute it.

    :returns: one line for all operations for which it holds, and one for each other
    """
    holds, others = [], []
    for operation in statement.operations:
        found = [
            _verify_operation(statement, operation, policy, owned=owned)
            for owned in (True, False)
            if statement.ownership in _MEANT[owned]
        ]
        bad = [each for each in found if each.verified is not Verified.HOLDS]
        bad.sort(key=lambda one: one.verified is Verified.UNDECIDED)
        others += bad[:1]
        holds += [] if bad else [operation.name]
    if not holds:
        return others
    names = 'any' if holds == [each.name for each in OPERATIONS] else ', '.join(holds)
    how = 'proven' if can_prove() else 'all callers tried'
    line = Verification(Verified.HOLDS, statement.place, statement.name, names, how, '')
    return [line, *others]


#: The statements that are about consumers with an owner, and without.
_MEANT = types.MappingProxyType(
    {
        True: (Ownerships.OWN, Ownerships.FOREIGN, Ownerships.ANY),
        False: (Ownerships.OWNERLESS, Ownerships.ANY),
    }
)


def _verify_operation(
    statement: Statement, operation: Operation, policy: Policy, *, owned: bool
) -> Verification:
    placement = policy.placement if statement.judge is JudgedBy.CLIENT else None
    meant = _make_condition(statement)
    if not owned and operation.ownership is Ownership.SUMS:
        # A query names nobody's project like any other one.
        meant, owned = AllOf((meant, _make_nobodys(policy.nobodys_project_id))), True
    rule = make_client_rule(
        operation,
        policy.rulebook.node(operation.rule),
        placement,
        Bound.LEAST if statement.always else Bound.MOST,
        owned=owned,
    )
    both = AllOf((meant, rule))
    # Who is meant, and refused; or who is meant, and allowed.
    old, new = (both, meant) if statement.always else (DENY_ALL, both)
    compared = find_gains(old, new, make_client_shape(operation, owned=owned))
    examples = [
        (one.who, one.scenario)
        for one in compared.groups
        if one.change is Change.ALLOWED
    ]
    examples += [
        (describe_scenario(scenario, list_leaves(both)), scenario)
        for found, scenario in compared.counterexamples.items()
        if found is Change.ALLOWED
    ]
    for who, scenario in examples:
        client = answer_scenario(
            scenario, operation, policy, statement.judge, owned=owned
        )
        # Security: shown only when the guard's own evaluator gives the same answer.
        if client.allowed is not statement.always and policy.is_certain(client):
            return _refute(statement, operation, who, scenario, client, owned=owned)
    if compared.decided and not examples:
        verified, detail = Verified.HOLDS, ''
    else:
        verified, detail = Verified.UNDECIDED, _ELSEWHERE if examples else _TOO_LARGE
    return Verification(
        verified, statement.place, statement.name, operation.name, detail, ''
    )


def _make_condition(statement: Statement) -> Node:
    """The callers and consumers that a statement is about."""
    parts: list[Node] = [_check_role(role) for role in statement.held]
    parts += [Not(_check_role(role)) for role in statement.lacked]
    relations = {
        'project_id': {Ownerships.OWN: True, Ownerships.FOREIGN: False}.get(
            statement.ownership
        ),
        'user_id': None if statement.user is None else statement.user is SameUser.OWN,
    }
    for key, same in relations.items():
        right = f'%({key})s'
        check = make_generic_check(f'{key}:{right}', key, right)
        if same is not None:
            parts.append(check if same else Not(check))
    return AllOf(tuple(parts))


def _make_nobodys(project_id: str) -> Node:
    """The sums of nobody's project, of which no caller is."""
    left, right = repr(project_id), '%(project_id)s'
    own = make_generic_check(f'project_id:{right}', 'project_id', right)
    return AllOf((make_generic_check(f'{left}:{right}', left, right), Not(own)))


def _check_role(name: str) -> Node:
    # Security: not parsed; a name is no expression.
    return HasRole(f'role:{name}', NOTHING, name.lower())


def _refute(
    statement: Statement,
    operation: Operation,
    who: str,
    scenario: Scenario,
    client: ClientAnswer,
    *,
    owned: bool,
) -> Verification:
    caller = scenario.caller.credentials
    roles = ', '.join(sorted(caller['roles'])) or 'no roles'
    example = f'roles {roles}, project {caller["project_id"]}'
    if owned:
        example += f', on a consumer of project {scenario.target["project_id"]}'
    else:
        example += ', on an ownerless consumer'
    word = 'allowed' if client.allowed else 'refused'
    return Verification(
        Verified.FAILS,
        statement.place,
        statement.name,
        operation.name,
        f'{word}: {who} (for example {example}): {client.short}',
        client.decider.value,
    )
