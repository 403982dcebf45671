# SPDX-License-Identifier: Apache-2.0
"""One record a decision: a JSON line on the logger ``consumer_guard.audit``.

A record never carries a token, and another owner's ids only as keyed hashes.
"""

import hashlib
import json
import logging
import secrets

from consumer_guard.decision import Decision, Outcome
from consumer_guard.intake import GuardedRequest
from consumer_guard.model import Caller

LOG = logging.getLogger('consumer_guard.audit')

#: Consumers named in one record; more are counted only.
_MOST_CONSUMERS = 16


class Auditor:
    """Writes the records that the option ``audit`` asks for.

    :param which: ``all``, ``denied`` or ``none``
    :param mode: ``enforce`` or ``shadow``
    """

    def __init__(self, which: str, mode: str) -> None:
        self._which = which
        self._mode = mode
        # Of this process and its children only: hashes compare within a run.
        self._key = secrets.token_bytes(32)

    def record(
        self,
        request: GuardedRequest,
        caller: Caller,
        decision: Decision,
        seconds: float,
    ) -> None:
        """Write the record, if one is asked for; never raises.

        :param seconds: what the decision took
        """
        refused = decision.outcome is Outcome.REFUSE
        if self._which == 'none' or (self._which == 'denied' and not refused):
            return
        try:
            # ASCII with escapes: no newline of a client's forges a line.
            LOG.info(
                '%s', json.dumps(self._describe(request, caller, decision, seconds))
            )
        except Exception:
            # Security: a record that cannot be masked is dropped, not leaked;
            # the answer goes its way.
            LOG.error('A decision record could not be written', exc_info=False)

    def _describe(
        self,
        request: GuardedRequest,
        caller: Caller,
        decision: Decision,
        seconds: float,
    ) -> dict[str, object]:
        consumers = [request.consumer_uuid] if request.consumer_uuid else []
        if decision.owners:
            consumers = list(decision.owners)
        shown = consumers[:_MOST_CONSUMERS]
        if decision.outcome is not Outcome.PASSAGE:
            shown = [self._mask(uuid) for uuid in shown]
        version = request.microversion
        return {
            'operation': request.operation.name,
            'rule': request.operation.rule,
            'outcome': _OUTCOMES[decision.outcome, self._mode],
            'reason': decision.reason.value,
            'rulings': sorted(
                {f'{ruling.about}: {ruling.truth.name}' for ruling in decision.rulings}
            ),
            'mode': self._mode,
            'user_id': caller.credentials.get('user_id'),
            'project_id': caller.credentials.get('project_id'),
            'roles': caller.credentials.get('roles'),
            'scope': caller.scope,
            'consumers': shown,
            'consumer_count': len(consumers),
            'microversion': '.'.join(map(str, version)) if version else None,
            'request_id': caller.request_id,
            'global_request_id': caller.global_request_id,
            'user_agent': request.environ.get('HTTP_USER_AGENT'),
            'microseconds': round(seconds * 1e6),
        }

    def _mask(self, text: str) -> str:
        raw = text.encode('utf-8', 'surrogatepass')
        return 'h:' + hashlib.blake2b(raw, key=self._key, digest_size=12).hexdigest()


_OUTCOMES = {
    (outcome, mode): (
        ('would ' if mode == 'shadow' else '')
        + ('deny' if outcome is Outcome.REFUSE else 'allow')
    )
    for outcome in Outcome
    for mode in ('enforce', 'shadow')
}
