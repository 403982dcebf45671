# SPDX-License-Identifier: Apache-2.0
"""What the guard and placement do is what the model says, at each step."""

from collections.abc import Iterator

import pytest
from placement import db_api

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.formal import spin, stepping
from tests.formal.replay import Replay, Stage

#: Runs at random.
RUNS = 40

_SWITCHES = 'OPS=5 TRIES=3 GUESSES READS ALLKINDS'
_ROLL = 'ROLL LIMIT=3 RESERVE=1 TO=-100'

#: What the guard is configured with for runs that roll: the model's numbers.
_ROLLING = {
    'generation_strategy': 'roll',
    'generation_limit': 3,
    'generation_warning': 1,
    'generation_alarm': 1,
    'generation_reserve': 1,
    'generation_roll_to': -100,
}


@pytest.fixture
def stage(deploy: Deploy, request: pytest.FixtureRequest) -> Iterator[Stage]:
    options = {'lookup_timeout': stepping.PATIENCE, **getattr(request, 'param', {})}
    deployed = deploy(rules=OWNER_RULES, options=options)
    made = Stage(deployed)
    with stepping.stepping(db_api.get_placement_engine()):
        yield made


@pytest.mark.parametrize(
    ('stage', 'switches'),
    [({}, ''), (_ROLLING, _ROLL)],
    ids=['watching', 'rolling'],
    indirect=['stage'],
)
def test_runs_at_random(stage: Stage, switches: str) -> None:
    database = 'REUSE' if stage.reuses_ids else 'SPLIT'
    defines = f'{_SWITCHES} {database} {switches}'.split()
    for seed in range(RUNS):
        steps = spin.simulate(defines, seed)
        Replay(stage, defines).run(steps)
