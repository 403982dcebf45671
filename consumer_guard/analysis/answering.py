# SPDX-License-Identifier: Apache-2.0
"""What both services answer to a request about an invented consumer.

Every decision is the authorizer's, and every answer of placement's is oslo.policy's
own.
"""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from consumer_guard.analysis import prediction
from consumer_guard.analysis.access import make_owner_request
from consumer_guard.analysis.client import (
    ClientAnswer,
    Decider,
    PlacementRules,
    combine,
)
from consumer_guard.analysis.scenarios import Scenario
from consumer_guard.analysis.simulation import KnownOwners
from consumer_guard.guard.authorizer import Authorizer, RuleSource
from consumer_guard.guard.decision import Outcome
from consumer_guard.guard.model import Caller, Operation, Owner, OwnerStatus, Truth
from consumer_guard.rules.rulebook import Rulebook

_UUID = '10000000-0000-4000-8000-000000000001'


class JudgedBy(enum.Enum):
    """Whose answer is meant."""

    CLIENT = 'client'  #: the guard's and placement's together
    GUARD = 'guard'  #: the guard's alone


class CaseConsumer(NamedTuple):
    """The consumer of a request; one without a project is ownerless."""

    project_id: str | None = None
    user_id: str | None = None
    consumer_type: str | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force.

    :ivar placement: None where they are not known
    """

    rulebook: Rulebook
    placement: PlacementRules | None
    passage_role: str
    nobodys_project_id: str

    def is_certain(self, client: ClientAnswer) -> bool:
        """Whether nothing that decides is unknown, where both services are known."""
        return self.placement is None or client.decider is not Decider.GUARD_ALONE


@dataclass(frozen=True, slots=True)
class AnsweredRules:
    """Rules whose remote checks answer as in a scenario; none is called."""

    rulebook: Rulebook
    scenario: Scenario

    def current(self) -> 'AnsweredRules':
        """Itself."""
        return self

    def reads(self, rule: str) -> frozenset[str]:
        """The target keys that the ruling can depend on."""
        return self.rulebook.reads(rule)

    def judge(
        self, rule: str, caller: Caller, target: Mapping[str, str], *, final: bool
    ) -> Truth:
        """Judge one rule on one target."""
        if not self.rulebook.admits(rule, caller.scope):
            return Truth.NO
        judged = replace(self.scenario, caller=caller, target=target, final=final)
        return judged.judge(self.rulebook.node(rule))


def answer_about(
    policy: Policy,
    rules: RuleSource,
    operation: Operation,
    caller: Caller,
    consumer: CaseConsumer,
    judge: JudgedBy,
) -> ClientAnswer:
    """What the guard, or both, answer to a request about a consumer."""
    status = OwnerStatus.RECORDED if consumer.project_id else OwnerStatus.UNOWNED
    owner = Owner(
        _UUID,
        status if consumer.known else OwnerStatus.ABSENT,
        consumer.project_id,
        consumer.user_id,
        consumer.consumer_type,
        generation=1 if consumer.known else None,
        has_allocations=consumer.known,
    )
    request = make_owner_request(operation, owner, policy.nobodys_project_id)
    authorizer = Authorizer(rules, KnownOwners({_UUID: owner}), patience=math.inf)
    decision = authorizer.authorize(request, caller)
    outcome = decision.outcome
    answer = prediction.predict(
        request, decision, conceal=False, passage_role=policy.passage_role
    )
    if outcome is Outcome.FILTER and not authorizer.make_filter(request, caller)(
        (_UUID,)
    ):
        return ClientAnswer(
            allowed=False, decider=Decider.GUARD, answer=prediction.NOT_LISTED
        )
    if judge is JudgedBy.GUARD:
        allowed = outcome is not Outcome.REFUSE
        return ClientAnswer(allowed, Decider.GUARD, answer)
    return combine(policy.placement, request, caller, outcome, answer)


def answer_scenario(
    scenario: Scenario,
    operation: Operation,
    policy: Policy,
    judge: JudgedBy,
    *,
    owned: bool,
) -> ClientAnswer:
    """What the caller of a scenario gets, from the guard's own evaluator.

    :param owned: whether the consumer has a recorded owner; it is unknown otherwise
    """
    target = scenario.target
    consumer = CaseConsumer(known=False)
    if owned:
        consumer = CaseConsumer(
            target['project_id'], target.get('user_id'), target.get('consumer_type')
        )
    rules = AnsweredRules(policy.rulebook, scenario)
    return answer_about(policy, rules, operation, scenario.caller, consumer, judge)
