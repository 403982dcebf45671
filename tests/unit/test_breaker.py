# SPDX-License-Identifier: Apache-2.0
"""The circuit breaker before look-ups, by a clock of the test's own."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.owners.breaker import Breaker

TIMEOUT = 2.0
#: Seconds without a look-up.
PAUSE = 1.0
#: The most ids of a look-up that stops the others by its time-out.
FEW = 100


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class BreakerScene:
    """A breaker, its clock, and look-ups that take as long as a test wants."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(TIMEOUT, self.clock)
        self.tried = 0

    def look_up(self, seconds: float, *, fails: bool, count: int = 1) -> bool:
        """Whether it was tried."""
        before = self.tried

        def find() -> None:
            self.tried += 1
            self.clock.now += seconds
            if fails:
                raise OwnersUnavailable('away')

        with contextlib.suppress(OwnersUnavailable):
            self.breaker.run(find, count)
        return self.tried > before

    def time_out(self, count: int = 1) -> bool:
        return self.look_up(TIMEOUT, fails=True, count=count)

    def succeed(self) -> bool:
        return self.look_up(0.0, fails=False)


@pytest.fixture
def scene() -> BreakerScene:
    return BreakerScene()


def test_after_a_time_out_nobody_waits_for_a_while(scene: BreakerScene) -> None:
    assert scene.time_out()
    before = scene.clock.now
    assert not any(scene.succeed() for _ in range(10))
    assert scene.clock.now == before
    scene.clock.now += PAUSE
    assert scene.succeed()
    assert scene.succeed()


def test_while_one_look_up_tries_the_others_do_not(scene: BreakerScene) -> None:
    scene.time_out()
    scene.clock.now += PAUSE

    def find() -> None:
        scene.clock.now += TIMEOUT / 2
        assert not scene.succeed()

    scene.breaker.run(find, 1)
    assert scene.succeed()


def test_a_look_up_that_tries_in_vain_begins_the_pause_again(
    scene: BreakerScene,
) -> None:
    scene.time_out()
    for _ in range(5):
        assert not scene.succeed()
        scene.clock.now += PAUSE
        assert scene.time_out()
    assert not scene.succeed()


def test_one_that_never_ends_is_not_waited_for(scene: BreakerScene) -> None:
    """Its thread was killed, in a way that ran no handler of ours."""
    scene.time_out()
    scene.clock.now += PAUSE

    def find() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        scene.breaker.run(find, 1)
    assert not scene.succeed()
    scene.clock.now += TIMEOUT + PAUSE
    assert scene.succeed()


@pytest.mark.parametrize('seconds', [0.0, TIMEOUT / 2])
def test_failures_that_come_soon_stop_nobody(
    scene: BreakerScene, seconds: float
) -> None:
    for _ in range(3):
        assert scene.look_up(seconds, fails=True)
    assert scene.succeed()


def test_a_large_look_up_that_times_out_stops_nobody(scene: BreakerScene) -> None:
    """Or whoever may send one could keep all the others out."""
    assert scene.time_out(FEW + 1)
    assert scene.succeed()
    assert scene.time_out(FEW)
    assert not scene.succeed()
    scene.clock.now += PAUSE
    assert scene.time_out(FEW + 1)
    assert scene.succeed()


def test_one_that_is_slow_while_others_are_not_stops_nobody(
    scene: BreakerScene,
) -> None:
    def find() -> None:
        scene.clock.now += TIMEOUT / 2
        assert scene.succeed()
        scene.clock.now += TIMEOUT / 2
        raise OwnersUnavailable('slow')

    with pytest.raises(OwnersUnavailable):
        scene.breaker.run(find, 1)
    assert scene.succeed()


def test_opening_is_logged_once(
    scene: BreakerScene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    for _ in range(4):
        scene.time_out()
        scene.clock.now += PAUSE
    scene.succeed()
    assert [record.levelname for record in caplog.records] == ['WARNING', 'INFO']


def test_nothing_is_logged_while_look_ups_work(
    scene: BreakerScene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    assert scene.succeed()
    assert scene.look_up(0.0, fails=True)
    assert not caplog.records


class Step(NamedTuple):
    """Time passes, then a look-up begins."""

    pause: float
    seconds: float
    fails: bool


STEPS = st.lists(
    st.builds(
        Step,
        st.floats(0, 3 * PAUSE),
        st.sampled_from([0.0, TIMEOUT / 2, TIMEOUT, 2 * TIMEOUT]),
        st.booleans(),
    ),
    max_size=30,
)


def _try_each(
    scene: BreakerScene, steps: list[Step]
) -> Iterator[tuple[Step, float, bool]]:
    for step in steps:
        scene.clock.now += step.pause
        began = scene.clock.now
        yield step, began, scene.look_up(step.seconds, fails=step.fails)


@given(STEPS)
def test_look_ups_are_refused_only_within_a_pause_after_a_time_out(
    steps: list[Step],
) -> None:
    timed_out: float | None = None
    scene = BreakerScene()
    for step, began, tried in _try_each(scene, steps):
        assert tried is (timed_out is None or began >= timed_out + PAUSE)
        if tried:
            late = step.fails and step.seconds >= TIMEOUT
            timed_out = scene.clock.now if late else None
