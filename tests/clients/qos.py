# SPDX-License-Identifier: Apache-2.0
"""What neutron does: it reports agents, and changes the bandwidth of ports."""

from tests.clients.execution import ClientRun
from tests.clients.scenarios import claim, make_host

EGRESS, INGRESS = 'NET_BW_EGR_KILOBIT_PER_SEC', 'NET_BW_IGR_KILOBIT_PER_SEC'

#: neutron_lib.placement.client.GENERATION_CONFLICT_RETRIES
TRIES = 10


def make_device(run: ClientRun, host: str) -> str:
    """An agent and its interface below a host; returns the interface's uuid."""
    neutron = run.neutron
    parent = host
    for label in ('agent', 'device'):
        provider = run.make_id(label)
        run.step(
            neutron.ensure_resource_provider,
            {
                'uuid': provider,
                'name': f'{label} {provider}',
                'parent_provider_uuid': parent,
            },
        )
        parent = provider
    trait = 'CUSTOM_PHYSNET_' + parent.replace('-', '_').upper()
    run.step(neutron.update_trait, trait)
    run.step(neutron.update_resource_provider_traits, parent, [trait])
    run.step(
        neutron.update_resource_provider_inventories,
        parent,
        {EGRESS: {'total': 10_000}, INGRESS: {'total': 10_000}},
    )
    run.step(
        neutron.update_resource_provider_inventory, parent, {'total': 20_000}, EGRESS
    )
    return parent


def make_port(run: ClientRun) -> tuple[str, str]:
    """An instance with a port of 1000 kbit/s; returns consumer and device."""
    device = make_device(run, make_host(run, 'host'))
    instance = run.make_id('instance')
    claim(run, instance, device, {EGRESS: 1000, INGRESS: 1000})
    run.age(instance)
    return instance, device


def read_bandwidth(run: ClientRun, instance: str, device: str) -> dict[str, int]:
    """What the port has."""
    found = run.step(run.neutron.list_allocations, instance)['allocations']
    bandwidth: dict[str, int] = found[device]['resources'] if found else {}
    return bandwidth


def update_qos(run: ClientRun) -> None:
    """More, less, and none of one direction."""
    instance, device = make_port(run)
    for change in ({EGRESS: 500}, {EGRESS: -300, INGRESS: 100}, {INGRESS: -1100}):
        run.step(run.neutron.update_qos_allocation, instance, {device: dict(change)})
    assert read_bandwidth(run, instance, device) == {EGRESS: 1200}


def update_allocation(run: ClientRun) -> None:
    """What the placement plugin writes itself."""
    instance, device = make_port(run)
    body = run.step(run.neutron.list_allocations, instance)
    body['allocations'][device]['resources'] = {EGRESS: 7}
    run.step(run.neutron.update_allocation, instance, body)
    assert read_bandwidth(run, instance, device) == {EGRESS: 7}


def conflict(run: ClientRun) -> None:
    """Neutron reads again as long as others write, and then lands."""
    instance, device = make_port(run)
    run.placement.write_before(f'PUT /allocations/{instance}', instance, TRIES - 1)
    run.step(run.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}})
    assert run.placement.plan_is_done()
    assert read_bandwidth(run, instance, device) == {EGRESS: 1001, INGRESS: 1000}


def endless_conflict(run: ClientRun) -> None:
    """Neutron gives up with the exception that its plugins know."""
    instance, device = make_port(run)
    run.placement.write_before(f'PUT /allocations/{instance}', instance, TRIES)
    run.step(
        *(run.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
        raises='PlacementAllocationGenerationConflict',
    )
    assert run.placement.plan_is_done()
    assert read_bandwidth(run, instance, device) == {EGRESS: 1000, INGRESS: 1000}


def removed(run: ClientRun) -> None:
    """The instance has gone."""
    instance, device = make_port(run)
    gone = run.step(run.nova.delete_allocation_for_instance, run.context, instance)
    assert gone is True
    run.step(
        *(run.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
        raises='PlacementAllocationRemoved',
    )


NEUTRON = (update_qos, update_allocation, conflict, endless_conflict, removed)
