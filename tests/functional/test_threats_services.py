# SPDX-License-Identifier: Apache-2.0
"""THREATS F06: nova, neutron and the tools, as the service users that they are.

Every call with the method, path, microversion and form of body that the client
sends. No service is a project's owner: roles alone must do, without a look-up.
"""

import dataclasses
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.administrator import User
from tests.configuration import NAIVE_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.between import Steps, step_into
from tests.functional.conftest import Records
from tests.fuzz.wire import Answer, make_environ, send

#: How deployments give their services rights, and placement's own rules: its
#: defaults, or opened so that the guard alone decides.
CALLERS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    'service': (('service',), {}),
    # One account for nova, neutron and placement.
    'kolla': (('admin', 'member', 'reader'), {}),
    'open': (('service',), NAIVE_RULES),
}


@dataclasses.dataclass
class Cloud:
    """A service, a tenant, two hosts, and what came through to placement."""

    deployed: Deployment
    steps: Steps
    service: User
    tenant: User
    source: str
    target: str

    def ask(
        self, method: str, path: str, version: str | None, document: Any = None
    ) -> Answer:
        """As the service; with a global request id, as nova sends one."""
        body = None if document is None else json.dumps(document).encode()
        environ = make_environ(
            method,
            path,
            token=self.service.token,
            version=version,
            body=body,
            headers={
                'X-Openstack-Request-Id': f'req-{uuid.uuid4()}',
                'User-Agent': 'nova-scheduler keystoneauth1/5.9.0',
                'Accept': 'application/json',
            },
        )
        return send(self.deployed.application, environ)

    def get(self, consumer: str, version: str = '1.28') -> dict[str, Any]:
        answer = self.ask('GET', f'/allocations/{consumer}', version)
        assert answer.status == 200, answer.body
        document: dict[str, Any] = json.loads(answer.body)
        for allocation in document['allocations'].values():
            # Nova pops it: placement takes no provider generation back.
            allocation.pop('generation')
        return document

    def claim(self, consumer: str, provider: str, generation: int | None = None) -> int:
        """scheduler: GET at 1.28, then PUT at 1.36."""
        assert self.get(consumer)['allocations'] == {} or generation is not None
        document = {
            'allocations': {provider: {'resources': {'VCPU': 2}}},
            'project_id': self.tenant.project_id,
            'user_id': self.tenant.user_id,
            'consumer_generation': generation,
            'mappings': {'': [provider]},
        }
        return self.put(consumer, document, '1.36').status

    def put(self, consumer: str, document: Any, version: str) -> Answer:
        return self.ask('PUT', f'/allocations/{consumer}', version, document)


@pytest.fixture(params=CALLERS)
def make(deploy: Deploy, request: pytest.FixtureRequest) -> Callable[..., Cloud]:
    roles, placements = CALLERS[request.param]

    def build(**options: str) -> Cloud:
        # To conceal must make no difference to them.
        options = {'denial': 'conceal'} | options
        deployed = deploy(options=options, placement_rules=placements)
        return Cloud(
            deployed,
            step_into(deployed),
            deployed.add_user(*roles),
            deployed.add_user('member', 'reader'),
            deployed.add_provider(),
            deployed.add_provider(),
        )

    return build


@pytest.fixture(params=['enforce', 'shadow'])
def cloud(make: Callable[..., Cloud], request: pytest.FixtureRequest) -> Cloud:
    return make(enforcement=request.param)


