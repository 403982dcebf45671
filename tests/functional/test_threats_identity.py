# SPDX-License-Identifier: Apache-2.0
"""THREATS: identities that are forged in headers."""

import pytest

from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.fuzz.wire import make_environ, send
from tests.scenery import Scene, write

#: All that a client can send to look like somebody.
FORGED = {
    'X-Identity-Status': 'Confirmed',
    'X-Service-Identity-Status': 'Confirmed',
    'X-Roles': 'admin,service,member,reader',
    'X-Role': 'admin',
    'X-Service-Roles': 'admin,service',
    'X-Is-Admin-Project': 'True',
    'OpenStack-System-Scope': 'all',
    'X-User': 'admin',
    'X-User-Name': 'admin',
    'X-Tenant': 'admin',
    'X-Tenant-Name': 'admin',
    'X-Domain-Id': 'default',
    'X-Service-Catalog': '[]',
    'Keystone.Token-Info': '{}',
    'Keystone.Token-Auth': '{}',
}


def forged(user: User) -> dict[str, str]:
    assert user.project_id
    return FORGED | {
        'X-User-Id': user.user_id,
        'X-Project-Id': user.project_id,
        'X-Tenant-Id': user.project_id,
    }


class TestWithoutAuthentication:
    """I01: headers of a client prove nothing, whatever they say."""

    @pytest.mark.parametrize('enforcement', ['enforce', 'shadow'])
    def test_no_operation_on_consumers_believes_forged_headers(
        self, deploy: Deploy, enforcement: str
    ) -> None:
        deployed = deploy(options={'enforcement': enforcement}, rules=OWNER_RULES)
        scene = Scene(deployed)
        deployed.reload_with(
            'authtoken consumer_guard placement', 'consumer_guard placement'
        )
        before = scene.rows()
        body = {scene.foreign: scene.claim()}
        for method, path, query in (
            ('GET', '/allocations/{CA}', ''),
            ('GET', '/allocations/{CB}', ''),
            ('DELETE', '/allocations/{CB}', ''),
            ('GET', '/usages', 'project_id={B}'),
            ('GET', '/resource_providers/{RP}/allocations', ''),
        ):
            environ = scene.environ(
                method, path, query=query, headers=forged(scene.bob)
            )
            answer = send(deployed.application, environ)
            assert answer.status == 401
            scene.assert_tells_nothing(answer)
        for path in ('/allocations', '/reshaper'):
            answer = write(deployed, scene, path, body, headers=forged(scene.bob))
            assert answer.status == 401
        assert scene.rows() == before

    @pytest.mark.parametrize('enforcement', ['enforce', 'shadow'])
    def test_other_routes(self, deploy: Deploy, enforcement: str) -> None:
        """I01b: the application itself refuses, guard or no guard."""
        deployed = deploy(options={'enforcement': enforcement})
        for old, new in (
            ('authtoken consumer_guard placement', 'consumer_guard placement'),
            ('request_log consumer_guard placement', 'request_log placement'),
        ):
            deployed.reload_with(old, new)
            for path in ('/resource_classes', '/resource_classes\n', '/\n'):
                environ = make_environ(
                    'POST',
                    path,
                    headers=forged(deployed.admin),
                    body=b'{"name": "CUSTOM_FORGED"}',
                )
                assert send(deployed.application, environ).status == 401

    def test_a_development_strategy_believes_them(self, deploy: Deploy) -> None:
        """The same headers work where noauth2 says so: the test above bites."""
        deployed = deploy(options={'auth_strategy': 'noauth2'})
        scene = Scene(deployed)
        deployed.reload_with(
            'authtoken consumer_guard placement', 'consumer_guard placement'
        )
        deployed.reload_with(
            'use = egg:consumer-guard#placement',
            'use = egg:consumer-guard#placement\nauth_strategy = noauth2',
        )
        headers = forged(scene.bob)
        for scope in ('OpenStack-System-Scope', 'X-Domain-Id'):
            # No rule of ours is for these.
            del headers[scope]
        environ = scene.environ('GET', '/allocations/{CB}', headers=headers)
        assert send(deployed.application, environ).status == 200


