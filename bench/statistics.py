# SPDX-License-Identifier: Apache-2.0
"""Medians, and how sure they are. Pure functions, no clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


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


def median(samples: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle.

    :raises ValueError: there are none
    """
    if not samples:
        raise ValueError('no samples')
    ordered = sorted(samples)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least that share of all does not exceed.

    :param share: above 0, at most 1
    :raises ValueError: there are no samples, or the share is no share
    """
    if not samples or not 0 < share <= 1:
        raise ValueError('no samples, or no share')
    return sorted(samples)[math.ceil(share * len(samples)) - 1]


def estimate(samples: Sequence[float]) -> Estimate:
    """The median with its interval.

    The interval is that of order statistics: whatever the distribution, the
    number of samples below the true median is binomial. With fewer than six
    samples no two of them hold it 95 times in 100: then it is all of them.
    """
    ordered = sorted(samples)
    below = _rank(len(ordered))
    return Estimate(median(ordered), ordered[below], ordered[len(ordered) - 1 - below])


def _rank(count: int, doubt: float = 0.05) -> int:
    """How many samples to leave out at each end."""
    tail = 0.0
    rank = 0
    while rank < count // 2:
        tail += math.comb(count, rank) / 2**count
        if tail > doubt / 2:
            break
        rank += 1
    return max(0, rank - 1)


def differences(ours: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round: what was measured side by side is compared side by side.

    :raises ValueError: not the same number of rounds
    """
    return [one - other for one, other in zip(ours, base, strict=True)]


def ratios(ours: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round, see :func:`differences`."""
    return [one / other for one, other in zip(ours, base, strict=True)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much y grows for each 1 of x, by least squares.

    :raises ValueError: fewer than two different x
    """
    count = len(points)
    mean_x = sum(x for x, _ in points) / count if count else 0.0
    mean_y = sum(y for _, y in points) / count if count else 0.0
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        raise ValueError('a slope needs two different x')
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