def test_the_life_of_an_instance(cloud: Cloud, records: Records) -> None:
    """F06: spawn, resize, attach, evacuate, delete; nothing is looked up."""
    instance, migration = str(uuid.uuid4()), str(uuid.uuid4())
    # Spawn.
    assert cloud.claim(instance, cloud.source) == 204
    # Resize: the conductor moves the old ones to the migration, by one POST.
    before = cloud.get(instance)
    assert cloud.get(migration)['allocations'] == {}
    owner = {
        'project_id': before['project_id'],
        'user_id': before['user_id'],
    }
    move = {
        migration: owner
        | {'allocations': before['allocations'], 'consumer_generation': None},
        instance: owner
        | {'allocations': {}, 'consumer_generation': before['consumer_generation']},
    }
    moved = cloud.ask('POST', '/allocations', '1.28', move)
    assert moved.status == 204, moved.body
    assert cloud.claim(instance, cloud.target) == 204
    assert cloud.get(instance)['allocations'].keys() == {cloud.target}
    # Revert: back again, from the migration to the instance.
    back, there = cloud.get(migration), cloud.get(instance)
    revert = {
        instance: owner
        | {
            'allocations': back['allocations'],
            'consumer_generation': there['consumer_generation'],
        },
        migration: owner
        | {'allocations': {}, 'consumer_generation': back['consumer_generation']},
    }
    assert cloud.ask('POST', '/allocations', '1.28', revert).status == 204
    # Attach and detach a port with resources: GET and PUT at 1.28.
    for amount in (3, 2):
        document = cloud.get(instance)
        document['allocations'][cloud.source]['resources']['VCPU'] = amount
        assert cloud.put(instance, document, '1.28').status == 204
    # Evacuate: claimed on the target while the source keeps its own.
    document = cloud.get(instance)
    document['allocations'][cloud.target] = {'resources': {'VCPU': 2}}
    assert cloud.put(instance, document, '1.36').status == 204
    document = cloud.get(instance)
    del document['allocations'][cloud.source]
    assert cloud.put(instance, document, '1.28').status == 204
    # Delete: GET and PUT of nothing; the second time there is nothing.
    document = cloud.get(instance)
    document['allocations'] = {}
    assert cloud.put(instance, document, '1.28').status == 204
    assert cloud.get(instance) == {'allocations': {}}
    assert_by_role(cloud, records)


def assert_by_role(cloud: Cloud, records: Records) -> None:
    """Everything came through, by role, and the database was never asked."""
    assert cloud.steps.calls
    assert 'deny' not in records.text
    assert cloud.steps.lookup.engine.pool.checkedin() == 0


def test_a_forced_delete(cloud: Cloud) -> None:
    """F06: DELETE without a microversion, of one that is and one that is not."""
    instance = str(uuid.uuid4())
    assert cloud.claim(instance, cloud.source) == 204
    for version, status in ((None, 204), (None, 404), ('1.0', 404)):
        deleted = cloud.ask('DELETE', f'/allocations/{instance}', version)
        assert deleted.status == status


def test_conflicts_are_placements(cloud: Cloud) -> None:
    """F06: nova and neutron read the code, and look for the words."""
    instance = str(uuid.uuid4())
    assert cloud.claim(instance, cloud.source) == 204
    document = cloud.get(instance)
    for generation in (None, 7):
        stale = document | {'consumer_generation': generation}
        refused = cloud.put(instance, stale, '1.28')
        assert refused.status == 409
        (error,) = json.loads(refused.body)['errors']
        assert error['code'] == 'placement.concurrent_update'
        assert 'consumer generation conflict' in error['detail']
        assert 'expected 1' in error['detail'], 'the true value, for a role-holder'


def test_nova_manage(cloud: Cloud) -> None:
    """F06: placement audit and heal_allocations."""
    orphaned, unhealed = str(uuid.uuid4()), str(uuid.uuid4())
    assert cloud.claim(orphaned, cloud.source) == 204
    path = f'/resource_providers/{cloud.source}/allocations'
    listed = cloud.ask('GET', path, None)
    assert listed.status == 200
    document = json.loads(listed.body)
    assert document['allocations'].keys() == {orphaned}
    assert isinstance(document['resource_provider_generation'], int)
    assert cloud.ask('DELETE', f'/allocations/{orphaned}', None).status == 204
    # heal: a whole one by PUT, and several by POST with ports' resources.
    healed = {
        'allocations': {cloud.target: {'resources': {'VCPU': 1}}},
        'project_id': cloud.tenant.project_id,
        'user_id': cloud.tenant.user_id,
        'consumer_generation': None,
    }
    assert cloud.get(unhealed) == {'allocations': {}}
    assert cloud.put(unhealed, healed, '1.28').status == 204
    many = {unhealed: healed | {'consumer_generation': 1}, orphaned: healed}
    assert cloud.ask('POST', '/allocations', '1.28', many).status == 204


