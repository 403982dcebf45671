# SPDX-License-Identifier: Apache-2.0
"""Requests that nobody sent, for the commands that tell what would be.

A made environ goes the way of a real one: through
:func:`consumer_guard.guard.identity.make_context` and
:func:`consumer_guard.guard.request.match_operation`, so that nothing is decided twice.
"""

import io
import urllib.parse
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from consumer_guard.guard import identity, model
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.model import Caller, Owner, OwnerStatus

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
class _TokenUser:
    """What auth_token's ``token_auth.user`` tells, as far as the guard asks."""

    user_id: str
    project_id: str | None
    role_names: tuple[str, ...]
    system_scoped: bool


@dataclass(frozen=True, slots=True)
class _TokenAuth:
    user: _TokenUser


def make_environ(
    person: Subject,
    method: str,
    path: str,
    *,
    microversion: str | None = None,
    body: bytes | None = None,
) -> Environ:
    """The environ that auth_token would leave behind for this person.

    :param path: as a client sends it, with its query; no scheme or host
    :param microversion: what stands behind ``placement`` in the header
    """
    raw, _, query = path.partition('?')
    environ: Environ = {
        'REQUEST_METHOD': method,
        'SCRIPT_NAME': '',
        # PEP 3333: bytes as Latin-1, after the server's one decoding.
        'PATH_INFO': urllib.parse.unquote_to_bytes(raw).decode('latin-1'),
        'QUERY_STRING': query,
        'SERVER_NAME': 'localhost',
        'SERVER_PORT': '80',
        'SERVER_PROTOCOL': 'HTTP/1.1',
        'wsgi.url_scheme': 'http',
        'wsgi.input': io.BytesIO(body or b''),
        identity.ENV_REQUEST_ID: REQUEST_ID,
        'HTTP_X_IDENTITY_STATUS': 'Confirmed',
        'HTTP_X_USER_ID': person.user_id,
        'HTTP_X_USER_DOMAIN_ID': person.user_domain_id,
        'HTTP_X_PROJECT_ID': person.project_id,
        'HTTP_X_PROJECT_DOMAIN_ID': person.project_domain_id,
        'HTTP_X_DOMAIN_ID': person.domain_id,
        'HTTP_X_ROLES': ','.join(person.roles),
        'HTTP_X_IS_ADMIN_PROJECT': str(person.is_admin_project),
        'keystone.token_info': {'token': {}},
        'keystone.token_auth': _TokenAuth(
            _TokenUser(person.user_id, person.project_id, person.roles, person.system)
        ),
    }
    if person.service_roles:
        environ['HTTP_X_SERVICE_ROLES'] = ','.join(person.service_roles)
    if microversion is not None:
        environ['HTTP_OPENSTACK_API_VERSION'] = f'placement {microversion}'
    if body is not None:
        environ['CONTENT_TYPE'] = 'application/json'
        environ['CONTENT_LENGTH'] = str(len(body))
    return environ


def find_caller(environ: Environ, passage_role: str = '') -> Caller | None:
    """The caller as the middleware would see it; None without an identity.

    :param passage_role: taken away first, as from every incoming request
    """
    identity.strip_role(environ, passage_role.lower())
    context = identity.make_context(environ, believe_headers=False)
    return None if context is None else identity.make_caller(context)


def make_caller(person: Subject) -> Caller:
    """The caller that a person is for policy checks."""
    caller = find_caller(make_environ(person, 'GET', '/'))
    assert caller is not None  # noqa: S101  # make_environ makes the proof
    return caller


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
