# SPDX-License-Identifier: Apache-2.0
"""Placement behind the guard, served by the samples of etc/ as they are."""

import pathlib
from collections.abc import Mapping
from typing import Any

import requests

from tests.administrator import VERSION, Administrator
from tests.cloud.identities import DOMAIN, Project, User
from tests.cloud.processes import WebServer
from tests.configuration import Configuration, make_environment


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
        user, project = account
        configuration = Configuration(
            folder,
            database,
            options=options,
            rules=rules,
            placement_rules=placement_rules,
            placement_options={
                'placement_database': {'sqlite_synchronous': 'false'},
                'keystone_authtoken': {
                    'www_authenticate_uri': keystone,
                    'auth_url': keystone,
                    'auth_type': 'password',
                    'username': user.name,
                    'password': user.password,
                    'project_id': project.id,
                    'user_domain_id': DOMAIN,
                    'service_type': 'placement',
                    **(authtoken or {}),
                },
            },
        )
        self.policy_file = configuration.policy
        super().__init__(
            'placement',
            'consumer_guard.wsgi.api:application',
            folder,
            make_environment(folder),
        )


class Client(Administrator):
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
        version: str | None = VERSION,
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

    def must(
        self, method: str, path: str, body: object = None, version: str = VERSION
    ) -> Any:
        """Send a request that has to succeed; its JSON, or None."""
        answer = self.request(method, path, body, version=version)
        if answer.status_code >= 300:
            raise RuntimeError(f'{method} {path}: {answer.status_code} {answer.text}')
        return answer.json() if answer.content else None
