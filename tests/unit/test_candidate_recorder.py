# SPDX-License-Identifier: Apache-2.0
"""What a recorder does with the word of candidate rules."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consumer_guard import assembly
from consumer_guard.analysis.simulation import KnownOwners
from consumer_guard.config import loading
from consumer_guard.guard import model
from consumer_guard.guard.decision import Reason
from consumer_guard.guard.model import Caller
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.candidate_recorder import CandidateRecorder
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.metrics import NONE, NoMetrics
from consumer_guard.telemetry.recorder import Recorder
from tests.loglines import LogLines
from tests.profiles import budget
from tests.unit.test_recorder import LIMIT, log, make_cases, take_records

__all__ = ['log']  # a fixture


class Fixed:
    """A candidate with one answer."""

    def __init__(self, answer: tuple[str, str] | None) -> None:
        self.answer = answer
        self.compared = 0

    def compare(
        self, request: GuardedRequest, caller: Caller, shown: Fulfilment
    ) -> tuple[str, str] | None:
        self.compared += 1
        return self.answer


class Counters(NoMetrics):
    """Keeps the names of candidates' counters."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def count(self, name: str) -> None:
        if name.startswith('candidate.'):
            self.names.append(name)


def make_recorder(
    candidate: Fixed, counters: Counters, *, is_silent: bool = False
) -> CandidateRecorder:
    journal = Journal('secret', '', NONE)
    which = 'none' if is_silent else 'denied'
    return CandidateRecorder(
        candidate, which, 'enforce', journal, counters, KnownOwners({})
    )


@budget(100, 5_000)
@given(case=make_cases(), change=st.sampled_from(('newly allowed', 'undecided', None)))
def test_a_difference_is_one_bounded_record_beside_that_of_the_decision(
    log: LogLines,
    case: tuple[GuardedRequest, Caller, Mapping[str, Any], Fulfilment],
    change: str | None,
) -> None:
    request, caller, environ, shown = case
    counters = Counters()
    candidate = Fixed((change, 'd1') if change else None)
    recorder = make_recorder(candidate, counters)
    write = recorder.record_decision(request, caller, dict(environ), shown, 0.001)
    take_records(log)
    if write is not None:
        write(200)
    records = take_records(log)
    assert candidate.compared == 1
    differences = [record for record in records if record['event'] == 'candidate']
    if change is None:
        assert (differences, counters.names) == ([], [])
        return
    (record,) = differences
    assert len(json.dumps(record)) < LIMIT
    assert record['would_change'] == change
    assert record['candidate_digest'] == 'd1'
    word = request.operation.name.replace(':', '_')
    assert counters.names == [f'candidate.{word}.{change.replace(" ", "_")}.enforce']


@given(case=make_cases())
def test_without_records_a_difference_is_counted_alone(
    log: LogLines, case: tuple[GuardedRequest, Caller, Mapping[str, Any], Fulfilment]
) -> None:
    request, caller, environ, shown = case
    counters = Counters()
    recorder = make_recorder(Fixed(('undecided', 'd1')), counters, is_silent=True)
    assert recorder.look_up(request, shown) is shown
    assert not recorder.record_decision(request, caller, dict(environ), shown, 0.001)
    assert len(counters.names) == 1
    assert take_records(log) == []


def test_what_could_not_be_judged_is_not_compared(log: LogLines) -> None:
    candidate = Fixed(('undecided', 'd1'))
    recorder = make_recorder(candidate, Counters())
    write = recorder.record_unjudged(model.USAGES, None, {}, Reason.NO_IDENTITY)
    assert write is not None
    write(401)
    assert [record['event'] for record in take_records(log)] == ['decision']
    assert candidate.compared == 0


def test_without_a_candidate_or_a_destination_nothing_is_compared() -> None:
    candidate, counters, owners = Fixed(None), Counters(), KnownOwners({})
    for audit, metrics, rules, expected in (
        ('all', counters, None, Recorder),
        ('none', NONE, candidate, Recorder),
        ('none', counters, candidate, CandidateRecorder),
        ('denied', NONE, candidate, CandidateRecorder),
    ):
        local = {'connection': 'sqlite://', 'audit': audit}
        settings = loading.load(loading.parse_files({}), local).settings
        made = assembly.make_recorder(settings, owners, metrics, rules)
        assert type(made) is expected
