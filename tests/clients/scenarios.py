# SPDX-License-Identifier: Apache-2.0
"""What nova and neutron do with placement, step by step.

Each scenario makes its own providers and consumers, and asserts what every
step has to bring; :class:`tests.clients.stage.Stage` keeps the rest, to be
compared with the same scenario without the guard.
"""

from typing import Any

from nova import objects
from nova.scheduler import utils as scheduler_utils

from tests.clients.stage import Stage

#: Of a claim: what a small flavor asks for.
FLAVOR = {'VCPU': 2, 'MEMORY_MB': 512}

#: Nova talks of allocations at this microversion since Stein.
_VERSION = '1.36'


def _make_inventory(total: int) -> dict[str, Any]:
    return {
        'total': total,
        'reserved': 0,
        'min_unit': 1,
        'max_unit': total,
        'step_size': 1,
        'allocation_ratio': 1.0,
    }


def make_host(stage: Stage, label: str) -> str:
    """A compute host as its resource tracker reports it; returns its uuid."""
    host = stage.make_id(label)
    tree = stage.step(
        stage.nova.get_provider_tree_and_ensure_root,
        stage.context,
        host,
        name=f'{label} {host}',
    )
    tree.update_inventory(
        host, {name: _make_inventory(4096) for name in ('VCPU', 'MEMORY_MB', 'DISK_GB')}
    )
    stage.step(stage.nova.update_from_provider_tree, stage.context, tree)
    return host


def claim(
    stage: Stage, consumer: str, host: str, resources: dict[str, int] = FLAVOR
) -> None:
    """What the scheduler does for one instance."""
    done = stage.step(
        stage.nova.claim_resources,
        stage.context,
        consumer,
        {'allocations': {host: {'resources': resources}}},
        get_project(stage),
        'tenant-user',
        _VERSION,
    )
    assert done is True


def get_project(stage: Stage) -> str:
    """The tenant of a play."""
    return stage.make_id('tenant')


def make_instance(stage: Stage, host: str, label: str = 'instance') -> str:
    """An instance on a host, old where the play is about old ones."""
    instance = stage.make_id(label)
    claim(stage, instance, host)
    stage.age(instance)
    return instance


def read(stage: Stage, consumer: str) -> dict[str, Any]:
    """The allocations of a consumer, without generations of providers."""
    found = stage.step(stage.nova.get_allocs_for_consumer, stage.context, consumer)
    return {
        provider: allocation['resources']
        for provider, allocation in found['allocations'].items()
    }


def spawn(stage: Stage) -> None:
    """Ask for candidates, claim, count the quota."""
    host = make_host(stage, 'host')
    group = objects.RequestGroup(
        requester_id=stage.make_id('port'), resources=dict(FLAVOR), in_tree=host
    )
    wanted = scheduler_utils.ResourceRequest.from_request_groups(
        [group], objects.RequestLevelParams(), 'none'
    )
    candidates, _, version = stage.step(
        stage.nova.get_allocation_candidates, stage.context, wanted
    )
    assert len(candidates) == 1
    instance, project = stage.make_id('instance'), get_project(stage)
    done = stage.step(
        stage.nova.claim_resources,
        *(stage.context, instance, candidates[0], project, 'tenant-user', version),
    )
    assert done is True
    stage.age(instance)
    assert read(stage, instance) == {host: FLAVOR}
    counted = stage.step(
        stage.nova.get_usages_counts_for_quota,
        *(stage.context, project, 'tenant-user'),
    )
    assert counted['user'] == {'cores': 2, 'ram': 512}
    limits = stage.step(stage.nova.get_usages_counts_for_limits, stage.context, project)
    assert limits == FLAVOR


def resize_and_confirm(stage: Stage) -> None:
    """The source's allocations move to the migration, and go with it."""
    source, target = make_host(stage, 'source'), make_host(stage, 'target')
    instance = make_instance(stage, source)
    migration = stage.make_id('migration')
    moved = stage.step(stage.nova.move_allocations, stage.context, instance, migration)
    assert moved is True
    claim(stage, instance, target)
    assert read(stage, migration) == {source: FLAVOR}
    assert read(stage, instance) == {target: FLAVOR}
    gone = stage.step(
        stage.nova.delete_allocation_for_instance,
        *(stage.context, migration),
        consumer_type='migration',
    )
    assert gone is True
    assert read(stage, migration) == {}


