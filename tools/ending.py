# SPDX-License-Identifier: Apache-2.0
"""Commands that clean up after themselves, whichever signal ends them."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from tests.cloud.processes import die_with_parent

#: What ends a command; a terminal that is closed sends SIGHUP.
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal ends the command; not an Exception, so that nothing takes it.

    :ivar status: exit status, 128 and the number of the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn the first signal into :class:`Ended`; the next ones do nothing.

    So the clean-up after the first is not cut short. When the parent dies, as tox
    does of SIGTERM, the command is ended too (Linux).
    """

    def end(number: int, _: FrameType | None) -> None:
        for each in _ENDINGS:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    for each in _ENDINGS:
        signal.signal(each, end)
    die_with_parent()
    yield
