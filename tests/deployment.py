# SPDX-License-Identifier: Apache-2.0
"""Real placement behind the guard, loaded by PasteDeploy from etc/.

The pipeline is the sample's, with placement's own auth_token in it; only the
call to keystone is replaced, by the fixture that keystonemiddleware ships for
users. Placement's policy and database are process globals: one database a test
process, and a new deployment replaces the one before.
"""

import os
import pathlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import webob
import webtest
from keystoneauth1 import fixture as keystone_fixture
from keystonemiddleware import fixture as middleware_fixture
from paste import deploy
from placement import policy as placement_policy

from tests.administrator import VERSION, Administrator, User, make_claim
from tests.configuration import NAIVE_RULES, Configuration
from tests.stock import Stock


class Tokens:
    """Tokens that the middleware believes keystone has issued."""

    def __init__(self) -> None:
        self._fixture = middleware_fixture.AuthTokenFixture()
        self._fixture.setUp()

    def issue(self, user: User) -> str:
        """Issue the user's token; returns its id."""
        token = self.make_body(user)
        issued: str = self._fixture.add_token(token, token_id=user.token)
        return issued

    @staticmethod
    def make_body(user: User) -> keystone_fixture.V3Token:
        """The token as keystone answers about it."""
        project: dict[str, Any] = {}
        if user.scope == 'project':
            project = {
                'project_id': user.project_id,
                'project_domain_id': 'default',
                'project_name': f'name of {user.project_id}',
            }
        token = keystone_fixture.V3Token(
            user_id=user.user_id, user_domain_id='default', **project
        )
        if user.scope == 'system':
            token.set_system_scope()
        if user.scope == 'domain':
            token.set_domain_scope(id='default', name='Default')
        for role in user.roles:
            token.add_role(name=role)
        return token

    def close(self) -> None:
        """Put auth_token back."""
        self._fixture.cleanUp()


class Deployment(Administrator):
    """One pipeline of etc/ with its configuration in a folder of its own."""

    def __init__(
        self,
        directory: pathlib.Path,
        tokens: Tokens,
        database: str,
        *,
        options: Mapping[str, object] | None = None,
        rules: Mapping[str, Any] | None = None,
        placement_rules: Mapping[str, str] | None = None,
        pipeline: str = 'api-paste.ini',
    ) -> None:
        self.directory = directory
        self.tokens = tokens
        self.database = database
        self.configuration = Configuration(
            directory,
            database,
            # A busy machine is no database that is away.
            options={
                'policy_poll_interval': 0.05,
                'lookup_timeout': 30,
                **(options or {}),
            },
            rules=rules or {},
            placement_rules=NAIVE_RULES if placement_rules is None else placement_rules,
            placement_options={
                'keystone_authtoken': {'www_authenticate_uri': 'http://127.0.0.1:9/'}
            },
        )
        self._stock = Stock(database)
        self.policy_file = self.configuration.policy
        self.admin = User(('admin', 'member', 'reader'), uuid.uuid4().hex)
        tokens.issue(self.admin)
        self.load(pipeline)

    def load(self, pipeline: str = 'api-paste.ini') -> None:
        """Load a pipeline of the folder, in place of the one before."""
        os.environ['OS_PLACEMENT_CONFIG_DIR'] = str(self.configuration.placement)
        # Not reset(), which would empty the enforcer of another deployment.
        placement_policy._ENFORCER = None
        self.application = deploy.loadapp(f'config:{self.directory / pipeline}')
        self.client = webtest.TestApp(self.application)
        self._enforcer = placement_policy._ENFORCER

    def activate(self) -> None:
        """Make this deployment's rules placement's own again."""
        os.environ['OS_PLACEMENT_CONFIG_DIR'] = str(self.configuration.placement)
        placement_policy._ENFORCER = self._enforcer

    def reload_with(self, old: str, new: str) -> None:
        """Change the text of the pipeline and load it."""
        path = self.directory / 'api-paste.ini'
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.load()

    def request(
        self,
        method: str,
        path: str,
        user: User | None = None,
        *,
        version: str | None = VERSION,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> webtest.TestResponse:
        """Send a request; any status is returned, none raises."""
        sent = dict(headers or {})
        if version is not None:
            sent.setdefault('OpenStack-API-Version', f'placement {version}')
        if user is not None:
            sent['X-Auth-Token'] = user.token
        call = getattr(self.client, f'{method.lower()}_json', None)
        if body is None or call is None:
            return self.client.request(
                path, method=method, headers=sent, expect_errors=True
            )
        return call(path, params=body, headers=sent, expect_errors=True)

    def must(
        self, method: str, path: str, body: object = None, version: str = VERSION
    ) -> Any:
        """Send a request of the administrator, which has to succeed."""
        answer = self.request(method, path, self.admin, version=version, body=body)
        assert answer.status_int < 300, answer.text
        return answer.json if answer.body else None

    def add_provider(
        self, total: int = 1000, name: str | None = None, provider: str | None = None
    ) -> str:
        """As the administrator's, without the API."""
        provider = provider or str(uuid.uuid4())
        self._stock.add_provider(provider, name or provider, total)
        return provider

    def add_consumer(
        self,
        provider: str,
        owner: User,
        consumer: str | None = None,
        *,
        version: str = VERSION,
        amount: int = 1,
    ) -> str:
        """As the administrator's, without the API."""
        consumer = consumer or str(uuid.uuid4())
        claim = make_claim(provider, owner, None, version, amount)
        self._stock.add_consumer(
            consumer,
            provider,
            claim.get('project_id'),
            owner.user_id,
            claim.get('consumer_type'),
            amount,
        )
        return consumer

    def read_inventories(self, provider: str) -> dict[str, Any]:
        """As the administrator's, without the API."""
        return self._stock.read_inventories(provider)

    def add_user(
        self, *roles: str, project_id: str | None = None, scope: str = 'project'
    ) -> User:
        """Somebody new, of a new project unless one is given."""
        user = User(
            roles,
            project_id or (uuid.uuid4().hex if scope == 'project' else None),
            scope=scope,
        )
        self.tokens.issue(user)
        return user

    def put(
        self,
        consumer: str,
        provider: str,
        owner: User,
        caller: User,
        *,
        generation: object,
        version: str = VERSION,
        amount: int = 1,
    ) -> webtest.TestResponse:
        """PUT one VCPU (or none, with amount 0) claimed for the owner."""
        body = make_claim(provider, owner, generation, version, amount)
        return self.request(
            'PUT', f'/allocations/{consumer}', caller, version=version, body=body
        )


def make_request(
    method: str,
    path: str,
    caller: User,
    *,
    version: str = VERSION,
    body: object = None,
) -> webob.Request:
    """A request to be sent from any thread; webtest's client is not for threads."""
    request = webob.Request.blank(
        path,
        method=method,
        headers={
            'X-Auth-Token': caller.token,
            'OpenStack-API-Version': f'placement {version}',
            'Accept': 'application/json',
        },
    )
    if body is not None:
        request.content_type = 'application/json'
        request.json = body
    return request


#: Makes a deployment: ``deploy(options=, rules=, placement_rules=)``.
Deploy = Callable[..., Deployment]


def deploy_naively(folder: pathlib.Path, tokens: Tokens, database: str) -> Deployment:
    """The same pipeline without the guard: what every attack would do there."""
    naive = Deployment(folder, tokens, database)
    naive.reload_with('authtoken consumer_guard placement', 'authtoken placement')
    return naive
