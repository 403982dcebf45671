# SPDX-License-Identifier: Apache-2.0
"""Tells of what the guard did: records and figures. Changes nothing."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from consumer_guard.generations.watch import Plan
from consumer_guard.guard import claims, model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.identity import ENV_REQUEST_ID
from consumer_guard.guard.model import Caller, Owner
from consumer_guard.guard.request import Environ, GuardedRequest
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


class Recorder:
    """One a guard.

    :param which: the option ``audit``
    :param mode: the option ``enforcement``
    :param owners: asked for records alone where ``which`` is ``all``
    """

    def __init__(
        self,
        which: str,
        mode: str,
        journal: Journal,
        told: Metrics,
        owners: model.OwnerLookup,
        max_body_size: int,
    ) -> None:
        self._which = which
        self._mode = mode
        self._journal = journal
        self._metrics = told
        self._nobody_listens = which == 'none' and told is NONE
        self._owners = owners
        self._max_body_size = max_body_size

    def record_decision(
        self,
        request: GuardedRequest,
        caller: Caller,
        decision: Decision,
        plan: Plan,
        seconds: float,
    ) -> Callable[[], None] | None:
        """Count and record a decision; never raises.

        :param seconds: what it took
        :returns: to be called when the write has succeeded, None for nothing
        """
        if self._nobody_listens:
            return None
        operation = request.operation
        said = name_outcome(decision.outcome, self._mode)
        self._metrics.count(name_decision(operation, said.split()[-1], self._mode))
        if self._which == 'none':
            return None
        refused = decision.outcome is Outcome.REFUSE
        body = decision.body or plan.body
        owners = decision.owners
        if self._which == 'all' and owners is None:
            body, owners = self._survey(request, decision, body)
        if refused or self._which == 'all':
            self._journal.write(
                caller,
                lambda veil: {
                    'event': 'decision',
                    'outcome': said,
                    **describe_request(operation, request.environ, self._mode),
                    **describe_caller(request, caller),
                    **describe_decision(request, decision, owners, body, veil),
                    'microseconds': round(seconds * 1e6),
                },
            )
        if operation not in _CONVEYING or body is None:
            return None
        if self._mode != 'shadow' and decision.outcome is not Outcome.ROLE:
            return None
        return self._prepare_change(request, caller, body, owners)

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
        said = name_outcome(Outcome.REFUSE, 'shadow' if forwarded else 'enforce')
        self._metrics.count(name_decision(operation, 'deny', self._mode))
        if self._which != 'none':
            self._journal.write(
                None,
                lambda _veil: {
                    'event': 'decision',
                    'outcome': said,
                    **describe_request(operation, environ, self._mode),
                    'reason': reason.value,
                    'request_id': environ.get(ENV_REQUEST_ID),
                },
            )

    def _survey(
        self, request: GuardedRequest, decision: Decision, body: claims.Body | None
    ) -> tuple[claims.Body | None, Mapping[str, Owner] | None]:
        """Look up, for the record alone, what the decision did not need.

        In shadow mode whatever the request names, so that the records can be
        judged again under other rules; else only whom a role-holder's write
        takes consumers from. What cannot be had is left out.
        """
        conveys = request.operation in _CONVEYING
        if self._mode != 'shadow' and not (
            conveys and decision.outcome is Outcome.ROLE
        ):
            return body, None
        try:
            if body is None and conveys and request.microversion is not None:
                body = claims.take_body(request, self._max_body_size)
            named = {request.consumer_uuid} - {None}
            if body is not None:
                named = {
                    claims.normalize_id(request, c.consumer_uuid) for c in body.claims
                }
            found = self._owners.find([uuid for uuid in named if uuid])
            return body, found or None
        except Exception as exc:
            # A record is less than an answer: it goes out with what is known.
            LOG.debug('Nothing was looked up for a record: %s', type(exc).__name__)
            return body, None

    def _prepare_change(
        self,
        request: GuardedRequest,
        caller: Caller,
        body: claims.Body,
        owners: Mapping[str, Owner] | None,
    ) -> Callable[[], None] | None:
        """Whose the consumers become, to be told when they have become it."""
        former = {}
        for claim in body.claims if owners else ():
            stored = claims.normalize_id(request, claim.consumer_uuid)
            if owners and stored in owners:
                former[claim.consumer_uuid] = owners[stored]

        changed = list_changed(body.claims, former)
        if not changed:
            return None

        def describe(veil: Mask) -> dict[str, Any]:
            changes = [
                describe_change(claim, former.get(claim.consumer_uuid), veil)
                for claim in changed[:MOST]
            ]
            return {
                'event': 'ownership',
                **describe_request(request.operation, request.environ, self._mode),
                **describe_caller(request, caller),
                'changes': changes,
                'change_count': len(changed),
            }

        return lambda: self._journal.write(caller, describe)
