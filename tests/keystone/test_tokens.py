# SPDX-License-Identifier: Apache-2.0
"""Tokens that are restricted, over, taken back, or beside another one."""

import time
from collections.abc import Iterator

import pytest

from tests.cloud.processes import WebServer
from tests.cloud.stack import Cloud
from tests.keystone.scenery import Scene

#: Seconds that a token of the second server is valid.
LIFE = 10


class TestAccessRules:
    """Application credentials that are good for some paths only."""

    def add(self, scene: Scene, method: str, path: str) -> str:
        user = scene.add_user('member')
        token = scene.identities.log_in(user, project_id=scene.alpha.id)
        rule = {'service': 'placement', 'method': method, 'path': path}
        return scene.add_application_credential(token, user, [rule])

    def test_what_the_rule_names(self, scene: Scene) -> None:
        token = self.add(scene, 'GET', '/allocations/*')
        assert scene.read(token, 'open') == (200, 403)

    def test_everything_else(self, scene: Scene) -> None:
        """auth_token refuses what ownership would allow."""
        client = scene.client(self.add(scene, 'GET', '/allocations/*'), 'open')
        own = f'/allocations/{scene.add_consumer(scene.alpha)}'
        usages = f'/usages?project_id={scene.alpha.id}'
        assert client.request('GET', own).status_code == 200
        assert client.request('GET', usages).status_code == 401
        put = client.request('PUT', own, scene.claim(scene.alpha))
        assert put.status_code == 401

    def test_a_rule_gives_nothing(self, scene: Scene) -> None:
        """A rule that names what ownership never allows does not open it."""
        token = self.add(scene, 'DELETE', '/allocations/*')
        own = f'/allocations/{scene.add_consumer(scene.alpha)}'
        assert scene.client(token, 'open').request('DELETE', own).status_code == 403

    def test_a_service_token_lifts_the_rule_not_the_guard(self, scene: Scene) -> None:
        client = scene.client(self.add(scene, 'GET', '/usages'), 'open')
        beside = {'X-Service-Token': scene.add_token('service')}
        for project, status in ((scene.alpha, 200), (scene.beta, 403)):
            path = f'/allocations/{scene.add_consumer(project)}'
            assert client.request('GET', path).status_code == 401
            assert client.request('GET', path, headers=beside).status_code == status


class TestTrusts:
    """What the trustor delegates, and no more."""

    @pytest.mark.parametrize('impersonation', [False, True])
    def test_a_trust_gives_only_the_roles_that_were_delegated(
        self, scene: Scene, impersonation: bool
    ) -> None:
        trustor = scene.add_user('member')
        token = scene.add_trust(trustor, 'reader', impersonation=impersonation)
        assert scene.read(token, 'open') == (200, 403)
        path = f'/allocations/{scene.add_consumer(scene.alpha)}'
        body = scene.claim(scene.alpha)
        put = scene.client(token, 'open').request('PUT', path, body)
        assert put.status_code == 403

    def test_the_end_of_the_trustors_role(self, scene: Scene) -> None:
        trustor = scene.add_user('member')
        token = scene.add_trust(trustor, 'member', impersonation=False)
        assert scene.read(token, 'conceal')[0] == 200
        scene.identities.take(trustor, 'member', f'projects/{scene.alpha.id}')
        # Keystone refuses to validate it with 403, for auth_token a fault.
        assert scene.read(token, 'conceal') == (503, 503)


class TestRevoked:
    """Where auth_token caches no tokens, what keystone says counts at once."""

    def test_a_revoked_token_gets_401_at_once(self, scene: Scene) -> None:
        token = scene.add_token('reader')
        assert scene.read(token, 'conceal') == (200, 200)
        scene.identities.revoke(token)
        assert scene.read(token, 'conceal') == (401, 401)

    def test_a_role_that_was_taken_away_counts_no_longer(self, scene: Scene) -> None:
        user = scene.add_user('admin', 'reader')
        token = scene.identities.log_in(user, project_id=scene.alpha.id)
        consumer = scene.add_consumer(scene.beta)
        path = f'/allocations/{consumer}'
        client = scene.client(token, 'conceal')
        assert client.must('GET', path)['allocations']
        scene.identities.take(user, 'admin', f'projects/{scene.alpha.id}')
        # The token goes on with the roles that are left.
        assert client.must('GET', path) == {'allocations': {}}

    def test_a_token_of_a_disabled_project_gets_401(self, scene: Scene) -> None:
        project = scene.identities.add_project()
        token = scene.add_token('reader', project=project)
        path = f'/allocations/{scene.add_consumer(project)}'
        client = scene.client(token, 'conceal')
        assert client.request('GET', path).status_code == 200
        body = {'project': {'enabled': False}}
        scene.identities.call('PATCH', f'/projects/{project.id}', body)
        assert client.request('GET', path).status_code == 401


