# SPDX-License-Identifier: Apache-2.0
"""The WSGI shell, and how paste makes it.

In: the environ that auth_token left. Out: ``HTTP_X_ROLES`` with the passage
role where ownership allowed the request, never otherwise; ``PATH_INFO`` of a
decoy where a refused read is concealed; nothing else is changed.
"""

import functools
import importlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from oslo_config import cfg

from consumer_guard import identity, intake, model, opts, owners, responses
from consumer_guard.audit import Auditor
from consumer_guard.errors import STATUS
from consumer_guard.foreign import EnforcerAsker
from consumer_guard.guard import Decision, Guard, Outcome, Reason, RuleSource
from consumer_guard.intake import GuardedRequest
from consumer_guard.model import Caller
from consumer_guard.responses import Application, Environ, Refusal, StartResponse
from consumer_guard.rulebook import Rulebook
from consumer_guard.rulefiles import RuleFiles
from consumer_guard.settings import Settings

LOG = logging.getLogger(__name__)

_WAY_OF_SEALING = (
    'Owners may only PUT or POST allocations with microversion 1.28 or later.'
)
_WAY_OF_DELETING = (
    'To delete, owners may PUT empty allocations with microversion 1.28 or later.'
)
_CONFLICT = (
    'consumer generation conflict - the generation given is not the current one; '
    'read the consumer again'
)
_NO_SERVICE = 'The request cannot be authorized now; try again.'


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
                return self._refuse(Refusal(401, 'No proven identity.'), made_id)
            caller = identity.make_caller(context)
            request = intake.take_in(environ, operation, match, self._versions)
            started = time.perf_counter()
            decision = self._guard.decide(request, caller)
            self._auditor.record(
                request, caller, decision, time.perf_counter() - started
            )
            if self._shadow:
                return self._application
            return self._carry_out(request, caller, decision, made_id)
        except Exception:
            # Security: whatever went wrong, nothing is forwarded.
            LOG.exception(
                'Request %s could not be judged and is %s',
                environ[identity.ENV_REQUEST_ID],
                'forwarded (shadow)' if self._shadow else 'refused',
            )
            if self._shadow and _has_identity(environ, self._believe_headers):
                return self._application
            return self._refuse(Refusal(503, _NO_SERVICE), made_id)

    def _carry_out(
        self,
        request: GuardedRequest,
        caller: Caller,
        decision: Decision,
        made_id: bool,
    ) -> Application:
        environ = request.environ
        if decision.outcome is Outcome.ROLE:
            return self._application
        if decision.outcome is Outcome.REFUSE:
            if self._may_conceal(request, decision):
                responses.put_decoy(environ)
            else:
                refusal = _make_refusal(request, decision)
                return self._refuse(refusal, made_id)
        # Security: the only place where the passage role is given.
        identity.add_role(environ, self._passage_role)
        if decision.outcome is not Outcome.FILTER:
            return self._application
        return self._filter(request, caller, made_id)

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
        bad_gateway = self._refuse(
            Refusal(502, 'The list of placement cannot be read.'), made_id
        )
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
                refused = self._refuse(Refusal(503, _NO_SERVICE), made_id)
                return refused(environ, start_response)

        return answer

    def _refuse(self, refusal: Refusal, made_id: bool) -> Application:
        return self._refuser.refuse(refusal, show_request_id=made_id)


def _has_identity(environ: Environ, believe_headers: bool) -> bool:
    return believe_headers or identity.is_proven(environ)


def _make_refusal(request: GuardedRequest, decision: Decision) -> Refusal:
    """What the client is told; the same for every owner but the caller."""
    error = decision.error
    if error is not None:
        return Refusal(STATUS[type(error)], str(error) or _NO_SERVICE)
    if decision.reason is Reason.GENERATION:
        return Refusal(409, _CONFLICT, responses.CONCURRENT_UPDATE)
    text = f'Policy does not allow {request.operation.rule} to be performed.'
    if decision.reason is Reason.NO_SEAL:
        text = f'{text} {_WAY_OF_SEALING}'
    elif (
        decision.reason is Reason.NEVER
        and request.operation is model.ALLOCATIONS_DELETE
    ):
        text = f'{text} {_WAY_OF_DELETING}'
    elif decision.reason is Reason.NEVER:
        text = f'{text} It is for roles only, ownership never allows it.'
    return Refusal(403, text)


def _placement_versions() -> Sequence[str]:
    """Placement's own list of microversions, where placement is installed."""
    try:
        placement = importlib.import_module('placement.microversion')
    except ImportError:
        return intake.KNOWN_MICROVERSIONS
    versions: Sequence[str] = placement.VERSIONS
    return versions


def _watch_rule_files(conf: cfg.ConfigOpts, poll_interval: float) -> RuleFiles:
    """The policy files of ``[oslo_policy]``, found as oslo.policy finds them."""
    return RuleFiles(
        find_file=conf.find_file,
        policy_file=conf.oslo_policy.policy_file,
        policy_file_is_explicit=opts.is_said(conf, 'policy_file', 'oslo_policy'),
        policy_dirs=tuple(conf.oslo_policy.policy_dirs),
        poll_interval=poll_interval,
        build=functools.partial(Rulebook.build, asker=EnforcerAsker(conf)),
    )


def filter_factory(
    global_conf: Mapping[str, Any] | None, **local_conf: str
) -> Callable[[Application], ConsumerGuard]:
    """Make the filter that paste asks for; also a plain Python wrapper.

    :param global_conf: paste's ``[DEFAULT]``; not looked at
    :param local_conf: where the configuration is, and options of the group
        ``[consumer_guard]`` that win over it
    :raises consumer_guard.errors.ConfigurationError: naming what and where
    """
    conf = opts.parse_files(local_conf)
    settings = opts.load_settings(conf, local_conf)
    lookup = owners.load_driver(
        settings.owner_lookup,
        owners.OwnerLookupSettings(
            connection=settings.connection or '',
            timeout=settings.lookup_timeout,
            pool_size=settings.lookup_pool_size,
            nobodys_project_id=settings.incomplete_consumer_project_id,
            nobodys_user_id=settings.incomplete_consumer_user_id,
        ),
    )
    rules = _watch_rule_files(conf, settings.policy_poll_interval)
    if settings.auth_strategy == 'noauth2':
        LOG.warning(
            'auth_strategy = noauth2: identity headers are believed without proof; '
            'for development only'
        )
    versions = _placement_versions()

    def make(application: Application) -> ConsumerGuard:
        return ConsumerGuard(
            application,
            settings=settings,
            rules=rules,
            lookup=lookup,
            versions=versions,
        )

    return make
