# SPDX-License-Identifier: Apache-2.0
"""Requests and callers made of values, for the commands that predict decisions.

Routes, microversions, queries and bodies are read by what reads them for the
middleware, so that nothing is decided twice.
"""

import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard import identity, model
from consumer_guard.guard.body import parse_body
from consumer_guard.guard.errors import TooLarge
from consumer_guard.guard.model import Caller, Owner, OwnerStatus
from consumer_guard.guard.request import (
    KNOWN_MICROVERSIONS,
    GuardedRequest,
    make_guarded_request,
    match_operation,
    parse_usages_target,
    read_microversion,
)

#: Stands for the request id where there is no request.
REQUEST_ID = 'req-rehearsal'


@dataclass(frozen=True, slots=True)
class Subject:
    """What a token says of its holder.

    :ivar project_id: None when the token is not of a project
    :ivar domain_id: of a domain-scoped token, else None
    :ivar system: whether the token is of the whole system
    :ivar is_admin_project: as keystoneauth has it, True when nothing is said
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
    found = match_operation(
        method, urllib.parse.unquote_to_bytes(raw).decode('latin-1')
    )
    if found is None:
        return None
    header = None if microversion is None else f'placement {microversion}'
    return make_guarded_request(
        *found,
        read_microversion(header, tuple(versions)),
        GivenPayload(query, body, max_body_size),
    )


def make_caller(subject: Subject, passage_role: str = '') -> Caller:
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
            overwrite=False,
        )
    )


def _list_roles(roles: Sequence[str], passage_role: str) -> list[str]:
    # As a header carries them: a comma or a blank at an end is no part of a name.
    return [
        role
        for role in roles
        if role
        and role == role.strip()
        and ',' not in role
        and role.lower() != passage_role.lower()
    ]


class KnownOwners:
    """An :class:`consumer_guard.guard.model.OwnerLookup` over fixed values."""

    def __init__(self, owners: Mapping[str, Owner]) -> None:
        self._owners = owners

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, model.Owner]:
        """Absent is what is not among the values."""
        return {
            id_: self._owners.get(id_) or Owner(id_, OwnerStatus.ABSENT)
            for id_ in consumer_ids
        }

    def close(self) -> None:
        """Nothing is open."""


class OneOwner:
    """An :class:`consumer_guard.guard.model.OwnerLookup` that knows one owner of all.

    :param owner: recorded for whatever is asked
    :param generations: of consumers, by id, where the owner's is not theirs
    """

    def __init__(self, owner: Owner, generations: Mapping[str, int]) -> None:
        self._owner = owner
        self._generations = generations

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, model.Owner]:
        """The same owner for every id."""
        return {
            id_: self._owner._replace(
                consumer_uuid=id_,
                generation=self._generations.get(id_, self._owner.generation),
            )
            for id_ in consumer_ids
        }

    def close(self) -> None:
        """Nothing is open."""
