# SPDX-License-Identifier: Apache-2.0
"""What the lints find."""

import difflib
import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.IntEnum):
    """How bad a finding is; from WARNING on somebody should do something."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong, without where.

    :ivar what: one sentence
    :ivar cure: what to do, in the imperative
    """

    severity: Severity
    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A complaint about a place.

    :ivar line: from 1, None where it is about no line
    :ivar rule: its name, '' for a file as a whole
    """

    severity: Severity
    path: str
    line: int | None
    rule: str
    what: str
    cure: str

    @classmethod
    def make(
        cls, complaint: Complaint, path: str, line: int | None, rule: str
    ) -> 'Finding':
        """A complaint at its place."""
        return cls(complaint.severity, path, line, rule, complaint.what, complaint.cure)


def note(what: str, cure: str) -> Complaint:
    """Something to know."""
    return Complaint(Severity.NOTE, what, cure)


def warn(what: str, cure: str) -> Complaint:
    """Something that is hardly meant."""
    return Complaint(Severity.WARNING, what, cure)


def fail(what: str, cure: str) -> Complaint:
    """Something that is not in force as it is written, or open to all."""
    return Complaint(Severity.ERROR, what, cure)


def suggest(name: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?``, or nothing when no name is near."""
    near = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    return f'; did you mean "{near[0]}"?' if near else ''
