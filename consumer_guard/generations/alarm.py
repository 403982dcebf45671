# SPDX-License-Identifier: Apache-2.0
"""Tells operators of generations near their end, once a consumer and step."""

import collections
import logging
import math
import threading
from collections.abc import Iterable

from consumer_guard.generations.thresholds import Step, Thresholds
from consumer_guard.telemetry.metrics import GENERATION_HEADROOM, NONE, Metrics

LOG = logging.getLogger(__name__)

#: Consumers of which it is remembered that they were warned about.
_MOST_REMEMBERED = 4096

#: Seconds that a thread waits for another one's glance at what was warned of.
_LONGEST_WAIT = 0.1


class GenerationAlarm:
    """One a guard; its memory is bounded."""

    def __init__(self, thresholds: Thresholds, metrics: Metrics = NONE) -> None:
        self._thresholds = thresholds
        self._metrics = metrics
        self._warned: collections.OrderedDict[tuple[str, Step], None] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()
        # Steps that were left after any write of this process.
        self._lowest = math.inf

    def note(self, near: Iterable[tuple[str, float]]) -> None:
        """Log the generations near their end, once a consumer and step.

        Called after a write succeeded, so that a made-up number in a body
        alarms nobody.
        """
        for key, generation in near:
            step = self._thresholds.step_of(generation)
            if self._is_new(key, step, self._thresholds.remaining(generation)):
                LOG.log(
                    logging.WARNING if step is Step.WARNING else logging.ERROR,
                    'The generation of consumer %s is %d: %d steps (%.2f %% of the '
                    'range) remain; to reset it, run: consumer-guard generation roll '
                    '--consumer %s',
                    key,
                    generation,
                    self._thresholds.remaining(generation),
                    self._thresholds.percent_left(generation),
                    key,
                )

    def _is_new(self, key: str, step: Step, remaining: float) -> bool:
        # Not for ever: a fork may have left the lock with a thread of the parent.
        if not self._lock.acquire(timeout=_LONGEST_WAIT):
            return True
        try:
            if remaining < self._lowest:
                self._lowest = remaining
                self._metrics.gauge(GENERATION_HEADROOM, remaining)
            if (key, step) in self._warned:
                return False
            self._warned[key, step] = None
            if len(self._warned) > _MOST_REMEMBERED:
                self._warned.popitem(last=False)
            return True
        finally:
            self._lock.release()
