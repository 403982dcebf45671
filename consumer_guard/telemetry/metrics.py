# SPDX-License-Identifier: Apache-2.0
"""What is counted and timed, over StatsD: pushed, nothing shared by workers.

Names are made of our own words only, never of a client's; so their number is
bounded.
"""

import contextlib
import importlib
import logging
import time
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

from consumer_guard.guard import model
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.guard.groups import OwnerGroups

LOG = logging.getLogger(__name__)

LOOKUP_TIME = 'lookup.time'
LOOKUP_FAILED = 'lookup.failed'
RULEBOOK_AGE = 'rulebook.age'
RULEBOOK_FAILED = 'rulebook.failed_reloads'
GENERATION_HEADROOM = 'generation.headroom'
RECORDS_DROPPED = 'records.dropped'


class Metrics(Protocol):
    """Where figures go; no method raises or waits."""

    def count(self, name: str) -> None:
        """One more of these."""

    def time(self, name: str, seconds: float) -> None:
        """How long one of these took."""

    def gauge(self, name: str, value: float) -> None:
        """The value now."""


class NoMetrics:
    """Nobody wants figures."""

    def count(self, name: str) -> None:
        """Nothing."""

    def time(self, name: str, seconds: float) -> None:
        """Nothing."""

    def gauge(self, name: str, value: float) -> None:
        """Nothing."""


#: The one that nobody listens to.
NONE = NoMetrics()


class StatsdMetrics:
    """Figures as StatsD's UDP packets, by the package ``statsd``.

    :param client: a ``statsd.StatsClient``; it passes over what cannot be sent
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        # Its socket goes with the guard it was made for.
        weakref.finalize(self, client.close)

    def count(self, name: str) -> None:
        """A counter."""
        self._client.incr(name)

    def time(self, name: str, seconds: float) -> None:
        """A timer, in milliseconds as StatsD has it."""
        self._client.timing(name, seconds * 1000)

    def gauge(self, name: str, value: float) -> None:
        """A gauge; one below zero is set by way of zero, as StatsD wants it."""
        self._client.gauge(name, value)


def connect(host: str, port: int, prefix: str) -> Metrics:
    """A client of the StatsD server; no packet is sent yet.

    :param host: '' for no metrics
    :raises ConfigurationError: the package ``statsd`` is not installed
    """
    if not host:
        return NONE
    try:
        statsd = importlib.import_module('statsd')
    except ImportError:
        raise ConfigurationError(
            "option 'statsd_host' of [consumer_guard] is set, but the package statsd "
            'is not installed: pip install consumer-guard[statsd]'
        ) from None
    try:
        return StatsdMetrics(statsd.StatsClient(host, port, prefix=prefix or None))
    except OSError as exc:
        # No outage for want of figures: a name that cannot be resolved now
        # must not stop placement's workers.
        LOG.error(
            "option 'statsd_host' of [consumer_guard]: %s cannot be resolved (%s); "
            'there are no metrics until the next start',
            host,
            exc,
        )
        return NONE


def name_decision(operation: model.Operation, outcome: str, mode: str) -> str:
    """The counter of a decision, in StatsD's alphabet."""
    dotted = operation.name.replace(':', '.')
    return f'decisions.{dotted}.{outcome}.{mode}'


class MeasuredLookup:
    """A look-up whose time is told."""

    def __init__(self, lookup: model.OwnerLookup, metrics: Metrics) -> None:
        self._lookup = lookup
        self._metrics = metrics

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, model.Owner]:
        """As :meth:`consumer_guard.guard.model.OwnerLookup.find`."""
        with self._told():
            return self._lookup.find(consumer_ids)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
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
    """The same for one that is a :class:`consumer_guard.guard.groups.OwnerGroups`, too."""

    def __init__(self, lookup: Any, metrics: Metrics) -> None:
        super().__init__(lookup, metrics)
        self._groups: OwnerGroups = lookup

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        """As :meth:`consumer_guard.guard.groups.OwnerGroups.find_groups`."""
        with self._told():
            return self._groups.find_groups(consumer_ids, keys)
