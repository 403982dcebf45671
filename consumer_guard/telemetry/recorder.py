# SPDX-License-Identifier: Apache-2.0
"""Counts decisions and writes their records. Changes nothing."""

import logging
from collections.abc import Mapping
from typing import Any

from consumer_guard.guard import claims, model
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.guard.identity import ENV_REQUEST_ID, Environ
from consumer_guard.guard.model import Body, Caller, Owner
from consumer_guard.guard.obligations import Afterwards, Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.masking import Mask
from consumer_guard.telemetry.metrics import NONE, Metrics, name_decision
from consumer_guard.telemetry.record import (
    MAX_CONSUMERS,
    describe_caller,
    describe_change,
    describe_decision,
    describe_request,
    list_changed,
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
        body, owners = decision.body or fulfilment.body, decision.owners
        conveys = request.operation in _CONVEYING
        wanted = self._mode == 'shadow' or (
            conveys and decision.outcome is Outcome.ROLE
        )
        if self._which == 'all' and owners is None and wanted:
            try:
                if body is None and conveys and request.microversion is not None:
                    body = claims.read_write_body(request)
                owners = self._owners.find(_name_consumers(request, body)) or None
            except Exception as exc:
                # An incomplete record must not cost the client its answer.
                LOG.debug('Nothing was looked up for a record: %s', type(exc).__name__)
        return fulfilment._replace(decision=decision._replace(owners=owners), body=body)

    def record_decision(
        self,
        request: GuardedRequest,
        caller: Caller,
        environ: Environ,
        shown: Fulfilment,
        seconds: float,
    ) -> Afterwards | None:
        """Count and record a decision; never raises."""
        if self._records_nothing:
            return None
        operation, decision = request.operation, shown.decision
        outcome = name_outcome(decision.outcome, self._mode)
        self._metrics.count(name_decision(operation, outcome.split()[-1], self._mode))
        if self._which == 'none':
            return None
        if decision.outcome is Outcome.REFUSE or self._which == 'all':
            self._journal.write(
                caller,
                lambda mask: {
                    'event': 'decision',
                    'outcome': outcome,
                    **describe_request(operation, environ, self._mode),
                    **describe_caller(request, caller),
                    **describe_decision(request, shown, mask),
                    'microseconds': round(seconds * 1e6),
                },
            )
        if operation not in _CONVEYING or shown.body is None:
            return None
        if self._mode != 'shadow' and decision.outcome is not Outcome.ROLE:
            return None
        return self._prepare_change(
            request, caller, environ, shown.body, decision.owners or {}
        )

    def record_unjudged(
        self,
        operation: model.Operation,
        environ: Environ,
        reason: Reason,
        *,
        forwarded: bool = False,
    ) -> None:
        """Count and record a request that could not be judged.

        :param forwarded: it goes on to placement all the same, in shadow mode
        """
        outcome = name_outcome(Outcome.REFUSE, 'shadow' if forwarded else 'enforce')
        self._metrics.count(name_decision(operation, 'deny', self._mode))
        if self._which != 'none':
            self._journal.write(
                None,
                lambda _mask: {
                    'event': 'decision',
                    'outcome': outcome,
                    **describe_request(operation, environ, self._mode),
                    'reason': reason.value,
                    'request_id': environ.get(ENV_REQUEST_ID),
                },
            )

    def _prepare_change(
        self,
        request: GuardedRequest,
        caller: Caller,
        environ: Environ,
        body: Body,
        owners: Mapping[str, Owner],
    ) -> Afterwards | None:
        """The record of new owners, to be written when the write has succeeded."""
        stored = {
            claim.consumer_uuid: claims.normalize_id(request, claim.consumer_uuid)
            for claim in body.claims
        }
        former = {uuid: owners[key] for uuid, key in stored.items() if key in owners}
        changed = list_changed(body.claims, former)
        if not changed:
            return None

        def describe(mask: Mask) -> dict[str, Any]:
            changes = [
                describe_change(claim, former.get(claim.consumer_uuid), mask)
                for claim in changed[:MAX_CONSUMERS]
            ]
            return {
                'event': 'ownership',
                **describe_request(request.operation, environ, self._mode),
                **describe_caller(request, caller),
                'changes': changes,
                'change_count': len(changed),
            }

        return lambda: self._journal.write(caller, describe)


def _name_consumers(request: GuardedRequest, body: Body | None) -> list[str]:
    """The ids of the consumers that a request names, as placement stores them."""
    if body is None:
        return [request.consumer_uuid] if request.consumer_uuid else []
    claimed = [claim.consumer_uuid for claim in body.claims]
    return list({claims.normalize_id(request, uuid) for uuid in claimed if uuid})
