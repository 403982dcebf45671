# SPDX-License-Identifier: Apache-2.0
"""The lines that a logger writes."""

import contextlib
import logging
from collections.abc import Iterator


class LogLines(logging.Handler):
    """The messages that were logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.lines.append(record.getMessage())

    def take(self) -> list[str]:
        """The messages since the last time."""
        taken, self.lines = self.lines, []
        return taken


@contextlib.contextmanager
def keep_lines(logger: logging.Logger) -> Iterator[LogLines]:
    """Keep what a logger writes from INFO on."""
    handler, level = LogLines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
