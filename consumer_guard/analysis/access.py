# SPDX-License-Identifier: Apache-2.0
"""Who can do what, over all caller classes: a pure function of the rules.

Each cell is the authorizer's decision on a simulated request about an invented
consumer; neither the database nor placement is needed.
"""

import enum
import math
import types
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from consumer_guard.analysis import prediction, simulation
from consumer_guard.analysis.client import Decider, PlacementRules, combine
from consumer_guard.analysis.simulation import KnownOwners, Subject
from consumer_guard.guard import model, ownership
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.decision import CONSEQUENCES, Outcome, Reason
from consumer_guard.guard.model import (
    Caller,
    Operation,
    Owner,
    Ownership,
    OwnerStatus,
    Ruling,
    make_target,
)
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.rulebook import Rulebook

#: The project that the table is about, and a user of it that owns its consumer.
PROJECT_ID = 'a' * 32
USER_ID = '1' * 32
#: A project, and its user, whose consumer is "foreign" to every row.
FOREIGN_PROJECT_ID = 'f' * 32
FOREIGN_USER_ID = 'e' * 32


class CallerClass(NamedTuple):
    """A row: callers that differ in role, scope and project.

    :ivar name: unique; stands in files that are compared later
    """

    name: str
    caller: Caller


class Relation(enum.Enum):
    """Whose consumer it is, as seen from the project of the table."""

    OWNED = 'owned'  #: the project's
    FOREIGN = 'foreign'  #: another project's, which no row is of
    UNKNOWN = 'unknown'  #: not recorded
    UNOWNED = 'ownerless'  #: recorded without a real project


class Cell(NamedTuple):
    """The answer to one request.

    :ivar outcome: FILTER stands for a list; ``reason`` and ``answer`` are then
        about this consumer in it
    :ivar answer: what the client gets, in one line
    :ivar placement_refuses: whether placement's own rule is known to refuse it
    """

    outcome: Outcome
    reason: Reason
    answer: str
    placement_refuses: bool = False

    @property
    def allowed(self) -> bool:
        """Whether the caller gets it."""
        granted = CONSEQUENCES[self.reason].status == 200
        granted = granted and not self.placement_refuses
        return granted and self.outcome is not Outcome.REFUSE


#: By name of the caller class, name of the operation, relation; in that order.
AccessTable = Mapping[tuple[str, str, Relation], Cell]

_OWN_PROJECT = types.MappingProxyType(
    {'project_id': PROJECT_ID, 'project_domain_id': 'default'}
)
_OTHER_PROJECT = types.MappingProxyType(
    {'project_id': 'b' * 32, 'project_domain_id': 'default'}
)

# Keystone's implied roles come along: admin, manager, member, reader.
_MEMBER = ('member', 'reader')
_MANAGER = ('manager', *_MEMBER)
_ADMIN = ('admin', *_MANAGER)

_COLLEAGUE = '2' * 32
_STRANGER = '3' * 32
_OPERATOR = '4' * 32


def make_class(name: str, user_id: str, *roles: str, **token: Any) -> CallerClass:
    """A row.

    :param token: further fields of :class:`consumer_guard.analysis.simulation.Subject`
    """
    subject = Subject(user_id, roles, user_domain_id='default', **token)
    return CallerClass(name, simulation.simulate_caller(subject))


def make_role_classes(role: str) -> tuple[CallerClass, ...]:
    """The rows of a role that only this cloud has."""
    return (
        make_class(f'{role} of the project', USER_ID, role, **_OWN_PROJECT),
        make_class(f'{role} of another project', _STRANGER, role, **_OTHER_PROJECT),
    )


#: The rows, the strongest first.
CALLER_CLASSES: tuple[CallerClass, ...] = (
    make_class('admin', _OPERATOR, *_ADMIN, project_id='c' * 32),
    make_class('service', '5' * 32, 'service', project_id='d' * 32),
    make_class('manager of the project', USER_ID, *_MANAGER, **_OWN_PROJECT),
    make_class('member of the project', USER_ID, *_MEMBER, **_OWN_PROJECT),
    make_class('reader of the project', USER_ID, 'reader', **_OWN_PROJECT),
    make_class(
        'member of the project, another user', _COLLEAGUE, *_MEMBER, **_OWN_PROJECT
    ),
    make_class(
        'reader of the project, another user', _COLLEAGUE, 'reader', **_OWN_PROJECT
    ),
    make_class('member of another project', _STRANGER, *_MEMBER, **_OTHER_PROJECT),
    make_class('reader of another project', _STRANGER, 'reader', **_OTHER_PROJECT),
    make_class('system admin', _OPERATOR, *_ADMIN, system=True),
    make_class('system reader', _OPERATOR, 'reader', system=True),
    make_class('domain admin', _OPERATOR, *_ADMIN, domain_id='default'),
    make_class('domain reader', _OPERATOR, 'reader', domain_id='default'),
    make_class('no roles', USER_ID, **_OWN_PROJECT),
    make_class('no project', USER_ID, *_MEMBER),
)

_PROVIDER_ID = '50000000-0000-4000-8000-000000000005'
_TYPE = 'INSTANCE'

_CONSUMER_IDS = types.MappingProxyType(
    {
        relation: f'{number}0000000-0000-4000-8000-00000000000{number}'
        for number, relation in enumerate(Relation, 1)
    }
)


