# SPDX-License-Identifier: Apache-2.0
"""Nova and neutron change consumers that their owners write, too.

An owner's write moves the generation far away. To the clients that is a conflict as
any other: where they try again they land, and where they do not they say so.
"""

import concurrent.futures
import dataclasses
import threading

import pytest
import requests
from keystoneauth1 import exceptions

from tests.clients.accounts import ACCOUNTS, OWNER, Account, ServiceAccounts
from tests.clients.execution import ClientRun
from tests.clients.placements import Placement
from tests.clients.qos import EGRESS, INGRESS, TRIES, make_port, read_bandwidth
from tests.clients.scenarios import (
    FLAVOR,
    claim,
    get_project,
    make_host,
    make_instance,
    read,
)

#: Nova's tries, by its decorator ``retries``.
NOVA_TRIES = 4

#: Of each client, while an owner writes.
UPDATES = 12

SERVICE = ACCOUNTS[1]
BY_ACCOUNTS = pytest.mark.parametrize(
    'accounts', ACCOUNTS, ids=lambda accounts: accounts.name
)


def _owner_of(run: ClientRun) -> Account:
    """A member of the project that the run's consumers belong to."""
    return dataclasses.replace(OWNER, project=get_project(run))


def _let_owner_first(run: ClientRun, instance: str, times: int) -> None:
    """The owner writes before each of so many writes of a client."""
    request = f'PUT /allocations/{instance}'
    run.placement.write_before(request, instance, times, _owner_of(run))


def _assert_sealed(run: ClientRun, instance: str) -> None:
    """The owner's last write was sealed: it has left a generation below zero."""
    row = run.placement.read_consumer(instance)
    assert row is not None
    assert row.generation < 0
    assert row.project_id == get_project(run)


@BY_ACCOUNTS
def test_neutrons_last_try_lands_after_writes_of_the_owner(
    opened: Placement, accounts: ServiceAccounts
) -> None:
    run = ClientRun(opened, accounts, f'beside owners/qos/{accounts.name}')
    instance, device = make_port(run)
    _let_owner_first(run, instance, TRIES - 1)
    run.step(run.neutron.update_qos_allocation, instance, {device: {EGRESS: 1}})
    assert run.placement.plan_is_done()
    assert read_bandwidth(run, instance, device) == {EGRESS: 1001, INGRESS: 1000}
    _assert_sealed(run, instance)


@BY_ACCOUNTS
def test_novas_last_try_lands_after_writes_of_the_owner(
    opened: Placement, accounts: ServiceAccounts
) -> None:
    run = ClientRun(opened, accounts, f'beside owners/attach/{accounts.name}')
    host = make_host(run, 'host')
    instance = make_instance(run, host)
    more = {host: {'resources': {'DISK_GB': 5}}}
    for call, held in (
        (run.nova.add_resources_to_instance_allocation, FLAVOR | {'DISK_GB': 5}),
        (run.nova.remove_resources_from_instance_allocation, FLAVOR),
    ):
        _let_owner_first(run, instance, NOVA_TRIES - 1)
        run.step(call, run.context, instance, more)
        assert run.placement.plan_is_done()
        assert read(run, instance) == {host: held}
        _assert_sealed(run, instance)


def test_nova_moves_and_deletes_what_its_owner_has_written(opened: Placement) -> None:
    """It sends back the generation that it reads, negative or not."""
    run = ClientRun(opened, SERVICE, 'beside owners/move')
    source, target = make_host(run, 'source'), make_host(run, 'target')
    instance, migration = make_instance(run, source), run.make_id('migration')
    _let_owner_first(run, instance, 1)
    run.step(
        *(run.nova.add_resources_to_instance_allocation, run.context, instance),
        {source: {'resources': {'DISK_GB': 5}}},
    )
    assert run.placement.plan_is_done()
    _assert_sealed(run, instance)
    assert run.step(run.nova.move_allocations, run.context, instance, migration)
    claim(run, instance, target)
    for consumer, held in ((migration, source), (instance, target)):
        assert set(read(run, consumer)) == {held}
        gone = run.step(run.nova.delete_allocation_for_instance, run.context, consumer)
        assert gone is True


def _raise_ingress(run: ClientRun, instance: str, device: str) -> int:
    """What an owner's client does: read, add 1, write; the status."""
    url = f'{run.placement.url}/allocations/{instance}'
    headers = {
        **_owner_of(run).headers,
        'OpenStack-API-Version': 'placement 1.28',
    }
    body = requests.get(url, headers=headers, timeout=30).json()
    held = body['allocations'][device]['resources']
    body['allocations'] = {device: {'resources': held | {INGRESS: held[INGRESS] + 1}}}
    return requests.put(url, json=body, headers=headers, timeout=30).status_code


def test_updates_of_a_client_and_of_an_owner_add_up(opened: Placement) -> None:
    """Whoever is refused is told so; all others are in the sum."""
    run = ClientRun(opened, SERVICE, 'beside owners/at once')
    instance, device = make_port(run)
    # One write of the owner at the most for each update, so that ten tries suffice.
    turn, over = threading.Event(), threading.Event()

    def write() -> list[int]:
        statuses: list[int] = []
        while True:
            turn.wait()
            turn.clear()
            if over.is_set():
                return statuses
            statuses.append(_raise_ingress(run, instance, device))

    landed = 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        owner = pool.submit(write)
        for _ in range(UPDATES):
            turn.set()
            try:
                run.neutron.update_qos_allocation(instance, {device: {EGRESS: 1}})
                landed += 1
            except exceptions.InternalServerError as exc:
                # SQLite has one writer, and placement answers so to the other.
                answer = exc.response
                if answer is None or 'database is locked' not in answer.text:
                    raise
        over.set()
        turn.set()
        statuses = owner.result()
    assert set(statuses) <= {204, 409, 500}
    written = statuses.count(204)
    assert written
    assert landed
    found = run.neutron.list_allocations(instance)['allocations'][device]
    assert found['resources'] == {EGRESS: 1000 + landed, INGRESS: 1000 + written}
