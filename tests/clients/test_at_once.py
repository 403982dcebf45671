# SPDX-License-Identifier: Apache-2.0
"""Several clients change one consumer at once: no update is lost."""

import concurrent.futures

import pytest
from keystoneauth1 import exceptions
from neutron_lib.exceptions import placement as neutron_exceptions

from tests.clients.accounts import ACCOUNTS
from tests.clients.conftest import Serve
from tests.clients.execution import OLD, ClientRun, make_neutron
from tests.clients.qos import EGRESS, INGRESS, make_port

SERVICE = ACCOUNTS[1]

#: Clients, and updates of each.
CLIENTS, UPDATES = 3, 8


@pytest.mark.parametrize(
    ('options', 'old'),
    [
        ({'enforcement': 'enforce'}, None),
        # The race for the roll itself is in it.
        ({'generation_strategy': 'roll'}, OLD['spent']),
        ({'generation_strategy': 'roll'}, OLD['reserve'] - UPDATES),
    ],
    ids=['young', 'spent', 'on the way'],
)
def test_updates_add_up(
    guarded: Serve, options: dict[str, object], old: int | None
) -> None:
    """Whoever gives up says so; all others are in the sum."""
    placement = guarded(**options)
    run = ClientRun(placement, SERVICE, f'at once/{old}', old)
    instance, device = make_port(run)

    def update(_client: int) -> int:
        neutron = make_neutron(placement.url, SERVICE.neutron, placement.folder)
        landed = 0
        for _ in range(UPDATES):
            try:
                neutron.update_qos_allocation(instance, {device: {EGRESS: 1}})
                landed += 1
            except neutron_exceptions.PlacementAllocationGenerationConflict:
                continue
            except exceptions.InternalServerError as exc:
                # SQLite has one writer, and placement answers so to the other.
                answer = exc.response
                if answer is None or 'database is locked' not in answer.text:
                    raise
        return landed

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        landed = sum(pool.map(update, range(CLIENTS)))
    assert landed >= UPDATES
    found = run.neutron.list_allocations(instance)['allocations'][device]
    assert found['resources'] == {EGRESS: 1000 + landed, INGRESS: 1000}
