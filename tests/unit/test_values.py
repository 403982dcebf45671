# SPDX-License-Identifier: Apache-2.0
"""The generations to which sealed rows are moved."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.generations.values import (
    LOWEST,
    SPACING,
    choose_rolled,
    choose_value,
)

#: placement/db/sqlalchemy/models.py: a signed 32-bit column.
HIGHEST = 2**31 - 1

stored_values = st.integers(LOWEST, HIGHEST) | st.integers(LOWEST, LOWEST + 5 * SPACING)


@given(stored=stored_values, chance=st.randoms(use_true_random=False))
def test_a_value_is_negative_and_out_of_reach_of_the_stored_one(
    stored: int, chance: random.Random
) -> None:
    value = choose_value(stored, chance.randrange)
    assert LOWEST < value < 0
    assert abs(value - stored) >= SPACING
    # Placement's own increments: as many as two values are apart.
    assert value + SPACING <= 0


@given(
    first=stored_values,
    second=stored_values,
    chance=st.randoms(use_true_random=False),
)
def test_any_two_values_are_equal_or_far_apart(
    first: int, second: int, chance: random.Random
) -> None:
    one = choose_value(first, chance.randrange)
    other = choose_value(second, chance.randrange)
    assert one == other or abs(one - other) >= SPACING


@pytest.mark.parametrize('start', [1, HIGHEST, LOWEST, -1])
def test_no_value_comes_twice_in_two_thousand_writes_of_one_consumer(
    start: int,
) -> None:
    """A client that holds an old value is told from one that holds the new one."""
    chance = random.Random(start)  # noqa: S311  # not a secret
    stored, seen = start, set[int]()
    for _ in range(2000):
        value = choose_value(stored, chance.randrange)
        assert value not in seen
        seen.add(value)
        # The write itself, and some by role-holders.
        stored = value + 1 + chance.randrange(3)


def test_the_grid_begins_at_the_lowest_value_of_placements_column() -> None:
    assert (LOWEST, SPACING) == (-2_147_483_648, 65_536)


@pytest.mark.parametrize(
    ('stored', 'choices', 'lowest'),
    [
        # Never moved, or rolled: anywhere but on the lowest two points.
        (HIGHEST, 32_766, LOWEST + 2 * SPACING),
        (0, 32_766, LOWEST + 2 * SPACING),
        (LOWEST, 32_766, LOWEST + 2 * SPACING),
        (LOWEST + SPACING - 1, 32_766, LOWEST + 2 * SPACING),
        # Moved before: two to sixteen points on, around the end.
        (LOWEST + SPACING, 15, LOWEST + 3 * SPACING),
        (LOWEST + 2 * SPACING, 15, LOWEST + 4 * SPACING),
        (-3 * SPACING, 15, -SPACING),
        (-2 * SPACING, 15, LOWEST + 2 * SPACING),
        (-1, 15, LOWEST + 3 * SPACING),
    ],
)
def test_a_row_goes_anywhere_at_first_and_a_few_points_on_later(
    stored: int, choices: int, lowest: int
) -> None:
    limits = []

    def randbelow(limit: int) -> int:
        limits.append(limit)
        return 0

    assert choose_value(stored, randbelow) == lowest
    assert limits == [choices]


def test_the_first_value_of_a_consumer_cannot_be_foreseen() -> None:
    assert len({choose_value(1) for _ in range(200)}) > 150


class TestRolled:
    @pytest.mark.parametrize(
        ('stored', 'roll_to'), [(HIGHEST, LOWEST), (0, LOWEST), (HIGHEST, 5)]
    )
    def test_a_counter_that_was_never_rolled_goes_where_the_option_says(
        self, stored: int, roll_to: int
    ) -> None:
        assert choose_rolled(stored, roll_to) == roll_to

    @pytest.mark.parametrize('roll_to', [LOWEST, -1, 0, 5])
    def test_a_counter_that_may_have_been_there_goes_where_a_sealed_row_does(
        self, roll_to: int
    ) -> None:
        near = max(0, roll_to + SPACING)
        assert choose_rolled(near, roll_to, lambda _: 0) == roll_to
        moved = choose_rolled(near - 1, roll_to, lambda _: 0)
        assert moved == choose_value(near - 1, lambda _: 0) != roll_to

    @given(
        stored=stored_values,
        roll_to=st.sampled_from([LOWEST, -1, 0, 5]),
        writes=st.integers(0, SPACING - 1),
        chance=st.randoms(use_true_random=False),
    )
    def test_rolls_in_a_row_never_come_near_the_value_before(
        self, stored: int, roll_to: int, writes: int, chance: random.Random
    ) -> None:
        """A client that holds a value from after a roll is told after the next."""
        first = choose_rolled(stored, roll_to, chance.randrange)
        second = choose_rolled(first + writes, roll_to, chance.randrange)
        third = choose_rolled(second + writes, roll_to, chance.randrange)
        for one, other in ((first, second), (second, third), (first + writes, second)):
            assert abs(one - other) >= SPACING
