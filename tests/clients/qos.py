# SPDX-License-Identifier: Apache-2.0
"""What neutron does: it reports agents, and changes the bandwidth of ports."""

from tests.clients.scenarios import claim, make_host
from tests.clients.stage import Stage

EGRESS, INGRESS = 'NET_BW_EGR_KILOBIT_PER_SEC', 'NET_BW_IGR_KILOBIT_PER_SEC'

#: neutron_lib.placement.client.GENERATION_CONFLICT_RETRIES
TRIES = 10


def make_device(stage: Stage, host: str) -> str:
    """An agent and its interface below a host; returns the interface's uuid."""
    neutron = stage.neutron
    parent = host
    for label in ('agent', 'device'):
        provider = stage.make_id(label)
        stage.step(
            neutron.ensure_resource_provider,
            {
                'uuid': provider,
                'name': f'{label} {provider}',
                'parent_provider_uuid': parent,
            },
        )
        parent = provider
    trait = 'CUSTOM_PHYSNET_' + parent.replace('-', '_').upper()
    stage.step(neutron.update_trait, trait)
    stage.step(neutron.update_resource_provider_traits, parent, [trait])
    stage.step(
        neutron.update_resource_provider_inventories,
        parent,
        {EGRESS: {'total': 10_000}, INGRESS: {'total': 10_000}},
    )
    stage.step(
        neutron.update_resource_provider_inventory, parent, {'total': 20_000}, EGRESS
    )
    return parent


def make_port(stage: Stage) -> tuple[str, str]:
    """An instance with a port of 1000 kbit/s; returns consumer and device."""
    device = make_device(stage, make_host(stage, 'host'))
    instance = stage.make_id('instance')
    claim(stage, instance, device, {EGRESS: 1000, INGRESS: 1000})
    stage.age(instance)
    return instance, device


def read_bandwidth(stage: Stage, instance: str, device: str) -> dict[str, int]:
    """What the port has."""
    found = stage.step(stage.neutron.list_allocations, instance)['allocations']
    bandwidth: dict[str, int] = found[device]['resources'] if found else {}
    return bandwidth


def update_qos(stage: Stage) -> None:
    """More, less, and none of one direction."""
    instance, device = make_port(stage)
    for change in ({EGRESS: 500}, {EGRESS: -300, INGRESS: 100}, {INGRESS: -1100}):
        stage.step(
            stage.neutron.update_qos_allocation, instance, {device: dict(change)}
        )
    assert read_bandwidth(stage, instance, device) == {EGRESS: 1200}


def update_allocation(stage: Stage) -> None:
    """What the placement plugin writes itself."""
    instance, device = make_port(stage)
    body = stage.step(stage.neutron.list_allocations, instance)
    body['allocations'][device]['resources'] = {EGRESS: 7}
    stage.step(stage.neutron.update_allocation, instance, body)
    assert read_bandwidth(stage, instance, device) == {EGRESS: 7}


def conflict(stage: Stage) -> None:
    """Neutron reads again as long as others write, and then lands."""
    instance, device = make_port(stage)
    stage.placement.write_before(f'PUT /allocations/{instance}', instance, TRIES - 1)
    stage.step(stage.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}})
    assert stage.placement.plan_is_done()
    assert read_bandwidth(stage, instance, device) == {EGRESS: 1001, INGRESS: 1000}


def endless_conflict(stage: Stage) -> None:
    """Neutron gives up with the exception that its plugins know."""
    instance, device = make_port(stage)
    stage.placement.write_before(f'PUT /allocations/{instance}', instance, TRIES)
    stage.step(
        *(stage.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
        raises='PlacementAllocationGenerationConflict',
    )
    assert stage.placement.plan_is_done()
    assert read_bandwidth(stage, instance, device) == {EGRESS: 1000, INGRESS: 1000}


def removed(stage: Stage) -> None:
    """The instance has gone."""
    instance, device = make_port(stage)
    gone = stage.step(
        stage.nova.delete_allocation_for_instance, stage.context, instance
    )
    assert gone is True
    stage.step(
        *(stage.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
        raises='PlacementAllocationRemoved',
    )


NEUTRON = (update_qos, update_allocation, conflict, endless_conflict, removed)
