# SPDX-License-Identifier: Apache-2.0
"""What the guard answered, as a specification that runs. Start at :func:`decide`.

Written from what is promised; ``tox run -e specification`` compares the guard with it.
Not here: how requests are read (see ``tests/fuzz``), generations, and shadow mode.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

#: What owning a consumer can allow: nothing seals a DELETE, inventories have no owner.
OPERATIONS = {
    'allocations:list': 'read',  # GET /allocations/{consumer}
    'allocations:update': 'write',  # PUT /allocations/{consumer}
    'allocations:manage': 'write',  # POST /allocations
    'allocations:delete': 'never',  # DELETE /allocations/{consumer}
    'resource_providers:allocations:list': 'filter',  # GET /resource_providers/...
    'usages': 'sums',  # GET /usages
    'reshaper:reshape': 'never',  # POST /reshaper
}
#: The first microversion whose bodies carry the generation that seals a write.
SEALED_FROM = (1, 28)
#: Each reason: the HTTP status (None: placement answers), and what it means.
REASONS: dict[str, tuple[int | None, str]] = {
    'role': (None, 'the rule allows the caller, whoever the owner is'),
    'owner': (None, 'the rule allows the caller for the owner'),
    'no_identity': (401, 'the identity is not proven'),
    'locked': (503, 'no policy file has been usable since the start'),
    'denied': (403, 'the rule denies the caller, whoever the owner is'),
    'never': (403, 'ownership never allows this operation'),
    'microversion': (None, 'placement refuses the microversion with 400 or 406'),
    'unreadable': (400, 'an id is not canonical, or something cannot be read'),
    'no_seal': (403, 'the microversion carries no consumer generation'),
    'too_large': (413, 'the body is too large'),
    'empties': (403, 'ownership never allows a write that leaves no allocations'),
    'unavailable': (503, 'the owners cannot be looked up'),
    'absent': (403, 'the consumer is unknown'),
    'unowned': (403, 'the consumer has no owner'),
    'not_allowed': (403, 'the rule does not allow the caller for the owner'),
    'no_allocations': (403, 'the consumer to be written holds no allocations'),
    'not_the_claimed': (403, 'the rule does not allow the caller for the new owner'),
    'new_names': (403, 'the claim names a project, user or type that it may not add'),
    'generation': (409, 'the generation in the body is not the recorded one'),
}
#: Refusals of a read that ``denial = conceal`` answers as for an unknown consumer.
CONCEALED = ('absent', 'unowned', 'not_allowed')
NO, UNKNOWN, YES = 0, 1, 2  #: Truths; UNKNOWN at the end refuses.
#: The one spelling of an id that every database agrees on.
CANONICAL = re.compile('[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}')
Rule = tuple[Any, ...]  #: See :func:`judge`.


class Caller(NamedTuple):
    """Who sends the request, by a proven identity; the scope is the token's."""

    roles: tuple[str, ...]
    project_id: str | None
    user_id: str
    scope: str = 'project'


class Consumer(NamedTuple):
    """A consumer as it is recorded, or as the body of a write claims it to be."""

    project_id: str | None  #: None: it has no owner
    user_id: str | None
    consumer_type: str | None = None
    generation: float | None = 1
    has_allocations: bool = True

    def target(self, id_: str) -> dict[str, Any]:
        """What rules compare; what is missing or empty is UNKNOWN to them."""
        return {'consumer_uuid': id_, **self._asdict()}


class Facts(NamedTuple):
    """What can matter of a request and of the database."""

    microversion: tuple[int, int] | None = (1, 38)  #: None: placement refuses it
    path_ids: tuple[str, ...] = ()  #: the consumer or the provider
    newline: bool = False  #: ends the path; placement's router drops it
    payload: str = 'readable'  #: query or body; unreadable: also ids of odd text
    query: Mapping[str, str] = {}  #: the owner in the query of usages
    claimed: Mapping[str, Consumer] = {}  #: by the body, in its order
    recorded: Mapping[str, Consumer] | None = {}  #: None: cannot be looked up
    types: tuple[str, ...] = ()  #: the consumer types that there are
    locked: bool = False  #: no policy file has been usable since the start


class Answer(NamedTuple):
    """What the guard does: role and passage forward, filter shows a part, refuse."""

    outcome: str
    reason: str
    status: int | None = None
    concealed: bool = False  #: instead of the status, where ``denial = conceal``
    looked_up: tuple[str, ...] = ()  #: consumers, by one query


