# SPDX-License-Identifier: Apache-2.0
"""The WSGI shell, and how paste makes it.

In: the environ that auth_token left. Out: ``HTTP_X_ROLES`` with the passage
role where ownership allowed the request, never otherwise; ``PATH_INFO`` of a
decoy where a refused read is concealed; nothing else is changed.
"""

import dataclasses
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from consumer_guard import (
    assembly,
    claims,
    configuration,
    identity,
    intake,
    model,
    refusals,
    responses,
)
from consumer_guard.audit import Auditor
from consumer_guard.decision import Decision, Outcome, Reason
from consumer_guard.errors import OwnersUnavailable
from consumer_guard.generation_watch import Plan, Verdict
from consumer_guard.guard import Guard, RuleSource
from consumer_guard.intake import GuardedRequest
from consumer_guard.model import Caller
from consumer_guard.responses import Application, Environ, Refusal, StartResponse
from consumer_guard.settings import Settings

LOG = logging.getLogger(__name__)

#: Writes that move a generation; DELETE removes it.
_WATCHED = (model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE)


#: What is done in shadow mode, whatever was decided.
_SHADOWED = Decision(Outcome.ROLE, Reason.ROLE)


class ConsumerGuard:
    """The middleware: one instance a configuration, shared by all threads.

    :param application: what is guarded
    :param versions: placement's microversions, oldest first
    """

    def __init__(
        self,
        application: Application,
        *,
        settings: Settings,
        rules: RuleSource,
        lookup: model.OwnerLookup,
        versions: Sequence[str],
    ) -> None:
        self._application = application
        self._passage_role = settings.passage_role
        self._passage_role_lower = settings.passage_role.lower()
        self._shadow = settings.shadow
        self._conceal = settings.conceal
        self._believe_headers = settings.auth_strategy == 'noauth2'
        self._versions = tuple(versions)
        self._guard = Guard(rules, lookup, settings.max_body_size)
        self._watch = assembly.make_watch(settings, lookup)
        self._refuser = responses.Refuser(versions)
        self._auditor = Auditor(settings.audit, settings.enforcement)

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Judge the request, then let one application answer it."""
        # Security: on every request, also in shadow mode and on other routes.
        identity.strip_role(environ, self._passage_role_lower)
        found = intake.recognise(environ)
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
                return self._refuse(refusals.NO_IDENTITY, made_id)
            caller = identity.make_caller(context)
            request = intake.take_in(environ, operation, match, self._versions)
            started = time.perf_counter()
            decision = self._guard.decide(request, caller)
            decision, plan = self._watch_generations(request, decision)
            self._auditor.record(
                request, caller, decision, time.perf_counter() - started
            )
            if self._shadow:
                return self._observe(request, _SHADOWED, plan)
            return self._carry_out(request, caller, decision, plan, made_id)
        except Exception:
            # Security: whatever went wrong, nothing is forwarded.
            LOG.exception(
                'Request %s could not be judged and is %s',
                environ[identity.ENV_REQUEST_ID],
                'forwarded (shadow)' if self._shadow else 'refused',
            )
            if self._shadow and _has_identity(environ, self._believe_headers):
                return self._application
            return self._refuse(refusals.UNAVAILABLE, made_id)

    def _carry_out(
        self,
        request: GuardedRequest,
        caller: Caller,
        decision: Decision,
        plan: Plan,
        made_id: bool,
    ) -> Application:
        environ = request.environ
        if decision.outcome is Outcome.REFUSE:
            if not self._may_conceal(request, decision):
                refusal = refusals.make_refusal(request, decision)
                return self._refuse(refusal, made_id)
            responses.put_decoy(environ)
        if plan.rolled and plan.body is not None:
            claims.replace_generations(request, plan.body, plan.rolled)
        if decision.outcome is Outcome.ROLE:
            return self._observe(request, decision, plan)
        # Security: the only place where the passage role is given.
        identity.add_role(environ, self._passage_role)
        if decision.outcome is Outcome.FILTER:
            return self._filter(request, caller, made_id)
        return self._observe(request, decision, plan)

    def _watch_generations(
        self, request: GuardedRequest, decision: Decision
    ) -> tuple[Decision, Plan]:
        """Let an allowed write go on, refuse it, or roll its generations."""
        if decision.outcome is Outcome.REFUSE or request.operation not in _WATCHED:
            return decision, Plan()
        try:
            plan = self._watch.plan(request, decision.body, decision.owners)
        except OwnersUnavailable as exc:
            stopped = dataclasses.replace(
                decision, outcome=Outcome.REFUSE, reason=Reason.UNAVAILABLE, error=exc
            )
            return stopped, Plan()
        if plan.verdict is Verdict.GO:
            return decision, plan
        reason = Reason.SPENT if plan.verdict is Verdict.REFUSE else Reason.LOST_ROLL
        return (
            dataclasses.replace(decision, outcome=Outcome.REFUSE, reason=reason),
            plan,
        )

    def _observe(
        self, request: GuardedRequest, decision: Decision, plan: Plan
    ) -> Application:
        """The application, and what is looked at when a write has succeeded."""
        sealed = decision.outcome is Outcome.PASSAGE and decision.body is not None
        if not plan.near and not sealed:
            return self._application

        def observed(
            environ: Environ, start_response: StartResponse
        ) -> Iterable[bytes]:
            statuses: list[str] = []

            def start(status: str, *rest: Any) -> Any:
                statuses.append(status)
                return start_response(status, *rest)

            answer = self._application(environ, start)
            if statuses and statuses[-1].startswith('2'):
                self._watch.note(plan.near)
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

    def _may_conceal(self, request: GuardedRequest, decision: Decision) -> bool:
        return (
            self._conceal
            and decision.depends
            and request.operation is model.ALLOCATIONS_LIST
            and decision.reason in (Reason.ABSENT, Reason.NOBODYS, Reason.NOT_ALLOWED)
        )

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
    :raises consumer_guard.errors.ConfigurationError: naming what and where
    """
    conf = configuration.parse_files(local_conf)
    settings = configuration.load_settings(conf, local_conf)
    lookup = assembly.make_lookup(settings)
    rules = assembly.watch_rule_files(conf, settings)
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
        )

    return make
