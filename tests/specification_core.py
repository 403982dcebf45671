# SPDX-License-Identifier: Apache-2.0
"""The guard's answer to a case, in the terms of the specification."""

import functools
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from oslo_policy import policy

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import identity, model
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.decision import Outcome
from consumer_guard.guard.errors import OwnersUnavailable, PolicyLocked
from consumer_guard.guard.model import Owner, OwnerStatus
from consumer_guard.guard.refusals import make_refusal, may_conceal
from consumer_guard.guard.request import KNOWN_MICROVERSIONS, GuardedRequest
from consumer_guard.guard.responses import Refusal, Refuser
from consumer_guard.rules.defaults import ADMIN_OR_SERVICE
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.fuzz.wire import make_environ, send
from tests.specification import (
    Answer,
    Caller,
    Consumer,
    Rule,
    decide,
    refuse_owner,
)
from tests.specification_cases import Case

_OPERATIONS = {operation.name: operation for operation in model.OPERATIONS}

#: Bytes; more than the longest body that is readable.
_MAX_BODY_SIZE = 5000

_UNREADABLE_QUERIES = (
    'project_id=mine&project_id=mine',
    'project_id=mine&user_id=%20me',
    'project_id=mine%00',
    'project_id=%FF',
)
_UNREADABLE_BODIES = (b'', b'[', b'[]', b'"\xff"', b'{"allocations": {}}')
#: Each makes a readable claim unreadable; a key without a value is left out.
_UNREADABLE_CLAIMS: tuple[tuple[str, Any], ...] = (
    ('allocations', None),
    ('allocations', 5),
    *((name, 5) for name in ('project_id', 'user_id', 'consumer_type')),
    *((name, '') for name in ('project_id', 'user_id')),
    *((name, ' mine') for name in ('project_id', 'user_id')),
    *((name, 'mine\x00') for name in ('project_id', 'user_id')),
    *((name, 'm' * 256) for name in ('project_id', 'user_id')),
    *((name, None) for name in ('project_id', 'user_id', 'consumer_generation')),
    *(('consumer_generation', value) for value in (True, '1', 1.5, [1])),
)


class Observation(NamedTuple):
    """What is compared.

    :ivar visible: what a filtered list shows; None where no list is filtered, or where
        the owners cannot be looked up
    """

    answer: Answer
    visible: frozenset[str] | None = None


def expect(case: Case) -> Observation:
    """The specification's answer to a case."""
    caller, rule, operation, facts, _ = case
    answer = decide(caller, rule, operation, facts)
    if answer.outcome != 'filter' or facts.recorded is None:
        return Observation(answer)
    visible = [
        id_ for id_ in facts.recorded if refuse_owner(caller, rule, id_, facts) is None
    ]
    return Observation(answer, frozenset(visible))


def observe(case: Case) -> Observation:
    """The guard's answer to a case."""
    owners = _GroupedOwners(case) if case.variant % 3 else _Owners(case)
    rules = _Rules(_build(case.rule), case.facts.locked)
    # A process that is halted in the middle has not run out of time.
    authorizer = Authorizer(rules, owners, patience=1.0, clock=lambda: 0.0)
    request, caller = make_request(case), _make_caller(case.caller)
    decision = authorizer.authorize(request, caller)
    looked_up = tuple(owners.looked_up)
    status, visible = None, None
    if decision.outcome is Outcome.REFUSE:
        refusal = make_refusal(request, decision)
        status = _read_status(refusal, request.microversion)
    if decision.outcome is Outcome.FILTER and case.facts.recorded is not None:
        visible = frozenset(
            authorizer.make_filter(request, caller)(tuple(case.facts.recorded))
        )
    answer = Answer(
        decision.outcome.name.lower(),
        decision.reason.name.lower(),
        status,
        may_conceal(request, decision),
        looked_up,
    )
    return Observation(answer, visible)


class _RemoteCheck(policy.Check):
    """A check that another server answers; the rule says how."""

    def __call__(
        self, target: object, creds: object, enforcer: object, current_rule: Any = None
    ) -> bool:
        if self.match == 'unknown':
            raise OSError('The other server is away.')
        return bool(self.match == 'yes')


policy.register('specification', _RemoteCheck)


class _RemoteCaller:
    def prepare(self, _rules: policy.Rules) -> Callable[..., bool]:
        return _call


def _call(
    _rule: str, check: Callable[..., bool], target: object, credentials: object
) -> bool:
    return check(target, credentials, None)


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
    """The guard's rulebook, in which all operations refer to one rule."""
    rules = {ADMIN_OR_SERVICE: write_rule(rule)}
    for operation in model.OPERATIONS:
        rules[operation.rule] = f'rule:{ADMIN_OR_SERVICE}'
    return Rulebook.build([PolicyText('policy', json.dumps(rules))], _RemoteCaller())


class _Rules:
    """A RuleSource, locked or not."""

    def __init__(self, rulebook: Rulebook, locked: bool) -> None:
        self._rulebook = rulebook
        self._locked = locked

    def current(self) -> Rulebook:
        if self._locked:
            raise PolicyLocked('There are no usable policy files.')
        return self._rulebook


