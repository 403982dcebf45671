# SPDX-License-Identifier: Apache-2.0
"""Counts decisions and writes their records. Changes nothing."""

import functools
import logging
from collections.abc import Mapping
from typing import Any

from consumer_guard.guard import claims, model
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.model import Body, Caller, Claim, Owner
from consumer_guard.guard.obligations import Answered, Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.masking import Mask
from consumer_guard.telemetry.metrics import NONE, Metrics, name_decision
from consumer_guard.telemetry.record import (
    describe_caller,
    describe_changes,
    describe_decision,
    describe_request,
    may_change_owner,
    name_outcome,
)

LOG = logging.getLogger(__name__)

#: Writes that can change the owner of a consumer.
_CONVEYING = (model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE)


class Recorder:
    """One per guard, a :class:`consumer_guard.guard.wsgi.DecisionRecorder`.

    :param which: the option ``audit``
    :param mode: the option ``enforcement``
    :param owners: queried for records alone where ``which`` is ``all``
    """

    def __init__(
        self,
        which: str,
        mode: str,
        journal: Journal,
        metrics: Metrics,
        owners: model.OwnerLookup,
    ) -> None:
        self._which = which
        self._mode = mode
        self._journal = journal
        self._metrics = metrics
        self._records_nothing = which == 'none' and metrics is NONE
        self._owners = owners

    def look_up(self, request: GuardedRequest, fulfilment: Fulfilment) -> Fulfilment:
        """Complete the body and the owners of a decision for its record.

        Where ``audit`` is ``all``, looks up what the decision did not need: in
        shadow mode whatever the request names, so that the records can be judged
        again under other rules; else only the owners from whom a role-holder's
        write takes consumers. What is not available is left out.
        """
        decision = fulfilment.decision
        if self._which != 'all' or decision.owners is not None:
            return fulfilment
        conveys = request.operation in _CONVEYING
        if self._mode != 'shadow' and not (
            conveys and decision.outcome is Outcome.ROLE
        ):
            return fulfilment
        body, owners = fulfilment.body, None
        try:
            if body is None and conveys and request.microversion is not None:
                body = claims.read_write_body(request)
            owners = self._owners.find(_name_consumers(request, body)) or None
        except Exception as exc:
            # An incomplete record must not cost the client its answer.
            LOG.debug('A record lacks the owners: %s', type(exc).__name__)
        return fulfilment._replace(decision=decision._replace(owners=owners), body=body)

    def record_decision(
        self,
        request: GuardedRequest,
        caller: Caller,
        environ: Environ,
        shown: Fulfilment,
        seconds: float,
    ) -> Answered | None:
        """Count a decision, and prepare its records; never raises."""
        if self._records_nothing:
            return None
        operation, decision = request.operation, shown.decision
        outcome = name_outcome(decision.outcome, self._mode)
        if self._metrics is not NONE:
            counter = name_decision(operation, outcome.split()[-1], self._mode)
            self._metrics.count(counter)
        if self._which == 'none':
            return None
        is_recorded = decision.outcome is Outcome.REFUSE or self._which == 'all'
        changes = self._find_changes(request, shown)
        if not is_recorded and not changes:
            return None
        facts = describe_request(operation, environ, self._mode, request.microversion)

        def describe(mask: Mask) -> dict[str, Any]:
            return {
                'event': 'decision',
                'outcome': outcome,
                **describe_caller(caller),
                **describe_decision(request, shown, mask),
                **facts,
                'microseconds': round(seconds * 1e6),
            }

        def describe_ownership(mask: Mask) -> dict[str, Any]:
            known = {'event': 'ownership', **describe_caller(caller), **facts}
            return known | describe_changes(changes, mask)

        def write(status: int | None) -> None:
            if is_recorded:
                self._journal.write(caller, describe, status)
            if changes and status is not None and status // 100 == 2:
                self._journal.write(caller, describe_ownership, status)

        return write

    def record_unjudged(
        self,
        operation: model.Operation,
        caller: Caller | None,
        environ: Environ,
        reason: Reason,
        *,
        forwarded: bool = False,
    ) -> Answered | None:
        """Count a request that could not be judged, and prepare its record.

        :param forwarded: it goes on to placement all the same, in shadow mode
        """
        self._metrics.count(name_decision(operation, 'deny', self._mode))
        if self._which == 'none':
            return None
        outcome = name_outcome(Outcome.REFUSE, 'shadow' if forwarded else 'enforce')
        record = {
            'event': 'decision',
            'outcome': outcome,
            **describe_caller(caller),
            'reason': reason.value,
            **describe_request(operation, environ, self._mode),
        }
        return functools.partial(self._journal.write, caller, lambda _mask: record)

    def _find_changes(
        self, request: GuardedRequest, shown: Fulfilment
    ) -> Mapping[Claim, Owner | None]:
        """What a write may change, once it has succeeded, with former owners."""
        if request.operation not in _CONVEYING or shown.body is None:
            return {}
        if self._mode != 'shadow' and shown.decision.outcome is not Outcome.ROLE:
            return {}
        owners = shown.decision.owners or {}
        former = {
            claim: owners.get(claims.normalize_id(request, claim.consumer_uuid))
            for claim in shown.body.claims
        }
        return {
            claim: owner
            for claim, owner in former.items()
            if may_change_owner(claim, owner)
        }


def _name_consumers(request: GuardedRequest, body: Body | None) -> list[str]:
    """The ids of the consumers that a request names, as placement stores them."""
    if body is None:
        return [request.consumer_uuid] if request.consumer_uuid else []
    claimed = [claim.consumer_uuid for claim in body.claims]
    return list({claims.normalize_id(request, uuid) for uuid in claimed if uuid})
