# SPDX-License-Identifier: Apache-2.0
"""What checks of rules and of deployments report.

Texts are for operators and hold no password.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.IntEnum):
    """How bad a finding is; from WARNING on somebody should do something."""

    OK = 0
    NOTE = 1  #: informational, or names a check that was skipped
    WARNING = 2
    FAILURE = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    :ivar where: file, option, table or URL
    :ivar subject: the check, or the rule that was checked; '' for a whole file
    :ivar text: the state that was found, in one sentence
    :ivar fix: what to do about it, in the imperative; '' for nothing
    :ivar line: of the file, from 1; None for no line
    """

    severity: Severity
    where: str
    subject: str
    text: str
    fix: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """A finding without its place; attributes as in :class:`Finding`."""

    severity: Severity
    text: str
    fix: str

    def at(self, where: str, subject: str, line: int | None = None) -> Finding:
        """The finding at a place."""
        return Finding(self.severity, where, subject, self.text, self.fix, line)


def ok(text: str) -> Assessment:
    """Nothing to do."""
    return Assessment(Severity.OK, text, '')


def note(text: str, fix: str = '') -> Assessment:
    """Something to know, or a skipped check."""
    return Assessment(Severity.NOTE, text, fix)


def warn(text: str, fix: str = '') -> Assessment:
    """Something that is probably unintended."""
    return Assessment(Severity.WARNING, text, fix)


def fail(text: str, fix: str) -> Assessment:
    """Something that does not work as it is written, or is open to all."""
    return Assessment(Severity.FAILURE, text, fix)


def find_worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity among the findings; OK when there are none."""
    return max((finding.severity for finding in findings), default=Severity.OK)
