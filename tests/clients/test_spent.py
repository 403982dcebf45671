# SPDX-License-Identifier: Apache-2.0
"""A generation that is used up, with generation_strategy = refuse.

Nova and neutron meet a conflict that they know: they stop, nothing is lost,
and after the operator's command they go on.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.clients.accounts import CASTS
from tests.clients.conftest import Serve
from tests.clients.placements import Placement
from tests.clients.qos import EGRESS, TRIES, make_port, read_bandwidth
from tests.clients.scenarios import (
    FLAVOR,
    get_project,
    make_host,
    make_instance,
    read,
)
from tests.clients.stage import OLD, Result, Stage

SERVICE = CASTS[1]

#: Tries of nova.scheduler.client.report.retries.
NOVAS_TRIES = 4

CLAIM = 'tenant-user', '1.36'


def _set_up(placement: Placement, title: str, old: int) -> Stage:
    """An old instance on its host, a young one on another."""
    stage = Stage(placement, SERVICE, title, old)
    make_instance(stage, make_host(stage, 'host'))
    target = make_host(stage, 'target')
    claimed = stage.nova.claim_resources(
        *(stage.context, stage.make_id('young'), _on(target)),
        *(get_project(stage), *CLAIM),
    )
    assert claimed is True
    return Stage(placement, SERVICE, title, old)


def _on(host: str) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    return {'allocations': {host: {'resources': FLAVOR}}}


def _claim_again(stage: Stage) -> None:
    stage.step(
        *(stage.nova.claim_resources, stage.context, stage.make_id('instance')),
        *(_on(stage.make_id('target')), get_project(stage), *CLAIM),
        raises='AllocationUpdateFailed',
    )


def _move_over(stage: Stage) -> None:
    stage.step(
        *(stage.nova.move_allocations, stage.context),
        *(stage.make_id('young'), stage.make_id('instance')),
        raises='AllocationMoveFailed',
    )


def _put(stage: Stage) -> None:
    instance = stage.make_id('instance')
    body = stage.step(stage.nova.get_allocs_for_consumer, stage.context, instance)
    for allocation in body['allocations'].values():
        del allocation['generation']
    stage.step(
        *(stage.nova.put_allocations, stage.context, instance, body),
        raises='AllocationUpdateFailed',
    )


def _reshape(stage: Stage) -> None:
    instance, host = stage.make_id('instance'), stage.make_id('host')
    body = stage.step(stage.nova.get_allocs_for_consumer, stage.context, instance)
    tree = stage.step(stage.nova.get_provider_tree_and_ensure_root, stage.context, host)
    stage.step(
        *(stage.nova.update_from_provider_tree, stage.context, tree),
        allocations={instance: body},
        raises='PlacementReshapeConflict',
    )


def _move_away(stage: Stage) -> None:
    stage.step(
        *(stage.nova.move_allocations, stage.context),
        *(stage.make_id('instance'), stage.make_id('migration')),
        raises='AllocationMoveFailed',
    )


def _delete(stage: Stage) -> None:
    stage.step(
        *(stage.nova.delete_allocation_for_instance, stage.context),
        stage.make_id('instance'),
        raises='AllocationDeleteFailed',
    )


def _count_conflicts(result: Result) -> int:
    conflicts = [exchange for exchange in result.exchanges if exchange['status'] == 409]
    for exchange in conflicts:
        assert 'consumer generation conflict' in exchange['answered']
        assert 'placement.concurrent_update' in exchange['answered']
        assert 'consumer-guard generation roll' in exchange['answered']
    return len(conflicts)


@pytest.mark.parametrize(
    ('call', 'age'),
    [
        *[
            (call, age)
            for call in (_claim_again, _move_over, _put, _reshape)
            for age in OLD
        ],
        # These empty the consumer, which the reserve is for.
        *[(call, 'spent') for call in (_move_away, _delete)],
    ],
)
def test_nova_stops_at_once(
    guarded: Serve, call: Callable[[Stage], None], age: str
) -> None:
    """One conflict, no second try, and the rows are as they were."""
    placement = guarded(enforcement='enforce')
    title = f'refuse/{call.__name__}/{age}'
    result = _set_up(placement, title, OLD[age]).play(call)
    assert _count_conflicts(result) == 1
    assert not result.added | result.removed


def test_the_reserve_lets_nova_delete(guarded: Serve) -> None:
    """Moving away and deleting work on the last three million steps."""
    placement = guarded(enforcement='enforce')
    stage = _set_up(placement, 'refuse/reserve', OLD['reserve'])
    instance, migration = stage.make_id('instance'), stage.make_id('migration')
    moved = stage.step(stage.nova.move_allocations, stage.context, instance, migration)
    assert moved is True
    placement.set_generation(migration, OLD['reserve'])
    gone = stage.step(
        stage.nova.delete_allocation_for_instance, stage.context, migration
    )
    assert gone is True
    assert placement.read_consumer(migration) is None


def test_forced_deletion_is_always_there(guarded: Serve) -> None:
    """DELETE has no generation to spend."""
    placement = guarded(enforcement='enforce')
    stage = _set_up(placement, 'refuse/force', OLD['spent'])
    instance = stage.make_id('instance')
    gone = stage.step(
        *(stage.nova.delete_allocation_for_instance, stage.context, instance),
        force=True,
    )
    assert gone is True
    assert placement.read_consumer(instance) is None


def test_what_tries_again_gives_up_and_goes_on_after_the_cure(guarded: Serve) -> None:
    """Nova's attach and neutron's QoS read again, some times, then stop."""
    placement = guarded(enforcement='enforce')
    first = Stage(placement, SERVICE, 'refuse/retry', OLD['spent'])
    instance, device = make_port(first)
    more = {device: {'resources': {EGRESS: 1}}}

    def retry(stage: Stage) -> None:
        stage.step(
            *(stage.nova.add_resources_to_instance_allocation, stage.context),
            *(instance, more),
            raises='AllocationUpdateFailed',
        )
        stage.step(
            *(stage.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
            raises='PlacementAllocationGenerationConflict',
        )

    stage = Stage(placement, SERVICE, 'refuse/retry', OLD['spent'])
    result = stage.play(retry)
    assert _count_conflicts(result) == NOVAS_TRIES + TRIES
    assert not result.added | result.removed
    _roll(placement, instance)
    stage.step(
        *(stage.nova.add_resources_to_instance_allocation, stage.context),
        *(instance, more),
    )
    stage.step(stage.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}})
    assert read_bandwidth(stage, instance, device)[EGRESS] == 1002
    assert read(stage, instance)[device][EGRESS] == 1002


def _roll(placement: Placement, consumer: str) -> None:
    """The cure that the refusal names."""
    subprocess.run(
        [
            *(sys.executable, '-W', 'ignore', '-m', 'consumer_guard.cmd.main'),
            *('--config-file', str(placement.folder / 'consumer-guard.conf')),
            *('generation', 'roll', '--consumer', consumer),
        ],
        env={
            **os.environ,
            'OS_PLACEMENT_CONFIG_DIR': str(placement.folder / 'placement'),
        },
        check=True,
        timeout=60,
    )
