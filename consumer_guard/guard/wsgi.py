# SPDX-License-Identifier: Apache-2.0
"""The WSGI shell: HTTP to values, and a decision to an answer.

In: the environ that auth_token left. Out: ``HTTP_X_ROLES`` with the passage
role where ownership allowed the request, never otherwise; ``PATH_INFO`` of a
decoy where a refused read is concealed; ``wsgi.input`` where a generation was
moved; nothing else is changed.
"""

import contextlib
import functools
import logging
import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from oslo_context.context import get_current

from consumer_guard.guard import answers, identity, listing, model, refusals, responses
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.body import WsgiPayload, put_body
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.guard.identity import ENV_REQUEST_ID, Environ
from consumer_guard.guard.model import Caller
from consumer_guard.guard.obligations import (
    Afterwards,
    Answered,
    Fulfilment,
    Obligations,
)
from consumer_guard.guard.request import (
    GuardedRequest,
    make_guarded_request,
    match_operation,
    read_microversion,
)
from consumer_guard.guard.responses import Application, Refusal, StartResponse

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enforcement:
    """How decisions are carried out; see the options of the same names.

    :ivar shadow: ``enforcement = shadow``
    :ivar conceal: ``denial = conceal``
    :ivar believe_headers: ``auth_strategy = noauth2``
    :ivar max_body_size: bytes
    :ivar hide_generations: ``hide_provider_generation``
    :ivar max_filtered_lists: at once
    """

    passage_role: str
    shadow: bool
    conceal: bool
    believe_headers: bool
    max_body_size: int
    hide_generations: bool
    max_filtered_lists: int


class DecisionRecorder(Protocol):
    """Counts and records decisions; no method raises or waits for a reader."""

    def look_up(self, request: GuardedRequest, fulfilment: Fulfilment) -> Fulfilment:
        """Complete body and owners for the record; may read and look them up."""

    def record_decision(
        self,
        request: GuardedRequest,
        caller: Caller,
        environ: Environ,
        shown: Fulfilment,
        seconds: float,
    ) -> Answered | None:
        """Record what :meth:`look_up` returned; the result writes the record."""

    def record_unjudged(
        self,
        operation: model.Operation,
        caller: Caller | None,
        environ: Environ,
        reason: Reason,
        *,
        forwarded: bool = False,
    ) -> Answered | None:
        """Record a request that was not judged; shadow mode may have forwarded it."""


