# SPDX-License-Identifier: Apache-2.0
"""Generations of the guard's own, to which it moves sealed and rolled counters.

All are negative, so that they are below every value that is warned about, and
they lie on a grid: any two are at least :data:`SPACING` apart, so that placement's
own increments of one never reach another. (With values 1 apart a write could be
accepted upon a generation that it had not read.)
"""

import secrets
from collections.abc import Callable

#: Steps between two values; the writes that a client may miss and still be distinct
#: from one that missed none.
SPACING = 2**16

#: The lowest value of a signed 32-bit column, where the grid starts.
LOWEST = -(2**31)

#: Points of the grid below zero. The lowest two are left to rolled counters, which
#: start at the lowest value by default.
_POINTS = 2**31 // SPACING
_FIRST = 2

#: A row that has such a value already goes on by 2 to 16 points, so that a value
#: comes again after about 3,600 sealed writes of one consumer, not by chance.
_STRIDE = 15


def choose_value(
    stored: int, randbelow: Callable[[int], int] = secrets.randbelow
) -> int:
    """A generation for a row, at least :data:`SPACING` from the stored one.

    :param stored: the generation that the row has
    :param randbelow: as :func:`secrets.randbelow`
    """
    usable = _POINTS - _FIRST
    if stored >= 0 or stored < LOWEST + SPACING:
        # Also for a counter that was rolled: each roll would lead to the same values.
        point = randbelow(usable)
    else:
        # One more than the point below the stored value is too near, two is not.
        passed = (stored - LOWEST) // SPACING - _FIRST
        point = (passed + 2 + randbelow(_STRIDE)) % usable
    return LOWEST + (_FIRST + point) * SPACING


def choose_rolled(
    stored: int, roll_to: int, randbelow: Callable[[int], int] = secrets.randbelow
) -> int:
    """Where a counter continues that an operator rolls.

    At ``roll_to``; but a counter that is negative or close to ``roll_to`` may have
    been there before. Clients that hold a value from then must not match again, so
    it gets a value as a sealed row does.

    :param stored: the generation that the row has
    :param randbelow: as :func:`secrets.randbelow`
    """
    if stored >= max(0, roll_to + SPACING):
        return roll_to
    return choose_value(stored, randbelow)
