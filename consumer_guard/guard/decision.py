# SPDX-License-Identifier: Apache-2.0
"""A decision as a value: what is to be done with a request, and why."""

import enum
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from consumer_guard.guard import errors
from consumer_guard.guard.model import Body, Owner, Ruling

#: placement/errors.py, DEFAULT and CONCURRENT_UPDATE.
UNDEFINED_CODE = 'placement.undefined_code'
CONCURRENT_UPDATE = 'placement.concurrent_update'


class Outcome(enum.Enum):
    """What is to be done with a request."""

    ROLE = enum.auto()  #: allowed whoever owns it: forward untouched
    PASSAGE = enum.auto()  #: allowed by ownership: forward with the passage role
    FILTER = enum.auto()  #: allowed, and only the visible part of the answer
    REFUSE = enum.auto()


class Reason(enum.Enum):
    """Why; the words stand in audit records."""

    ROLE = 'the rule allows the caller whoever the owner is'
    OWNER = 'the rule allows the caller for this owner'
    DENIED = 'the rule denies the caller whoever the owner is'
    NOT_ALLOWED = 'the rule does not allow the caller for this owner'
    NOT_THE_CLAIMED = 'the rule does not allow the caller for the claimed owner'
    UNOWNED = 'the consumer has no owner'
    ABSENT = 'the consumer is not recorded'
    NEW_NAMES = 'the claim names a project, user or type that it may not add'
    NO_ALLOCATIONS = 'the consumer holds no allocations'
    NEVER = 'ownership never allows this operation'
    NO_SEAL = 'the microversion carries no consumer generation'
    EMPTIES = 'ownership never allows a write that leaves no allocations'
    GENERATION = 'the generation in the body is not the current one'
    SPENT = 'the generation of a consumer is spent'
    LOST_SWAP = 'another write came before the generation could be moved'
    NO_SEAL_STORE = 'the generation cannot be moved, so nothing seals the write'
    UNREADABLE = 'what ownership would decide is not canonical or not readable'
    TOO_LARGE = 'the body is too large'
    UNAVAILABLE = 'the owner could not be looked up'
    LOCKED = 'there are no usable policy files'
    NO_IDENTITY = 'there is no proven identity'
    FAULT = 'the guard failed'
    MICROVERSION = "the microversion is not one of placement's"