class ConsumerGuard:
    """The middleware: one instance per configuration, shared by all threads.

    :param application: what is guarded
    :param versions: placement's microversions, oldest first
    """

    def __init__(
        self,
        application: Application,
        *,
        enforcement: Enforcement,
        authorizer: Authorizer,
        obligations: Obligations,
        recorder: DecisionRecorder,
        versions: Sequence[str],
    ) -> None:
        self._application = application
        self._enforcement = enforcement
        self._passage_role_lower = enforcement.passage_role.lower()
        self._authorizer = authorizer
        self._obligations = obligations
        self._recorder = recorder
        self._versions = tuple(versions)
        self._refuser = responses.Refuser(versions)
        self._filters = threading.BoundedSemaphore(enforcement.max_filtered_lists)

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Authorize the request, then let one application answer it."""
        # Security: on every request, also in shadow mode and on other routes.
        identity.strip_role(environ, self._passage_role_lower)
        found = match_operation(
            environ.get('REQUEST_METHOD'), environ.get('PATH_INFO', '')
        )
        before = get_current()
        try:
            respond = self._judge(environ, *found) if found else self._application
            return respond(environ, start_response)
        finally:
            # Security: lines about the thread's next request must not name this
            # caller. A filter in front that made a context for this request logs
            # its end first, and clears it.
            if before is None or before.request_id != environ.get(ENV_REQUEST_ID):
                identity.set_context(before)

    def _judge(
        self, environ: Environ, operation: model.Operation, match: re.Match[str]
    ) -> Application:
        """Choose who answers: the application, its filter, or a refusal."""
        made_id = identity.ensure_request_id(environ)
        caller = None
        try:
            context = identity.make_context(
                environ, believe_headers=self._enforcement.believe_headers
            )
            # Security: log lines name the proven caller, not whom headers claim.
            identity.set_context(context or identity.make_anonymous_context(environ))
            if context is None:
                return self._observe(
                    self._refuse(refusals.NO_IDENTITY, made_id),
                    self._recorder.record_unjudged(
                        operation, None, environ, Reason.NO_IDENTITY
                    ),
                )
            caller = identity.make_caller(context)
            request = make_guarded_request(
                operation,
                match,
                read_microversion(
                    environ.get('HTTP_OPENSTACK_API_VERSION'), self._versions
                ),
                WsgiPayload(environ, self._enforcement.max_body_size),
            )
            started = time.perf_counter()
            decision = self._authorizer.authorize(request, caller)
            fulfilment = self._obligations.fulfil(request, decision)
            seconds = time.perf_counter() - started
            shown = self._recorder.look_up(request, fulfilment)
            answered = self._recorder.record_decision(
                request, caller, environ, shown, seconds
            )
            respond = self._enforce(environ, request, caller, fulfilment, made_id)
            return self._observe(respond, answered, fulfilment.afterwards)
        except Exception:
            return self._fail(environ, operation, caller, made_id)

    def _enforce(
        self,
        environ: Environ,
        request: GuardedRequest,
        caller: Caller,
        fulfilment: Fulfilment,
        made_id: bool,
    ) -> Application:
        """Carry out the decision."""
        if self._enforcement.shadow:
            return self._application
        decision = fulfilment.decision
        if decision.outcome is Outcome.REFUSE:
            if not (
                self._enforcement.conceal and refusals.may_conceal(request, decision)
            ):
                return self._refuse(refusals.make_refusal(request, decision), made_id)
            responses.put_decoy(environ)
        if fulfilment.content is not None:
            put_body(environ, fulfilment.content)
        if decision.outcome is not Outcome.ROLE:
            # Security: the only place where the passage role is given.
            identity.add_role(environ, self._enforcement.passage_role)
        if decision.outcome is Outcome.FILTER:
            return self._filter(request, caller, made_id)
        read = request.operation is model.ALLOCATIONS_LIST
        hide = read and self._enforcement.hide_generations
        if decision.outcome is Outcome.PASSAGE and (hide or request.operation.writes):
            return answers.keep_private(
                self._application, lambda each: self._refuse(each, made_id), hide=hide
            )
        return self._application

    def _observe(
        self,
        respond: Application,
        answered: Answered | None,
        afterwards: Afterwards | None = None,
    ) -> Application:
        """Whoever responds, and what is due after the answer."""
        if answered is None and afterwards is None:
            return respond
        context = get_current()

        def observed(
            environ: Environ, start_response: StartResponse
        ) -> Iterable[bytes]:
            status: int | None = None

            def start(line: str, *rest: Any) -> Any:
                nonlocal status
                status = int(line[:3]) if line[:3].isdecimal() else None
                return start_response(line, *rest)

            try:
                return respond(environ, start)
            finally:
                # In reverse order, and each of them whatever another raises.
                with contextlib.ExitStack() as due:
                    due.callback(identity.set_context, get_current())
                    identity.set_context(context)
                    if answered is not None:
                        due.callback(answered, status)
                    if afterwards is not None and (status or 0) // 100 == 2:
                        due.callback(afterwards)

        return observed

    def _filter(
        self, request: GuardedRequest, caller: Caller, made_id: bool
    ) -> Application:
        make_filter = functools.partial(self._authorizer.make_filter, request, caller)
        bad_gateway = self._refuse(refusals.UNREADABLE, made_id)
        filtered = listing.keep_visible(self._application, make_filter, bad_gateway)

        def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            if not self._filters.acquire(blocking=False):
                respond = self._refuse(refusals.TOO_MANY_LISTS, made_id)
                return respond(environ, start_response)
            try:
                return filtered(environ, start_response)
            except Exception:
                # Security: a list that could not be filtered is not shown.
                LOG.exception(
                    'The list of request %s could not be filtered', caller.request_id
                )
                answered = self._recorder.record_unjudged(
                    request.operation, caller, environ, Reason.FAULT
                )
                refuse = self._refuse(refusals.UNAVAILABLE, made_id)
                return self._observe(refuse, answered)(environ, start_response)
            finally:
                self._filters.release()

        return answer

    def _fail(
        self,
        environ: Environ,
        operation: model.Operation,
        caller: Caller | None,
        made_id: bool,
    ) -> Application:
        """Answer after an exception that nothing else has caught.

        Security: whatever went wrong, nothing is forwarded, or in shadow mode
        nothing without a proven identity.
        """
        shadow, believe = self._enforcement.shadow, self._enforcement.believe_headers
        forward = shadow and (believe or identity.is_proven(environ))
        LOG.exception(
            'Request %s could not be decided and is %s',
            environ[ENV_REQUEST_ID],
            'forwarded (shadow)' if forward else 'refused',
        )
        answered = self._recorder.record_unjudged(
            operation, caller, environ, Reason.FAULT, forwarded=forward
        )
        refused = self._refuse(refusals.UNAVAILABLE, made_id)
        return self._observe(self._application if forward else refused, answered)

    def _refuse(self, refusal: Refusal, made_id: bool) -> Application:
        return self._refuser.refuse(refusal, show_request_id=made_id)
