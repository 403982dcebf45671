# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: while look-ups time out, owners are not made to wait.

A database that does not answer, such as a Galera node that waits for the newest
rows, would otherwise keep a thread of the worker for each owner, until none is left
for role-holders.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

from consumer_guard.guard.errors import OwnersUnavailable

LOG = logging.getLogger(__name__)

_LookedUp = TypeVar('_LookedUp')

#: Seconds without a look-up after one that timed out; then one look-up tries.
PAUSE = 1.0

#: The most ids of a look-up that shows by its time-out that the database is stuck.
#: A longer one may be slow by itself: who sends it must not stop the others.
FEW = 100

#: Servers measure time, too, and not the same.
_NEARLY = 0.9


class Breaker:
    """Closed at first; opened by a time-out, closed by a look-up that ends in time.

    Without a lock, which a fork could leave locked: two look-ups that begin at the
    same moment may both try.

    :param timeout: seconds; a failure that took as long is a time-out
    :param clock: seconds, as :func:`time.monotonic`
    """

    def __init__(
        self, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeout = timeout
        self._clock = clock
        # When the next look-up may try; None while it is closed.
        self._opens: float | None = None
        self._last_success = -math.inf

    def run(self, look_up: Callable[[], _LookedUp], count: int) -> _LookedUp:
        """Run a look-up, and return what it has found.

        :param count: the ids that are looked up
        :raises OwnersUnavailable: the look-up failed, or was not tried
        """
        started, few = self._clock(), count <= FEW
        if self._opens is not None:
            if started < self._opens:
                raise OwnersUnavailable(
                    'The owner of the consumer could not be looked up.'
                )
            if few:
                # While this one tries, the others do not wait with it.
                self._opens = started + self._timeout + PAUSE
        try:
            found = look_up()
        except OwnersUnavailable as error:
            failure = error
        else:
            self._last_success = self._clock()
            self._close()
            return found
        # Security: after the except clause, as in DatabaseOwners.
        if self._clock() - started < _NEARLY * self._timeout:
            self._close()
        elif few and started >= self._last_success:
            # One that was slow while others were not was slow by itself.
            self._open()
        raise failure

    def _open(self) -> None:
        if self._opens is None:
            LOG.warning(
                'A look-up timed out: until one succeeds, owners get 503 at once'
            )
        self._opens = self._clock() + PAUSE

    def _close(self) -> None:
        if self._opens is not None:
            self._opens = None
            LOG.info('The look-up of owners works again')
