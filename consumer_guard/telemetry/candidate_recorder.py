# SPDX-License-Identifier: Apache-2.0
"""Records what candidate rules would change. Changes nothing."""

import functools
from typing import Any, Protocol

from consumer_guard.guard import model
from consumer_guard.guard.decision import Reason
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.model import Caller
from consumer_guard.guard.obligations import Answered, Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.guard.wsgi import DecisionRecorder
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.masking import Mask
from consumer_guard.telemetry.metrics import Metrics, name_candidate
from consumer_guard.telemetry.record import (
    describe_caller,
    describe_decision,
    describe_request,
    name_outcome,
)


class Candidate(Protocol):
    """Rules that are tried; see :mod:`consumer_guard.rules.candidate`."""

    def compare(
        self, request: GuardedRequest, caller: Caller, shown: Fulfilment
    ) -> tuple[str, str] | None:
        """How a decision would change, and the digest of the rules; never raises."""


class CandidateRecorder:
    """Another recorder with one record more where candidate rules would differ.

    Security: the candidate is judged after the decision was made and carried into
    values that cannot change; its answer goes to a counter and a record only.

    :param recorder: records the decisions
    :param mode: the option ``enforcement``
    :param journal: gets the records; None for counters alone
    """

    def __init__(
        self,
        recorder: DecisionRecorder,
        candidate: Candidate,
        mode: str,
        journal: Journal | None,
        metrics: Metrics,
    ) -> None:
        self._recorder = recorder
        self._candidate = candidate
        self._mode = mode
        self._journal = journal
        self._metrics = metrics

    def look_up(self, request: GuardedRequest, fulfilment: Fulfilment) -> Fulfilment:
        """What the other one looks up, and nothing more."""
        return self._recorder.look_up(request, fulfilment)

    def record_decision(
        self,
        request: GuardedRequest,
        caller: Caller,
        environ: Environ,
        shown: Fulfilment,
        seconds: float,
    ) -> Answered | None:
        """Record the decision; count a difference, and prepare its record."""
        answered = self._recorder.record_decision(
            request, caller, environ, shown, seconds
        )
        difference = self._candidate.compare(request, caller, shown)
        if difference is None:
            return answered
        change, digest = difference
        self._metrics.count(name_candidate(request.operation, change, self._mode))
        if self._journal is None:
            return answered
        facts = describe_request(
            request.operation, environ, self._mode, request.microversion
        )

        def describe(mask: Mask) -> dict[str, Any]:
            return {
                'event': 'candidate',
                'would_change': change,
                'outcome': name_outcome(shown.decision.outcome, self._mode),
                **describe_caller(caller),
                **describe_decision(request, shown, mask),
                **facts,
                'microseconds': round(seconds * 1e6),
                'candidate_digest': digest,
            }

        write = functools.partial(self._journal.write, caller, describe)
        return functools.partial(_write_both, answered, write)

    def record_unjudged(
        self,
        operation: model.Operation,
        caller: Caller | None,
        environ: Environ,
        reason: Reason,
        *,
        forwarded: bool = False,
    ) -> Answered | None:
        """Record what could not be judged; the candidate is not judged either."""
        return self._recorder.record_unjudged(
            operation, caller, environ, reason, forwarded=forwarded
        )


def _write_both(first: Answered | None, second: Answered, status: int | None) -> None:
    if first is not None:
        first(status)
    second(status)
