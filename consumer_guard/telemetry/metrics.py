# SPDX-License-Identifier: Apache-2.0
"""Metrics over StatsD: pushed, with nothing shared between workers.

Names never contain what a client sent, so their number is bounded.
"""

import importlib
import logging
import socket
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
    """A destination of metrics; no method raises or waits."""

    def count(self, name: str) -> None:
        """Count one event."""

    def time(self, name: str, seconds: float) -> None:
        """Report a duration."""

    def gauge(self, name: str, value: float) -> None:
        """Report a current value."""


class NoMetrics:
    """Discards everything."""

    def count(self, name: str) -> None:
        """Do nothing."""

    def time(self, name: str, seconds: float) -> None:
        """Do nothing."""

    def gauge(self, name: str, value: float) -> None:
        """Do nothing."""


#: The no-op metrics.
NONE = NoMetrics()


class StatsdMetrics:
    """Sends UDP packets by the package ``statsd``.

    :param client: a ``statsd.StatsClient``; it ignores what cannot be sent
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        # Its socket is closed with the guard that it was made for.
        weakref.finalize(self, client.close)

    def count(self, name: str) -> None:
        """Send a counter."""
        self._client.incr(name)

    def time(self, name: str, seconds: float) -> None:
        """Send a timer, in milliseconds as StatsD expects."""
        self._client.timing(name, seconds * 1000)

    def gauge(self, name: str, value: float) -> None:
        """Send a gauge; a negative one goes by way of zero, as StatsD requires."""
        self._client.gauge(name, value)


def connect(host: str, port: int, prefix: str) -> Metrics:
    """Make a client of a StatsD server; sends no packet yet.

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
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        # The client's own preference, where a name has addresses of both kinds.
        ipv6 = socket.AF_INET not in [family for family, *_ in found]
        client = statsd.StatsClient(host, port, prefix=prefix or None, ipv6=ipv6)
        return StatsdMetrics(client)
    except OSError as exc:
        reason = exc.strerror
    # A host name that cannot be resolved must not stop placement's workers.
    LOG.error(
        "option 'statsd_host' of [consumer_guard]: %s cannot be resolved (%s); "
        'there are no metrics until the next start',
        host,
        reason,
    )
    return NONE


def name_decision(operation: model.Operation, outcome: str, mode: str) -> str:
    """The counter of a decision, in StatsD's alphabet; always four words."""
    word = operation.name.replace(':', '_')
    return f'decisions.{word}.{outcome}.{mode}'


def name_candidate(operation: model.Operation, change: str, mode: str) -> str:
    """The counter of what candidate rules would change, as :func:`name_decision`."""
    word, change = operation.name.replace(':', '_'), change.replace(' ', '_')
    return f'candidate.{word}.{change}.{mode}'