@pytest.fixture(scope='module')
def short_lived(cloud: Cloud) -> Iterator[WebServer]:
    """The same keystone, issuing tokens that end after LIFE seconds."""
    server = cloud.keystone.make_server('short-lived', expiration=LIFE)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope='module')
def expired(scene: Scene, short_lived: WebServer) -> str:
    """A token that is over; it was used before, so that it is in a cache."""
    user = scene.add_user('reader')
    token = scene.identities.log_in(
        user, url=f'{short_lived.url}/v3', project_id=scene.alpha.id
    )
    issued = time.monotonic()
    assert scene.read(token) == (200, 403)
    time.sleep(max(0.0, issued + LIFE + 1 - time.monotonic()))
    return token


class TestExpired:
    """A token whose time is over, alone and beside a service token."""

    def test_an_expired_token_alone_gets_401_in_every_variant(
        self, scene: Scene, expired: str
    ) -> None:
        for variant in ('RegionOne', 'conceal', 'delayed'):
            assert scene.read(expired, variant) == (401, 401), variant

    def test_beside_a_service_token(self, scene: Scene, expired: str) -> None:
        """Accepted again (allow_expired), and only for what is its own."""
        beside = {'X-Service-Token': scene.add_token('service')}
        for variant in ('RegionOne', 'delayed'):
            assert scene.read(expired, variant, beside) == (200, 403), variant

    def test_beside_another_token(self, scene: Scene, expired: str) -> None:
        """Only the role service makes a service token."""
        for role in ('admin', 'member'):
            beside = {'X-Service-Token': scene.add_token(role)}
            for variant in ('RegionOne', 'delayed'):
                assert scene.read(expired, variant, beside) == (401, 401)

    def test_a_service_token_that_is_over(self, scene: Scene, expired: str) -> None:
        beside = {'X-Service-Token': expired}
        assert scene.read(scene.add_token('reader'), headers=beside) == (401, 401)


class TestServiceTokens:
    """The user's roles decide, unless a rule names service_roles."""

    def test_a_service_token_beside_a_users_gives_him_nothing(
        self, scene: Scene
    ) -> None:
        beside = {'X-Service-Token': scene.add_token('admin', 'service')}
        for variant in ('RegionOne', 'delayed'):
            read = scene.read(scene.add_token('reader'), variant, beside)
            assert read == (200, 403), variant

    def test_a_service_token_without_a_valid_users_gets_401(self, scene: Scene) -> None:
        beside = {'X-Service-Token': scene.add_token('admin', 'service')}
        for variant in ('RegionOne', 'delayed'):
            for token in (None, 'no such token'):
                assert scene.read(token, variant, beside) == (401, 401)

    def test_a_rule_that_names_it(self, scene: Scene) -> None:
        path = f'/allocations/{scene.add_consumer(scene.beta)}'
        client = scene.client(scene.add_token('reader'), 'delayed')
        assert client.request('DELETE', path).status_code == 403
        for role, status in (('member', 403), ('service', 204)):
            beside = {'X-Service-Token': scene.add_token(role)}
            answer = client.request('DELETE', path, headers=beside)
            assert answer.status_code == status

    def test_an_invalid_one_under_delay(self, scene: Scene) -> None:
        """The user's own token is good; the other one gives nothing."""
        beside = {'X-Service-Token': 'no such token'}
        token = scene.add_token('reader')
        assert scene.read(token, headers=beside) == (401, 401)
        assert scene.read(token, 'delayed', beside) == (200, 403)
        path = f'/allocations/{scene.add_consumer(scene.beta)}'
        client = scene.client(token, 'delayed')
        answer = client.request('DELETE', path, headers=beside)
        assert answer.status_code == 403
