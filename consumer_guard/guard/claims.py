# SPDX-License-Identifier: Apache-2.0
"""What a body says of each consumer: owner, generation, whether it empties it.

Taken as placement's schemas take it, microversion by microversion.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from consumer_guard.guard import model
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.model import GENERATION_IN_BODY, Body
from consumer_guard.guard.request import GuardedRequest, is_canonical_uuid

#: PUT /allocations takes the owner along from 1.8.
_OWNER_IN_BODY = (1, 8)

#: String(255) of projects.external_id and users.external_id, and maxLength of
#: placement's schemas.
_LONGEST_ID = 255


def read_claims(request: GuardedRequest, document: Any) -> tuple[model.Claim, ...]:
    """Take the claims out of a parsed body of a write.

    :param document: the parsed body
    :returns: one claim a consumer; at least one but for a reshape
    :raises Unreadable: the document has not the form that placement accepts
        at this microversion, as far as owner, generation and ids go
    """
    if request.operation is model.ALLOCATIONS_MANAGE:
        parts = dict(_as_object(document, 'The body'))
        if not parts:
            raise Unreadable('The body names no consumer.')
    elif request.operation is model.RESHAPE:
        whole = _as_object(document, 'The body')
        parts = dict(_as_object(whole.get('allocations'), 'The allocations'))
    else:
        parts = {request.consumer_uuid or '': document}
    version = request.body_version
    return tuple([_read_claim(key, part, version) for key, part in parts.items()])


def _read_claim(consumer_uuid: str, part: Any, version: tuple[int, int]) -> model.Claim:
    claim = _as_object(part, 'The body of a consumer')
    allocations = claim.get('allocations')
    if not isinstance(allocations, dict | list):
        raise Unreadable('The body of a consumer has no allocations.')
    project_id = user_id = None
    if version >= _OWNER_IN_BODY:
        project_id = _read_id(claim, 'project_id')
        user_id = _read_id(claim, 'user_id')
    generation = None
    if version >= GENERATION_IN_BODY:
        generation = _read_generation(claim)
    consumer_type = claim.get('consumer_type')
    if consumer_type is not None and not isinstance(consumer_type, str):
        raise Unreadable('The consumer_type is not a string.')
    return model.Claim(
        consumer_uuid=consumer_uuid,
        project_id=project_id,
        user_id=user_id,
        consumer_type=consumer_type,
        generation=generation,
        empties=not allocations,
    )


def _as_object(document: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise Unreadable(f'{what} is not a JSON object.')
    return document


def _read_id(claim: Mapping[str, Any], name: str) -> str:
    value = claim.get(name)
    # Security: a policy check compares text; 5 would equal '5'.
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_ID:
        raise Unreadable(
            f'The {name} of a consumer is not a string of 1 to {_LONGEST_ID} '
            'characters.'
        )
    return value


def demand_canonical_claim(claim: model.Claim) -> None:
    """Refuse a claim that a database could take for another one's.

    Ownership's rule alone: placement takes any text from a role-holder.

    :raises Unreadable: the consumer's id is not spelt the canonical way, or an
        owner's has blanks at its ends, or what is not printable
    """
    if not is_canonical_uuid(claim.consumer_uuid):
        raise Unreadable('A uuid in the request is not canonical.')
    for name in ('project_id', 'user_id'):
        value = getattr(claim, name)
        # Security: databases cut NUL off or fold it; no id of keystone has one.
        if value and (not value.isprintable() or value != value.strip()):
            raise Unreadable(f'The {name} of a consumer is not canonical.')


def _read_generation(claim: Mapping[str, Any]) -> float | None:
    if 'consumer_generation' not in claim:
        raise Unreadable('A consumer has no consumer_generation.')
    value = claim['consumer_generation']
    # As placement's schema (integer or null): 1.0 is an integer, true is not.
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable('The consumer_generation is not an integer.')
    if isinstance(value, float) and not value.is_integer():
        raise Unreadable('The consumer_generation is not an integer.')
    return value


def read_write_body(request: GuardedRequest) -> Body:
    """Read the body of a write, and the claims in it.

    :raises TooLarge: see :class:`consumer_guard.guard.request.Payload`
    :raises Unreadable: see there and :func:`read_claims`
    """
    document = request.payload.read_document()
    return Body(document, read_claims(request, document))


def normalize_id(request: GuardedRequest, consumer_uuid: str) -> str:
    """The id as placement will look it up: only PUT canonicalises."""
    if request.operation is not model.ALLOCATIONS_UPDATE:
        return consumer_uuid
    try:
        return str(uuid.UUID(consumer_uuid))
    except ValueError:
        return consumer_uuid
