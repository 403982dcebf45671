# SPDX-License-Identifier: Apache-2.0
"""What is counted and timed, over StatsD: pushed, nothing shared by workers.

Names are made of our own words only, never of a client's; so their number is
bounded.
"""

import importlib
import logging
import weakref
from typing import Any, Protocol

from consumer_guard.guard import model
from consumer_guard.guard.errors import ConfigurationError

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
