# SPDX-License-Identifier: Apache-2.0
"""A decision as a value: what is to be done with a request, and why."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

from consumer_guard.guard.claims import Body
from consumer_guard.guard.errors import RequestError
from consumer_guard.guard.model import Owner, Ruling


class Outcome(enum.Enum):
    """What is to be done with a request."""

    ROLE = 'role'  #: allowed whoever owns it: forward untouched
    PASSAGE = 'passage'  #: allowed by ownership: forward with the passage role
    FILTER = 'filter'  #: allowed, and only the visible part of the answer
    REFUSE = 'refuse'


class Reason(enum.Enum):
    """Why; the words stand in audit records."""

    ROLE = 'the rule allows the caller whoever the owner is'
    OWNER = 'the rule allows the caller for this owner'
    DENIED = 'the rule denies the caller whoever the owner is'
    NOT_ALLOWED = 'the rule does not allow the caller for this owner'
    NOT_THE_CLAIMED = 'the rule does not allow the caller for the claimed owner'
    UNOWNED = "the consumer is nobody's"
    ABSENT = 'the consumer is not recorded'
    NO_ALLOCATIONS = 'the consumer holds no allocations'
    NEVER = 'ownership never allows this operation'
    NO_SEAL = 'the microversion carries no consumer generation'
    GENERATION = 'the generation in the body is not the judged one'
    SPENT = 'the generation of a consumer is spent'
    LOST_ROLL = 'another write rolled the generation first'
    UNREADABLE = 'what only ownership could decide is not canonical or not readable'
    TOO_LARGE = 'the body is too large'
    UNAVAILABLE = 'the owner could not be looked up'
    LOCKED = 'there are no usable policy files'
    NO_IDENTITY = 'there is no proven identity'
    FAULT = 'the guard failed'
    MICROVERSION = "the microversion is not one of placement's"


class Decision(NamedTuple):
    """All rulings of a request and what follows from them.

    :ivar depends: whether the rule left it open until the owner was known;
        only then may a refusal be concealed
    :ivar error: what stopped the decision, its text is for the client
    :ivar owners: what was looked up, by id
    :ivar body: what was read of the body
    """

    outcome: Outcome
    reason: Reason
    depends: bool = False
    rulings: tuple[Ruling, ...] = ()
    owners: Mapping[str, Owner] | None = None
    error: RequestError | None = None
    body: Body | None = None