def resize_and_revert(stage: Stage) -> None:
    """The migration's allocations come back over the instance's."""
    source, target = make_host(stage, 'source'), make_host(stage, 'target')
    instance = make_instance(stage, source)
    migration = stage.make_id('migration')
    assert stage.step(stage.nova.move_allocations, stage.context, instance, migration)
    stage.age(migration)
    claim(stage, instance, target)
    stage.age(instance)
    back = stage.step(stage.nova.move_allocations, stage.context, migration, instance)
    assert back is True
    assert read(stage, instance) == {source: FLAVOR}
    again = stage.step(stage.nova.move_allocations, stage.context, migration, instance)
    assert again is True


def evacuate(stage: Stage) -> None:
    """The claim doubles what the instance has; the source's part goes later."""
    source, target = make_host(stage, 'source'), make_host(stage, 'target')
    instance = make_instance(stage, source)
    claim(stage, instance, target)
    assert read(stage, instance) == {source: FLAVOR, target: FLAVOR}
    removed = stage.step(
        stage.nova.remove_provider_tree_from_instance_allocation,
        *(stage.context, instance, source),
    )
    assert removed is True
    assert read(stage, instance) == {target: FLAVOR}


def attach_and_detach(stage: Stage) -> None:
    """An interface with resources comes and goes."""
    host = make_host(stage, 'host')
    instance = make_instance(stage, host)
    more = {host: {'resources': {'VCPU': 1, 'DISK_GB': 5}}}
    stage.step(
        stage.nova.add_resources_to_instance_allocation,
        *(stage.context, instance, more),
    )
    assert read(stage, instance) == {host: FLAVOR | {'VCPU': 3, 'DISK_GB': 5}}
    stage.step(
        stage.nova.remove_resources_from_instance_allocation,
        *(stage.context, instance, more),
    )
    assert read(stage, instance) == {host: FLAVOR}


def heal(stage: Stage) -> None:
    """What nova-manage's heal_allocations and audit send."""
    host = make_host(stage, 'host')
    instance = make_instance(stage, host)
    allocations = stage.step(
        stage.nova.get_allocs_for_consumer, stage.context, instance
    )
    for allocation in allocations['allocations'].values():
        del allocation['generation']
    allocations['allocations'][host]['resources'] = {'VCPU': 1}
    done = stage.step(stage.nova.put_allocations, stage.context, instance, allocations)
    assert done is True
    found = stage.step(
        stage.nova.get_allocations_for_resource_provider, stage.context, host
    )
    assert found.allocations == {instance: {'resources': {'VCPU': 1}}}


def delete(stage: Stage) -> None:
    """Gently, by force, and what is not there."""
    host = make_host(stage, 'host')
    for label, force in (('gently', False), ('by force', True)):
        instance = make_instance(stage, host, label)
        for expected in (True, False):
            gone = stage.step(
                stage.nova.delete_allocation_for_instance,
                *(stage.context, instance),
                force=force,
            )
            assert gone is expected
        assert read(stage, instance) == {}


