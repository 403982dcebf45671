# SPDX-License-Identifier: Apache-2.0
"""The vocabulary: frozen values, and the protocols between the parts.

Nothing here does I/O or knows HTTP, oslo or SQL.
"""

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

#: Every rule of ours starts with this (oslo.policy namespace).
NAMESPACE = 'consumer_guard:'

#: The keys that a policy target can have; the owner's in the order that lists need.
OWNER_KEYS = ('project_id', 'user_id', 'consumer_type')
TARGET_KEYS = ('consumer_uuid', *OWNER_KEYS)

#: Stands in for an id that must not be judged or sent; no id of keystone's.
PLACEHOLDER_ID = 'consumer-guard-nobody'

#: PUT and POST /allocations carry the consumer generation from 1.28.
GENERATION_IN_BODY = (1, 28)


class Truth(enum.IntEnum):
    """Kleene's three values; ``and`` is min, ``or`` is max, ``not`` is 2-x.

    ``UNKNOWN`` at the end of a decision refuses.
    """

    NO = 0
    UNKNOWN = 1
    YES = 2


class Ownership(enum.Enum):
    """What owning a consumer can allow at all for an operation."""

    READ = enum.auto()  #: one consumer, read
    SUMS = enum.auto()  #: sums of a project, read; the target is in the query
    FILTER = enum.auto()  #: a list of many owners' consumers, filtered
    SEALED_WRITE = enum.auto()  #: existing consumers, body generation = judged
    NEVER = enum.auto()  #: nothing can seal it, or it has no owner


# Compared by identity: there are seven, and every request compares them.
@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One of the seven guarded operations.

    :ivar name: the rule's name without the namespace
    :ivar method: the HTTP method, exactly as placement routes it
    :ivar path: placement's route template
    :ivar ownership: what ownership can allow at all
    """

    name: str
    method: str
    path: str
    ownership: Ownership

    @property
    def rule(self) -> str:
        """The registered rule that decides this operation."""
        return NAMESPACE + self.name

    @property
    def writes(self) -> bool:
        """Whether the operation can change or remove a consumer."""
        return self.method != 'GET'


ALLOCATIONS_LIST = Operation(
    'allocations:list', 'GET', '/allocations/{consumer_uuid}', Ownership.READ
)
ALLOCATIONS_UPDATE = Operation(
    'allocations:update', 'PUT', '/allocations/{consumer_uuid}', Ownership.SEALED_WRITE
)
ALLOCATIONS_DELETE = Operation(
    'allocations:delete', 'DELETE', '/allocations/{consumer_uuid}', Ownership.NEVER
)
ALLOCATIONS_MANAGE = Operation(
    'allocations:manage', 'POST', '/allocations', Ownership.SEALED_WRITE
)
PROVIDER_ALLOCATIONS_LIST = Operation(
    'resource_providers:allocations:list',
    'GET',
    '/resource_providers/{uuid}/allocations',
    Ownership.FILTER,
)
USAGES = Operation('usages', 'GET', '/usages', Ownership.SUMS)
RESHAPE = Operation('reshaper:reshape', 'POST', '/reshaper', Ownership.NEVER)

OPERATIONS = (
    ALLOCATIONS_LIST,
    ALLOCATIONS_UPDATE,
    ALLOCATIONS_DELETE,
    ALLOCATIONS_MANAGE,
    PROVIDER_ALLOCATIONS_LIST,
    USAGES,
    RESHAPE,
)


class OwnerStatus(enum.Enum):
    """What the database says of a consumer id; never guessed.

    A failed look-up is not a status but
    :class:`consumer_guard.guard.errors.OwnersUnavailable`.
    """

    RECORDED = 'recorded'  #: a consumers row with a real project
    UNOWNED = 'nobody'  #: no project, the incomplete one, or no consumers row
    ABSENT = 'absent'  #: neither a consumers row nor allocations


class Owner(NamedTuple):
    """The recorded owner of one consumer, as one look-up saw it.

    :ivar consumer_uuid: the id exactly as it was requested
    :ivar project_id: keystone's id of the project, None unless RECORDED
    :ivar user_id: keystone's id of the user; None when unknown
    :ivar consumer_type: name of the type (microversion 1.38); None when unset
    :ivar generation: the consumer generation; None when there is no row
    :ivar row_id: primary key of the consumers row, tells a re-created
        consumer from the same one; None when there is no row
    :ivar has_allocations: whether allocations exist; a row without any can
        change its owner without its generation moving
    """

    consumer_uuid: str
    status: OwnerStatus
    project_id: str | None = None
    user_id: str | None = None
    consumer_type: str | None = None
    generation: int | None = None
    row_id: int | None = None
    has_allocations: bool = False

    def target(self) -> dict[str, str]:
        """The target of a policy check: only the attributes that are known."""
        return make_target(**{key: getattr(self, key) for key in TARGET_KEYS})


def make_target(**attributes: str | None) -> dict[str, str]:
    """A policy target without the attributes that are None or empty.

    Security: an absent key makes its check unknown, so None and '' never
    reach a comparison (oslo.policy calls None and None equal).
    """
    return {name: value for name, value in attributes.items() if value}


#: What a claim may name beside what is recorded, by target key.
Claimable = Mapping[str, Collection[str | None]]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a body says of one consumer.

    :ivar consumer_uuid: the id, from the path or the body's key, raw
    :ivar generation: ``consumer_generation`` as parsed (1.28 or later)
    :ivar empties: whether the write leaves the consumer without allocations
    """

    consumer_uuid: str
    project_id: str | None
    user_id: str | None
    consumer_type: str | None
    generation: float | None
    empties: bool

    def target(self) -> dict[str, str]:
        """The claimed owner as the target of a policy check."""
        return make_target(**{key: getattr(self, key) for key in TARGET_KEYS})

    def adds_to(self, owner: Owner, claimable: Claimable) -> bool:
        """Whether it names something else than what is recorded or claimable."""
        recorded = owner.target()
        return any(
            value != recorded.get(key) and value not in claimable.get(key, ())
            for key, value in self.target().items()
        )


