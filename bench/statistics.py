# SPDX-License-Identifier: Apache-2.0
"""A median, and how sure it is."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

#: Of fewer samples no two hold the median 95 times in 100.
_ENOUGH = 6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median and the interval that holds the true one, 95 times in 100."""

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> 'Estimate':
        """The same in another unit.

        :param factor: positive
        """
        return Estimate(self.median * factor, self.low * factor, self.high * factor)


def estimate(samples: Sequence[float]) -> Estimate:
    """The median with its interval, that of order statistics.

    With fewer than six samples the interval is all of them.

    :raises statistics.StatisticsError: there are none
    """
    low, high = min(samples, default=0.0), max(samples, default=0.0)
    if len(samples) >= _ENOUGH:
        interval = stats.quantile_test(samples, p=0.5).confidence_interval(0.95)
        low, high = float(interval.low), float(interval.high)
    return Estimate(statistics.median(samples), low, high)
