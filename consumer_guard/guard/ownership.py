# SPDX-License-Identifier: Apache-2.0
"""What ownership allows: the recorded owner, the claimed one, and the seal."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from consumer_guard.guard import claims as body_claims
from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable, Unreadable
from consumer_guard.guard.model import (
    PLACEHOLDER_ID,
    Caller,
    Owner,
    Ownership,
    OwnerStatus,
    Ruling,
    Truth,
)
from consumer_guard.guard.request import (
    GuardedRequest,
    is_canonical_uuid,
    read_usages_target,
)


class Rules(Protocol):
    """What the decision needs of a rulebook."""

    def judge(
        self, rule: str, caller: Caller, target: Mapping[str, str], *, final: bool
    ) -> Truth:
        """Judge a registered rule; not ``final`` asks nobody elsewhere."""

    def reads(self, rule: str) -> frozenset[str]:
        """The target keys that the rule looks at."""


#: Stands for an owner where there is none.
_NOBODY = {'project_id': PLACEHOLDER_ID, 'user_id': PLACEHOLDER_ID}


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when the rules of one request may ask elsewhere.

    :ivar at: reading of ``time.monotonic``
    """

    at: float

    def check(self) -> None:
        """:raises consumer_guard.guard.errors.OwnersUnavailable: it is over"""
        if time.monotonic() > self.at:
            raise OwnersUnavailable('The request takes too long to be authorized.')


@dataclass(frozen=True, slots=True)
class Deliberation:
    """One request whose rule leaves it to the owner.

    :ivar max_body_size: bytes
    """

    rules: Rules
    owners: model.OwnerLookup
    max_body_size: int
    deadline: Deadline
    request: GuardedRequest
    caller: Caller

    def decide(self) -> Decision:
        """Decide by ownership.

        :raises consumer_guard.guard.errors.RequestError: it cannot be decided
        """
        ownership = self.request.operation.ownership
        if ownership is Ownership.NEVER:
            return self._refuse(Reason.NEVER)
        if self.request.microversion is None:
            return self._refuse(Reason.MICROVERSION)
        if self.request.environ.get('PATH_INFO', '').endswith('\n'):
            # Routes takes the path without it; ownership takes one spelling.
            raise Unreadable('The path is not canonical.')
        if ownership is Ownership.SUMS:
            return self._decide_sums()
        if ownership is Ownership.FILTER:
            self._demand_canonical(self.request.provider_uuid)
            return Decision(Outcome.FILTER, Reason.OWNER, depends=True)
        if ownership is Ownership.READ:
            return self._decide_read()
        return self._decide_write()

    def _decide_sums(self) -> Decision:
        target = read_usages_target(self.request.environ)
        ruling = self._rule_on(target, 'asked owner')
        # Security: sums of nobody in particular are nobody's to see.
        if 'project_id' not in target or ruling.truth is not Truth.YES:
            return self._refuse(Reason.NOT_ALLOWED, (ruling,))
        return self._pass((ruling,))

    def _decide_read(self) -> Decision:
        uuid = self.request.consumer_uuid
        self._demand_canonical(uuid)
        assert uuid is not None  # noqa: S101  # narrowed by the line above
        owners = self.owners.find((uuid,))
        reason, rulings = self._judge_recorded(owners[uuid])
        if reason is not None:
            return self._refuse(reason, rulings, owners)
        return self._pass(rulings, owners)

    def _decide_write(self) -> Decision:
        if self.request.consumer_uuid is not None:
            self._demand_canonical(self.request.consumer_uuid)
        version = self.request.microversion
        if version is None or version < body_claims.GENERATION_IN_BODY:
            return self._refuse(Reason.NO_SEAL)
        body = body_claims.take_body(self.request, self.max_body_size)
        claims = body.claims
        for claim in claims:
            self._demand_canonical(claim.consumer_uuid)
            body_claims.demand_canonical_owner(claim)
        owners = self.owners.find([claim.consumer_uuid for claim in claims])
        # Security: all are judged, whatever the first ones say; the work done
        # must not tell which of them was refused.
        judged = [self._judge_claim(claim, owners) for claim in claims]
        rulings = tuple(ruling for _, some in judged for ruling in some)
        refused = [reason for reason, _ in judged if reason is not None]
        if refused:
            return self._refuse(refused[0], rulings, owners)
        if any(
            claim.generation != owners[claim.consumer_uuid].generation
            for claim in claims
        ):
            return self._refuse(Reason.GENERATION, rulings, owners)
        return self._pass(rulings, owners, body)

    def _judge_claim(
        self, claim: model.Claim, owners: Mapping[str, Owner]
    ) -> tuple[Reason | None, tuple[Ruling, ...]]:
        """Two rulings: on the recorded owner, and on the claimed one."""
        self.deadline.check()
        owner = owners[claim.consumer_uuid]
        reason, rulings = self._judge_recorded(owner)
        claimed = self._rule_on(claim.target(), 'claimed owner')
        rulings = (*rulings, claimed)
        if reason is None and not owner.has_allocations:
            # Security: without allocations a row's owner can move while its
            # generation stays, so nothing seals it.
            reason = Reason.NO_ALLOCATIONS
        if reason is None and claimed.truth is not Truth.YES:
            reason = Reason.NOT_THE_CLAIMED
        return reason, rulings

    def _judge_recorded(self, owner: Owner) -> tuple[Reason | None, tuple[Ruling, ...]]:
        """None as reason when the rule allows the caller for this owner."""
        # Security: decided before the rules; nobody's are for role-holders. The
        # rule is judged all the same, on nobody in particular, and its answer
        # thrown away: a check that asks elsewhere must not tell by its time, or
        # by being asked, which consumers are recorded.
        if owner.status is not OwnerStatus.RECORDED or not owner.project_id:
            self._rule_on(_NOBODY | {'consumer_uuid': owner.consumer_uuid}, 'nobody')
            if owner.status is OwnerStatus.ABSENT:
                return Reason.ABSENT, ()
            return Reason.UNOWNED, ()
        ruling = self._rule_on(owner.target(), 'recorded owner')
        return (
            None if ruling.truth is Truth.YES else Reason.NOT_ALLOWED,
            (ruling,),
        )

    def _rule_on(self, target: Mapping[str, str], about: str) -> Ruling:
        rule = self.request.operation.rule
        truth = self.rules.judge(rule, self.caller, target, final=True)
        return Ruling(rule, about, truth)

    def _demand_canonical(self, uuid: str | None) -> None:
        if not is_canonical_uuid(uuid):
            raise Unreadable('A uuid in the request is not canonical.')

    def _pass(
        self,
        rulings: tuple[Ruling, ...],
        owners: Mapping[str, Owner] | None = None,
        body: body_claims.Body | None = None,
    ) -> Decision:
        return Decision(
            Outcome.PASSAGE,
            Reason.OWNER,
            depends=True,
            rulings=rulings,
            owners=owners,
            body=body,
        )

    def _refuse(
        self,
        reason: Reason,
        rulings: tuple[Ruling, ...] = (),
        owners: Mapping[str, Owner] | None = None,
    ) -> Decision:
        return Decision(
            Outcome.REFUSE, reason, depends=True, rulings=rulings, owners=owners
        )
