# SPDX-License-Identifier: Apache-2.0
"""The WSGI shell, and how paste makes it.

In: the environ that auth_token left. Out: ``HTTP_X_ROLES`` with the passage
role where ownership allowed the request, never otherwise; ``PATH_INFO`` of a
decoy where a refused read is concealed; nothing else is changed.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from consumer_guard import assembly
from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.generations.watch import Plan
from consumer_guard.guard import identity, model, refusals, responses
from consumer_guard.guard.authorizer import Guard, RuleSource
from consumer_guard.guard.body import put_body
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.model import Caller
from consumer_guard.guard.obligations import Writes
from consumer_guard.guard.request import (
    GuardedRequest,
    make_guarded_request,
    match_operation,
)
from consumer_guard.guard.responses import Application, Environ, Refusal, StartResponse
from consumer_guard.telemetry.metrics import NONE, Metrics

LOG = logging.getLogger(__name__)

#: Look-up time-outs that all the rulings of one request may take.
_PATIENCE = 5

#: What is done in shadow mode, whatever was decided.
_SHADOWED = Decision(Outcome.ROLE, Reason.ROLE)


class ConsumerGuard:
    """The middleware: one instance a configuration, shared by all threads.

    :param application: what is guarded
    :param versions: placement's microversions, oldest first
    :param metrics: told of decisions, look-ups and generations
    """

    def __init__(
        self,
        application: Application,
        *,
        settings: Settings,
        rules: RuleSource,
        lookup: model.OwnerLookup,
        versions: Sequence[str],
        metrics: Metrics = NONE,
    ) -> None:
        self._application = application
        self._passage_role = settings.passage_role
        self._passage_role_lower = settings.passage_role.lower()
        self._shadow = settings.shadow
        self._conceal = settings.conceal
        self._believe_headers = settings.auth_strategy == 'noauth2'
        self._versions = tuple(versions)
        lookup_told = assembly.measure(lookup, metrics)
        self._guard = Guard(
            rules,
            lookup_told,
            max_body_size=settings.max_body_size,
            patience=_PATIENCE * settings.lookup_timeout,
        )
        watch = assembly.make_watch(settings, lookup, lookup_told, metrics)
        self._writes = Writes(watch, self._guard)
        self._refuser = responses.Refuser(versions)
        self._observer = assembly.make_recorder(settings, lookup, metrics)

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Judge the request, then let one application answer it."""
        # Security: on every request, also in shadow mode and on other routes.
        identity.strip_role(environ, self._passage_role_lower)
        found = match_operation(environ)
        respond = self._application if found is None else self._judge(environ, *found)
        return respond(environ, start_response)

    def _judge(
        self, environ: Environ, operation: model.Operation, match: re.Match[str]
    ) -> Application:
        """Choose who answers: the application, its filter, or a refusal."""
        made_id = identity.ensure_request_id(environ)
        try:
            context = identity.make_context(
                environ, believe_headers=self._believe_headers
            )
            if context is None:
                self._observer.record_unjudged(operation, environ, Reason.NO_IDENTITY)
                return self._refuse(refusals.NO_IDENTITY, made_id)
            caller = identity.make_caller(context)
            request = make_guarded_request(environ, operation, match, self._versions)
            started = time.perf_counter()
            decision = self._guard.decide(request, caller)
            decision, plan = self._writes.prepare(request, decision)
            seconds = time.perf_counter() - started
            then = self._observer.record_decision(
                request, caller, decision, plan, seconds
            )
            if self._shadow:
                return self._writes.observe(
                    self._application, request, _SHADOWED, plan, then
                )
            return self._carry_out(request, caller, decision, plan, then, made_id)
        except Exception:
            # Security: whatever went wrong, nothing is forwarded.
            LOG.exception(
                'Request %s could not be judged and is %s',
                environ[identity.ENV_REQUEST_ID],
                'forwarded (shadow)' if self._shadow else 'refused',
            )
            forward = self._shadow and _has_identity(environ, self._believe_headers)
            self._observer.record_unjudged(
                operation, environ, Reason.FAULT, forwarded=forward
            )
            if forward:
                return self._application
            return self._refuse(refusals.UNAVAILABLE, made_id)

    def _carry_out(
        self,
        request: GuardedRequest,
        caller: Caller,
        decision: Decision,
        plan: Plan,
        then: Callable[[], None] | None,
        made_id: bool,
    ) -> Application:
        environ = request.environ
        if decision.outcome is Outcome.REFUSE:
            if not (self._conceal and refusals.may_conceal(request, decision)):
                refusal = refusals.make_refusal(request, decision)
                return self._refuse(refusal, made_id)
            responses.put_decoy(environ)
        if plan.content is not None:
            put_body(environ, plan.content)
        if decision.outcome is Outcome.ROLE:
            return self._writes.observe(
                self._application, request, decision, plan, then
            )
        # Security: the only place where the passage role is given.
        identity.add_role(environ, self._passage_role)
        if decision.outcome is Outcome.FILTER:
            return self._filter(request, caller, made_id)
        return self._writes.observe(self._application, request, decision, plan, then)

    def _filter(
        self, request: GuardedRequest, caller: Caller, made_id: bool
    ) -> Application:
        bad_gateway = self._refuse(refusals.UNREADABLE_LIST, made_id)
        filtered = responses.keep_visible(
            self._application,
            lambda ids: self._guard.find_visible(request, caller, ids),
            bad_gateway,
        )

        def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            try:
                return filtered(environ, start_response)
            except Exception:
                # Security: a list that could not be filtered is not shown.
                LOG.exception(
                    'The list asked by request %s could not be filtered',
                    caller.request_id,
                )
                self._observer.record_unjudged(request.operation, environ, Reason.FAULT)
                refused = self._refuse(refusals.UNAVAILABLE, made_id)
                return refused(environ, start_response)

        return answer

    def _refuse(self, refusal: Refusal, made_id: bool) -> Application:
        return self._refuser.refuse(refusal, show_request_id=made_id)


def _has_identity(environ: Environ, believe_headers: bool) -> bool:
    return believe_headers or identity.is_proven(environ)


def filter_factory(
    global_conf: Mapping[str, Any] | None, **local_conf: str
) -> Callable[[Application], ConsumerGuard]:
    """Make the filter that paste asks for; also a plain Python wrapper.

    :param global_conf: paste's ``[DEFAULT]``; not looked at
    :param local_conf: where the configuration is, and options of the group
        ``[consumer_guard]`` that win over it
    :raises consumer_guard.guard.errors.ConfigurationError: naming what and where
    """
    conf = loading.parse_files(local_conf)
    settings = loading.load_settings(conf, local_conf)
    metrics = assembly.make_metrics(settings)
    lookup = assembly.make_lookup(settings)
    rules = assembly.watch_rule_files(conf, settings, metrics)
    if settings.auth_strategy == 'noauth2':
        LOG.warning(
            'auth_strategy = noauth2: identity headers are believed without proof; '
            'for development only'
        )
    versions = assembly.find_versions()

    def make(application: Application) -> ConsumerGuard:
        return ConsumerGuard(
            application,
            settings=settings,
            rules=rules,
            lookup=lookup,
            versions=versions,
            metrics=metrics,
        )

    return make
