# SPDX-License-Identifier: Apache-2.0
"""The guard's decision on a case of the specification, in the specification's words."""

import functools
import io
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from oslo_policy import policy

from consumer_guard.guard import identity, model
from consumer_guard.guard.authorizer import Guard
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable, PolicyLocked
from consumer_guard.guard.model import Owner, OwnerStatus
from consumer_guard.guard.refusals import make_refusal, may_conceal
from consumer_guard.guard.request import KNOWN_MICROVERSIONS, GuardedRequest
from consumer_guard.guard.responses import Refusal, Refuser
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.fuzz.wire import make_environ, send
from tests.specification import (
    Answer,
    Caller,
    Consumer,
    Rule,
    decide,
    filter_list,
)
from tests.specification_cases import Case

#: What is said of one case: the answer, and what of a filtered list is shown.
Said = tuple[Answer, frozenset[str] | None]

_OPERATIONS = {operation.name: operation for operation in model.OPERATIONS}
_MOST_BYTES = 5000


class _Remote(policy.Check):
    """A check that is answered elsewhere; the answer is in the rule."""

    def __call__(
        self, target: Any, creds: Any, enforcer: Any, rule: Any = None
    ) -> bool:
        if self.match == 'unknown':
            raise OSError('The other server is away.')
        return bool(self.match == 'yes')


policy.register('specification', _Remote)


class _Caller:
    """A RemoteCaller over :class:`_Remote`."""

    def prepare(self, rules: policy.Rules) -> Callable[..., bool]:
        """See the Protocol."""
        return lambda rule, check, target, credentials: check(target, credentials, None)


def write_rule(rule: Rule) -> str:
    """A rule in the language of oslo.policy."""
    kind, *parts = rule
    if kind in ('or', 'and'):
        return '(' + f' {kind} '.join(map(write_rule, parts)) + ')'
    if kind == 'not':
        return f'not {write_rule(parts[0])}'
    if kind == 'same':
        return f'{parts[0]}:%({parts[0]})s'
    if kind == 'is':
        return f"'{parts[1]}':%({parts[0]})s"
    if kind == 'remote':
        return f'specification:{("no", "unknown", "yes")[parts[0]]}'
    return f'role:{parts[0]}'


@functools.lru_cache(maxsize=1000)
def _build(rule: Rule) -> Rulebook:
    text = write_rule(rule)
    rules = {operation.rule: text for operation in model.OPERATIONS}
    return Rulebook.build([PolicyText('policy', json.dumps(rules))], _Caller())


@functools.cache
def _make_caller(caller: Caller) -> model.Caller:
    context = identity.GuardContext(
        user_id=caller.user_id,
        project_id=caller.project_id,
        domain_id='domain' if caller.scope == 'domain' else None,
        system_scope='all' if caller.scope == 'system' else None,
        roles=list(caller.roles),
        overwrite=False,
    )
    return identity.make_caller(context)


class _Source:
    """A RuleSource, locked or not."""

    def __init__(self, rulebook: Rulebook, locked: bool) -> None:
        self._rulebook = rulebook
        self._locked = locked

    def current(self) -> Rulebook:
        """See the Protocol."""
        if self._locked:
            raise PolicyLocked('There are no usable policy files.')
        return self._rulebook


class _Owners:
    """An OwnerLookup over the recorded consumers of a case."""

    def __init__(self, case: Case) -> None:
        self._recorded = case.facts.recorded
        self._variant = case.variant
        self.looked_up: list[tuple[str, ...]] = []

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        """See the Protocol."""
        self.looked_up.append(tuple(consumer_ids))
        if self._recorded is None:
            raise OwnersUnavailable('The owners cannot be looked up.')
        return {id_: self._find(id_, self._recorded.get(id_)) for id_ in consumer_ids}

    def _find(self, id_: str, consumer: Consumer | None) -> Owner:
        if consumer is None:
            return Owner(id_, OwnerStatus.ABSENT)
        if consumer.project_id is None and self._variant % 2:
            # Allocations without a row.
            return Owner(id_, OwnerStatus.UNOWNED, has_allocations=True)
        status = OwnerStatus.RECORDED if consumer.project_id else OwnerStatus.UNOWNED
        return Owner(
            id_, status, *consumer[:3], int(consumer.generation or 0), 1, consumer[4]
        )

    def close(self) -> None:
        """Nothing is open."""


