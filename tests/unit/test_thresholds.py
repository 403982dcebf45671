# SPDX-License-Identifier: Apache-2.0
"""Steps before the end of a generation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.generations.thresholds import Step, Thresholds
from tests.rows import LIMIT

THRESHOLDS = Thresholds(limit=LIMIT, warning=100, alarm=40, reserve=3)


@pytest.mark.parametrize(
    ('remaining', 'step'),
    [
        (101, Step.FINE),
        (100, Step.WARNING),
        (41, Step.WARNING),
        (40, Step.ALARM),
        (4, Step.ALARM),
        (3, Step.RESERVE),
        (1, Step.RESERVE),
        (0, Step.SPENT),
        (-1, Step.SPENT),
    ],
)
def test_the_step_follows_from_what_remains_below_the_limit(
    remaining: int, step: Step
) -> None:
    assert THRESHOLDS.step_of(LIMIT - remaining) is step


@pytest.mark.parametrize(
    ('remaining', 'empties', 'acts'),
    [
        (4, False, False),
        (3, False, True),
        (3, True, False),
        (1, True, False),
        (0, True, True),
        (0, False, True),
    ],
)
def test_emptying_goes_on_until_the_limit(
    remaining: int, empties: bool, acts: bool
) -> None:
    assert THRESHOLDS.must_act(LIMIT - remaining, empties=empties) is acts


@given(st.integers(-(2**31), LIMIT - 1), st.booleans())
def test_what_goes_on_still_fits(generation: int, empties: bool) -> None:
    """A write that is not acted on leaves a value that the column holds."""
    if not THRESHOLDS.must_act(generation, empties=empties):
        assert generation + 1 <= LIMIT


@given(st.integers(-(2**31), LIMIT), st.integers(-(2**31), LIMIT))
def test_steps_never_go_back(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert THRESHOLDS.step_of(low) <= THRESHOLDS.step_of(high)


def test_a_rolled_generation_is_fine() -> None:
    assert THRESHOLDS.step_of(-(2**31)) is Step.FINE
    assert THRESHOLDS.remaining(-(2**31)) == 2**32 - 1
    assert round(THRESHOLDS.percent_left(-(2**31))) == 100


@pytest.mark.parametrize('beyond', [0, 1, 7])
def test_at_the_end_and_beyond_nothing_remains(beyond: int) -> None:
    """A smaller limit may have been configured than what is stored."""
    assert THRESHOLDS.remaining(LIMIT + beyond) == 0
