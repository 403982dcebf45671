# SPDX-License-Identifier: Apache-2.0
"""How near a generation is to its end, and what to do. Pure.

A consumer generation is a signed 32-bit column that every write increments.
At its end PostgreSQL and strict MariaDB answer 500 for ever, a non-strict
MariaDB session answers 204 while the counter stands still: the lock is dead.
"""

import enum
from dataclasses import dataclass

#: Values of a signed 32-bit column.
_VALUES = 2**32


class Step(enum.IntEnum):
    """How near the end a generation is."""

    FINE = enum.auto()
    WARNING = enum.auto()
    ALARM = enum.auto()
    RESERVE = enum.auto()  #: only writes that empty the consumer go on
    SPENT = enum.auto()  #: the next increment does not fit; only DELETE goes on


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the steps begin; see the options ``generation_*``.

    :ivar limit: the greatest value that the column holds
    :ivar warning: steps before the limit, as are alarm and reserve
    """

    limit: int
    warning: int
    alarm: int
    reserve: int

    def step_of(self, generation: float) -> Step:
        """The step that a stored generation stands on."""
        remaining = self.limit - generation
        if remaining <= 0:
            return Step.SPENT
        if remaining <= self.reserve:
            return Step.RESERVE
        if remaining <= self.alarm:
            return Step.ALARM
        if remaining <= self.warning:
            return Step.WARNING
        return Step.FINE

    def must_act(self, generation: float, *, empties: bool) -> bool:
        """Whether a write must not go on with this stored generation.

        :param empties: the write leaves the consumer without allocations, so
            its row, and the counter with it, goes away
        """
        step = self.step_of(generation)
        return step is Step.SPENT or (step is Step.RESERVE and not empties)

    def remaining(self, generation: float) -> float:
        """How many more increments fit."""
        return max(0, self.limit - generation)

    def percent_left(self, generation: float) -> float:
        """How much of the whole range of the column is left."""
        return 100.0 * self.remaining(generation) / _VALUES
