# SPDX-License-Identifier: Apache-2.0
"""Real placement behind the guard, loaded by PasteDeploy from etc/.

The pipeline is the sample's, with placement's own auth_token in it; only the
call to keystone is replaced, by the fixture that keystonemiddleware ships for
users. Placement's policy and database are process globals: one database a test
process, and a new deployment replaces the one before.
"""

import dataclasses
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import webtest
import yaml
from keystoneauth1 import fixture as keystone_fixture
from keystonemiddleware import fixture as middleware_fixture
from paste import deploy
from placement import policy as placement_policy

ETC = pathlib.Path(__file__).parent.parent / 'etc' / 'consumer-guard'

#: Placement's rules opened the naive way: only the guard decides.
NAIVE_RULES = {
    f'placement:{name}': '@'
    for name in (
        'allocations:list',
        'allocations:update',
        'allocations:delete',
        'allocations:manage',
        'resource_providers:allocations:list',
        'usages',
        'reshaper:reshape',
    )
}

#: The guard's rules with owner writes and filtered lists opened.
OWNER_RULES = {
    'consumer_guard:allocations:update': 'rule:consumer_guard:admin_or_service'
    ' or rule:consumer_guard:owner_member',
    'consumer_guard:allocations:manage': 'rule:consumer_guard:admin_or_service'
    ' or rule:consumer_guard:owner_member',
    'consumer_guard:allocations:delete': 'rule:consumer_guard:admin_or_service'
    ' or rule:consumer_guard:owner_member',
    'consumer_guard:reshaper:reshape': 'rule:consumer_guard:admin_or_service'
    ' or rule:consumer_guard:owner_member',
    'consumer_guard:resource_providers:allocations:list': (
        'rule:consumer_guard:admin_or_service or rule:consumer_guard:owner_reader'
    ),
}


@dataclasses.dataclass(frozen=True)
class User:
    """Somebody with a token.

    :ivar project_id: None for tokens that are not of a project
    """

    roles: tuple[str, ...]
    project_id: str | None
    user_id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    token: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    scope: str = 'project'


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


class Deployment:
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
        self.policy_file = directory / 'policy.yaml'
        shutil.copytree(ETC, directory, dirs_exist_ok=True)
        self._write_guard_conf(options or {})
        self.policy_file.write_text(yaml.safe_dump(dict(rules or {})))
        self._write_placement_conf(placement_rules)
        self.admin = User(('admin', 'member', 'reader'), uuid.uuid4().hex)
        tokens.issue(self.admin)
        self.load(pipeline)

    def load(self, pipeline: str = 'api-paste.ini') -> None:
        """Load a pipeline of the folder, in place of the one before."""
        os.environ['OS_PLACEMENT_CONFIG_DIR'] = str(self.directory / 'placement')
        # Not reset(), which would empty the enforcer of another deployment.
        placement_policy._ENFORCER = None
        self.application = deploy.loadapp(f'config:{self.directory / pipeline}')
        self.client = webtest.TestApp(self.application)
        self._enforcer = placement_policy._ENFORCER

    def activate(self) -> None:
        """Make this deployment's rules placement's own again."""
        placement_policy._ENFORCER = self._enforcer

    def reload_with(self, old: str, new: str) -> None:
        """Change the text of the pipeline and load it."""
        path = self.directory / 'api-paste.ini'
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.load()

    def _write_guard_conf(self, options: Mapping[str, object]) -> None:
        lines = ['[consumer_guard]', 'policy_poll_interval = 0.05']
        lines += [f'{key} = {value}' for key, value in options.items()]
        (self.directory / 'consumer-guard.conf').write_text('\n'.join(lines) + '\n')

    def _write_placement_conf(self, rules: Mapping[str, str] | None) -> None:
        folder = self.directory / 'placement'
        folder.mkdir(exist_ok=True)
        (folder / 'placement.conf').write_text(
            '[placement_database]\n'
            f'connection = {self.database}\n'
            '[oslo_policy]\n'
            f'policy_file = {folder / "policy.yaml"}\n'
            '[keystone_authtoken]\n'
            'www_authenticate_uri = http://127.0.0.1:9/\n'
        )
        (folder / 'policy.yaml').write_text(
            yaml.safe_dump(dict(NAIVE_RULES if rules is None else rules))
        )

    def request(
        self,
        method: str,
        path: str,
        user: User | None = None,
        *,
        version: str | None = '1.38',
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

    def add_provider(self, total: int = 1000) -> str:
        """A resource provider with VCPU; returns its uuid."""
        provider = str(uuid.uuid4())
        created = self.request(
            'POST',
            '/resource_providers',
            self.admin,
            body={'name': provider, 'uuid': provider},
        )
        assert created.status_int == 200, created.text
        stocked = self.request(
            'PUT',
            f'/resource_providers/{provider}/inventories',
            self.admin,
            body={
                'resource_provider_generation': 0,
                'inventories': {'VCPU': {'total': total}},
            },
        )
        assert stocked.status_int == 200, stocked.text
        return provider

    def add_consumer(
        self, provider: str, owner: User, consumer: str | None = None
    ) -> str:
        """A consumer of one VCPU that belongs to the owner, at generation 1."""
        consumer = consumer or str(uuid.uuid4())
        written = self.put(consumer, provider, owner, self.admin, generation=None)
        assert written.status_int == 204, written.text
        return consumer

    def put(
        self,
        consumer: str,
        provider: str,
        owner: User,
        caller: User,
        *,
        generation: object,
        version: str = '1.38',
        amount: int = 1,
    ) -> webtest.TestResponse:
        """PUT one VCPU (or none, with amount 0) claimed for the owner."""
        body = make_claim(provider, owner, generation, version, amount)
        return self.request(
            'PUT', f'/allocations/{consumer}', caller, version=version, body=body
        )

    def show(self, consumer: str) -> dict[str, Any]:
        """The consumer as the admin sees it; {} when there is none."""
        shown = self.request('GET', f'/allocations/{consumer}', self.admin).json
        return shown if shown['allocations'] else {}


def make_claim(
    provider: str,
    owner: User,
    generation: object,
    version: str = '1.38',
    amount: int = 1,
) -> dict[str, Any]:
    """The body of a consumer as a microversion wants it."""
    minor = int(version.partition('.')[2])
    claim: dict[str, Any] = {
        'allocations': {provider: {'resources': {'VCPU': amount}}} if amount else {}
    }
    if minor < 12:
        claim['allocations'] = [
            {'resource_provider': {'uuid': provider}, 'resources': {'VCPU': amount}}
        ]
    if minor >= 8:
        claim |= {'project_id': owner.project_id, 'user_id': owner.user_id}
    if minor >= 28:
        claim['consumer_generation'] = generation
    if minor >= 38:
        claim['consumer_type'] = 'INSTANCE'
    return claim


def snapshot(rows: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows of a database as plain values, to be compared before and after."""
    return sorted(tuple(row) for row in rows)