def reshape(stage: Stage) -> None:
    """The inventory of a host, with allocations, moves to its NUMA nodes.

    Placement's own rule lets the role service alone reshape.
    """
    host = make_host(stage, 'host')
    instance = make_instance(stage, host)
    numa = stage.make_id('numa')
    name = f'host {host}'
    # As in a compute service that starts: the claim has moved the host on.
    stage.nova.clear_provider_cache()
    tree = stage.step(
        stage.nova.get_provider_tree_and_ensure_root, stage.context, host, name=name
    )
    allocations = stage.step(
        stage.nova.get_allocations_for_provider_tree, stage.context, name
    )
    assert set(allocations) == {instance}
    tree.new_child(f'numa {numa}', host, uuid=numa)
    inventory = dict(tree.data(host).inventory)
    tree.update_inventory(numa, {'VCPU': inventory.pop('VCPU')})
    tree.update_inventory(host, inventory)
    tree.update_traits(numa, ['HW_NUMA_ROOT'])
    tree.update_aggregates(host, [stage.make_id('aggregate')])
    allocations[instance]['allocations'] = {
        host: {'resources': {'MEMORY_MB': 512}},
        numa: {'resources': {'VCPU': 2}},
    }
    allowed = 'service' in stage.roles
    stage.step(
        *(stage.nova.update_from_provider_tree, stage.context, tree),
        allocations=allocations,
        raises='' if allowed else 'ReshapeFailed',
    )
    on_numa = {host: {'MEMORY_MB': 512}, numa: {'VCPU': 2}}
    assert read(stage, instance) == (on_numa if allowed else {host: FLAVOR})


def shrink_tree(stage: Stage) -> None:
    """A nested provider is added, and goes again with the tree's update."""
    host = make_host(stage, 'host')
    child = stage.make_id('child')
    for nested in (True, False):
        tree = stage.step(
            stage.nova.get_provider_tree_and_ensure_root, stage.context, host
        )
        if nested:
            tree.new_child(f'child {child}', host, uuid=child)
            tree.update_inventory(child, {'SRIOV_NET_VF': _make_inventory(8)})
            tree.update_traits(child, ['HW_NIC_SRIOV'])
        else:
            tree.remove(child)
        stage.step(stage.nova.update_from_provider_tree, stage.context, tree)
        found = stage.step(stage.nova.get_providers_in_tree, stage.context, host)
        assert len(found) == 1 + nested


def conflict_while_claiming(stage: Stage) -> None:
    """Somebody wrote between nova's GET and its PUT: nova stops."""
    source, target = make_host(stage, 'source'), make_host(stage, 'target')
    instance = make_instance(stage, source)
    stage.placement.write_before(f'PUT /allocations/{instance}', instance)
    stage.step(
        stage.nova.claim_resources,
        *(stage.context, instance, {'allocations': {target: {'resources': FLAVOR}}}),
        *(get_project(stage), 'tenant-user', _VERSION),
        raises='AllocationUpdateFailed',
    )
    assert stage.placement.plan_is_done()
    assert read(stage, instance) == {source: FLAVOR}


def conflict_while_moving(stage: Stage) -> None:
    """The same for a move and for a deletion."""
    host = make_host(stage, 'host')
    instance, migration = make_instance(stage, host), stage.make_id('migration')
    stage.placement.write_before('POST /allocations', instance)
    stage.step(
        *(stage.nova.move_allocations, stage.context, instance, migration),
        raises='AllocationMoveFailed',
    )
    assert stage.placement.plan_is_done()
    stage.placement.write_before(f'PUT /allocations/{instance}', instance)
    stage.step(
        *(stage.nova.delete_allocation_for_instance, stage.context, instance),
        raises='AllocationDeleteFailed',
    )
    assert stage.placement.plan_is_done()
    assert read(stage, instance) == {host: FLAVOR}


def conflict_while_attaching(stage: Stage) -> None:
    """Nova reads again, and the second try lands."""
    host = make_host(stage, 'host')
    instance = make_instance(stage, host)
    more = {host: {'resources': {'DISK_GB': 5}}}
    for call in (
        stage.nova.add_resources_to_instance_allocation,
        stage.nova.remove_resources_from_instance_allocation,
    ):
        stage.placement.write_before(f'PUT /allocations/{instance}', instance)
        stage.step(call, stage.context, instance, more)
        assert stage.placement.plan_is_done()
    assert read(stage, instance) == {host: FLAVOR}


NOVA = (
    spawn,
    resize_and_confirm,
    resize_and_revert,
    evacuate,
    attach_and_detach,
    heal,
    delete,
    reshape,
    shrink_tree,
    conflict_while_claiming,
    conflict_while_moving,
    conflict_while_attaching,
)
