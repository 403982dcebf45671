# SPDX-License-Identifier: Apache-2.0
"""Counts which operations on one consumer overlapped."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Operation:
    """One request, or one roll, from its start to its end.

    :ivar makes: it makes a consumer that is not there
    :ivar landed: it has changed what it was about
    :ivar met: others on the same consumer, of which one at least was an owner's write
    """

    by_owner: bool
    makes: bool
    consumers: frozenset[str]
    landed: bool = False
    over: bool = False
    met: list['Operation'] = field(default_factory=list)


class Meetings:
    """Everything that is under way.

    :ivar interleavings: pairs of an owner's write and another operation on the
        same consumer, whose times overlapped
    :ivar both_landed: those of them that both landed
    """

    def __init__(self) -> None:
        self.interleavings = 0
        self.both_landed = 0
        self._active: set[Operation] = set()
        self._made = Counter[str]()
        self._lock = threading.Condition()

    def wait_for_another(self, consumer: str, seconds: float) -> None:
        """Wait until the consumer has been made again, or for so long."""
        with self._lock:
            before = self._made[consumer]
            self._lock.wait_for(lambda: self._made[consumer] > before, seconds)

    @contextlib.contextmanager
    def operate(
        self, *consumers: str, by_owner: bool, makes: bool = False
    ) -> Iterator[Operation]:
        """Take note of an operation as long as the ``with`` lasts."""
        mine = Operation(by_owner, makes, frozenset(consumers))
        with self._lock:
            for other in self._active:
                if (by_owner or other.by_owner) and mine.consumers & other.consumers:
                    mine.met.append(other)
                    other.met.append(mine)
            self.interleavings += len(mine.met)
            self._active.add(mine)
        try:
            yield mine
        finally:
            with self._lock:
                self._active.remove(mine)
                if mine.makes and mine.landed:
                    self._made.update(mine.consumers)
                    self._lock.notify_all()
                mine.over = True
                self.both_landed += mine.landed and sum(
                    other.over and other.landed for other in mine.met
                )
                # The others still have this one in theirs.
                mine.met.clear()
