# SPDX-License-Identifier: Apache-2.0
"""Requests, callers and owners made of values, to predict decisions with.

Routes, microversions, queries and bodies are read by what reads them for the
middleware, so that nothing is decided twice.
"""

import json
import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard import identity, model
from consumer_guard.guard.body import parse_body
from consumer_guard.guard.errors import TooLarge
from consumer_guard.guard.model import Caller, Operation, Owner, OwnerStatus
from consumer_guard.guard.request import (
    KNOWN_MICROVERSIONS,
    GuardedRequest,
    make_guarded_request,
    match_operation,
    parse_usages_target,
    read_microversion,
)

#: Stands for the request id where there is no request.
REQUEST_ID = 'req-simulated'

_ABSENT = Owner('', OwnerStatus.ABSENT)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a token says of its holder.

    :ivar project_id: None when the token is not of a project
    :ivar domain_id: of a domain-scoped token, else None
    :ivar system: whether the token is of the whole system
    :ivar is_admin_project: as keystoneauth has it, True by default
    :ivar service_roles: of the service token that came along
    """

    user_id: str
    roles: tuple[str, ...] = ()
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    user_domain_id: str | None = None
    project_domain_id: str | None = None
    is_admin_project: bool = True
    service_roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenPayload:
    """A query and a body as values, see :class:`consumer_guard.guard.request.Payload`.

    :ivar max_body_size: bytes; a larger body is too large, None for no limit
    """

    query: str = ''
    body: bytes = b''
    max_body_size: int | None = None

    def read_usages_target(self) -> Mapping[str, str]:
        """The target that the query names."""
        return parse_usages_target(self.query)

    def read_document(self) -> Any:
        """The parsed body."""
        if self.max_body_size is not None and len(self.body) > self.max_body_size:
            raise TooLarge(f'The body is larger than {self.max_body_size} bytes.')
        return parse_body(self.body)


def make_request(
    method: str,
    path: str,
    *,
    microversion: str | None = None,
    versions: Sequence[str] = KNOWN_MICROVERSIONS,
    body: bytes = b'',
    max_body_size: int | None = None,
) -> GuardedRequest | None:
    """The request that the middleware would make of these.

    :param path: as a client sends it, with its query; no scheme or host
    :param microversion: what stands behind ``placement`` in the header
    :returns: None for a request that is not guarded
    """
    raw, _, query = path.partition('?')
    # PEP 3333: bytes as Latin-1, after the server's one decoding.
    matched = match_operation(
        method, urllib.parse.unquote_to_bytes(raw).decode('latin-1')
    )
    if matched is None:
        return None
    header = None if microversion is None else f'placement {microversion}'
    return make_guarded_request(
        *matched,
        read_microversion(header, tuple(versions)),
        GivenPayload(query, body, max_body_size),
    )


def make_claim(
    provider_uuid: str,
    project_id: str,
    user_id: str,
    generation: int | None,
    consumer_type: str | None,
) -> dict[str, Any]:
    """A claim of one VCPU, as the latest microversion has it in a body."""
    return {
        'allocations': {provider_uuid: {'resources': {'VCPU': 1}}},
        'project_id': project_id,
        'user_id': user_id,
        'consumer_generation': generation,
        'consumer_type': consumer_type,
    }


def make_body(operation: Operation, claims: Mapping[str, Any]) -> bytes:
    """The body of a request for an operation; empty where it has none.

    :param claims: by consumer id; a single one for PUT
    """
    if operation.method not in ('PUT', 'POST'):
        return b''
    document: Any = claims
    if operation is model.ALLOCATIONS_UPDATE:
        (document,) = claims.values()
    elif operation is model.RESHAPE:
        document = {'inventories': {}, 'allocations': claims}
    return json.dumps(document).encode()


def simulate_caller(subject: Subject, passage_role: str = '') -> Caller:
    """The caller that a subject is for policy checks.

    :param passage_role: taken away first, as from every incoming request
    """
    return identity.make_caller(
        identity.GuardContext(
            user_id=subject.user_id,
            project_id=subject.project_id,
            domain_id=subject.domain_id,
            user_domain_id=subject.user_domain_id,
            project_domain_id=subject.project_domain_id,
            system_scope='all' if subject.system else None,
            roles=_list_roles(subject.roles, passage_role),
            is_admin_project=subject.is_admin_project,
            service_roles=_list_roles(subject.service_roles, passage_role),
            request_id=REQUEST_ID,
        )
    )


def _list_roles(roles: Sequence[str], passage_role: str) -> list[str]:
    # As a header carries them: a comma or a blank at an end is no part of a name.
    return [
        role
        for role in roles
        if role == role.strip()
        and ',' not in role
        and role.lower() not in ('', passage_role.lower())
    ]


class KnownOwners:
    """An :class:`consumer_guard.guard.model.OwnerLookup` over fixed values.

    Any consumer type exists.

    :param owners: by consumer id
    :param default: the owner of all other consumers
    """

    def __init__(
        self,
        owners: Mapping[str, Owner],
        default: Owner = _ABSENT,
    ) -> None:
        self._owners = owners
        self._default = default

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        """The owner of every id."""
        return {
            uuid: self._owners.get(uuid) or self._default._replace(consumer_uuid=uuid)
            for uuid in consumer_ids
        }

    def find_types(self, names: Collection[str]) -> Collection[str]:
        """All of them."""
        return frozenset(names)

    def close(self) -> None:
        """Nothing is open."""
