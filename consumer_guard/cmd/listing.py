# SPDX-License-Identifier: Apache-2.0
"""Lists whose exit status tells what is in them."""

import argparse
import contextlib
import logging
from collections.abc import Iterator

from cliff import lister

from consumer_guard.cmd.database import CommandFailed
from consumer_guard.guard.errors import GuardError

# oslo.policy logs a traceback for each rule that it cannot parse; the guard's
# own loggers would say again what the list says.
_LOUD = (
    'oslo_policy',
    'consumer_guard.rules.rulebook',
    'consumer_guard.rules.remote',
)


class StatusLister(lister.Lister):
    """A list with an exit status of its own, 0 until it is set."""

    status = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """List, then return the status."""
        super().run(parsed_args)
        return self.status


@contextlib.contextmanager
def speak_plainly() -> Iterator[None]:
    """No log lines of libraries, and errors of one line.

    :raises CommandFailed: for any GuardError, its message on one line
    """
    loggers = [logging.getLogger(name) for name in _LOUD]
    disabled = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except GuardError as error:
        raise CommandFailed(' '.join(str(error).split())) from None
    finally:
        for logger, level in zip(loggers, disabled, strict=True):
            logger.setLevel(level)


def make_cell(text: str) -> str:
    """Text of a file for a terminal.

    Security: escape sequences in it would be the terminal's.
    """
    return ''.join([char if char.isprintable() else '?' for char in text])