class Body(NamedTuple):
    """A body that was read.

    :ivar document: as placement's own parser read it
    :ivar claims: one a consumer
    """

    document: Any
    claims: tuple[Claim, ...]


class Caller(NamedTuple):
    """Who asks, from a proven identity only.

    :ivar credentials: what policy checks compare with, the keys of
        ``oslo_context.RequestContext.to_policy_values`` and ``system``
    :ivar roles: the roles, lower-cased as oslo.policy compares them
    :ivar scope: ``project``, ``domain`` or ``system``
    """

    credentials: Mapping[str, Any]
    roles: frozenset[str]
    scope: str
    request_id: str
    global_request_id: str | None = None


class Ruling(NamedTuple):
    """One rule judged on one target.

    :ivar about: 'caller', 'recorded owner', 'claimed owner' or 'asked owner'
    :ivar target: what the rule was judged on; empty while the owner is unknown
    """

    rule: str
    about: str
    truth: Truth
    target: Mapping[str, str]


class OwnerLookup(Protocol):
    """A source of recorded owners; drivers are chosen by name.

    A driver is made before the server forks and must open no connection
    and start no thread until the first :meth:`find`.
    """

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        """Look up all the ids at once.

        :param consumer_ids: raw ids, any text
        :returns: an :class:`Owner` for every id, compared byte for
            byte; :attr:`OwnerStatus.ABSENT` where there is none
        :raises consumer_guard.guard.errors.OwnersUnavailable: the source did not
            answer in time, or not with what it should
        """

    def close(self) -> None:
        """Give back every connection."""


@runtime_checkable
class OwnerGroups(Protocol):
    """A look-up that knows the owners of a list's consumers at less cost."""

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        """Look up all the ids, and bring those of one owner together.

        :param consumer_ids: raw ids of consumers that have allocations; any number,
            so that a driver had better look up and yield a part at a time
        :param keys: the target keys that matter, without ``consumer_uuid``
        :returns: policy targets with at least ``project_id`` and those of the
            keys that are recorded, and the ids of each, compared byte for
            byte; an id that is nobody's is in none
        :raises consumer_guard.guard.errors.OwnersUnavailable: see
            :meth:`OwnerLookup.find`
        """


@runtime_checkable
class ConsumerTypes(Protocol):
    """A look-up that knows which consumer types there are."""

    def find_types(self, names: Collection[str]) -> Collection[str]:
        """Which of these names, any text, are types; compared byte for byte.

        :raises consumer_guard.guard.errors.OwnersUnavailable: see
            :meth:`OwnerLookup.find`
        """
