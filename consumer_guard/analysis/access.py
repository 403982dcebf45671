# SPDX-License-Identifier: Apache-2.0
"""Who may do what, over all caller classes: a pure function of the rules.

Each cell is a decision of the authorizer on a made request
about an invented consumer; no database and no placement is asked.
"""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumer_guard.analysis import prediction, simulation
from consumer_guard.analysis.callers import CALLER_CLASSES as CALLER_CLASSES
from consumer_guard.analysis.callers import (
    FOREIGN_PROJECT_ID,
    FOREIGN_USER_ID,
    PROJECT_ID,
    USER_ID,
)
from consumer_guard.analysis.callers import CallerClass as CallerClass
from consumer_guard.analysis.simulation import KnownOwners
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.guard.model import (
    Caller,
    Operation,
    Owner,
    Ownership,
    OwnerStatus,
)
from consumer_guard.guard.request import (
    GuardedRequest,
)
from consumer_guard.rules.rulebook import Rulebook

_PROVIDER = '50000000-0000-4000-8000-000000000005'
_GENERATION = 1
_TYPE = 'INSTANCE'
#: Seconds; nothing is asked, so it never ends.
_PATIENCE = 3600.0


class Relation(enum.Enum):
    """Whose consumer it is, as seen from the project of the table."""

    OWNED = 'owned'  #: the project's
    FOREIGN = 'foreign'  #: another project's, which no row is of
    UNKNOWN = 'unknown'  #: not recorded
    UNOWNED = "nobody's"  #: recorded without a real project


@dataclass(frozen=True, slots=True)
class Cell:
    """What becomes of one request.

    :ivar outcome: FILTER stands for a list; ``reason`` tells of this consumer
        in it
    :ivar answer: what the client gets, in one line
    """

    outcome: Outcome
    reason: Reason
    answer: str

    @property
    def allowed(self) -> bool:
        """Whether the guard lets the caller have it."""
        return self.outcome is not Outcome.REFUSE and self.reason in (
            Reason.ROLE,
            Reason.OWNER,
        )


Key = tuple[str, str, Relation]
#: By name of the caller class, name of the operation, relation; in that order.
Survey = Mapping[Key, Cell]

_CONSUMERS = {
    relation: f'{number}0000000-0000-4000-8000-00000000000{number}'
    for number, relation in enumerate(Relation, 1)
}

_OWNERS = {
    owner.consumer_uuid: owner
    for owner in (
        Owner(
            _CONSUMERS[Relation.OWNED],
            OwnerStatus.RECORDED,
            PROJECT_ID,
            USER_ID,
            _TYPE,
            _GENERATION,
            1,
            True,
        ),
        Owner(
            _CONSUMERS[Relation.FOREIGN],
            OwnerStatus.RECORDED,
            FOREIGN_PROJECT_ID,
            FOREIGN_USER_ID,
            _TYPE,
            _GENERATION,
            2,
            True,
        ),
        Owner(
            _CONSUMERS[Relation.UNOWNED],
            OwnerStatus.UNOWNED,
            generation=_GENERATION,
            row_id=3,
            has_allocations=True,
        ),
    )
}

#: Whose sums are asked for, where the operation has no consumer.
_ASKED = {
    Relation.OWNED: f'project_id={PROJECT_ID}&user_id={USER_ID}',
    Relation.FOREIGN: f'project_id={FOREIGN_PROJECT_ID}&user_id={FOREIGN_USER_ID}',
    Relation.UNKNOWN: f'project_id={"9" * 32}',
    Relation.UNOWNED: 'project_id={nobodys}',
}


def survey(
    rulebook: Rulebook,
    *,
    classes: Sequence[CallerClass] = CALLER_CLASSES,
    operations: Sequence[Operation] = model.OPERATIONS,
    conceal: bool = False,
    passage_role: str = 'consumer_guard_passage',
    nobodys_project_id: str = '00000000-0000-0000-0000-000000000000',
) -> Survey:
    """Decide every operation for every caller class and relation.

    Writes keep the recorded owner (where there is none they claim the project
    of the table), carry the current generation, and all requests are of the
    latest microversion.

    :param rulebook: its remote checks are not called; they stay unknown
    :param conceal: ``denial = conceal``
    :param passage_role: '' when it is turned off
    """
    # Security: remote checks are never called about invented owners.
    authorizer = Authorizer(
        rulebook.offline(), KnownOwners(_OWNERS), patience=_PATIENCE
    )
    cells = {}
    for one in classes:
        for operation in operations:
            for relation in Relation:
                request = make_cell_request(operation, relation, nobodys_project_id)
                decision = authorizer.authorize(request, one.caller)
                answer = prediction.predict(
                    request, decision, conceal=conceal, passage_role=passage_role
                )
                cell = Cell(decision.outcome, decision.reason, answer)
                if decision.outcome is Outcome.FILTER:
                    cell = _look_into_list(authorizer, request, one.caller, relation)
                cells[one.name, operation.name, relation] = cell
    return cells


def _look_into_list(
    authorizer: Authorizer, request: GuardedRequest, caller: Caller, relation: Relation
) -> Cell:
    """What a filtered list tells the caller of this consumer."""
    uuid = _CONSUMERS[relation]
    if authorizer.find_visible(request, caller, (uuid,)):
        return Cell(Outcome.FILTER, Reason.OWNER, prediction.LISTED)
    reason = {Relation.UNKNOWN: Reason.ABSENT, Relation.UNOWNED: Reason.UNOWNED}.get(
        relation, Reason.NOT_ALLOWED
    )
    return Cell(Outcome.FILTER, reason, prediction.NOT_LISTED)


def make_cell_request(
    operation: Operation, relation: Relation, nobodys_project_id: str
) -> GuardedRequest:
    """The request that a cell is about, as the guard takes it in."""
    uuid = _CONSUMERS[relation]
    path = operation.path.format(consumer_uuid=uuid, uuid=_PROVIDER)
    if operation.ownership is Ownership.SUMS:
        path += '?' + _ASKED[relation].format(nobodys=nobodys_project_id)
    body = b''
    if operation.method in ('PUT', 'POST'):
        body = json.dumps(_make_body(operation, relation)).encode()
    made = simulation.make_request(
        operation.method, path, microversion='latest', body=body
    )
    assert made is not None  # noqa: S101  # every operation has a route
    return made


def _make_body(operation: Operation, relation: Relation) -> dict[str, Any]:
    uuid = _CONSUMERS[relation]
    owner = _OWNERS.get(uuid)
    claim = {
        'allocations': {_PROVIDER: {'resources': {'VCPU': 1}}},
        'project_id': (owner and owner.project_id) or PROJECT_ID,
        'user_id': (owner and owner.user_id) or USER_ID,
        'consumer_generation': owner and owner.generation,
        'consumer_type': _TYPE,
    }
    if operation is model.ALLOCATIONS_UPDATE:
        return claim
    if operation is model.RESHAPE:
        return {'inventories': {}, 'allocations': {uuid: claim}}
    return {uuid: claim}
