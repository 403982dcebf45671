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

from tests.clients.accounts import ACCOUNTS
from tests.clients.conftest import Serve
from tests.clients.execution import OLD, ClientRun, Result
from tests.clients.placements import Placement
from tests.clients.qos import EGRESS, TRIES, make_port, read_bandwidth
from tests.clients.scenarios import (
    FLAVOR,
    get_project,
    make_host,
    make_instance,
    read,
)

SERVICE = ACCOUNTS[1]

#: Tries of nova.scheduler.client.report.retries.
NOVAS_TRIES = 4

CLAIM = 'tenant-user', '1.36'


def _set_up(placement: Placement, title: str, old: int) -> ClientRun:
    """An old instance on its host, a young one on another."""
    run = ClientRun(placement, SERVICE, title, old)
    make_instance(run, make_host(run, 'host'))
    target = make_host(run, 'target')
    claimed = run.nova.claim_resources(
        *(run.context, run.make_id('young'), _on(target)),
        *(get_project(run), *CLAIM),
    )
    assert claimed is True
    return ClientRun(placement, SERVICE, title, old)


def _on(host: str) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    return {'allocations': {host: {'resources': FLAVOR}}}


def _claim_again(run: ClientRun) -> None:
    run.step(
        *(run.nova.claim_resources, run.context, run.make_id('instance')),
        *(_on(run.make_id('target')), get_project(run), *CLAIM),
        raises='AllocationUpdateFailed',
    )


def _move_over(run: ClientRun) -> None:
    run.step(
        *(run.nova.move_allocations, run.context),
        *(run.make_id('young'), run.make_id('instance')),
        raises='AllocationMoveFailed',
    )


def _put(run: ClientRun) -> None:
    instance = run.make_id('instance')
    body = run.step(run.nova.get_allocs_for_consumer, run.context, instance)
    for allocation in body['allocations'].values():
        del allocation['generation']
    run.step(
        *(run.nova.put_allocations, run.context, instance, body),
        raises='AllocationUpdateFailed',
    )


def _reshape(run: ClientRun) -> None:
    instance, host = run.make_id('instance'), run.make_id('host')
    body = run.step(run.nova.get_allocs_for_consumer, run.context, instance)
    tree = run.step(run.nova.get_provider_tree_and_ensure_root, run.context, host)
    run.step(
        *(run.nova.update_from_provider_tree, run.context, tree),
        allocations={instance: body},
        raises='PlacementReshapeConflict',
    )


def _move_away(run: ClientRun) -> None:
    run.step(
        *(run.nova.move_allocations, run.context),
        *(run.make_id('instance'), run.make_id('migration')),
        raises='AllocationMoveFailed',
    )


def _delete(run: ClientRun) -> None:
    run.step(
        *(run.nova.delete_allocation_for_instance, run.context),
        run.make_id('instance'),
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
    guarded: Serve, call: Callable[[ClientRun], None], age: str
) -> None:
    """One conflict, no second try, and the rows are as they were."""
    placement = guarded(enforcement='enforce')
    title = f'refuse/{call.__name__}/{age}'
    result = _set_up(placement, title, OLD[age]).execute(call)
    assert _count_conflicts(result) == 1
    assert not result.added | result.removed


def test_the_reserve_lets_nova_delete(guarded: Serve) -> None:
    """Moving away and deleting work on the last three million steps."""
    placement = guarded(enforcement='enforce')
    run = _set_up(placement, 'refuse/reserve', OLD['reserve'])
    instance, migration = run.make_id('instance'), run.make_id('migration')
    moved = run.step(run.nova.move_allocations, run.context, instance, migration)
    assert moved is True
    placement.set_generation(migration, OLD['reserve'])
    gone = run.step(run.nova.delete_allocation_for_instance, run.context, migration)
    assert gone is True
    assert placement.read_consumer(migration) is None


def test_forced_deletion_is_always_there(guarded: Serve) -> None:
    """DELETE has no generation to spend."""
    placement = guarded(enforcement='enforce')
    run = _set_up(placement, 'refuse/force', OLD['spent'])
    instance = run.make_id('instance')
    gone = run.step(
        *(run.nova.delete_allocation_for_instance, run.context, instance),
        force=True,
    )
    assert gone is True
    assert placement.read_consumer(instance) is None


def test_what_tries_again_gives_up_and_goes_on_after_the_cure(guarded: Serve) -> None:
    """Nova's attach and neutron's QoS read again, some times, then stop."""
    placement = guarded(enforcement='enforce')
    first = ClientRun(placement, SERVICE, 'refuse/retry', OLD['spent'])
    instance, device = make_port(first)
    more = {device: {'resources': {EGRESS: 1}}}

    def retry(run: ClientRun) -> None:
        run.step(
            *(run.nova.add_resources_to_instance_allocation, run.context),
            *(instance, more),
            raises='AllocationUpdateFailed',
        )
        run.step(
            *(run.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
            raises='PlacementAllocationGenerationConflict',
        )

    run = ClientRun(placement, SERVICE, 'refuse/retry', OLD['spent'])
    result = run.execute(retry)
    assert _count_conflicts(result) == NOVAS_TRIES + TRIES
    assert not result.added | result.removed
    _roll(placement, instance)
    run.step(
        *(run.nova.add_resources_to_instance_allocation, run.context),
        *(instance, more),
    )
    run.step(run.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}})
    assert read_bandwidth(run, instance, device)[EGRESS] == 1002
    assert read(run, instance)[device][EGRESS] == 1002


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
