# SPDX-License-Identifier: Apache-2.0
"""What a driver may offer beside the look-up of each consumer."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class OwnerGroups(Protocol):
    """A look-up that can tell the owners of a list's consumers at less cost."""

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        """Look up all the ids at once, and bring those of one owner together.

        :param consumer_ids: raw ids of consumers that have allocations
        :param keys: the target keys that matter, without ``consumer_uuid``
        :returns: policy targets with at least ``project_id`` and those of the
            keys that are recorded, and the ids of each, compared byte for
            byte; an id that is nobody's is in none
        :raises consumer_guard.guard.errors.OwnersUnavailable: see
            :meth:`consumer_guard.guard.model.OwnerLookup.find`
        """
