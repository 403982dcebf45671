# SPDX-License-Identifier: Apache-2.0
"""Care for writes that were allowed: their generations before, a look after."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from consumer_guard.generations.watch import GenerationWatch, Plan, Verdict
from consumer_guard.guard import identity, model
from consumer_guard.guard.authorizer import Guard
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.guard.responses import Application, Environ, StartResponse

LOG = logging.getLogger(__name__)

#: Writes that move a generation; DELETE removes it.
_WATCHED = (model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE)

#: What is done for a request that the watch does not look at.
_NO_PLAN = Plan()


class Writes:
    """Stands between the decision and the application."""

    def __init__(self, watch: GenerationWatch, guard: Guard) -> None:
        self._watch = watch
        self._guard = guard

    def prepare(
        self, request: GuardedRequest, decision: Decision
    ) -> tuple[Decision, Plan]:
        """Let an allowed write go on, refuse it, or roll its generations."""
        if decision.outcome is Outcome.REFUSE or request.operation not in _WATCHED:
            return decision, _NO_PLAN
        try:
            plan = self._watch.plan(request, decision.body, decision.owners)
        except OwnersUnavailable as exc:
            stopped = decision._replace(
                outcome=Outcome.REFUSE, reason=Reason.UNAVAILABLE, error=exc
            )
            return stopped, _NO_PLAN
        if plan.verdict is Verdict.GO:
            return decision, plan
        reason = Reason.SPENT if plan.verdict is Verdict.REFUSE else Reason.LOST_ROLL
        return decision._replace(outcome=Outcome.REFUSE, reason=reason), plan

    def observe(
        self,
        application: Application,
        request: GuardedRequest,
        decision: Decision,
        plan: Plan,
        then: Callable[[], None] | None,
    ) -> Application:
        """The application, and what is looked at when a write has succeeded.

        :param then: called when it has
        """
        sealed = decision.outcome is Outcome.PASSAGE and decision.body is not None
        if not plan.near and not sealed and then is None:
            return application

        def observed(
            environ: Environ, start_response: StartResponse
        ) -> Iterable[bytes]:
            statuses: list[str] = []

            def start(status: str, *rest: Any) -> Any:
                statuses.append(status)
                return start_response(status, *rest)

            answer = application(environ, start)
            if statuses and statuses[-1].startswith('2'):
                self._watch.alarm.note(plan.near)
                if then is not None:
                    then()
                if sealed:
                    self._alarm_if_recreated(request, decision)
            return answer

        return observed

    def _alarm_if_recreated(self, request: GuardedRequest, decision: Decision) -> None:
        """Detect the one write that the seal cannot tell apart.

        A consumer that was deleted and re-created up to the same generation
        between the judgement and placement's compare.
        """
        for uuid in self._guard.find_recreated(decision.owners or {}):
            LOG.error(
                'Request %s wrote consumer %s by ownership, but it was deleted and '
                're-created after it was judged: see to whom it belongs',
                request.environ[identity.ENV_REQUEST_ID],
                uuid,
            )
