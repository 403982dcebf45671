# SPDX-License-Identifier: Apache-2.0
"""Which of the recorded requests would change under other rules."""

import dataclasses
import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from consumer_guard.analysis.rejudge import Judged, Outcome, rejudge
from consumer_guard.guard.decision import Reason
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.reader import Case, Record, read_line

#: Line numbers of bad lines that are named; more are counted only.
MOST_NAMED = 10


class Effect(enum.Enum):
    """What other rules do to a request."""

    ALLOWED = 'newly allowed'
    REFUSED = 'newly refused'
    UNDECIDED = 'undecided'
    UNCHANGED = 'unchanged'


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """Requests that are counted together."""

    operation: str
    service: str
    project_id: str
    user_id: str


@dataclass(slots=True)
class Count:
    """How many there are of a kind.

    :ivar example: request id of the first
    """

    example: str
    number: int = 0


@dataclass(slots=True)
class Tally:
    """What came of all the records.

    :ivar kinds: by effect, without those that are unchanged
    :ivar totals: decisions by effect
    :ivar other: lines that are about something else
    :ivar bad: how many lines are no records
    :ivar bad_lines: the numbers of the first of them
    :ivar otherwise: decisions that the old rules do not explain
    """

    kinds: dict[tuple[Effect, Kind], Count] = field(default_factory=dict)
    totals: dict[Effect, int] = field(default_factory=lambda: dict.fromkeys(Effect, 0))
    other: int = 0
    bad: int = 0
    bad_lines: list[int] = field(default_factory=list)
    otherwise: int = 0


class Replayer:
    """Judges records under two sets of rules.

    :param equal: names of the operations whose rules are proven equal
    """

    def __init__(self, old: Rulebook, new: Rulebook, equal: Collection[str]) -> None:
        self._old = old
        self._new = new
        self._equal = equal
        # The same service asks the same thing all day.
        self._judged: dict[Case, Judged] = {}

    def replay(self, lines: Iterable[str]) -> Tally:
        """Judge all records in the lines again."""
        tally = Tally()
        for number, line in enumerate(lines, 1):
            try:
                record = read_line(line)
            except ValueError:
                tally.bad += 1
                if tally.bad <= MOST_NAMED:
                    tally.bad_lines.append(number)
                continue
            if record is None:
                tally.other += 1
                continue
            self._count(record, tally)
        return tally

    def _count(self, record: Record, tally: Tally) -> None:
        judged = self._judge(record.case)
        operation = record.case.operation.name
        effect = _tell_effect(judged, equal=operation in self._equal)
        tally.totals[effect] += 1
        tally.otherwise += _is_otherwise(record, judged)
        if effect is Effect.UNCHANGED:
            return
        kind = Kind(operation, record.service, record.project_id, record.user_id)
        count = tally.kinds.setdefault((effect, kind), Count(record.request_id))
        count.number += 1

    def _judge(self, case: Case) -> Judged:
        rule = case.operation.rule
        reads = self._old.reads(rule) | self._new.reads(rule)
        # project_id: the sums of nobody in particular are nobody's to see.
        kept = reads | {'project_id'}
        targets = tuple([target.keep(kept) for target in case.targets])
        case = dataclasses.replace(case, targets=targets)
        if case not in self._judged:
            self._judged[case] = self._judge_anew(case)
        return self._judged[case]

    def _judge_anew(self, case: Case) -> Judged:
        rule = case.operation.rule
        if case.scope and not self._old.admits(rule, case.scope):
            # All rules have the same scopes.
            return Judged(frozenset({(Outcome.DENY, Outcome.DENY)}))
        return rejudge(case, self._old.node(rule), self._new.node(rule))


def _tell_effect(judged: Judged, *, equal: bool) -> Effect:
    if equal:
        return Effect.UNCHANGED
    effects = {_compare(old, new) for old, new in judged.pairs}
    return effects.pop() if len(effects) == 1 else Effect.UNDECIDED


def _is_otherwise(record: Record, judged: Judged) -> bool:
    """Whether the old rules surely say something else than was done."""
    if record.case.reason in (Reason.LOCKED, Reason.UNAVAILABLE):
        return False
    before = {old for old, _ in judged.pairs}
    if record.allowed:
        return before == {Outcome.DENY}
    return bool(before) and not before & {None, Outcome.DENY}


def _compare(old: Outcome | None, new: Outcome | None) -> Effect:
    if old is None or new is None:
        return Effect.UNDECIDED
    if old is new:
        # What a filtered list shows is not in the record.
        return Effect.UNDECIDED if old is Outcome.FILTER else Effect.UNCHANGED
    return Effect.ALLOWED if new > old else Effect.REFUSED
