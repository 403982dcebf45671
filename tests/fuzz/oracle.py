# SPDX-License-Identifier: Apache-2.0
"""What the specification answers to a request of A's, read as placement reads it.

Nothing of the guard's reading goes into it: the route, the microversion, the query and
the body are placement's, and what is recorded comes from the database.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import webob

from consumer_guard.guard import model
from tests.fuzz import accepted, names
from tests.fuzz.requests import Request
from tests.specification import Answer, Caller, Consumer, Facts, Rule, decide

ATTACKER = Caller(('member', 'reader'), names.OWN_PROJECT, names.OWN_USER)

_BY_ROLE: Rule = ('or', ('role', 'admin'), ('role', 'service'))


def _open_to(role: str) -> Rule:
    return ('or', _BY_ROLE, ('and', ('role', role), ('same', 'project_id')))


#: tests.deployment.OWNER_RULES and the defaults, in the specification's language.
RULES: Mapping[model.Operation, Rule] = {
    operation: _open_to('member' if operation.writes else 'reader')
    for operation in model.OPERATIONS
}


_TARGET_NAMES = ('consumer_uuid', 'project_id', 'user_id', 'consumer_type')

#: Stands for a body that placement does not accept: it refuses the request itself, and
#: what the guard reads of such a body may be more or less. None here is too large.
_UNSURE = 'too_large'


class Expected(NamedTuple):
    """What is expected of a guarded request.

    :ivar targets: what the rule has to be judged on before the request is forwarded
    :ivar claimed: what placement would write, by consumer id; None where it writes
        nothing
    """

    operation: model.Operation
    answer: Answer
    targets: tuple[Mapping[str, str], ...]
    claimed: Mapping[str, Mapping[str, Any]] | None

    @property
    def certain(self) -> bool:
        """Whether the answer is specified."""
        return self.answer.reason != _UNSURE


def expect(
    request: Request, recorded: Mapping[str, Consumer], types: tuple[str, ...]
) -> Expected | None:
    """The specification's answer to a request of A's; None for what is not guarded.

    :param recorded: the consumers that have a row or allocations
    :param types: the consumer types that there are
    """
    routed = accepted.route(request.method, request.path)
    if routed is None:
        return None
    operation, ids = routed
    facts = Facts(
        microversion=accepted.read_microversion(request.version),
        path_ids=tuple(ids.values()),
        newline=request.path.endswith('\n'),
        recorded=recorded,
        types=types,
    )
    claimed = None
    if operation is model.USAGES:
        facts = facts._replace(**_read_query(request))
    elif operation.ownership is model.Ownership.SEALED_WRITE:
        claimed = _read_claims(request, operation, ids.get('consumer_uuid'))
        facts = facts._replace(**_describe_claims(claimed))
    answer = decide(ATTACKER, RULES[operation], operation.name, facts)
    return Expected(operation, answer, _list_targets(answer, facts), claimed)


def _list_targets(answer: Answer, facts: Facts) -> tuple[Mapping[str, str], ...]:
    """The owners in the query, in the database and in the body, as far as known."""
    recorded = facts.recorded or {}
    targets = [
        facts.query,
        *(recorded[id_].target(id_) for id_ in answer.looked_up if id_ in recorded),
        *(claim.target(id_) for id_, claim in facts.claimed.items()),
    ]
    return tuple(
        {name: target[name] for name in _TARGET_NAMES if target.get(name)}
        for target in targets
        if target
    )


def _is_plain(text: str) -> bool:
    return text == text.strip() and text.isprintable()


def _read_query(request: Request) -> dict[str, Any]:
    """The owner in the query of usages."""
    environ = {'REQUEST_METHOD': 'GET', 'QUERY_STRING': request.query}
    try:
        items = webob.Request(environ).GET.items()
    except UnicodeDecodeError:
        return {'payload': 'unreadable'}
    owner = [(name, value) for name, value in items if name in _TARGET_NAMES[1:]]
    clear = len(dict(owner)) == len(owner) and all(_is_plain(text) for _, text in owner)
    return {'query': dict(owner), 'payload': 'readable' if clear else 'unreadable'}


def _read_claims(
    request: Request, operation: model.Operation, consumer: str | None
) -> Mapping[str, Mapping[str, Any]] | None:
    version = accepted.read_microversion(request.version)
    try:
        body = webob.Request(request.environ(None)).body
    except (OSError, ValueError):
        # The length is wrong.
        return None
    if version is None:
        return None
    return accepted.accept(operation, version[1], consumer, body)


def _describe_claims(claimed: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any]:
    if claimed is None:
        return {'payload': _UNSURE}
    owners = [
        str(part.get(name, ''))
        for part in claimed.values()
        for name in ('project_id', 'user_id')
    ]
    claims = {
        id_: Consumer(
            part.get('project_id'),
            part.get('user_id'),
            part.get('consumer_type'),
            part.get('consumer_generation'),
            bool(part['allocations']),
        )
        for id_, part in claimed.items()
    }
    plain = all(map(_is_plain, owners))
    return {'claimed': claims, 'payload': 'readable' if plain else 'unreadable'}
