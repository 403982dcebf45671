# SPDX-License-Identifier: Apache-2.0
"""Nova and neutron see no difference, and neither does the database."""

from collections.abc import Callable

import pytest

from tests.clients.accounts import ACCOUNTS, ServiceAccounts
from tests.clients.conftest import Serve
from tests.clients.execution import OLD, ClientRun, Result
from tests.clients.placements import Placement
from tests.clients.qos import NEUTRON
from tests.clients.scenarios import NOVA, shrink_tree

Scenario = Callable[[ClientRun], None]

CONFIGURATIONS: dict[str, dict[str, object]] = {
    'enforce': {'enforcement': 'enforce'},
    'shadow': {'enforcement': 'shadow'},
    'conceal': {'denial': 'conceal'},
}

BY_ACCOUNTS = pytest.mark.parametrize(
    'accounts', ACCOUNTS, ids=lambda accounts: accounts.name
)
BY_SCENARIO = pytest.mark.parametrize(
    'scenario', [*NOVA, *NEUTRON], ids=lambda scenario: scenario.__name__
)


@pytest.fixture(scope='session')
def run_without(bare: Placement) -> Callable[[Scenario, ServiceAccounts, str], Result]:
    """Play a scenario once over placement without the guard."""
    done: dict[str, Result] = {}

    def execute(scenario: Scenario, accounts: ServiceAccounts, title: str) -> Result:
        if title not in done:
            done[title] = ClientRun(bare, accounts, title).execute(scenario)
        return done[title]

    return execute


def _compare(guarded: Result, without: Result) -> None:
    assert guarded.outcomes == without.outcomes
    assert guarded.added == without.added
    assert guarded.removed == without.removed
    assert guarded.exchanges == without.exchanges
    assert len(without.exchanges) > 5
    assert without.added


@pytest.mark.parametrize('configuration', CONFIGURATIONS)
@BY_ACCOUNTS
@BY_SCENARIO
def test_same(
    guarded: Serve,
    run_without: Callable[[Scenario, ServiceAccounts, str], Result],
    configuration: str,
    accounts: ServiceAccounts,
    scenario: Scenario,
) -> None:
    """Same outcomes, same rows, same requests and answers on the wire."""
    title = f'{accounts.name}/{scenario.__name__}'
    placement = guarded(**CONFIGURATIONS[configuration])
    _compare(
        ClientRun(placement, accounts, title).execute(scenario),
        run_without(scenario, accounts, title),
    )


@pytest.mark.parametrize('age', OLD)
@pytest.mark.parametrize(
    'scenario',
    [scenario for scenario in (*NOVA, *NEUTRON) if scenario is not shrink_tree],
    ids=lambda scenario: scenario.__name__,
)
def test_same_through_a_roll(
    guarded: Serve,
    run_without: Callable[[Scenario, ServiceAccounts, str], Result],
    scenario: Scenario,
    age: str,
) -> None:
    """A consumer whose generation is used up goes on as a young one does."""
    accounts = ACCOUNTS[1]
    title = f'{accounts.name}/{scenario.__name__}'
    placement = guarded(generation_strategy='roll')
    run = ClientRun(placement, accounts, f'{title}/{age}', old=OLD[age])
    _compare(run.execute(scenario), run_without(scenario, accounts, f'{title}/{age}'))
