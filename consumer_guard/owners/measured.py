# SPDX-License-Identifier: Apache-2.0
"""Look-ups whose time and failures go to the metrics."""

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from consumer_guard.guard import model
from consumer_guard.guard.model import ConsumerTypes, OwnerGroups
from consumer_guard.telemetry.metrics import LOOKUP_FAILED, LOOKUP_TIME, Metrics


class MeasuredLookup:
    """A look-up that is measured."""

    def __init__(self, lookup: model.OwnerLookup, metrics: Metrics) -> None:
        self._lookup = lookup
        self._metrics = metrics

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, model.Owner]:
        """As :meth:`consumer_guard.guard.model.OwnerLookup.find`."""
        with self._measure():
            return self._lookup.find(consumer_ids)

    def find_types(self, names: Collection[str]) -> Collection[str]:
        """Those of the look-up; none where it does not know types."""
        if not isinstance(self._lookup, ConsumerTypes):
            return ()
        with self._measure():
            return self._lookup.find_types(names)

    @contextlib.contextmanager
    def _measure(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            self._metrics.count(LOOKUP_FAILED)
            raise
        finally:
            self._metrics.time(LOOKUP_TIME, time.perf_counter() - started)

    def close(self) -> None:
        """Give back every connection."""
        self._lookup.close()


class MeasuredGroups(MeasuredLookup):
    """The same for one that is a :class:`consumer_guard.guard.model.OwnerGroups`, too."""

    def __init__(self, lookup: Any, metrics: Metrics) -> None:
        super().__init__(lookup, metrics)
        self._groups: OwnerGroups = lookup

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        """As :meth:`consumer_guard.guard.model.OwnerGroups.find_groups`.

        One measurement for the list; what its reader does meanwhile counts too.
        """
        with self._measure():
            yield from self._groups.find_groups(consumer_ids, keys)
