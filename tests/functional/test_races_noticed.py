# SPDX-License-Identifier: Apache-2.0
"""The lane ``races`` can fail: what the guard's mutants do is in its evidence.

One race for each mutant, step by step. The guard as it is comes first: the same
race leaves no fault.
"""

import concurrent.futures
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from placement.objects import allocation as placement_allocation

from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.functional.between import PATIENCE, step_into
from tests.races import evidence, mutants
from tests.races.evidence import Write
from tests.scenery import Scene


class Race:
    """A consumer of Alice's, and what was answered about it."""

    def __init__(self, scene: Scene, guard: sa.Engine) -> None:
        self.guard = guard
        self._scene = scene
        self._acknowledged: list[Write] = []
        self._step: Callable[[Race], None] | None = None

    def find_faults(
        self, amount: int, step: Callable[['Race'], None] | None
    ) -> list[str]:
        """Let Alice write once; what the log says of it.

        :param amount: what is claimed; 0 empties the consumer
        :param step: what an administrator does meanwhile, at a statement
        """
        # The last one: SQLite gives its id once more.
        self._scene.own = self._scene.deployed.add_consumer(
            self._scene.provider, self._scene.alice
        )
        self._acknowledged = [self._name(self._scene.alice, None)]
        self._step = step
        write = self._name(self._scene.alice, 1)._replace(sealed=True)
        answer = self._scene.put(self._scene.alice, generation=1, amount=amount)
        assert answer.status_int in {204, 403, 409}, answer.text
        if answer.status_int == 204:
            self._acknowledged.append(write)
        log = evidence.read(self._scene.tables.engine)
        mine = [change for change in log if change.uuid == self._scene.own]
        return evidence.find_faults(mine, self._acknowledged)

    def _name(self, owner: User, generation: int | None) -> Write:
        return Write(self._scene.own, owner.project_id or '', generation)

    def take(self) -> None:
        """Take the step, once, as another request would."""
        step, self._step = self._step, None
        if step is not None:
            with concurrent.futures.ThreadPoolExecutor(1) as other:
                other.submit(step, self).result(PATIENCE)

    def give_away(self) -> None:
        """An administrator gives the consumer to Bob."""
        self._give(self._scene.generation())

    def make_again(self) -> None:
        """An administrator deletes the consumer and makes it again, as Bob's."""
        assert self._scene.delete(self._scene.admin).status_int == 204
        self._give(None)

    def _give(self, generation: int | None) -> None:
        scene = self._scene
        answer = scene.put(scene.admin, owner=scene.bob, generation=generation)
        assert answer.status_int == 204, answer.text
        self._acknowledged.append(self._name(scene.bob, generation))


@pytest.fixture
def race(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Race]:
    deployed = deploy(rules=OWNER_RULES, options={'lookup_pool_size': 2})
    steps = step_into(deployed)
    scene = Scene(deployed)
    race = Race(scene, steps.lookup.engine)
    evidence.install(scene.tables.engine)
    yield race
    evidence.remove(scene.tables.engine)


def _before_the_swap(race: Race, _monkeypatch: pytest.MonkeyPatch) -> None:
    def take(_c: object, _cursor: object, text: str, *_: object) -> None:
        if text.startswith('UPDATE'):
            race.take()

    sa.event.listen(race.guard, 'before_cursor_execute', take)


def _before_the_second_reading(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    second_reading = placement_allocation.get_all_by_consumer_id

    def take(*args: Any) -> Any:
        race.take()
        return second_reading(*args)

    monkeypatch.setattr(placement_allocation, 'get_all_by_consumer_id', take)


@pytest.mark.parametrize(
    ('mutant', 'amount', 'arm', 'step'),
    [
        ('no swap', 1, _before_the_swap, None),
        ('swap without owner', 1, _before_the_swap, Race.make_again),
        ('swap without id and owner', 1, _before_the_swap, Race.make_again),
        ('emptying', 0, _before_the_second_reading, Race.give_away),
    ],
)
def test_what_a_mutant_of_the_guard_does_is_a_fault(
    race: Race,
    monkeypatch: pytest.MonkeyPatch,
    mutant: str,
    amount: int,
    arm: Callable[[Race, pytest.MonkeyPatch], None],
    step: Callable[[Race], None] | None,
) -> None:
    if race.guard.dialect.name not in mutants.MUTANTS[mutant].databases:
        pytest.skip('it does no harm where ids are never given again')
    arm(race, monkeypatch)
    assert race.find_faults(amount, step) == []
    with mutants.applied(mutant):
        (fault, *_) = race.find_faults(amount, step)
    assert 'acknowledged to its owner' in fault
