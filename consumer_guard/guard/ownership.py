# SPDX-License-Identifier: Apache-2.0
"""The pure part of the decision: what ownership allows, and what it never does.

Nothing here reads, waits or knows HTTP and SQL: requests, owners and claims are
values, and a judge gives the rule's answer for a target.
"""

from collections.abc import Callable, Collection, Mapping

from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.model import Body, Claimable, Owner, Ownership, Ruling, Truth
from consumer_guard.guard.request import GuardedRequest, demand_canonical

#: Judges the operation's rule: ``judge(target, about)``; may raise a RequestError.
Judge = Callable[[Mapping[str, str], str], Ruling]
#: Why a consumer is refused, None when it is not, and the rulings on it.
Judgement = tuple[Reason | None, tuple[Ruling, ...]]


def find_obstacle(request: GuardedRequest) -> Reason | None:
    """What no owner can overcome, found without reading anything more.

    :raises Unreadable: an id or the path is not canonical
    """
    ownership, version = request.operation.ownership, request.microversion
    if ownership is Ownership.NEVER:
        return Reason.NEVER
    if version is None:
        return Reason.MICROVERSION
    demand_canonical(request)
    if ownership is Ownership.SEALED_WRITE and version < model.GENERATION_IN_BODY:
        return Reason.NO_SEAL
    return None


def conclude_sums(target: Mapping[str, str], judge: Judge) -> Decision:
    """Decide on the owner that GET /usages asks about."""
    ruling = judge(target, 'asked owner')
    # Security: sums of nobody in particular are nobody's to see.
    allowed = 'project_id' in target and ruling.truth is Truth.YES
    return _conclude([(None if allowed else Reason.NOT_ALLOWED, (ruling,))])


def conclude_recorded(owners: Mapping[str, Owner], judge: Judge) -> Decision:
    """Decide on the recorded owners."""
    findings = [_judge_recorded(owner, judge) for owner in owners.values()]
    return _conclude(findings, owners)


def conclude_write(
    body: Body, recorded: Decision, claimable: Claimable, judge: Judge
) -> Decision:
    """Decide on a write, after :func:`conclude_recorded` on its recorded owners."""
    owners = recorded.owners or {}
    pairs = [(owners[claim.consumer_uuid], claim) for claim in body.claims]
    findings = [_judge_claim(owner, claim, judge) for owner, claim in pairs]
    decision = _conclude([(None, recorded.rulings), *findings], owners)
    reason = decision.reason if findings else Reason.NOT_ALLOWED
    if recorded.outcome is Outcome.REFUSE:
        reason = recorded.reason
    elif reason is Reason.OWNER and any(c.adds_to(o, claimable) for o, c in pairs):
        # Security: placement keeps every name that it was ever given.
        reason = Reason.NEW_NAMES
    elif reason is Reason.OWNER and not all(
        claim.generation == owner.generation is not None for owner, claim in pairs
    ):
        # Security: last, so that a generation tells nothing of others' consumers.
        reason = Reason.GENERATION
    if reason is Reason.OWNER:
        return decision._replace(body=body)
    return decision._replace(outcome=Outcome.REFUSE, reason=reason)


def find_empties(body: Body) -> Reason | None:
    """Whether a write leaves a consumer without allocations."""
    # Security: placement reads again what it removes, and increments the
    # generation of that second reading, so that nothing seals such a write.
    return Reason.EMPTIES if any(claim.empties for claim in body.claims) else None


def _conclude(
    findings: Collection[Judgement], owners: Mapping[str, Owner] | None = None
) -> Decision:
    # Security: all were judged, whatever the first ones said; the work done must
    # not tell which of them was refused. And none at all is not "all allowed".
    reasons = [reason for reason, _ in findings] or [Reason.NOT_ALLOWED]
    reason = next((reason for reason in reasons if reason is not None), Reason.OWNER)
    outcome = Outcome.PASSAGE if reason is Reason.OWNER else Outcome.REFUSE
    rulings = tuple(ruling for _, some in findings for ruling in some)
    return Decision(outcome, reason, depends=True, rulings=rulings, owners=owners)


def _judge_recorded(owner: Owner, judge: Judge) -> Judgement:
    # Security: decided before the rules; nobody's are for role-holders. The rule
    # is judged all the same, on nobody in particular, and its answer thrown
    # away: a remote check must not tell by its time, or by being called, which
    # consumers are recorded; nor must the steps taken, which are the same.
    if owner.status is not model.OwnerStatus.RECORDED or not owner.project_id:
        nobody = model.PLACEHOLDER_ID
        owned = owner._replace(project_id=nobody, user_id=nobody, consumer_type=None)
        judge(owned.target(), 'nobody')
        absent = owner.status is model.OwnerStatus.ABSENT
        return Reason.ABSENT if absent else Reason.UNOWNED, ()
    ruling = judge(owner.target(), 'recorded owner')
    return None if ruling.truth is Truth.YES else Reason.NOT_ALLOWED, (ruling,)


def _judge_claim(owner: Owner, claim: model.Claim, judge: Judge) -> Judgement:
    ruling = judge(claim.target(), 'claimed owner')
    if not owner.has_allocations:
        # Security: without allocations a row's owner can move while its
        # generation stays, so nothing seals it.
        return Reason.NO_ALLOCATIONS, (ruling,)
    return None if ruling.truth is Truth.YES else Reason.NOT_THE_CLAIMED, (ruling,)
