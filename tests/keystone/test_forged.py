# SPDX-License-Identifier: Apache-2.0
"""Identities that a client makes up, beside a real token and instead of one."""

from collections.abc import Callable

import pytest
from keystonemiddleware.auth_token import _request

from tests.keystone.scenery import VARIANTS, Scene

#: The headers that auth_token sets, by its own list, and what else could count.
NAMES = sorted(
    {
        *_request._AuthTokenRequest({})._all_auth_headers(),
        'OpenStack-System-Scope',
        'X-Storage-Token',
        'X-Service-System-Scope',
        'Keystone.Token-Info',
        'Keystone.Token-Auth',
        'X-Trust-Id',
        'X-Openstack-Request-Id',
    }
)

SPELLINGS: dict[str, Callable[[str], str]] = {
    'dashes': str,
    'underscores': lambda name: name.replace('-', '_'),
    'lower case': str.lower,
}


def make_value(scene: Scene, name: str) -> str:
    """What would make the client an administrator of beta."""
    if 'Role' in name:
        return 'admin,service,consumer_guard_passage'
    if 'Status' in name:
        return 'Confirmed'
    if 'Project-Id' in name or 'Tenant-Id' in name:
        return scene.beta.id
    if 'Domain' in name:
        return 'default'
    return {
        'X-Is-Admin-Project': 'True',
        'OpenStack-System-Scope': 'all',
        'X-Service-System-Scope': 'all',
        'X-Service-Catalog': '[]',
        'Keystone.Token-Info': '{}',
        'Keystone.Token-Auth': '{}',
    }.get(name, 'admin')


def test_the_list_is_the_whole() -> None:
    """Those that the guard reads are in it, whatever auth_token's list becomes."""
    assert {
        'X-Roles',
        'X-Role',
        'X-Service-Roles',
        'X-User-Id',
        'X-Project-Id',
        'X-Tenant-Id',
        'X-Tenant',
        'X-User',
        'X-Identity-Status',
        'X-Service-Identity-Status',
        'X-Is-Admin-Project',
        'X-Domain-Id',
    } <= set(NAMES)


def test_underscores_arrive(scene: Scene) -> None:
    """Or the tests with the other spelling would show nothing."""
    spelt = {'X_Auth_Token': scene.add_token('reader')}
    assert scene.read(None, headers=spelt) == (200, 403)


@pytest.mark.parametrize('spelling', SPELLINGS)
@pytest.mark.parametrize('variant', ['RegionOne', 'delayed'])
class TestForged:
    def test_a_header_beside_a_valid_token_changes_nothing(
        self, scene: Scene, variant: str, spelling: str
    ) -> None:
        spell = SPELLINGS[spelling]
        token = scene.add_token('reader')
        for name in NAMES:
            forged = {spell(name): make_value(scene, name)}
            assert scene.read(token, variant, forged) == (200, 403), name

    def test_all_beside_a_token(
        self, scene: Scene, variant: str, spelling: str
    ) -> None:
        forged = {SPELLINGS[spelling](name): make_value(scene, name) for name in NAMES}
        assert scene.read(scene.add_token('reader'), variant, forged) == (200, 403)
        passer_by = scene.add_token('passer-by')
        assert scene.read(passer_by, variant, forged) == (403, 403)

    def test_all_headers_without_a_valid_token_get_401(
        self, scene: Scene, variant: str, spelling: str
    ) -> None:
        forged = {SPELLINGS[spelling](name): make_value(scene, name) for name in NAMES}
        for token in (None, '', 'no such token'):
            assert scene.read(token, variant, forged) == (401, 401)
            answer = scene.client(token, variant).request(
                'GET', '/resource_providers', headers=forged
            )
            assert answer.status_code == 401
            writing = scene.client(token, variant).request(
                'DELETE',
                f'/allocations/{scene.add_consumer(scene.alpha)}',
                headers=forged,
            )
            assert writing.status_code == 401


class TestRolesOfKeystone:
    """Roles that somebody made in keystone, with names that mean something here."""

    @pytest.mark.parametrize(
        'name', ['consumer_guard_passage', 'Consumer_Guard_Passage']
    )
    def test_the_passage_role(self, scene: Scene, name: str) -> None:
        """Removed from what goes to placement; the guard's own still arrives."""
        token = scene.add_token('reader', name)
        assert scene.read(token, 'open') == (200, 403)
        traits = scene.client(token, 'open').request('GET', '/traits')
        assert traits.status_code == 403

    def test_the_passage_role_of_a_service(self, scene: Scene) -> None:
        beside = {
            'X-Service-Token': scene.add_token('service', 'consumer_guard_passage')
        }
        token = scene.add_token('reader')
        assert scene.read(token, 'open', beside) == (200, 403)
        traits = scene.client(token, 'open').request('GET', '/traits', headers=beside)
        assert traits.status_code == 403

    def test_a_comma_makes_no_other_role(self, scene: Scene) -> None:
        """auth_token joins role names with commas; nobody may split 'x,admin'."""
        for name in ('x,admin', 'x,service', 'x,consumer_guard_passage', 'x, admin ,y'):
            token = scene.add_token('reader', name)
            for variant in ('RegionOne', 'open'):
                assert scene.read(token, variant) == (200, 403), name


def test_every_variant_starts(scene: Scene) -> None:
    """None of them is open to whoever has no token, but for the root."""
    for variant in VARIANTS:
        client = scene.client(None, variant)
        assert client.request('GET', '/').status_code == 200
        assert client.request('GET', '/resource_providers').status_code == 401