class _Owners:
    """An OwnerLookup over what a case has recorded.

    :ivar looked_up: the ids of all look-ups
    """

    def __init__(self, case: Case) -> None:
        self._recorded = case.facts.recorded
        self._types = case.facts.types
        self._has_row = case.variant % 2 == 0
        self.looked_up: list[str] = []

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        self.looked_up += consumer_ids
        if self._recorded is None:
            raise OwnersUnavailable('The owners cannot be looked up.')
        return {id_: self._find(id_, self._recorded.get(id_)) for id_ in consumer_ids}

    def _find(self, id_: str, consumer: Consumer | None) -> Owner:
        if consumer is None:
            return Owner(id_, OwnerStatus.ABSENT)
        project_id, user_id, consumer_type, generation, has_allocations = consumer
        if project_id is None and not self._has_row:
            return Owner(id_, OwnerStatus.UNOWNED, has_allocations=True)
        # A careless driver: an empty project, and the project that means nobody's.
        status = OwnerStatus.UNOWNED if project_id is None else OwnerStatus.RECORDED
        return Owner(
            id_,
            status,
            'mine' if project_id is None else project_id,
            user_id,
            consumer_type,
            None if generation is None else int(generation),
            1,
            has_allocations,
        )

    def find_types(self, names: Collection[str]) -> Collection[str]:
        # A careless driver: more than it was asked for.
        return {*self._types, 'another'} if self._types else ()

    def close(self) -> None:
        """Nothing is open."""


class _GroupedOwners(_Owners):
    """An OwnerGroups, too."""

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        for id_, owner in self.find(consumer_ids).items():
            target = owner.target()
            if owner.status is OwnerStatus.RECORDED and 'project_id' in target:
                known = {'project_id', *keys}
                yield {key: target[key] for key in known & set(target)}, (id_,)


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


def make_request(case: Case) -> GuardedRequest:
    """The request of a case."""
    facts, operation = case.facts, _OPERATIONS[case.operation]
    path_id = facts.path_ids[0] if facts.path_ids else None
    of_provider = operation is model.PROVIDER_ALLOCATIONS_LIST
    return GuardedRequest(
        operation,
        None if of_provider else path_id,
        path_id if of_provider else None,
        facts.microversion,
        _make_payload(case),
        canonical_path=not facts.newline,
    )


def _make_payload(case: Case) -> GivenPayload:
    facts, claims = case.facts, _write_claims(case)
    if facts.payload == 'unreadable':
        query = _UNREADABLE_QUERIES[case.variant % len(_UNREADABLE_QUERIES)]
        return GivenPayload(query, _write_unreadable(case, claims), _MAX_BODY_SIZE)
    body = _write_body(case, claims)
    if facts.payload == 'too_large':
        body += b' ' * _MAX_BODY_SIZE
    # Placement ignores parameters that it does not know.
    others = '&x=1&x=%20' if case.variant % 2 else ''
    return GivenPayload(urlencode(facts.query) + others, body, _MAX_BODY_SIZE)


def _write_unreadable(case: Case, claims: dict[str, dict[str, Any]]) -> bytes:
    number = case.variant % (len(_UNREADABLE_BODIES) + len(_UNREADABLE_CLAIMS))
    if number < len(_UNREADABLE_BODIES) or not claims:
        return _UNREADABLE_BODIES[number % len(_UNREADABLE_BODIES)]
    # The last claim alone: every one has to be readable.
    claim = [*claims.values()][-1]
    name, value = _UNREADABLE_CLAIMS[number - len(_UNREADABLE_BODIES)]
    claim[name] = value
    if value is None:
        del claim[name]
    return _write_body(case, claims)


def _write_body(case: Case, claims: dict[str, dict[str, Any]]) -> bytes:
    document: Any = claims
    if case.operation == 'allocations:update' and claims:
        (document,) = claims.values()
    return json.dumps(document).encode()


def _write_claims(case: Case) -> dict[str, dict[str, Any]]:
    return {id_: _write_claim(claim) for id_, claim in case.facts.claimed.items()}


def _write_claim(claim: Consumer) -> dict[str, Any]:
    resources = {'provider': {'resources': {'VCPU': 1}}}
    written = {
        'allocations': resources if claim.has_allocations else {},
        'project_id': claim.project_id,
        'user_id': claim.user_id,
        'consumer_generation': claim.generation,
    }
    if claim.consumer_type is not None:
        written['consumer_type'] = claim.consumer_type
    return written


@functools.cache
def _read_status(refusal: Refusal, microversion: tuple[int, int] | None) -> int | None:
    """The status that a client gets; None for placement's own 400 and 406."""
    version = f'1.{microversion[1]}' if microversion else '1.99'
    refuse = Refuser(KNOWN_MICROVERSIONS).refuse(refusal, show_request_id=False)
    environ = make_environ('GET', '/', version=version)
    environ['openstack.request_id'] = 'req-1'
    status = send(refuse, environ).status
    return None if microversion is None and status == 406 else status
