# SPDX-License-Identifier: Apache-2.0
"""Records what candidate rules would change. Changes nothing."""

import functools
from typing import Any, Protocol

from consumer_guard.guard import model
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.model import Caller
from consumer_guard.guard.obligations import Answered, Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.masking import Mask
from consumer_guard.telemetry.metrics import Metrics, name_candidate
from consumer_guard.telemetry.record import (
    describe_caller,
    describe_decision,
    describe_request,
    name_outcome,
)
from consumer_guard.telemetry.recorder import Recorder


class Candidate(Protocol):
    """Rules that are tried; see :mod:`consumer_guard.rules.candidate`."""

    def compare(
        self, request: GuardedRequest, caller: Caller, shown: Fulfilment
    ) -> tuple[str, str] | None:
        """How a decision would change, and the digest of the rules; never raises."""


class CandidateRecorder(Recorder):
    """A recorder with one record more where candidate rules would differ.

    Security: the candidate is judged after the decision was made and carried into
    values that cannot change; its answer goes to a counter and a record only.

    :param candidate: the rules; the rest as for :class:`Recorder`
    """

    def __init__(
        self,
        candidate: Candidate,
        which: str,
        mode: str,
        journal: Journal,
        metrics: Metrics,
        owners: model.OwnerLookup,
    ) -> None:
        super().__init__(which, mode, journal, metrics, owners)
        self._candidate = candidate

    def record_decision(
        self,
        request: GuardedRequest,
        caller: Caller,
        environ: Environ,
        shown: Fulfilment,
        seconds: float,
    ) -> Answered | None:
        """Record the decision; count a difference, and prepare its record."""
        answered = super().record_decision(request, caller, environ, shown, seconds)
        difference = self._candidate.compare(request, caller, shown)
        if difference is None:
            return answered
        change, digest = difference
        self._metrics.count(name_candidate(request.operation, change, self._mode))
        if self._which == 'none':
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


def _write_both(first: Answered | None, second: Answered, status: int | None) -> None:
    if first is not None:
        first(status)
    second(status)
