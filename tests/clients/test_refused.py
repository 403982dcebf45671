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

from tests.clients.accounts import CASTS, MEMBER, OWNER, Cast
from tests.clients.conftest import Serve
from tests.clients.placements import Placement
from tests.clients.qos import EGRESS, make_port
from tests.clients.scenarios import (
    FLAVOR,
    get_project,
    make_host,
    make_instance,
    read,
)
from tests.clients.stage import Result, Stage

SERVICE = CASTS[1]
STRANGER = Cast('stranger', MEMBER, MEMBER)

MORE = {'resources': {'DISK_GB': 1}}


def _owner_of(stage: Stage) -> Cast:
    """A member of the project that the play's consumers belong to."""
    account = dataclasses.replace(OWNER, project=get_project(stage))
    return Cast('owner', account, account)


def _be_refused_everything(stage: Stage) -> None:
    """Every call that nova and neutron have, on another owner's consumers."""
    nova, neutron, context = stage.nova, stage.neutron, stage.context
    instance, other = stage.make_id('instance'), stage.make_id('other')
    host = stage.make_id('host')
    diff = {host: MORE}
    unread: dict[str, Any] = {'raises': 'ConsumerAllocationRetrievalFailed'}
    stage.step(nova.get_allocs_for_consumer, context, instance, **unread)
    # Nova's older call takes any failure for no allocations.
    assert stage.step(nova.get_allocations_for_consumer, context, instance) == {}
    for call in (
        nova.add_resources_to_instance_allocation,
        nova.remove_resources_from_instance_allocation,
    ):
        stage.step(call, context, instance, diff, **unread)
    stage.step(nova.move_allocations, context, instance, other, **unread)
    stage.step(
        *(nova.remove_provider_tree_from_instance_allocation, context, instance, host),
        **unread,
    )
    claimed = {'allocations': {host: {'resources': FLAVOR}}}
    for consumer in (instance, other):
        done = stage.step(
            *(nova.claim_resources, context, consumer, claimed),
            *(MEMBER.project, MEMBER.user, '1.36'),
        )
        assert done is False
    body = claimed | {
        'project_id': MEMBER.project,
        'user_id': MEMBER.user,
        'consumer_generation': 1,
    }
    assert stage.step(nova.put_allocations, context, instance, body) is False
    for force in (False, True):
        stage.step(
            *(nova.delete_allocation_for_instance, context, instance),
            force=force,
            raises='AllocationDeleteFailed',
        )
    project = get_project(stage)
    uncounted = {'raises': 'UsagesRetrievalFailed'}
    stage.step(nova.get_usages_counts_for_quota, context, project, 'u', **uncounted)
    stage.step(nova.get_usages_counts_for_limits, context, project, **uncounted)
    stage.step(nova._reshape, context, {}, {instance: body}, raises='ReshapeFailed')
    stage.step(
        *(nova.get_allocations_for_resource_provider, context, host),
        raises='ResourceProviderAllocationRetrievalFailed',
    )
    stage.step(neutron.list_allocations, instance, raises='PlacementClientError')
    stage.step(
        *(neutron.update_qos_allocation, instance, {host: {'VCPU': 1}}),
        raises='PlacementClientError',
    )
    stage.step(neutron.update_allocation, instance, body, raises='Forbidden')


def _play_stranger(placement: Placement, title: str) -> Result:
    owners = Stage(placement, SERVICE, title)
    make_instance(owners, make_host(owners, 'host'))
    return Stage(placement, STRANGER, title).play(_be_refused_everything)


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
    owners = Stage(placement, SERVICE, 'deceived')
    host = make_host(owners, 'host')
    instance = make_instance(owners, host)
    stage = Stage(placement, STRANGER, 'deceived')
    nova, context = stage.nova, stage.context
    before = placement.read_rows()
    assert read(stage, instance) == {}
    assert not stage.step(nova.delete_allocation_for_instance, context, instance)
    stage.step(
        *(nova.delete_allocation_for_instance, context, instance),
        force=True,
        raises='AllocationDeleteFailed',
    )
    stage.step(
        *(nova.add_resources_to_instance_allocation, context, instance, {host: MORE}),
        raises='AllocationUpdateFailed',
    )
    stage.step(
        *(nova.remove_resources_from_instance_allocation, context, instance),
        {host: MORE},
        raises='AllocationUpdateFailed',
    )
    stage.step(
        *(nova.get_usages_counts_for_limits, context, get_project(stage)),
        raises='UsagesRetrievalFailed',
    )
    stage.step(
        *(stage.neutron.update_qos_allocation, instance, {host: {'VCPU': 1}}),
        raises='PlacementAllocationRemoved',
    )
    assert placement.read_rows() == before


def test_an_owner_who_may_only_read(guarded: Serve) -> None:
    """Default rules: reads one's own, is refused every write."""
    placement = guarded(enforcement='enforce')
    owners = Stage(placement, SERVICE, 'own')
    instance, device = make_port(owners)
    stage = Stage(placement, _owner_of(owners), 'own')
    nova, context = stage.nova, stage.context
    before = placement.read_rows()
    assert read(stage, instance)
    assert stage.step(
        nova.get_usages_counts_for_limits, context, get_project(stage)
    ) == {EGRESS: 1000, 'NET_BW_IGR_KILOBIT_PER_SEC': 1000}
    more = {device: {'resources': {EGRESS: 1}}}
    refused = stage.step(
        *(nova.add_resources_to_instance_allocation, context, instance, more),
        raises='AllocationUpdateFailed',
    )
    assert 'Policy does not allow consumer_guard:allocations:update' in str(refused)
    # Nova looks for conflicts alone there, and leaks what it did not remove.
    assert (
        stage.step(
            *(nova.remove_resources_from_instance_allocation, context, instance), more
        )
        is None
    )
    stage.step(
        *(nova.delete_allocation_for_instance, context, instance),
        raises='AllocationDeleteFailed',
    )
    stage.step(
        *(stage.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}}),
        raises='Forbidden',
    )
    assert placement.read_rows() == before
