# SPDX-License-Identifier: Apache-2.0
"""The contents of decision records, as plain values ready for JSON.

A record never contains a token, and ids of others only as the mask shows them.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from consumer_guard.guard import model
from consumer_guard.guard.decision import Outcome
from consumer_guard.guard.errors import RequestError
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.model import Caller, Claim, Owner, OwnerStatus
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.masking import Mask

#: Consumers named in one record; more are counted only.
MAX_CONSUMERS = 16

#: Credentials that a record contains; the others are unknown to its readers.
RECORDED_CREDENTIALS = ('user_id', 'project_id', 'domain_id')

#: What allowed a request.
_BY: Mapping[Outcome, str | None] = MappingProxyType(
    {
        Outcome.ROLE: 'role',
        Outcome.PASSAGE: 'ownership',
        Outcome.FILTER: 'filter',
        Outcome.REFUSE: None,
    }
)


def name_outcome(outcome: Outcome, mode: str) -> str:
    """``allow`` or ``deny``, after ``would`` in shadow mode."""
    verb = 'deny' if outcome is Outcome.REFUSE else 'allow'
    return f'would {verb}' if mode == 'shadow' else verb


def describe_decision(
    request: GuardedRequest, shown: Fulfilment, mask: Mask
) -> dict[str, Any]:
    """The facts of a decision.

    :param shown: body and owners as read and looked up, for the decision or for
        the record
    """
    decision = shown.decision
    recorded = list((decision.owners or {}).values())
    claimed = shown.body.claims if shown.body else ()
    queried = _read_query(request)
    targets = [
        *[_make_target('recorded owner', owner) for owner in recorded[:MAX_CONSUMERS]],
        *[_make_target('claimed owner', claim) for claim in claimed[:MAX_CONSUMERS]],
        *queried,
    ]
    named = [(owner.consumer_uuid, owner.project_id) for owner in recorded]
    if not named and request.consumer_uuid:
        named = [(request.consumer_uuid, None)]
    return {
        'rule': request.operation.rule,
        'by': _BY[decision.outcome],
        'reason': decision.reason.value,
        'rulings': sorted(
            {f'{ruling.about}: {ruling.truth.name}' for ruling in decision.rulings}
        ),
        'consumers': [
            mask.mask_consumer(*consumer) for consumer in named[:MAX_CONSUMERS]
        ],
        'consumer_count': len(named),
        'targets': [_mask_target(target, mask) for target in targets],
        'target_count': len(recorded) + len(claimed) + len(queried),
    }


def describe_request(
    operation: model.Operation, environ: Environ, mode: str
) -> dict[str, Any]:
    """What is known of a request before it is judged."""
    return {
        'operation': operation.name,
        'mode': mode,
        'user_agent': environ.get('HTTP_USER_AGENT'),
    }


def describe_caller(request: GuardedRequest, caller: Caller) -> dict[str, Any]:
    """The caller, and the ids of the request."""
    version = request.microversion
    return {
        **{name: caller.credentials.get(name) for name in RECORDED_CREDENTIALS},
        'roles': caller.credentials.get('roles'),
        'scope': caller.scope,
        'microversion': '.'.join(map(str, version)) if version else None,
        'request_id': caller.request_id,
        'global_request_id': caller.global_request_id,
    }


def list_changed(
    claims: Iterable[Claim], former: Mapping[str, Owner]
) -> tuple[Claim, ...]:
    """The claims that may change the owner of a consumer.

    :param claims: all claims of a body
    :param former: the owners before the write, by the claim's id, as far as
        they were looked up
    """
    return tuple(
        [
            claim
            for claim in claims
            if not claim.empties
            and not _is_unchanged(former.get(claim.consumer_uuid), claim)
        ]
    )


def describe_change(claim: Claim, former: Owner | None, mask: Mask) -> dict[str, Any]:
    """The new owner of a consumer; nobody after a claim without a project."""
    change: dict[str, Any] = {
        'change': 'loss' if claim.project_id is None else 'claim',
        'consumer_uuid': mask.mask_consumer(claim.consumer_uuid, claim.project_id),
        'project_id': mask.hide(claim.project_id),
        'user_id': mask.hide(claim.user_id),
    }
    if former is not None:
        change['former'] = {
            'standing': former.status.value,
            'project_id': mask.hide(former.project_id),
            'user_id': mask.hide(former.user_id),
        }
    return change


def _is_unchanged(before: Owner | None, claim: Claim) -> bool:
    if before is None:
        return False
    if claim.project_id is None:
        return before.status is OwnerStatus.UNOWNED
    return (before.project_id, before.user_id) == (claim.project_id, claim.user_id)


def _read_query(request: GuardedRequest) -> list[dict[str, str | None]]:
    """The target that GET /usages names, where it is readable."""
    if request.operation is not model.USAGES:
        return []
    try:
        return [{'about': 'asked owner', **request.payload.read_usages_target()}]
    except RequestError:
        return []


def _make_target(about: str, subject: Owner | Claim) -> dict[str, str | None]:
    target: dict[str, str | None] = {
        'about': about,
        'consumer_uuid': subject.consumer_uuid,
        'project_id': subject.project_id,
        'user_id': subject.user_id,
        'consumer_type': subject.consumer_type,
    }
    if isinstance(subject, Owner):
        target['standing'] = subject.status.value
    return target


def _mask_target(target: Mapping[str, str | None], mask: Mask) -> dict[str, str | None]:
    masked = dict(target)
    uuid = target.get('consumer_uuid')
    if uuid is not None:
        masked['consumer_uuid'] = mask.mask_consumer(uuid, target.get('project_id'))
    for name in ('project_id', 'user_id'):
        if name in target:
            # Security: as much work for nobody's consumer as for somebody's.
            hidden = mask.hide(target[name] or '')
            masked[name] = hidden if target[name] else None
    return masked
