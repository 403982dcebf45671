# SPDX-License-Identifier: Apache-2.0
"""What can be wrong around a guard: checks, each of which makes findings.

A check never raises for what it finds; what it could not look at is a finding
too. Texts are for operators and hold no password.
"""

import contextlib
import enum
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


class Severity(enum.IntEnum):
    """How bad a finding is; the worst one decides the exit status."""

    OK = 0
    NOTE = 1  #: to know, or could not be told; nothing to do
    WARNING = 2
    FAILURE = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found.

    :ivar check: what was looked at
    :ivar where: file, option, table or URL
    :ivar text: what is there
    :ivar cure: what to do about it; '' where there is nothing to do
    """

    severity: Severity
    check: str
    where: str
    text: str
    cure: str = ''


def find_worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity among the findings; OK when there are none."""
    return max((finding.severity for finding in findings), default=Severity.OK)


class _Heard(logging.Handler):
    """Keeps what is logged at WARNING; errors are told by what raised them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        if record.levelno == logging.WARNING:
            self.lines.append(record.getMessage())


@contextlib.contextmanager
def listen(name: str) -> Iterator[list[str]]:
    """What loggers below that name warn of; it goes nowhere else meanwhile."""
    logger, heard = logging.getLogger(name), _Heard()
    before = logger.propagate, logger.level
    logger.addHandler(heard)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield heard.lines
    finally:
        logger.removeHandler(heard)
        logger.propagate = before[0]
        logger.setLevel(before[1])
