# SPDX-License-Identifier: Apache-2.0
"""Lets a long command end between two steps when it is interrupted."""

import contextlib
import signal
import types
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the command was interrupted.

    :ivar signal: the signal that came first; None so far
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def status(self) -> int:
        """The exit status of a program that this signal ended."""
        return 128 + (self.signal or 0)


@contextlib.contextmanager
def defer_interruption() -> Iterator[Interruption]:
    """Keep SIGINT and SIGTERM; a second one ends the program as usual."""
    interruption = Interruption()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def keep(number: int, _frame: types.FrameType | None) -> None:
        interruption.signal = signal.Signals(number)
        restore()

    for number in _SIGNALS:
        signal.signal(number, keep)
    try:
        yield interruption
    finally:
        restore()