def test_quotas(cloud: Cloud) -> None:
    """F06: the usages of any project, at 1.9; of one of its users, too."""
    assert cloud.claim(str(uuid.uuid4()), cloud.source) == 204
    project = f'project_id={cloud.tenant.project_id}'
    assert cloud.ask('GET', '/usages', '1.9').status == 400, 'placement wants a project'
    for query in (project, f'{project}&user_id={cloud.tenant.user_id}'):
        environ = make_environ(
            'GET', '/usages', query=query, token=cloud.service.token, version='1.9'
        )
        sums = send(cloud.deployed.application, environ)
        assert json.loads(sums.body) == {'usages': {'VCPU': 2}}


def test_reshape(make: Callable[..., Cloud]) -> None:
    """F06: at 1.30, as a compute service does at its start."""
    cloud = make()
    instance = str(uuid.uuid4())
    assert cloud.claim(instance, cloud.source) == 204
    owned = cloud.get(instance)
    provider = cloud.ask('GET', f'/resource_providers/{cloud.source}', '1.30')
    document = {
        'inventories': {
            cloud.source: {
                'resource_provider_generation': json.loads(provider.body)['generation'],
                'inventories': {'VCPU': {'total': 1000}, 'MEMORY_MB': {'total': 4096}},
            }
        },
        'allocations': {
            instance: owned
            | {
                'allocations': {
                    cloud.source: {'resources': {'VCPU': 1, 'MEMORY_MB': 512}}
                }
            }
        },
    }
    reshaped = cloud.ask('POST', '/reshaper', '1.30', document)
    assert cloud.steps.calls[-1] == ('POST', '/reshaper'), 'the guard lets it through'
    if 'service' not in cloud.service.roles:
        # Placement's own default is narrower: role service alone.
        assert reshaped.status == 403
        return
    assert reshaped.status == 204, reshaped.body
    resources = cloud.get(instance)['allocations'][cloud.source]['resources']
    assert resources == {'VCPU': 1, 'MEMORY_MB': 512}


def test_neutron(cloud: Cloud) -> None:
    """F06: QoS changes the resources of nova's instance, GET and PUT at 1.37."""
    instance = str(uuid.uuid4())
    assert cloud.claim(instance, cloud.source) == 204
    document = cloud.get(instance, '1.37')
    document['allocations'][cloud.source]['resources']['VCPU'] = 5
    assert cloud.put(instance, document, '1.37').status == 204


def test_tools(cloud: Cloud) -> None:
    """F06: osc-placement at its default of 1.0, and an exporter's scrape."""
    instance = str(uuid.uuid4())
    assert cloud.claim(instance, cloud.source) == 204
    shown = cloud.ask('GET', f'/allocations/{instance}', '1.0')
    assert shown.status == 200
    assert cloud.source in json.loads(shown.body)['allocations']
    put = {
        'allocations': [
            {'resource_provider': {'uuid': cloud.source}, 'resources': {'VCPU': 1}}
        ]
    }
    assert cloud.put(instance, put, '1.0').status == 204
    for version in ('1.0', '1.28', '1.39'):
        for part in ('', '/allocations', '/usages', '/inventories'):
            path = f'/resource_providers/{cloud.source}{part}'
            assert cloud.ask('GET', path, version).status == 200


def test_horizon(make: Callable[..., Cloud]) -> None:
    """F06: providers and their sums with a user's token at 1.6, not guarded."""
    cloud = make()
    admin = cloud.deployed.admin
    for path in ('', f'/{cloud.source}/inventories', f'/{cloud.source}/usages'):
        environ = make_environ(
            'GET', f'/resource_providers{path}', token=admin.token, version='1.6'
        )
        assert send(cloud.deployed.application, environ).status == 200
