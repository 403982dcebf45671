# SPDX-License-Identifier: Apache-2.0
"""What nova and neutron do with placement, step by step.

Each scenario makes its own providers and consumers, and asserts what every
step has to bring; :class:`tests.clients.execution.ClientRun` keeps the rest, to be
compared with the same scenario without the guard.
"""

from typing import Any

from nova import objects
from nova.scheduler import utils as scheduler_utils

from tests.clients.execution import ClientRun

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


def make_host(run: ClientRun, label: str) -> str:
    """A compute host as its resource tracker reports it; returns its uuid."""
    host = run.make_id(label)
    tree = run.step(
        run.nova.get_provider_tree_and_ensure_root,
        run.context,
        host,
        name=f'{label} {host}',
    )
    tree.update_inventory(
        host, {name: _make_inventory(4096) for name in ('VCPU', 'MEMORY_MB', 'DISK_GB')}
    )
    run.step(run.nova.update_from_provider_tree, run.context, tree)
    return host


def claim(
    run: ClientRun, consumer: str, host: str, resources: dict[str, int] = FLAVOR
) -> None:
    """What the scheduler does for one instance."""
    done = run.step(
        run.nova.claim_resources,
        run.context,
        consumer,
        {'allocations': {host: {'resources': resources}}},
        get_project(run),
        'tenant-user',
        _VERSION,
    )
    assert done is True


def get_project(run: ClientRun) -> str:
    """The tenant of a run."""
    return run.make_id('tenant')


def make_instance(run: ClientRun, host: str, label: str = 'instance') -> str:
    """An instance on a host, old where the run is about old ones."""
    instance = run.make_id(label)
    claim(run, instance, host)
    run.age(instance)
    return instance


def read(run: ClientRun, consumer: str) -> dict[str, Any]:
    """The allocations of a consumer, without generations of providers."""
    found = run.step(run.nova.get_allocs_for_consumer, run.context, consumer)
    return {
        provider: allocation['resources']
        for provider, allocation in found['allocations'].items()
    }


def spawn(run: ClientRun) -> None:
    """Ask for candidates, claim, count the quota."""
    host = make_host(run, 'host')
    group = objects.RequestGroup(
        requester_id=run.make_id('port'), resources=dict(FLAVOR), in_tree=host
    )
    wanted = scheduler_utils.ResourceRequest.from_request_groups(
        [group], objects.RequestLevelParams(), 'none'
    )
    candidates, _, version = run.step(
        run.nova.get_allocation_candidates, run.context, wanted
    )
    assert len(candidates) == 1
    instance, project = run.make_id('instance'), get_project(run)
    done = run.step(
        run.nova.claim_resources,
        *(run.context, instance, candidates[0], project, 'tenant-user', version),
    )
    assert done is True
    run.age(instance)
    assert read(run, instance) == {host: FLAVOR}
    counted = run.step(
        run.nova.get_usages_counts_for_quota,
        *(run.context, project, 'tenant-user'),
    )
    assert counted['user'] == {'cores': 2, 'ram': 512}
    limits = run.step(run.nova.get_usages_counts_for_limits, run.context, project)
    assert limits == FLAVOR


def resize_and_confirm(run: ClientRun) -> None:
    """The source's allocations move to the migration, and go with it."""
    source, target = make_host(run, 'source'), make_host(run, 'target')
    instance = make_instance(run, source)
    migration = run.make_id('migration')
    moved = run.step(run.nova.move_allocations, run.context, instance, migration)
    assert moved is True
    claim(run, instance, target)
    assert read(run, migration) == {source: FLAVOR}
    assert read(run, instance) == {target: FLAVOR}
    gone = run.step(
        run.nova.delete_allocation_for_instance,
        *(run.context, migration),
        consumer_type='migration',
    )
    assert gone is True
    assert read(run, migration) == {}


def resize_and_revert(run: ClientRun) -> None:
    """The migration's allocations come back over the instance's."""
    source, target = make_host(run, 'source'), make_host(run, 'target')
    instance = make_instance(run, source)
    migration = run.make_id('migration')
    assert run.step(run.nova.move_allocations, run.context, instance, migration)
    run.age(migration)
    claim(run, instance, target)
    run.age(instance)
    back = run.step(run.nova.move_allocations, run.context, migration, instance)
    assert back is True
    assert read(run, instance) == {source: FLAVOR}
    again = run.step(run.nova.move_allocations, run.context, migration, instance)
    assert again is True


def evacuate(run: ClientRun) -> None:
    """The claim doubles what the instance has; the source's part goes later."""
    source, target = make_host(run, 'source'), make_host(run, 'target')
    instance = make_instance(run, source)
    claim(run, instance, target)
    assert read(run, instance) == {source: FLAVOR, target: FLAVOR}
    removed = run.step(
        run.nova.remove_provider_tree_from_instance_allocation,
        *(run.context, instance, source),
    )
    assert removed is True
    assert read(run, instance) == {target: FLAVOR}


def attach_and_detach(run: ClientRun) -> None:
    """An interface with resources comes and goes."""
    host = make_host(run, 'host')
    instance = make_instance(run, host)
    more = {host: {'resources': {'VCPU': 1, 'DISK_GB': 5}}}
    run.step(
        run.nova.add_resources_to_instance_allocation,
        *(run.context, instance, more),
    )
    assert read(run, instance) == {host: FLAVOR | {'VCPU': 3, 'DISK_GB': 5}}
    run.step(
        run.nova.remove_resources_from_instance_allocation,
        *(run.context, instance, more),
    )
    assert read(run, instance) == {host: FLAVOR}


