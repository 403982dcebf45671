# SPDX-License-Identifier: Apache-2.0
"""The pure part of the decision: what ownership allows, and what it never does.

Nothing here reads, asks or waits: a request, the evidence and the rule's truths
are values. :mod:`consumer_guard.guard.authorizer` brings them.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.model import (
    GENERATION_IN_BODY,
    PLACEHOLDER_ID,
    Body,
    Claim,
    Owner,
    Ownership,
    OwnerStatus,
    Ruling,
    Truth,
)
from consumer_guard.guard.request import GuardedRequest, is_canonical_uuid

#: Judges the operation's rule: ``judge(target, about)``; may raise a RequestError.
Judge = Callable[[Mapping[str, str], str], Ruling]
#: Why a consumer is refused, None when it is not, and the rulings on it.
Finding = tuple[Reason | None, tuple[Ruling, ...]]


class Evidence(NamedTuple):
    """What ownership decides on, gathered once per request.

    :ivar target: whose sums GET /usages asks for
    :ivar body: of a write; a read claims nothing
    :ivar owners: recorded, by id, one for each that the request names
    """

    target: Mapping[str, str] | None = None
    body: Body | None = None
    owners: Mapping[str, Owner] | None = None


def find_obstacle(request: GuardedRequest) -> Reason | None:
    """What no owner can overcome, found without reading anything more.

    :raises Unreadable: an id or the path is not canonical
    """
    ownership, version = request.operation.ownership, request.microversion
    if ownership is Ownership.NEVER:
        return Reason.NEVER
    if version is None:
        return Reason.MICROVERSION
    if not request.canonical_path:
        raise Unreadable('The path is not canonical.')
    for uuid in (request.consumer_uuid, request.provider_uuid):
        if uuid is not None:
            demand_canonical(uuid)
    if ownership is Ownership.SEALED_WRITE and version < GENERATION_IN_BODY:
        return Reason.NO_SEAL
    return None


def demand_canonical(uuid: str) -> None:
    """Refuse an id that is not spelt the one way that every database agrees on.

    :raises Unreadable: any other spelling
    """
    if not is_canonical_uuid(uuid):
        raise Unreadable('A uuid in the request is not canonical.')


def conclude(ownership: Ownership, evidence: Evidence, judge: Judge) -> Decision:
    """Decide by the rule on every recorded and claimed owner, and by the seal.

    :raises consumer_guard.guard.errors.RequestError: the judge's
    """
    owners, body = evidence.owners or {}, evidence.body
    if ownership is Ownership.FILTER:
        return Decision(Outcome.FILTER, Reason.OWNER, depends=True)
    # Security: all are judged, whatever the first ones say; the work done must
    # not tell which of them was refused.
    if ownership is Ownership.SUMS:
        findings = [_judge_sums(evidence.target or {}, judge)]
    elif ownership is Ownership.READ:
        findings = [_judge_recorded(owner, judge) for owner in owners.values()]
    elif ownership is Ownership.SEALED_WRITE and body is not None:
        findings = [
            _judge_write(owners[c.consumer_uuid], c, judge) for c in body.claims
        ]
    else:
        findings = []
    rulings = tuple(ruling for _, some in findings for ruling in some)
    reason = next((reason for reason, _ in findings if reason is not None), None)
    if not findings:
        # Security: an empty set of consumers is never "all allowed".
        reason = Reason.NOT_ALLOWED
    elif reason is None and body is not None and not _is_sealed(body, owners):
        # Security: last, so that a generation tells nothing of others' consumers.
        reason = Reason.GENERATION
    if reason is not None:
        return Decision(Outcome.REFUSE, reason, True, rulings, evidence.owners)
    return Decision(
        Outcome.PASSAGE, Reason.OWNER, True, rulings, evidence.owners, body=body
    )


def _judge_sums(target: Mapping[str, str], judge: Judge) -> Finding:
    ruling = judge(target, 'asked owner')
    # Security: sums of nobody in particular are nobody's to see.
    allowed = 'project_id' in target and ruling.truth is Truth.YES
    return None if allowed else Reason.NOT_ALLOWED, (ruling,)


def _judge_recorded(owner: Owner, judge: Judge) -> Finding:
    # Security: decided before the rules; nobody's are for role-holders. The rule
    # is judged all the same, on nobody in particular, and its answer thrown
    # away: a remote check must not tell by its time, or by being called, which
    # consumers are recorded.
    if owner.status is not OwnerStatus.RECORDED or not owner.project_id:
        nobody = {'project_id': PLACEHOLDER_ID, 'user_id': PLACEHOLDER_ID}
        judge(nobody | {'consumer_uuid': owner.consumer_uuid}, 'nobody')
        absent = owner.status is OwnerStatus.ABSENT
        return Reason.ABSENT if absent else Reason.UNOWNED, ()
    ruling = judge(owner.target(), 'recorded owner')
    return None if ruling.truth is Truth.YES else Reason.NOT_ALLOWED, (ruling,)


def _judge_write(owner: Owner, claim: Claim, judge: Judge) -> Finding:
    """Two rulings: on the recorded owner, and on the claimed one."""
    reason, rulings = _judge_recorded(owner, judge)
    claimed = judge(claim.target(), 'claimed owner')
    if reason is None and not owner.has_allocations:
        # Security: without allocations a row's owner can move while its
        # generation stays, so nothing seals it.
        reason = Reason.NO_ALLOCATIONS
    if reason is None and claimed.truth is not Truth.YES:
        reason = Reason.NOT_THE_CLAIMED
    return reason, (*rulings, claimed)


def _is_sealed(body: Body, owners: Mapping[str, Owner]) -> bool:
    """Whether every claim carries the generation that was judged."""
    return all(
        claim.generation == owners[claim.consumer_uuid].generation
        for claim in body.claims
    )
