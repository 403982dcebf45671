# SPDX-License-Identifier: Apache-2.0
"""Nova and neutron see no difference, and neither does the database."""

from collections.abc import Callable

import pytest

from tests.clients.accounts import CASTS, Cast
from tests.clients.conftest import Serve
from tests.clients.placements import Placement
from tests.clients.qos import NEUTRON
from tests.clients.scenarios import NOVA, shrink_tree
from tests.clients.stage import OLD, Result, Stage

Scenario = Callable[[Stage], None]

CONFIGURATIONS: dict[str, dict[str, object]] = {
    'enforce': {'enforcement': 'enforce'},
    'shadow': {'enforcement': 'shadow'},
    'conceal': {'denial': 'conceal'},
}

BY_CAST = pytest.mark.parametrize('cast', CASTS, ids=lambda cast: cast.name)
BY_SCENARIO = pytest.mark.parametrize(
    'scenario', [*NOVA, *NEUTRON], ids=lambda scenario: scenario.__name__
)


@pytest.fixture(scope='session')
def play_without(bare: Placement) -> Callable[[Scenario, Cast, str], Result]:
    """Play a scenario once over placement without the guard."""
    played: dict[str, Result] = {}

    def play(scenario: Scenario, cast: Cast, title: str) -> Result:
        if title not in played:
            played[title] = Stage(bare, cast, title).play(scenario)
        return played[title]

    return play


def _compare(guarded: Result, without: Result) -> None:
    assert guarded.outcomes == without.outcomes
    assert guarded.added == without.added
    assert guarded.removed == without.removed
    assert guarded.exchanges == without.exchanges
    assert len(without.exchanges) > 5
    assert without.added


@pytest.mark.parametrize('configuration', CONFIGURATIONS)
@BY_CAST
@BY_SCENARIO
def test_same(
    guarded: Serve,
    play_without: Callable[[Scenario, Cast, str], Result],
    configuration: str,
    cast: Cast,
    scenario: Scenario,
) -> None:
    """Same outcomes, same rows, same requests and answers on the wire."""
    title = f'{cast.name}/{scenario.__name__}'
    placement = guarded(**CONFIGURATIONS[configuration])
    _compare(
        Stage(placement, cast, title).play(scenario),
        play_without(scenario, cast, title),
    )


@pytest.mark.parametrize('age', OLD)
@pytest.mark.parametrize(
    'scenario',
    [scenario for scenario in (*NOVA, *NEUTRON) if scenario is not shrink_tree],
    ids=lambda scenario: scenario.__name__,
)
def test_same_through_a_roll(
    guarded: Serve,
    play_without: Callable[[Scenario, Cast, str], Result],
    scenario: Scenario,
    age: str,
) -> None:
    """A consumer whose generation is used up goes on as a young one does."""
    cast = CASTS[1]
    title = f'{cast.name}/{scenario.__name__}'
    placement = guarded(generation_strategy='roll')
    stage = Stage(placement, cast, f'{title}/{age}', old=OLD[age])
    _compare(stage.play(scenario), play_without(scenario, cast, f'{title}/{age}'))