class Phase(enum.Enum):
    """Where in the way of a request a reason arises."""

    IDENTITY = enum.auto()
    PRELIMINARY = enum.auto()  #: the rule with the owner unknown
    OBSTACLE = enum.auto()  #: what no owner can overcome
    GATHER = enum.auto()  #: body and recorded owners
    CONCLUDE = enum.auto()  #: the rule on every recorded and claimed owner
    OBLIGATIONS = enum.auto()  #: what an allowed write owes


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from a reason.

    :ivar phase: the first phase in which it arises
    :ivar status: HTTP status of the refusal; 200 where nothing is refused
    :ivar hint: appended to the refusal, for the client. Security: the same for
        every owner but the caller
    :ivar by_rule: whether the operator's rule decides, so that another rule may
        decide otherwise
    :ivar may_conceal: whether ``denial = conceal`` may hide the refusal of a
        read that depends on the owner
    :ivar code: of placement's JSON error (microversion 1.23 or later)
    :ivar error: the exception that stands for it; its text replaces the hint
    """

    phase: Phase
    status: int
    hint: str = ''
    by_rule: bool = False
    may_conceal: bool = False
    code: str = UNDEFINED_CODE
    error: type[errors.RequestError] | None = None


_ROLE_ONLY = 'This operation requires a role; ownership is not sufficient.'
# Nova looks for "consumer generation conflict" and the code, and stops cleanly.
_CONFLICT = 'consumer generation conflict - '

#: Every reason and what follows from it.
CONSEQUENCES: Mapping[Reason, Consequence] = types.MappingProxyType(
    {
        Reason.NO_IDENTITY: Consequence(Phase.IDENTITY, 401, 'No proven identity.'),
        Reason.FAULT: Consequence(
            Phase.IDENTITY, 503, 'The request cannot be authorized now; try again.'
        ),
        Reason.ROLE: Consequence(Phase.PRELIMINARY, 200, by_rule=True),
        Reason.DENIED: Consequence(Phase.PRELIMINARY, 403, by_rule=True),
        Reason.LOCKED: Consequence(Phase.PRELIMINARY, 503, error=errors.PolicyLocked),
        Reason.NEVER: Consequence(Phase.OBSTACLE, 403, _ROLE_ONLY),
        Reason.EMPTIES: Consequence(Phase.GATHER, 403, _ROLE_ONLY),
        Reason.MICROVERSION: Consequence(Phase.OBSTACLE, 403),
        Reason.NO_SEAL: Consequence(
            Phase.OBSTACLE,
            403,
            'Owners may only PUT or POST allocations with microversion 1.28 or later.',
        ),
        Reason.UNREADABLE: Consequence(Phase.OBSTACLE, 400, error=errors.Unreadable),
        Reason.TOO_LARGE: Consequence(Phase.GATHER, 413, error=errors.TooLarge),
        Reason.UNAVAILABLE: Consequence(
            Phase.GATHER, 503, error=errors.OwnersUnavailable
        ),
        Reason.OWNER: Consequence(Phase.CONCLUDE, 200, by_rule=True),
        Reason.NOT_ALLOWED: Consequence(
            Phase.CONCLUDE, 403, by_rule=True, may_conceal=True
        ),
        Reason.UNOWNED: Consequence(Phase.CONCLUDE, 403, may_conceal=True),
        Reason.ABSENT: Consequence(Phase.CONCLUDE, 403, may_conceal=True),
        Reason.NO_ALLOCATIONS: Consequence(Phase.CONCLUDE, 403),
        Reason.NOT_THE_CLAIMED: Consequence(Phase.CONCLUDE, 403, by_rule=True),
        Reason.NEW_NAMES: Consequence(
            Phase.CONCLUDE,
            403,
            'Owners may keep the recorded values, or set their own project and user '
            'and an existing consumer type.',
        ),
        Reason.GENERATION: Consequence(
            Phase.CONCLUDE,
            409,
            f'{_CONFLICT}the given generation is not the current one; read the '
            'consumer again',
            code=CONCURRENT_UPDATE,
        ),
        Reason.NO_SEAL_STORE: Consequence(
            Phase.OBLIGATIONS,
            503,
            'Writes by owners are not available; contact the operator.',
        ),
        Reason.SPENT: Consequence(
            Phase.OBLIGATIONS,
            409,
            f'{_CONFLICT}the generation of a consumer is spent; delete the '
            'allocations, or have the operator run: consumer-guard generation roll',
            code=CONCURRENT_UPDATE,
        ),
        Reason.LOST_SWAP: Consequence(
            Phase.OBLIGATIONS,
            409,
            f'{_CONFLICT}another write came first; read the consumer again',
            code=CONCURRENT_UPDATE,
        ),
    }
)


class Decision(NamedTuple):
    """All rulings of a request and what follows from them.

    Security: one that says nothing refuses.

    :ivar depends: whether the rule left it open until the owner was known;
        only then may a refusal be concealed
    :ivar error: what stopped the decision, its text is for the client
    :ivar owners: what was looked up, by id
    :ivar body: what was read of the body of a write
    :ivar rules: the snapshot of the rules that decided, for records; None where
        there was none
    """

    outcome: Outcome = Outcome.REFUSE
    reason: Reason = Reason.FAULT
    depends: bool = False
    rulings: tuple[Ruling, ...] = ()
    owners: Mapping[str, Owner] | None = None
    error: errors.RequestError | None = None
    body: Body | None = None
    rules: object | None = None


def find_reason(error: errors.RequestError) -> Reason:
    """The reason that an error stands for.

    :raises KeyError: none, which the caller answers with 503
    """
    return {each.error: reason for reason, each in CONSEQUENCES.items()}[type(error)]
