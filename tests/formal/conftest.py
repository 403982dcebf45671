# SPDX-License-Identifier: Apache-2.0
"""The runs of the model that are replayed, and where."""

import os
import pathlib
from collections.abc import Callable, Iterator

import pytest
from placement import db_api

from consumer_guard.config.options import OPTS
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment, Tokens
from tests.formal import stepping, traces
from tests.formal.replay import ReplayScene
from tests.formal.traces import Trace
from tests.functional.conftest import WANTED, database, tokens

__all__ = ['database', 'tokens']

#: The file that ``python -m tests.formal`` has written.
TRACES = 'CONSUMER_GUARD_FORMAL_TRACES'


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test a run that can happen on the database."""
    if TRACES not in os.environ:
        raise pytest.UsageError(f'{TRACES} names no file: run python -m tests.formal')
    wants_mutants = 'mutant' in metafunc.fixturenames
    chosen = [
        trace
        for trace in traces.read(pathlib.Path(os.environ[TRACES]))
        if trace.mutant is wants_mutants and trace.can_happen(WANTED[0])
    ]
    name = 'mutant' if wants_mutants else 'trace'
    metafunc.parametrize(name, chosen, ids=[trace.name for trace in chosen])


@pytest.fixture(scope='session')
def _stages(
    tmp_path_factory: pytest.TempPathFactory, tokens: Tokens, database: str
) -> Iterator[Callable[..., ReplayScene]]:
    """Make a scene of some options, or take the one that is there."""
    made: dict[tuple[tuple[str, object], ...], ReplayScene] = {}

    # The model counts to less than the lowest reserve that operators may set.
    (reserve,) = (each for each in OPTS if each.dest == 'generation_reserve')
    patch = pytest.MonkeyPatch()
    patch.setattr(reserve.type, 'min', 0)

    def make(**options: object) -> ReplayScene:
        key = tuple(options.items())
        if key not in made:
            deployed = Deployment(
                tmp_path_factory.mktemp('etc'),
                tokens,
                database,
                rules=OWNER_RULES,
                options={'lookup_timeout': stepping.PATIENCE, **options},
            )
            made[key] = ReplayScene(deployed)
        made[key].deployed.activate()
        return made[key]

    make()
    with stepping.stepping(db_api.get_placement_engine()):
        yield make
    patch.undo()


@pytest.fixture
def scene(
    _stages: Callable[..., ReplayScene], request: pytest.FixtureRequest
) -> Iterator[ReplayScene]:
    """The guard, with the numbers of the run; a mutant's are put right."""
    name = 'mutant' if 'mutant' in request.fixturenames else 'trace'
    trace: Trace = request.getfixturevalue(name)
    if 'ROLL' not in trace.defines:
        yield _stages()
        return
    reserve = max(trace.get_bound('RESERVE', 0), int(trace.mutant))
    roll_to = trace.get_bound('TO', -100)
    yield _stages(
        generation_strategy='roll',
        generation_limit=trace.get_bound('LIMIT', 100),
        generation_warning=reserve,
        generation_alarm=reserve,
        generation_reserve=reserve,
        generation_roll_to=min(roll_to, -100) if trace.mutant else roll_to,
    )