def decide(caller: Caller | None, rule: Rule, operation: str, facts: Facts) -> Answer:
    """Decide without an owner where that is enough, else by all the owners."""

    def refuse(reason: str, looked_up: tuple[str, ...] = ()) -> Answer:
        placements = facts.microversion is None and reason != 'no_identity'
        status = None if placements else REASONS[reason][0]
        concealed = operation == 'allocations:list' and reason in CONCEALED
        return Answer('refuse', reason, status, concealed, looked_up)

    if caller is None or facts.locked:
        return refuse('locked' if caller else 'no_identity')
    if (truth := judge(rule, caller, None)) != UNKNOWN:
        return Answer('role', 'role') if truth == YES else refuse('denied')
    kind = OPERATIONS[operation]
    if obstacle := find_obstacle(kind, facts):
        return refuse(obstacle)
    if kind == 'filter':
        return Answer('filter', 'owner')
    if kind == 'sums':
        truth = judge(rule, caller, facts.query)
        allowed = truth == YES and facts.query.get('project_id')
        return Answer('passage', 'owner') if allowed else refuse('not_allowed')
    unfit, ids = find_unfit_claim(facts), facts.path_ids or tuple(facts.claimed)
    if unfit and not facts.path_ids:
        return refuse(unfit)
    if facts.recorded is None:
        return refuse('unavailable', ids)
    owned = (refuse_owner(caller, rule, id_, facts) for id_ in ids)
    # The body of a PUT is read only for an owner of the consumer in the path.
    reason = next(filter(None, owned), unfit) or refuse_claims(caller, rule, facts)
    return refuse(reason, ids) if reason else Answer('passage', 'owner', looked_up=ids)


def find_obstacle(kind: str, facts: Facts) -> str | None:
    """What no owner can overcome; nothing is looked up before."""
    if kind == 'never' or facts.microversion is None:
        return 'never' if kind == 'never' else 'microversion'
    if facts.newline or not all(map(CANONICAL.fullmatch, facts.path_ids)):
        return 'unreadable'
    if kind == 'write' and facts.microversion < SEALED_FROM:
        return 'no_seal'
    return facts.payload if kind == 'sums' and facts.payload != 'readable' else None


def find_unfit_claim(facts: Facts) -> str | None:
    """What no body of an owner's write may be."""
    if facts.payload != 'readable':
        return facts.payload
    ids, claims = (*facts.path_ids, *facts.claimed), facts.claimed.values()
    if not ids or not all(map(CANONICAL.fullmatch, ids)):
        return 'unreadable'
    return None if all(claim.has_allocations for claim in claims) else 'empties'


def refuse_owner(caller: Caller, rule: Rule, id_: str, facts: Facts) -> str | None:
    """Why a recorded consumer is not the caller's; a filtered list shows the others."""
    consumer = (facts.recorded or {}).get(id_)
    if consumer is None or not consumer.project_id:
        return 'unowned' if consumer else 'absent'
    return None if judge(rule, caller, consumer.target(id_)) == YES else 'not_allowed'


def refuse_claims(caller: Caller, rule: Rule, facts: Facts) -> str | None:
    """Why the caller's consumers may not become what the body claims."""
    pairs = [((facts.recorded or {})[id_], new) for id_, new in facts.claimed.items()]
    for id_, (was, new) in zip(facts.claimed, pairs, strict=True):
        if not was.has_allocations:
            return 'no_allocations'
        if judge(rule, caller, new.target(id_)) != YES:
            return 'not_the_claimed'
    for was, new in pairs:  # Placement keeps every name, for ever.
        projects = was.project_id, caller.project_id
        users, types = (was.user_id, caller.user_id), (was.consumer_type, *facts.types)
        if not (new[0] in projects and new[1] in users and new[2] in (None, *types)):
            return 'new_names'
    sealed = all(was.generation == new.generation is not None for was, new in pairs)
    return None if sealed else 'generation'


def judge(rule: Rule, caller: Caller, target: Mapping[str, Any] | None) -> int:
    """Judge a rule on an owner; None: the owner is not known yet.

    ``('same', key)`` is ``key:%(key)s``, ``('is', key, text)`` is ``'text':%(key)s``,
    ``('remote', truth)`` a check by another server, called with a known owner only.
    """
    if caller.scope != 'project':
        return NO
    match rule:
        case 'or' | 'and' as kind, *rules:
            truths = [judge(one, caller, target) for one in rules]
            return max(truths) if kind == 'or' else min(truths)
        case 'not', negated:
            return 2 - judge(negated, caller, target)
        case 'role', name:
            return YES if name in caller.roles else NO
        case 'remote', truth:
            return UNKNOWN if target is None else int(truth)
    left = getattr(caller, rule[1]) if rule[0] == 'same' else rule[2]
    right = (target or {}).get(rule[1])
    return UNKNOWN if not right else YES if left == right else NO
