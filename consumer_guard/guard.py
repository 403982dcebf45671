# SPDX-License-Identifier: Apache-2.0
"""The decision: brings caller, owners and rules together. No HTTP.

The rule is judged first with the owner unknown. Only where that leaves it open
are owners looked up, once, and the rule judged again on each of them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from consumer_guard import claims as body_claims
from consumer_guard import intake, model
from consumer_guard.decision import Decision, Outcome, Reason
from consumer_guard.errors import (
    OwnersUnavailable,
    PolicyLocked,
    RequestError,
    TooLarge,
    Unreadable,
)
from consumer_guard.intake import GuardedRequest
from consumer_guard.model import Caller, Owner, Ownership, Ruling, Standing, Truth

_REASON_OF_ERROR: dict[type[RequestError], Reason] = {
    Unreadable: Reason.UNREADABLE,
    TooLarge: Reason.TOO_LARGE,
    OwnersUnavailable: Reason.UNAVAILABLE,
    PolicyLocked: Reason.LOCKED,
}


class Rules(Protocol):
    """What the decision needs of a rulebook."""

    def judge(
        self, rule: str, caller: Caller, target: Mapping[str, str], *, final: bool
    ) -> Truth:
        """Judge a registered rule; not ``final`` asks nobody elsewhere."""

    def reads(self, rule: str) -> frozenset[str]:
        """The target keys that the rule looks at."""


class RuleSource(Protocol):
    """Where the rules in force come from."""

    def current(self) -> Rules:
        """The rules in force.

        :raises consumer_guard.errors.PolicyLocked: there were never any
        """


class Guard:
    """Decides; holds no state of its own.

    :param max_body_size: bytes
    """

    def __init__(
        self, rules: RuleSource, owners: model.OwnerLookup, max_body_size: int
    ) -> None:
        self._rules = rules
        self._owners = owners
        self._max_body_size = max_body_size

    def decide(self, request: GuardedRequest, caller: Caller) -> Decision:
        """Decide one request; never raises a RequestError."""
        try:
            rules = self._rules.current()
        except PolicyLocked as exc:
            return _stopped(exc, depends=False, rulings=())
        rule = request.operation.rule
        truth = rules.judge(rule, caller, {}, final=False)
        rulings = (Ruling(rule, 'caller', truth),)
        if truth is Truth.YES:
            return Decision(Outcome.ROLE, Reason.ROLE, rulings=rulings)
        if truth is Truth.NO:
            return Decision(Outcome.REFUSE, Reason.DENIED, rulings=rulings)
        try:
            decision = _Deliberation(self, rules, request, caller).decide()
        except RequestError as exc:
            return _stopped(exc, depends=True, rulings=rulings)
        return decision

    def find_visible(
        self, request: GuardedRequest, caller: Caller, consumer_ids: Collection[str]
    ) -> frozenset[str]:
        """Which consumers of a list the caller may see.

        :raises consumer_guard.errors.RequestError: it cannot be told
        """
        rules = self._rules.current()
        rule = request.operation.rule
        keys = sorted(rules.reads(rule))
        seen: dict[tuple[str | None, ...], bool] = {}
        visible = set()
        for uuid, owner in self._owners.find(consumer_ids).items():
            if owner.standing is not Standing.RECORDED:
                continue
            target = owner.target()
            # A rule that reads the project alone is judged once a project.
            facts = tuple([target.get(key) for key in keys])
            if facts not in seen:
                truth = rules.judge(rule, caller, target, final=True)
                seen[facts] = truth is Truth.YES
            if seen[facts]:
                visible.add(uuid)
        return frozenset(visible)

    def find_recreated(self, judged: Mapping[str, Owner]) -> tuple[str, ...]:
        """Which of the judged consumers are another row by now.

        :param judged: what was looked up before the write
        :returns: nothing also when it cannot be told; the write is done
        """
        try:
            now = self._owners.find(list(judged))
        except OwnersUnavailable:
            return ()
        return tuple(
            [
                uuid
                for uuid, before in judged.items()
                if now[uuid].row_id not in (None, before.row_id)
            ]
        )


def _stopped(
    error: RequestError, *, depends: bool, rulings: tuple[Ruling, ...]
) -> Decision:
    return Decision(
        Outcome.REFUSE,
        _REASON_OF_ERROR[type(error)],
        depends=depends,
        rulings=rulings,
        error=error,
    )


@dataclass(frozen=True, slots=True)
class _Deliberation:
    """One request whose rule leaves it to the owner."""

    guard: Guard
    rules: Rules
    request: GuardedRequest
    caller: Caller

    def decide(self) -> Decision:
        ownership = self.request.operation.ownership
        if ownership is Ownership.NEVER:
            return self._refuse(Reason.NEVER)
        if self.request.microversion is None:
            return self._refuse(Reason.MICROVERSION)
        if ownership is Ownership.SUMS:
            return self._decide_sums()
        if ownership is Ownership.FILTER:
            self._demand_canonical(self.request.provider_uuid)
            return Decision(Outcome.FILTER, Reason.OWNER, depends=True)
        if ownership is Ownership.READ:
            return self._decide_read()
        return self._decide_write()

    def _decide_sums(self) -> Decision:
        target = intake.read_asked(self.request.environ)
        ruling = self._rule_on(target, 'asked owner')
        # Security: sums of nobody in particular are nobody's to see.
        if 'project_id' not in target or ruling.truth is not Truth.YES:
            return self._refuse(Reason.NOT_ALLOWED, (ruling,))
        return self._pass((ruling,))

    def _decide_read(self) -> Decision:
        uuid = self.request.consumer_uuid
        self._demand_canonical(uuid)
        assert uuid is not None  # noqa: S101  # narrowed by the line above
        owners = self.guard._owners.find((uuid,))
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
        body = body_claims.take_body(self.request, self.guard._max_body_size)
        claims = body.claims
        for claim in claims:
            self._demand_canonical(claim.consumer_uuid)
        owners = self.guard._owners.find([claim.consumer_uuid for claim in claims])
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
        # Security: decided before the rules; nobody's are for role-holders.
        if owner.standing is Standing.ABSENT:
            return Reason.ABSENT, ()
        if owner.standing is Standing.NOBODYS or not owner.project_id:
            return Reason.NOBODYS, ()
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
        if not intake.is_canonical_uuid(uuid):
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
