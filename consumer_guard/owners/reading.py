# SPDX-License-Identifier: Apache-2.0
"""From the rows of an answer to owners. Pure.

Security: ids are compared by Python's equality, byte for byte. A database's
ignores case, accents or trailing blanks, and would give one id's owner to
another.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard.model import OWNER_KEYS, Owner, OwnerStatus
from consumer_guard.owners.statements import Row

#: In the place of a row that there is not.
_NOTHING = Row('', 0, 0, 'nobody', 'nobody', None, None)


class UnexpectedAnswer(Exception):
    """The database answered with what placement's schema cannot hold."""


@dataclass(frozen=True, slots=True)
class OwnerReader:
    """Knows which ids mean that there is no owner."""

    nobodys_project_id: str
    nobodys_user_id: str

    def read(self, ids: Collection[str], rows: Iterable[Any]) -> dict[str, Owner]:
        """An owner for each id.

        :param rows: see :class:`Row`
        :raises UnexpectedAnswer: an id has two consumers, or a column holds
            what it cannot
        """
        # What a row has none of is kept under None, which is no id.
        recorded: dict[str | None, Row] = {}
        holders: set[str | None] = set()
        for row in map(Row._make, rows):
            holders.add(row.holder)
            # One row may come twice, for two ids that the database calls equal.
            if recorded.setdefault(row.uuid, row).row_id != row.row_id:
                raise UnexpectedAnswer('two consumers with the same id')
        return {id_: self._owner(id_, recorded.get(id_), id_ in holders) for id_ in ids}

    def group(
        self, ids: Iterable[str], rows: Iterable[Any]
    ) -> list[tuple[Mapping[str, str], Collection[str]]]:
        """The consumers, by what is recorded of their owners.

        :param rows: see :class:`consumer_guard.owners.statements.Queries`, ``groups``
        :returns: policy targets without an id, and the consumers of each; those
            without an owner are left out
        :raises UnexpectedAnswer: see :meth:`read`; the answer is not complete
        """
        ((text, count),) = rows
        values = json.loads(text or '[]')
        width = len(values) // count if count else 2
        # Security: of an answer that was cut, values would belong to others.
        if len(values) != count * width:
            raise UnexpectedAnswer('an incomplete list of ids')
        _require_texts(values)
        uuids = values[::width]
        owners = [*zip(*(values[n::width] for n in range(1, width)), strict=True)]
        recorded = dict(zip(uuids, owners, strict=True))
        # One row may come twice, for two ids that the database calls equal.
        if len(recorded) < count and [recorded[uuid] for uuid in uuids] != owners:
            raise UnexpectedAnswer('two consumers with the same id')
        owned: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
        for id_ in ids:
            if id_ in recorded:
                owned[recorded[id_]].append(id_)
        groups = [(self._target(*owner), some) for owner, some in owned.items()]
        return [group for group in groups if 'project_id' in group[0]]

    def _target(
        self, project: Any, user: Any = None, kind: Any = None
    ) -> dict[str, str]:
        target = {}
        if project and project != self.nobodys_project_id:
            target['project_id'] = project
        if user and user != self.nobodys_user_id:
            target['user_id'] = user
        if kind:
            target['consumer_type'] = kind
        return target

    def _owner(self, id_: str, row: Row | None, holds: bool) -> Owner:
        # Security: the same steps where nothing is recorded, which their time would
        # tell.
        owner = self._make_owner(id_, row or _NOTHING, holds)
        if row is not None:
            return owner
        status = OwnerStatus.UNOWNED if holds else OwnerStatus.ABSENT
        return Owner(id_, status, has_allocations=holds)

    def _make_owner(self, id_: str, row: Row, holds: bool) -> Owner:
        if type(row.row_id) is not int or type(row.generation) is not int:
            raise UnexpectedAnswer('a column of an unexpected type')
        _require_texts((row.project, row.user, row.type_name))
        project = row.project or None
        if project == self.nobodys_project_id:
            project = None
        user = row.user or None
        if user == self.nobodys_user_id:
            user = None
        return Owner(
            id_,
            OwnerStatus.RECORDED if project else OwnerStatus.UNOWNED,
            project,
            user,
            row.type_name or None,
            row.generation,
            row.row_id,
            holds,
        )


def count_references(keys: Collection[str]) -> int:
    """How many of :data:`model.OWNER_KEYS` a rule that reads these target keys needs."""
    return max([1, *(OWNER_KEYS.index(key) + 1 for key in keys if key in OWNER_KEYS)])


def _require_texts(values: Iterable[Any]) -> None:
    """Refuse what placement's columns cannot hold.

    Security: a value of another type would reach the rules as text and be
    compared there.
    """
    if not {*map(type, values)} <= {str, type(None)}:
        raise UnexpectedAnswer('a column of an unexpected type')
