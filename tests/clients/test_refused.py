# SPDX-License-Identifier: Apache-2.0
"""What nova and neutron make of a refusal: they fail, and say so.

An account that lost its roles is refused in placement's own form, so the
clients read the refusal as they read placement's. Where they are silent all
the same, a test says so: these are the reasons for what the guard never does
to a role-holder.
"""

import dataclasses
import json
from typing import Any

import pytest

from tests.clients.accounts import ACCOUNTS, MEMBER, OWNER, ServiceAccounts
from tests.clients.conftest import Serve
from tests.clients.execution import ClientRun, Result
from tests.clients.placements import Placement
from tests.clients.qos import EGRESS, make_port
from tests.clients.scenarios import (
    FLAVOR,
    get_project,
    make_host,
    make_instance,
    read,
)

SERVICE = ACCOUNTS[1]
STRANGER = ServiceAccounts('stranger', MEMBER, MEMBER)

MORE = {'resources': {'DISK_GB': 1}}


def _owner_of(run: ClientRun) -> ServiceAccounts:
    """A member of the project that the run's consumers belong to."""
    account = dataclasses.replace(OWNER, project=get_project(run))
    return ServiceAccounts('owner', account, account)


def _be_refused_everything(run: ClientRun) -> None:
    """Every call that nova and neutron have, on another owner's consumers."""
    nova, neutron, context = run.nova, run.neutron, run.context
    instance, other = run.make_id('instance'), run.make_id('other')
    host = run.make_id('host')
    diff = {host: MORE}
    unread: dict[str, Any] = {'raises': 'ConsumerAllocationRetrievalFailed'}
    run.step(nova.get_allocs_for_consumer, context, instance, **unread)
    # Nova's older call takes any failure for no allocations.
    assert run.step(nova.get_allocations_for_consumer, context, instance) == {}
    for call in (
        nova.add_resources_to_instance_allocation,
        nova.remove_resources_from_instance_allocation,
    ):
        run.step(call, context, instance, diff, **unread)
    run.step(nova.move_allocations, context, instance, other, **unread)
    run.step(
        *(nova.remove_provider_tree_from_instance_allocation, context, instance, host),
        **unread,
    )
    claimed = {'allocations': {host: {'resources': FLAVOR}}}
    for consumer in (instance, other):
        done = run.step(
            *(nova.claim_resources, context, consumer, claimed),
            *(MEMBER.project, MEMBER.user, '1.36'),
        )
        assert done is False
    body = claimed | {
        'project_id': MEMBER.project,
        'user_id': MEMBER.user,
        'consumer_generation': 1,
    }
    assert run.step(nova.put_allocations, context, instance, body) is False
    for force in (False, True):
        run.step(
            *(nova.delete_allocation_for_instance, context, instance),
            force=force,
            raises='AllocationDeleteFailed',
        )
    project = get_project(run)
    uncounted = {'raises': 'UsagesRetrievalFailed'}
    run.step(nova.get_usages_counts_for_quota, context, project, 'u', **uncounted)
    run.step(nova.get_usages_counts_for_limits, context, project, **uncounted)
    run.step(nova._reshape, context, {}, {instance: body}, raises='ReshapeFailed')
    run.step(
        *(nova.get_allocations_for_resource_provider, context, host),
        raises='ResourceProviderAllocationRetrievalFailed',
    )
    run.step(neutron.list_allocations, instance, raises='PlacementClientError')
    run.step(
        *(neutron.update_qos_allocation, instance, {host: {'VCPU': 1}}),
        raises='PlacementClientError',
    )
    run.step(neutron.update_allocation, instance, body, raises='Forbidden')


def _play_stranger(placement: Placement, title: str) -> Result:
    owners = ClientRun(placement, SERVICE, title)
    make_instance(owners, make_host(owners, 'host'))
    return ClientRun(placement, STRANGER, title).execute(_be_refused_everything)


def _as_placements(result: Result) -> Any:
    """The refusals with the guard's rules named as placement's."""
    told = json.dumps([result.outcomes, result.exchanges])
    return json.loads(told.replace('consumer_guard:', 'placement:'))


@pytest.mark.parametrize('enforcement', ['enforce', 'shadow'])
def test_a_stranger(bare: Placement, guarded: Serve, enforcement: str) -> None:
    """Refused as placement refuses, nothing written, nothing swallowed."""
    title = f'stranger/{enforcement}'
    result = _play_stranger(guarded(enforcement=enforcement), title)
    without = _play_stranger(bare, title)
    assert not result.added | result.removed
    assert {exchange['status'] for exchange in result.exchanges} == {403}
    assert _as_placements(result) == _as_placements(without)
    by_guard = json.dumps(result.exchanges).count('consumer_guard:')
    assert bool(by_guard) is (enforcement == 'enforce')


def test_a_stranger_who_is_deceived(guarded: Serve) -> None:
    """With denial = conceal, the clients take the answer for an empty consumer.

    So nova deletes nothing without a word: concealing is for people only, and
    who holds a role is never answered so.
    """
    placement = guarded(denial='conceal')
    owners = ClientRun(placement, SERVICE, 'deceived')
    host = make_host(owners, 'host')
    instance = make_instance(owners, host)
    run = ClientRun(placement, STRANGER, 'deceived')
    nova, context = run.nova, run.context
    before = placement.read_rows()
    assert read(run, instance) == {}
    assert not run.step(nova.delete_allocation_for_instance, context, instance)
    run.step(
        *(nova.delete_allocation_for_instance, context, instance),
        force=True,
        raises='AllocationDeleteFailed',
    )
    run.step(
        *(nova.add_resources_to_instance_allocation, context, instance, {host: MORE}),
        raises='AllocationUpdateFailed',
    )
    run.step(
        *(nova.remove_resources_from_instance_allocation, context, instance),
        {host: MORE},
        raises='AllocationUpdateFailed',
    )
    run.step(
        *(nova.get_usages_counts_for_limits, context, get_project(run)),
        raises='UsagesRetrievalFailed',
    )
    run.step(
        *(run.neutron.update_qos_allocation, instance, {host: {'VCPU': 1}}),
        raises='PlacementAllocationRemoved',
    )
    assert placement.read_rows() == before


def test_an_owner_who_may_only_read(guarded: Serve) -> None:
    """Default rules: reads one's own, is refused every write."""
    placement = guarded(enforcement='enforce')
    owners = ClientRun(placement, SERVICE, 'own')
    instance, device = make_port(owners)
    run = ClientRun(placement, _owner_of(owners), 'own')
    nova, context = run.nova, run.context
    before = placement.read_rows()
    assert read(run, instance)
    assert run.step(nova.get_usages_counts_for_limits, context, get_project(run)) == {
        EGRESS: 1000,
        'NET_BW_IGR_KILOBIT_PER_SEC': 1000,
    }
    more = {device: {'resources': {EGRESS: 1}}}
    refused = run.step(
        *(nova.add_resources_to_instance_allocation, context, instance, more),
        raises='AllocationUpdateFailed',
    )
    assert 'Policy does not allow consumer_guard:allocations:update' in str(refused)
    # Nova looks for conflicts alone there, and leaks what it did not remove.
    assert (
        run.step(
            *(nova.remove_resources_from_instance_allocation, context, instance), more
        )
        is None
    )
    run.step(
        *(nova.delete_allocation_for_instance, context, instance),
        raises='AllocationDeleteFailed',
    )
    run.step(
        *(run.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
        raises='Forbidden',
    )
    assert placement.read_rows() == before
