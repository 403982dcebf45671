# SPDX-License-Identifier: Apache-2.0
"""What checks share that read the log or send HTTP requests."""

import contextlib
import logging
import ssl
from collections.abc import Iterator

#: Seconds for each HTTP request.
REQUEST_TIMEOUT = 5.0


class NoAnswer(Exception):
    """A server could not be queried; the message is the reason."""


def explain_no_answer(error: BaseException) -> str:
    """The kind of an error, and the system's reason below it.

    Security: nothing else of the texts, which may hold URLs and credentials.
    """
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return f'{type(error).__name__}: {below.verify_message}'
        if isinstance(below, OSError) and below.errno and below.strerror:
            return f'{type(error).__name__}: {below.strerror} (errno {below.errno})'
        below = below.__cause__ or below.__context__
    return type(error).__name__


class _WarningCollector(logging.Handler):
    """Keeps warnings; whoever raises an error reports it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        if record.levelno == logging.WARNING:
            self.lines.append(record.getMessage())


@contextlib.contextmanager
def capture_warnings(name: str) -> Iterator[list[str]]:
    """The warnings of loggers below that name, which go nowhere else meanwhile."""
    logger, collector = logging.getLogger(name), _WarningCollector()
    before = logger.propagate, logger.level
    logger.addHandler(collector)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield collector.lines
    finally:
        logger.removeHandler(collector)
        logger.propagate = before[0]
        logger.setLevel(before[1])