_UNREADABLE = (
    b'',
    b'[',
    b'[]',
    b'{}',
    b'{"allocations": 5}',
    b'\xff',
    b'{"allocations": {}, "project_id": " mine", "user_id": "me"}',
)


def _write(case: Case) -> bytes:
    """The body of a write."""
    facts = case.facts
    if facts.payload == 'unreadable':
        return _UNREADABLE[case.variant % len(_UNREADABLE)]
    claims = {id_: _write_claim(claim) for id_, claim in facts.claimed.items()}
    document: Any = claims
    if case.operation == 'allocations:update':
        (document,) = claims.values()
    if case.operation == 'reshaper:reshape':
        document = {'inventories': {}, 'allocations': claims}
    body = json.dumps(document).encode()
    return body + b' ' * _MOST_BYTES if facts.payload == 'too_large' else body


def _write_claim(claim: Consumer) -> dict[str, Any]:
    resources = {'resources': {'VCPU': 1}}
    said = {
        'allocations': {'provider': resources} if claim.has_allocations else {},
        'project_id': claim.project_id,
        'user_id': claim.user_id,
        'consumer_generation': claim.generation,
    }
    if claim.consumer_type:
        said['consumer_type'] = claim.consumer_type
    return said


def make_request(case: Case) -> GuardedRequest:
    """The request of a case, as the middleware makes it of what a server gives."""
    facts, operation = case.facts, _OPERATIONS[case.operation]
    query = urlencode(facts.asked)
    if facts.payload == 'unreadable':
        query += ('&project_id=mine&project_id=mine', '&user_id=%20me', '&user_id=%FF')[
            case.variant % 3
        ]
    body = _write(case) if operation.method in ('PUT', 'POST') else b''
    environ = {
        'PATH_INFO': '/path\n' if facts.newline else '/path',
        'QUERY_STRING': query,
        'REQUEST_METHOD': operation.method,
        'CONTENT_LENGTH': str(len(body)),
        'wsgi.input': io.BytesIO(body),
    }
    path_id = facts.path_ids[0] if facts.path_ids else None
    about_provider = operation is model.PROVIDER_ALLOCATIONS_LIST
    return GuardedRequest(
        operation,
        None if about_provider else path_id,
        path_id if about_provider else None,
        facts.microversion,
        environ,
    )


@functools.cache
def _read_status(refusal: Refusal, microversion: tuple[int, int] | None) -> int | None:
    """What a client is answered; None where it is placement's 400 or 406."""
    version = f'1.{microversion[1]}' if microversion else '9.9'
    refuse = Refuser(KNOWN_MICROVERSIONS).refuse(refusal, show_request_id=False)
    answer = send(refuse, make_environ('GET', '/', version=version))
    return None if microversion is None and answer.status == 406 else answer.status


def observe(case: Case) -> Said:
    """What the guard says."""
    owners = _Owners(case)
    guard = Guard(
        _Source(_build(case.rule), case.facts.locked),
        owners,
        max_body_size=_MOST_BYTES,
        patience=60,
    )
    caller, request = _make_caller(case.caller), make_request(case)
    decision = guard.decide(request, caller)
    looked_up = owners.looked_up
    shown = None
    status = None
    if decision.outcome is Outcome.REFUSE:
        status = _read_status(make_refusal(request, decision), request.microversion)
    if decision.outcome is Outcome.FILTER and case.facts.recorded is not None:
        shown = guard.find_visible(request, caller, list(case.facts.recorded))
    return Answer(
        decision.outcome.value,
        _name(decision.reason),
        status,
        may_conceal(request, decision),
        looked_up[0] if looked_up and decision.outcome is not Outcome.FILTER else (),
    ), shown


def _name(reason: Reason) -> str:
    return {'unowned': 'nobodys'}.get(reason.name.lower(), reason.name.lower())


def expect(case: Case) -> Said:
    """What the specification says."""
    answer = decide(case.caller, case.rule, case.operation, case.facts)
    shown = None
    if answer.outcome == 'filter' and case.facts.recorded is not None:
        shown = frozenset(filter_list(case.caller, case.rule, case.facts))
    return answer, shown
