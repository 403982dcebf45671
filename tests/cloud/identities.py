# SPDX-License-Identifier: Apache-2.0
"""Projects, users, roles and tokens, made through keystone's API."""

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any

import requests
from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

from tests.cloud.keystone import REGION, Keystone

DOMAIN = 'default'

#: Seconds for one call; the server may be busy, not gone.
_TIMEOUT = 60


@dataclasses.dataclass(frozen=True)
class Project:
    """A project of keystone's."""

    id: str
    name: str


@dataclasses.dataclass(frozen=True)
class User:
    """A user of keystone's."""

    id: str
    name: str
    password: str


class Identities:
    """Calls of keystone's API by its first user, and logins of the others."""

    def __init__(self, keystone: Keystone) -> None:
        self.url = keystone.url
        self._http = requests.Session()
        self._http.trust_env = False
        self.admin = User('', 'admin', keystone.password)
        self._session = self._make_session(
            v3.Password(
                self.url,
                username='admin',
                password=keystone.password,
                user_domain_id=DOMAIN,
                project_name='admin',
                project_domain_id=DOMAIN,
            )
        )
        self._api = adapter.Adapter(self._session, endpoint_override=self.url)
        self._roles: dict[str, str] = {}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, method: str, path: str, body: object = None, **named: Any) -> Any:
        """A call by the administrator; what the one key of the answer holds."""
        sent = {} if body is None else {'json': body}
        answer = self._api.request(path, method, **sent, **named)
        if not answer.content:
            return None
        [value] = [
            v for k, v in answer.json().items() if k not in ('links', 'truncated')
        ]
        return value

    def find_admin_project(self) -> Project:
        """The project that the bootstrap made."""
        [found] = self.call('GET', '/projects?name=admin')
        return Project(found['id'], found['name'])

    def add_project(self, name: str | None = None) -> Project:
        """A new project of the default domain."""
        body = {'name': name or f'project-{uuid.uuid4().hex}', 'domain_id': DOMAIN}
        made = self.call('POST', '/projects', {'project': body})
        return Project(made['id'], made['name'])

    def add_user(self, name: str | None = None) -> User:
        """A new user of the default domain, without any role."""
        name, password = name or f'user-{uuid.uuid4().hex}', uuid.uuid4().hex
        body = {'name': name, 'password': password, 'domain_id': DOMAIN}
        made = self.call('POST', '/users', {'user': body})
        return User(made['id'], name, password)

    def grant(self, user: User, role: str, where: str) -> None:
        """Give a role, which is made when keystone does not have it.

        :param where: ``projects/{id}``, ``domains/{id}`` or ``system``
        """
        self.call('PUT', f'/{where}/users/{user.id}/roles/{self._find_role(role)}')

    def take(self, user: User, role: str, where: str) -> None:
        """Take a role back."""
        self.call('DELETE', f'/{where}/users/{user.id}/roles/{self._find_role(role)}')

    def _find_role(self, name: str) -> str:
        if not self._roles:
            self._roles |= {
                role['name']: role['id'] for role in self.call('GET', '/roles')
            }
        if name not in self._roles:
            self._roles[name] = self.call('POST', '/roles', {'role': {'name': name}})[
                'id'
            ]
        return self._roles[name]

    def add_endpoint(self, service_type: str, url: str, region: str = REGION) -> None:
        """Put a service into the catalog, in one region for all interfaces."""
        found = self.call('GET', f'/services?type={service_type}')
        body = {'service': {'type': service_type, 'name': service_type}}
        service = found[0] if found else self.call('POST', '/services', body)
        for interface in ('public', 'internal', 'admin'):
            endpoint = {
                'service_id': service['id'],
                'interface': interface,
                'url': url,
                'region': region,
            }
            self.call('POST', '/endpoints', {'endpoint': endpoint})

    def log_in(self, user: User, url: str | None = None, **scope: Any) -> str:
        """A token of the user.

        :param url: of another server over the same database
        :param scope: what ``keystoneauth1.identity.v3.Password`` takes:
            ``project_id``, ``domain_id``, ``system_scope``, ``trust_id``;
            ``unscoped=True`` for none of them
        """
        plugin = v3.Password(
            url or self.url,
            username=user.name,
            password=user.password,
            user_domain_id=DOMAIN,
            **scope,
        )
        return str(plugin.get_token(self._make_session(plugin)))

    def log_in_with(self, credential: Mapping[str, Any]) -> str:
        """A token by an application credential."""
        plugin = v3.ApplicationCredential(
            self.url, credential['secret'], credential['id']
        )
        return str(plugin.get_token(self._make_session(plugin)))

    def delegate(self, token: str, path: str, body: object) -> Any:
        """Make what only a user himself can: a trust, an application credential.

        :param token: of that user, of the project in question
        """
        headers = {'X-Auth-Token': token}
        return self.call('POST', path, body, headers=headers, authenticated=False)

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        self.call('DELETE', '/auth/tokens', headers={'X-Subject-Token': token})

    def _make_session(self, plugin: v3.Password | v3.ApplicationCredential) -> Any:
        return session.Session(auth=plugin, session=self._http, timeout=_TIMEOUT)
