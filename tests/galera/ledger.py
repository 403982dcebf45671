# SPDX-License-Identifier: Apache-2.0
"""Accounts for every compare-and-swap: what was answered must be what is stored."""

import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

from consumer_guard.generations.store import Swap
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.owners.database import DatabaseOwners

#: Values of one consumer are this far apart for each writer, so that none chooses
#: another's.
_STRIDE = 100_000


class Move(NamedTuple):
    """One swap that may have happened.

    :ivar known: it was answered with success; nothing is known otherwise
    """

    old: int
    new: int
    known: bool


class Ledger:
    """Writers that move one generation, and what they were answered."""

    def __init__(self, consumer: str) -> None:
        self.consumer = consumer
        self.moves: list[Move] = []
        self.lost = 0

    def run(self, lookups: list[DatabaseOwners], meanwhile: Callable[[], None]) -> None:
        """Let one writer per look-up move the generation until `meanwhile` is over."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._write, args=(lookup, number, stop))
            for number, lookup in enumerate(lookups, 1)
        ]
        for thread in threads:
            thread.start()
        try:
            meanwhile()
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _write(
        self, lookup: DatabaseOwners, number: int, stop: threading.Event
    ) -> None:
        values = itertools.count(number * _STRIDE)
        while not stop.is_set():
            try:
                stored = lookup.find([self.consumer])[self.consumer].generation
            except OwnersUnavailable:
                stop.wait(0.1)
                continue
            assert stored is not None
            swap = Swap(self.consumer, stored, next(values))
            try:
                won = lookup.swap_generations([swap])
            except OwnersUnavailable:
                self.moves.append(Move(swap.expected, swap.new, known=False))
                continue
            if won:
                self.moves.append(Move(swap.expected, swap.new, known=True))
            else:
                self.lost += 1

    def explain(self, first: int, last: int) -> list[str]:
        """What cannot be, of the way from the first generation to the last one."""
        faults = []
        by_new = {move.new: move for move in self.moves}
        won = [move.old for move in self.moves if move.known]
        if len(won) != len({*won}):
            faults.append('two swaps of one generation won')
        walked, at = set(), last
        while at != first and at in by_new and at not in walked:
            walked.add(at)
            at = by_new[at].old
        if at != first:
            faults.append(f'{last} does not come from {first}')
        missing = [move for move in self.moves if move.known and move.new not in walked]
        if missing:
            faults.append(f'{len(missing)} swaps that won are lost')
        return faults
