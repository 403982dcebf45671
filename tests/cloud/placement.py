# SPDX-License-Identifier: Apache-2.0
"""Placement behind the guard, served by the samples of etc/ as they are."""

import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

import requests
import yaml

from tests.cloud.identities import DOMAIN, Project, User
from tests.cloud.processes import WebServer

ETC = pathlib.Path(__file__).parent.parent.parent / 'etc' / 'consumer-guard'

#: Placement's rules for everything that the guard can open to owners.
OPEN_RULES = {
    f'placement:{name}': 'rule:admin_or_service_api or role:consumer_guard_passage'
    for name in (
        'allocations:list',
        'allocations:update',
        'allocations:delete',
        'allocations:manage',
        'resource_providers:allocations:list',
    )
}

_PLACEMENT_CONF = """\
[placement_database]
connection = {database}
sqlite_synchronous = false
[oslo_policy]
policy_file = {folder}/placement/policy.yaml
[keystone_authtoken]
www_authenticate_uri = {keystone}
auth_url = {keystone}
auth_type = password
username = {user.name}
password = {user.password}
project_id = {project.id}
user_domain_id = {domain}
service_type = placement
"""


class Placement(WebServer):
    """A guarded placement; ``start()`` serves it.

    :ivar policy_file: the guard's rules; ``placement/policy.yaml`` beside it has
        placement's own
    """

    def __init__(
        self,
        folder: pathlib.Path,
        database: str,
        keystone: str,
        account: tuple[User, Project],
        *,
        options: Mapping[str, object] | None = None,
        rules: Mapping[str, str] | None = None,
        placement_rules: Mapping[str, str] | None = None,
        authtoken: Mapping[str, object] | None = None,
    ) -> None:
        """Write the configuration.

        :param folder: is made
        :param database: SQLAlchemy URL, migrated
        :param keystone: URL of its API
        :param account: of auth_token, and its project
        :param options: of ``[consumer_guard]``
        :param rules: of the guard, instead of its defaults
        :param placement_rules: of placement, instead of the sample's
        :param authtoken: more options of ``[keystone_authtoken]``
        """
        shutil.copytree(ETC, folder)
        (folder / 'placement').mkdir()
        self.policy_file = folder / 'policy.yaml'
        conf = _PLACEMENT_CONF.format(
            database=database,
            folder=folder,
            keystone=keystone,
            user=account[0],
            project=account[1],
            domain=DOMAIN,
        )
        _write(folder / 'placement' / 'placement.conf', conf, authtoken or {})
        _write(folder / 'consumer-guard.conf', '[consumer_guard]\n', options or {})
        if rules is not None:
            self.policy_file.write_text(yaml.safe_dump(dict(rules)))
        policy = folder / 'placement' / 'policy.yaml'
        if placement_rules is None:
            shutil.copy(ETC / 'placement-policy.yaml', policy)
        else:
            policy.write_text(yaml.safe_dump(dict(placement_rules)))
        super().__init__(
            'placement',
            'consumer_guard.wsgi.api:application',
            folder,
            {
                'OS_PLACEMENT_CONFIG_DIR': str(folder / 'placement'),
                'CONSUMER_GUARD_PASTE_CONFIG': str(folder / 'api-paste.ini'),
            },
        )


def _write(path: pathlib.Path, text: str, options: Mapping[str, object]) -> None:
    lines = [f'{key} = {value}\n' for key, value in options.items()]
    path.write_text(text + ''.join(lines))


class Client:
    """Requests to a placement on loopback with one token, or with none."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.token = token

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = '1.38',
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> requests.Response:
        """Send one request; any status is returned."""
        sent = dict(headers or {})
        if version is not None:
            sent['OpenStack-API-Version'] = f'placement {version}'
        if self.token is not None:
            sent['X-Auth-Token'] = self.token
        with requests.Session() as http:
            http.trust_env = False
            return http.request(
                method, self.url + path, headers=sent, json=body, timeout=timeout
            )

    def must(self, method: str, path: str, body: object = None) -> Any:
        """Send a request that has to succeed; its JSON, or None."""
        answer = self.request(method, path, body)
        if answer.status_code >= 300:
            raise RuntimeError(f'{method} {path}: {answer.status_code} {answer.text}')
        return answer.json() if answer.content else None

    def add_provider(self, name: str | None = None, total: int = 1000) -> str:
        """A resource provider with VCPU; returns its uuid."""
        provider = str(uuid.uuid4())
        made = {'name': name or provider, 'uuid': provider}
        self.must('POST', '/resource_providers', made)
        stock = {
            'resource_provider_generation': 0,
            'inventories': {'VCPU': {'total': total}},
        }
        self.must('PUT', f'/resource_providers/{provider}/inventories', stock)
        return provider

    def add_consumer(
        self, provider: str, project_id: str, user_id: str, amount: int = 1
    ) -> str:
        """A consumer of some VCPU, at generation 1; returns its uuid."""
        consumer = str(uuid.uuid4())
        claim = make_claim(provider, project_id, user_id, amount=amount)
        self.must('PUT', f'/allocations/{consumer}', claim)
        return consumer


def make_claim(
    provider: str,
    project_id: str,
    user_id: str,
    generation: int | None = None,
    amount: int = 1,
) -> dict[str, Any]:
    """The body of a consumer of some VCPU at 1.38; with amount 0 of nothing."""
    return {
        'allocations': {provider: {'resources': {'VCPU': amount}}} if amount else {},
        'project_id': project_id,
        'user_id': user_id,
        'consumer_generation': generation,
        'consumer_type': 'INSTANCE',
    }