def heal(run: ClientRun) -> None:
    """What nova-manage's heal_allocations and audit send."""
    host = make_host(run, 'host')
    instance = make_instance(run, host)
    allocations = run.step(run.nova.get_allocs_for_consumer, run.context, instance)
    for allocation in allocations['allocations'].values():
        del allocation['generation']
    allocations['allocations'][host]['resources'] = {'VCPU': 1}
    done = run.step(run.nova.put_allocations, run.context, instance, allocations)
    assert done is True
    found = run.step(run.nova.get_allocations_for_resource_provider, run.context, host)
    assert found.allocations == {instance: {'resources': {'VCPU': 1}}}


def delete(run: ClientRun) -> None:
    """Gently, by force, and what is not there."""
    host = make_host(run, 'host')
    for label, force in (('gently', False), ('by force', True)):
        instance = make_instance(run, host, label)
        for expected in (True, False):
            gone = run.step(
                run.nova.delete_allocation_for_instance,
                *(run.context, instance),
                force=force,
            )
            assert gone is expected
        assert read(run, instance) == {}


def reshape(run: ClientRun) -> None:
    """The inventory of a host, with allocations, moves to its NUMA nodes.

    Placement's own rule lets the role service alone reshape.
    """
    host = make_host(run, 'host')
    instance = make_instance(run, host)
    numa = run.make_id('numa')
    name = f'host {host}'
    # As in a compute service that starts: the claim has moved the host on.
    run.nova.clear_provider_cache()
    tree = run.step(
        run.nova.get_provider_tree_and_ensure_root, run.context, host, name=name
    )
    allocations = run.step(
        run.nova.get_allocations_for_provider_tree, run.context, name
    )
    assert set(allocations) == {instance}
    tree.new_child(f'numa {numa}', host, uuid=numa)
    inventory = dict(tree.data(host).inventory)
    tree.update_inventory(numa, {'VCPU': inventory.pop('VCPU')})
    tree.update_inventory(host, inventory)
    tree.update_traits(numa, ['HW_NUMA_ROOT'])
    tree.update_aggregates(host, [run.make_id('aggregate')])
    allocations[instance]['allocations'] = {
        host: {'resources': {'MEMORY_MB': 512}},
        numa: {'resources': {'VCPU': 2}},
    }
    allowed = 'service' in run.roles
    run.step(
        *(run.nova.update_from_provider_tree, run.context, tree),
        allocations=allocations,
        raises='' if allowed else 'ReshapeFailed',
    )
    on_numa = {host: {'MEMORY_MB': 512}, numa: {'VCPU': 2}}
    assert read(run, instance) == (on_numa if allowed else {host: FLAVOR})


def shrink_tree(run: ClientRun) -> None:
    """A nested provider is added, and goes again with the tree's update."""
    host = make_host(run, 'host')
    child = run.make_id('child')
    for nested in (True, False):
        tree = run.step(run.nova.get_provider_tree_and_ensure_root, run.context, host)
        if nested:
            tree.new_child(f'child {child}', host, uuid=child)
            tree.update_inventory(child, {'SRIOV_NET_VF': _make_inventory(8)})
            tree.update_traits(child, ['HW_NIC_SRIOV'])
        else:
            tree.remove(child)
        run.step(run.nova.update_from_provider_tree, run.context, tree)
        found = run.step(run.nova.get_providers_in_tree, run.context, host)
        assert len(found) == 1 + nested


def conflict_while_claiming(run: ClientRun) -> None:
    """Somebody wrote between nova's GET and its PUT: nova stops."""
    source, target = make_host(run, 'source'), make_host(run, 'target')
    instance = make_instance(run, source)
    run.placement.write_before(f'PUT /allocations/{instance}', instance)
    run.step(
        run.nova.claim_resources,
        *(run.context, instance, {'allocations': {target: {'resources': FLAVOR}}}),
        *(get_project(run), 'tenant-user', _VERSION),
        raises='AllocationUpdateFailed',
    )
    assert run.placement.plan_is_done()
    assert read(run, instance) == {source: FLAVOR}


def conflict_while_moving(run: ClientRun) -> None:
    """The same for a move and for a deletion."""
    host = make_host(run, 'host')
    instance, migration = make_instance(run, host), run.make_id('migration')
    run.placement.write_before('POST /allocations', instance)
    run.step(
        *(run.nova.move_allocations, run.context, instance, migration),
        raises='AllocationMoveFailed',
    )
    assert run.placement.plan_is_done()
    run.placement.write_before(f'PUT /allocations/{instance}', instance)
    run.step(
        *(run.nova.delete_allocation_for_instance, run.context, instance),
        raises='AllocationDeleteFailed',
    )
    assert run.placement.plan_is_done()
    assert read(run, instance) == {host: FLAVOR}


def conflict_while_attaching(run: ClientRun) -> None:
    """Nova reads again, and the second try lands."""
    host = make_host(run, 'host')
    instance = make_instance(run, host)
    more = {host: {'resources': {'DISK_GB': 5}}}
    for call in (
        run.nova.add_resources_to_instance_allocation,
        run.nova.remove_resources_from_instance_allocation,
    ):
        run.placement.write_before(f'PUT /allocations/{instance}', instance)
        run.step(call, run.context, instance, more)
        assert run.placement.plan_is_done()
    assert read(run, instance) == {host: FLAVOR}


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
