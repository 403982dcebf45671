# SPDX-License-Identifier: Apache-2.0
"""All that the author of a driver imports.

A driver is an entry point of the group ``consumer_guard.owner_lookup``: a callable
that takes an :class:`OwnerLookupSettings` and returns an :class:`OwnerLookup`.
"""

from dataclasses import dataclass, field

from consumer_guard.generations.store import GenerationStore, Judged, Swap
from consumer_guard.guard.errors import ConfigurationError, OwnersUnavailable
from consumer_guard.guard.model import (
    ConsumerTypes,
    Owner,
    OwnerGroups,
    OwnerLookup,
    OwnerStatus,
)

__all__ = [
    'ConfigurationError',
    'ConsumerTypes',
    'GenerationStore',
    'Judged',
    'Owner',
    'OwnerGroups',
    'OwnerLookup',
    'OwnerLookupSettings',
    'OwnerStatus',
    'OwnersUnavailable',
    'Swap',
]


@dataclass(frozen=True, slots=True)
class OwnerLookupSettings:
    """The settings of a driver.

    :ivar connection: SQLAlchemy URL of placement's database, with its password
    :ivar timeout: seconds; bounds each of waiting for a connection of the pool,
        connecting, and the statement
    :ivar pool_size: the most connections held at a time, at least 1
    :ivar nobodys_project_id: the project id of consumers without an owner
    :ivar nobodys_user_id: the user id of consumers without an owner
    """

    # Security: settings end up in tracebacks and debug logs, the URL must not.
    connection: str = field(repr=False)
    timeout: float
    pool_size: int
    nobodys_project_id: str
    nobodys_user_id: str
