# SPDX-License-Identifier: Apache-2.0
"""The contents of decision records, as plain values ready for JSON.

A record never contains a token, and ids of others only as the mask shows them.
"""

from collections.abc import Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome
from consumer_guard.guard.errors import RequestError
from consumer_guard.guard.identity import (
    ENV_GLOBAL_REQUEST_ID,
    ENV_REQUEST_ID,
    Environ,
)
from consumer_guard.guard.model import Caller, Claim, Owner, OwnerStatus, Truth
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest, Microversion
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

#: One target, as a record shows it.
Shown = dict[str, str | None]


def name_outcome(outcome: Outcome, mode: str) -> str:
    """``allow`` or ``deny``, after ``would`` in shadow mode."""
    verb = 'deny' if outcome is Outcome.REFUSE else 'allow'
    return f'would {verb}' if mode == 'shadow' else verb


def describe_caller(caller: Caller | None) -> dict[str, Any]:
    """Who sent the request; nothing without an identity."""
    if caller is None:
        return {}
    roles = list(caller.credentials.get('roles') or ())
    return {
        **{name: caller.credentials.get(name) for name in RECORDED_CREDENTIALS},
        'scope': caller.scope,
        'roles': roles,
        'role_count': len(roles),
    }


def describe_request(
    operation: model.Operation,
    environ: Environ,
    mode: str,
    version: Microversion | None = None,
) -> dict[str, Any]:
    """What is known of a request before it is judged, and the time now.

    :param version: None where the request was not judged, or is not valid
    """
    return {
        'operation': operation.name,
        'mode': mode,
        'timestamp': datetime.now(timezone.utc).isoformat(timespec='microseconds'),
        'microversion': '.'.join(map(str, version)) if version else None,
        'request_id': environ.get(ENV_REQUEST_ID),
        'global_request_id': environ.get(ENV_GLOBAL_REQUEST_ID),
        'client_address': environ.get('REMOTE_ADDR'),
        'user_agent': environ.get('HTTP_USER_AGENT'),
    }


def describe_decision(
    request: GuardedRequest, shown: Fulfilment, mask: Mask
) -> dict[str, Any]:
    """The facts of a decision, refused consumers before allowed ones.

    :param shown: body and owners as read and looked up, for the decision or for
        the record
    """
    decision = shown.decision
    refused = _list_refused(decision)
    recorded, claimed = (
        sorted(targets, key=lambda target: target['consumer_uuid'] not in refused)
        for targets in (_list_recorded(decision), _list_claimed(shown))
    )
    queried = _read_query(request)
    uuids = [target['consumer_uuid'] for target in recorded]
    if not uuids and request.consumer_uuid:
        uuids = [request.consumer_uuid]
    targets = [*recorded[:MAX_CONSUMERS], *claimed[:MAX_CONSUMERS], *queried]
    targets.sort(key=lambda target: target.get('consumer_uuid') not in refused)
    # Security: a claim makes nobody the owner of a consumer.
    owned = {target['consumer_uuid']: target['project_id'] for target in recorded}
    return {
        'rule': request.operation.rule,
        'by': _BY[decision.outcome],
        'reason': decision.reason.value,
        'rules_digest': getattr(decision.rules, 'digest', None),
        'rulings': sorted(
            {f'{ruling.about}: {ruling.truth.name}' for ruling in decision.rulings}
        ),
        'consumers': [
            mask.mask_consumer(uuid or '', owned.get(uuid))
            for uuid in uuids[:MAX_CONSUMERS]
        ],
        'consumer_count': len(uuids),
        'targets': [_mask_target(target, owned, mask) for target in targets],
        'target_count': len(recorded) + len(claimed) + len(queried),
    }


def may_change_owner(claim: Claim, former: Owner | None) -> bool:
    """Whether a claim may give its consumer another owner.

    :param former: the owner before the write; None if not looked up
    """
    if claim.empties or former is None:
        return not claim.empties
    if claim.project_id is None:
        return former.status is not OwnerStatus.UNOWNED
    return (former.project_id, former.user_id) != (claim.project_id, claim.user_id)


def describe_changes(
    changes: Mapping[Claim, Owner | None], mask: Mask
) -> dict[str, Any]:
    """The new owners of consumers; nobody after a claim without a project.

    :param changes: the owners before the write, None where not looked up
    """
    shown = list(changes.items())[:MAX_CONSUMERS]
    return {
        'changes': [_describe_change(claim, former, mask) for claim, former in shown],
        'change_count': len(changes),
    }


def _describe_change(claim: Claim, former: Owner | None, mask: Mask) -> dict[str, Any]:
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


def _list_refused(decision: Decision) -> frozenset[str | None]:
    """Ids of the consumers for which a request was refused, or could have been."""
    ruled = [
        ruling.target.get('consumer_uuid')
        for ruling in decision.rulings
        if ruling.truth is not Truth.YES
    ]
    unowned = [
        uuid
        for uuid, owner in (decision.owners or {}).items()
        if owner.status is not OwnerStatus.RECORDED or not owner.has_allocations
    ]
    return frozenset([*ruled, *unowned])


def _list_recorded(decision: Decision) -> list[Shown]:
    return [
        {
            **_make_target('recorded owner', owner.target()),
            'standing': owner.status.value,
        }
        for owner in (decision.owners or {}).values()
    ]


def _list_claimed(shown: Fulfilment) -> list[Shown]:
    """The claims of a body, or of a refused one those that the rule was judged on."""
    if shown.body is not None:
        targets = [claim.target() for claim in shown.body.claims]
    else:
        rulings = shown.decision.rulings
        targets = [dict(r.target) for r in rulings if r.about == 'claimed owner']
    return [_make_target('claimed owner', target) for target in targets]


def _read_query(request: GuardedRequest) -> list[Shown]:
    """The target that GET /usages names, where it is readable."""
    if request.operation is not model.USAGES:
        return []
    try:
        return [{'about': 'asked owner', **request.payload.read_usages_target()}]
    except RequestError:
        return []


def _make_target(about: str, attributes: Mapping[str, str]) -> Shown:
    keys = ('consumer_uuid', 'project_id', 'user_id', 'consumer_type')
    return {'about': about, **{key: attributes.get(key) for key in keys}}


def _mask_target(
    target: Shown, owned: Mapping[str | None, str | None], mask: Mask
) -> Shown:
    """:param owned: recorded projects by consumer"""
    masked = dict(target)
    uuid = target.get('consumer_uuid')
    if uuid is not None:
        masked['consumer_uuid'] = mask.mask_consumer(uuid, owned.get(uuid))
    for name in ('project_id', 'user_id'):
        if name in target:
            # Security: as much work for nobody's consumer as for somebody's.
            hidden = mask.hide(target[name] or '')
            masked[name] = hidden if target[name] else None
    return masked