def make_owners(project_id: str, user_id: str) -> KnownOwners:
    """One consumer for each relation but the unknown one.

    :param project_id: whose consumer is :attr:`Relation.OWNED`
    """
    owned = {
        Relation.OWNED: (project_id, user_id),
        Relation.FOREIGN: (FOREIGN_PROJECT_ID, FOREIGN_USER_ID),
        Relation.UNOWNED: (None, None),
    }
    return KnownOwners(
        {
            _CONSUMER_IDS[relation]: Owner(
                _CONSUMER_IDS[relation],
                OwnerStatus.RECORDED if ids[0] else OwnerStatus.UNOWNED,
                *ids,
                _TYPE,
                generation=1,
                has_allocations=True,
            )
            for relation, ids in owned.items()
        }
    )


_OWNERS = make_owners(PROJECT_ID, USER_ID)


def compute_access(
    rulebook: Rulebook,
    *,
    classes: Sequence[CallerClass] = CALLER_CLASSES,
    operations: Sequence[Operation] = model.OPERATIONS,
    conceal: bool = False,
    passage_role: str = 'consumer_guard_passage',
    nobodys_project_id: str = '00000000-0000-0000-0000-000000000000',
    owners: KnownOwners = _OWNERS,
    placement: PlacementRules | None = None,
) -> AccessTable:
    """Decide every operation for every caller class and relation.

    Writes keep the recorded owner (where there is none they claim the project
    of the table), carry the current generation, and all requests are of the
    latest microversion.

    :param rulebook: its remote checks are not called; they stay unknown
    :param conceal: ``denial = conceal``
    :param passage_role: '' when it is turned off
    :param owners: of :func:`make_owners`
    :param placement: its own rules; without them the answers are the guard's alone
    """
    # Security: remote checks are never called about invented owners.
    offline = rulebook.offline()
    authorizer = Authorizer(offline, owners, patience=math.inf)
    requests = {
        (operation, relation): make_cell_request(
            operation, relation, nobodys_project_id, owners
        )
        for operation in operations
        for relation in Relation
    }
    cells = {}
    for name, caller in classes:
        for (operation, relation), request in requests.items():
            decision = authorizer.authorize(request, caller)
            answer = prediction.predict(
                request, decision, conceal=conceal, passage_role=passage_role
            )
            cell = Cell(decision.outcome, decision.reason, answer)
            if decision.outcome is Outcome.FILTER:
                owner = owners.find((_CONSUMER_IDS[relation],))
                cell = _judge_listed(offline, operation, caller, owner)
            client = combine(placement, request, caller, cell.outcome, cell.answer)
            if client.decider is Decider.PLACEMENT:
                cell = cell._replace(answer=client.answer, placement_refuses=True)
            cells[name, operation.name, relation] = cell
    return cells


def _judge_listed(
    rulebook: Rulebook,
    operation: Operation,
    caller: Caller,
    owner: Mapping[str, Owner],
) -> Cell:
    """Whether a filtered list shows this consumer to the caller, and why."""

    def judge(target: Mapping[str, str], about: str) -> Ruling:
        truth = rulebook.judge(operation.rule, caller, target, final=True)
        return Ruling(operation.rule, about, truth, target)

    decision = ownership.conclude_recorded(owner, judge)
    listed = decision.outcome is Outcome.PASSAGE
    answer = prediction.LISTED if listed else prediction.NOT_LISTED
    return Cell(Outcome.FILTER, decision.reason, answer)


def make_cell_request(
    operation: Operation,
    relation: Relation,
    nobodys_project_id: str,
    owners: KnownOwners = _OWNERS,
) -> GuardedRequest:
    """The request that a cell is about."""
    uuid, own_uuid = _CONSUMER_IDS[relation], _CONSUMER_IDS[Relation.OWNED]
    owner, own = (owners.find((each,))[each] for each in (uuid, own_uuid))
    nobodys = nobodys_project_id if relation is Relation.UNOWNED else '9' * 32
    return make_owner_request(operation, owner, nobodys, own)


def make_owner_request(
    operation: Operation,
    owner: Owner,
    other_project_id: str,
    own: Owner | None = None,
) -> GuardedRequest:
    """The request about a consumer; a write keeps its owner and generation.

    :param other_project_id: whose sums are read where there is no owner
    :param own: whom a write names where there is no owner
    """
    path = operation.path.format(consumer_uuid=owner.consumer_uuid, uuid=_PROVIDER_ID)
    if operation.ownership is Ownership.SUMS:
        project_id = owner.project_id or other_project_id
        path += '?' + urllib.parse.urlencode(
            make_target(project_id=project_id, user_id=owner.user_id)
        )
    claim = simulation.make_claim(
        _PROVIDER_ID,
        owner.project_id or (own and own.project_id) or PROJECT_ID,
        owner.user_id or (own and own.user_id) or USER_ID,
        owner.generation,
        owner.consumer_type or _TYPE,
    )
    made = simulation.make_request(
        operation.method,
        path,
        microversion='latest',
        body=simulation.make_body(operation, {owner.consumer_uuid: claim}),
    )
    assert made is not None  # noqa: S101  # every operation has a route
    return made
