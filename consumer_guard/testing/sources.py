# SPDX-License-Identifier: Apache-2.0
"""What a driver under test reads, and ids that sources may confuse."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

#: Project and user of consumers without an owner, in the settings of every driver.
NOBODY = '00000000-0000-0000-0000-000000000000'


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a source holds of one consumer.

    :ivar project_id: None: the project that the record refers to is missing
    :ivar user_id: as for the project
    :ivar allocations: how many
    :ivar recorded: False: there are only the allocations
    """

    uuid: str
    project_id: str | None = 'project-a'
    user_id: str | None = 'user-a'
    consumer_type: str | None = None
    generation: int = 1
    allocations: int = 1
    recorded: bool = True


class OwnerSource(Protocol):
    """What the driver under test reads. It may hold other consumers, too."""

    def add(self, consumer: Consumer) -> None:
        """Add a consumer, or only allocations; its id may be any text."""

    def change(self, consumer: Consumer) -> None:
        """Change project and generation of a recorded consumer."""

    # Any: the driver may be more than an OwnerLookup.
    def make_driver(self) -> Any:
        """Make a driver that is patient and has :data:`NOBODY` in its settings."""

    def make_stray_driver(self) -> Any:
        """Make a driver whose source does not answer, with a short time-out."""


def make_id() -> str:
    """A new id with letters, so that it has another case, and with an ``e``."""
    return 'ce' + str(uuid.uuid4())[2:]


def _accent(id_: str) -> str:
    return id_.replace('e', '\xe9', 1)


def _append_blank(id_: str) -> str:
    return id_ + ' '


Rename = Callable[[str], str]

#: Other ids, which a source can hold, and may call equal to the first.
LOOKALIKES: tuple[Rename, ...] = (str.upper, _accent, _append_blank)

#: Other ids.
OTHER_IDS: tuple[Rename, ...] = (
    *LOOKALIKES,
    lambda id_: id_ + '\n',
    lambda id_: ' ' + id_,
    lambda id_: id_ + '\0',
    lambda id_: id_.replace('-', ''),
    lambda id_: '{' + id_ + '}',
    lambda id_: 'urn:uuid:' + id_,
    lambda id_: id_.replace('e', '\uff45', 1),
    lambda id_: id_[:-1] + '\ud800',
    lambda id_: id_[:-1] + '%',
    lambda id_: id_[:-1] + '_',
    lambda id_: id_ + '%',
    lambda id_: id_ + "' OR '1'='1",
    lambda id_: id_ + "\\' OR 1=1 -- ",
    lambda id_: id_ + '\\',
    lambda id_: f'["{id_}"]',
    lambda id_: id_ + '-' * 200_000,
    lambda _: '-' * 255,
    lambda _: "' OR 1=1 --",
    lambda _: '"; DROP TABLE consumers; --',
    lambda _: '[1, 2]',
    lambda _: 'null',
    lambda _: '\0',
    lambda _: '\u2028',
    lambda _: '',
)