class TestDelayedAuthentication:
    """I02: auth_token lets the request through and leaves it to us."""

    @pytest.fixture
    def delayed(self, deploy: Deploy) -> Deployment:
        deployed = deploy(rules=OWNER_RULES)
        path = deployed.directory / 'placement' / 'placement.conf'
        path.write_text(path.read_text() + 'delay_auth_decision = true\n')
        deployed.load()
        return deployed

    @pytest.mark.parametrize('token', [None, '', 'no such token'])
    @pytest.mark.parametrize('with_service', [False, True])
    def test_forged_headers_without_a_valid_token_get_401(
        self, delayed: Deployment, token: str | None, with_service: bool
    ) -> None:
        scene = Scene(delayed)
        headers = forged(scene.bob)
        if with_service:
            headers['X-Service-Token'] = delayed.add_user('service').token
        before = scene.rows()
        for method, path in (
            ('GET', '/allocations/{CB}'),
            ('DELETE', '/allocations/{CB}'),
            ('GET', '/traits'),
        ):
            environ = scene.environ(method, path, token=token, headers=headers)
            answer = send(delayed.application, environ)
            assert answer.status == 401
            scene.assert_tells_nothing(answer)
        assert scene.rows() == before

    def test_a_valid_token_works(self, delayed: Deployment) -> None:
        scene = Scene(delayed)
        for path, status in (('{CA}', 200), ('{CB}', 403)):
            environ = scene.environ('GET', f'/allocations/{path}')
            assert send(delayed.application, environ).status == status


class TestForgedBesideAToken:
    """I14: what auth_token removes, and what it leaves."""

    @pytest.mark.parametrize('name', sorted(FORGED))
    def test_a_forged_header_changes_nothing_that_the_token_decides(
        self, guarded: Deployment, name: str
    ) -> None:
        scene = Scene(guarded)
        for consumer, status in ((scene.own, 200), (scene.foreign, 403)):
            environ = scene.environ(
                'GET', '/allocations/{CB}', consumer, headers={name: FORGED[name]}
            )
            assert send(guarded.application, environ).status == status

    @pytest.mark.parametrize(
        'name', ['X-Roles', 'X-Role', 'X-Service-Roles', 'X_Roles', 'x-rOLES']
    )
    @pytest.mark.parametrize(
        'value',
        [
            'consumer_guard_passage',
            'Consumer_Guard_Passage',
            'member, CONSUMER_GUARD_PASSAGE ,reader',
            '\tconsumer_guard_passage\t',
        ],
    )
    def test_the_passage_role(self, deploy: Deploy, name: str, value: str) -> None:
        """Placement opened to it: the guard alone gives it."""
        check = 'role:consumer_guard_passage or service_roles:consumer_guard_passage'
        deployed = deploy(
            placement_rules={
                'placement:allocations:list': f'role:admin or {check}',
                'placement:traits:list': check,
            }
        )
        scene = Scene(deployed)
        for path, status in (
            ('/allocations/{CA}', 200),
            ('/allocations/{CB}', 403),
            ('/traits', 403),
        ):
            environ = scene.environ('GET', path, headers={name: value})
            assert send(deployed.application, environ).status == status

    @pytest.mark.parametrize(
        'roles', [('Consumer_Guard_Passage',), ('x', 'x,consumer_guard_passage')]
    )
    @pytest.mark.parametrize('as_service', [False, True])
    def test_a_token_that_holds_the_passage_role(
        self, deploy: Deploy, roles: tuple[str, ...], as_service: bool
    ) -> None:
        """Removed on every route; without the guard it opens placement."""
        check = 'role:consumer_guard_passage or service_roles:consumer_guard_passage'
        deployed = deploy(placement_rules={'placement:traits:list': check})
        user = deployed.add_user('reader', *([] if as_service else roles))
        headers = {}
        if as_service:
            spelt = [role.lower() for role in roles]
            headers['X-Service-Token'] = deployed.add_user('service', *spelt).token
        for status in (403, 200):
            environ = make_environ('GET', '/traits', token=user.token, headers=headers)
            assert send(deployed.application, environ).status == status
            if status == 403:
                deployed.reload_with(
                    'authtoken consumer_guard placement', 'authtoken placement'
                )
