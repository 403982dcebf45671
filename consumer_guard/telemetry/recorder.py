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
    MOST,
    describe_caller,
    describe_change,
    describe_decision,
    describe_request,
    list_changed,
    name_outcome,
)

LOG = logging.getLogger(__name__)

#: Writes by which a consumer can change hands.
_CONVEYING = (model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE)


#: A body and owners by id, as a record shows them.
Shown = tuple[Body | None, Mapping[str, Owner] | None]


class Recorder:
    """One per guard, a :class:`consumer_guard.guard.wsgi.DecisionRecorder`.

    :param which: the option ``audit``
    :param mode: the option ``enforcement``
    :param owners: asked for records alone where ``which`` is ``all``
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

    def look_up(self, request: GuardedRequest, fulfilment: Fulfilment) -> Shown:
        """What the record shows beyond what was decided on.

        Where ``audit`` is ``all``, looks up what the decision did not need: in
        shadow mode whatever the request names, so that the records can be judged
        again under other rules; else only whom a role-holder's write takes
        consumers from. What cannot be had is left out.
        """
        decision = fulfilment.decision
        body, owners = decision.body or fulfilment.body, decision.owners
        if self._which != 'all' or owners is not None:
            return body, owners
        conveys = request.operation in _CONVEYING
        if self._mode != 'shadow' and not (
            conveys and decision.outcome is Outcome.ROLE
        ):
            return body, None
        try:
            if body is None and conveys and request.microversion is not None:
                body = claims.read_body(request)
            named = {request.consumer_uuid} - {None}
            if body is not None:
                named = {
                    claims.normalize_id(request, claim.consumer_uuid)
                    for claim in body.claims
                }
            found = self._owners.find([uuid for uuid in named if uuid])
            return body, found or None
        except Exception as exc:
            # A record is less than an answer: it goes out with what is known.
            LOG.debug('Nothing was looked up for a record: %s', type(exc).__name__)
            return body, None

    def record_decision(
        self,
        request: GuardedRequest,
        caller: Caller,
        environ: Environ,
        fulfilment: Fulfilment,
        shown: Shown,
        seconds: float,
    ) -> Afterwards | None:
        """Count and record a decision; never raises."""
        if self._records_nothing:
            return None
        operation, decision = request.operation, fulfilment.decision
        outcome = name_outcome(decision.outcome, self._mode)
        self._metrics.count(name_decision(operation, outcome.split()[-1], self._mode))
        if self._which == 'none':
            return None
        body, owners = shown
        if decision.outcome is Outcome.REFUSE or self._which == 'all':
            self._journal.write(
                caller,
                lambda mask: {
                    'event': 'decision',
                    'outcome': outcome,
                    **describe_request(operation, environ, self._mode),
                    **describe_caller(request, caller),
                    **describe_decision(request, decision, owners, body, mask),
                    'microseconds': round(seconds * 1e6),
                },
            )
        if operation not in _CONVEYING or body is None:
            return None
        if self._mode != 'shadow' and decision.outcome is not Outcome.ROLE:
            return None
        return self._prepare_change(request, caller, environ, body, owners)

    def record_unjudged(
        self,
        operation: model.Operation,
        environ: Environ,
        reason: Reason,
        *,
        forwarded: bool = False,
    ) -> None:
        """Count and record a request that could not be judged.

        :param forwarded: shadow mode let it through all the same
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
        owners: Mapping[str, Owner] | None,
    ) -> Afterwards | None:
        """Whose the consumers become, recorded when they have become it."""
        former = {}
        for claim in body.claims if owners else ():
            stored = claims.normalize_id(request, claim.consumer_uuid)
            if owners and stored in owners:
                former[claim.consumer_uuid] = owners[stored]

        changed = list_changed(body.claims, former)
        if not changed:
            return None

        def describe(mask: Mask) -> dict[str, Any]:
            changes = [
                describe_change(claim, former.get(claim.consumer_uuid), mask)
                for claim in changed[:MOST]
            ]
            return {
                'event': 'ownership',
                **describe_request(request.operation, environ, self._mode),
                **describe_caller(request, caller),
                'changes': changes,
                'change_count': len(changed),
            }

        return lambda: self._journal.write(caller, describe)
