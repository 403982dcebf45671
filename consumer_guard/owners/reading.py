# SPDX-License-Identifier: Apache-2.0
"""From the rows of an answer to owners. Pure.

Security: ids are compared by Python's equality, byte for byte. A database's
ignores case, accents or trailing blanks, and would give one id's owner to
another.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard.model import Owner, OwnerStatus, make_target
from consumer_guard.owners.statements import Row

#: What is recorded of an owner, as target keys; a list asks for the first ones.
SAID = ('project_id', 'user_id', 'consumer_type')


class UnexpectedAnswer(Exception):
    """The database answered with what placement's schema cannot hold."""


@dataclass(frozen=True, slots=True)
class OwnerReader:
    """Knows which ids mean "nobody's"."""

    nobodys_project_id: str
    nobodys_user_id: str

    def read(self, ids: Collection[str], rows: Iterable[Any]) -> dict[str, Owner]:
        """An owner for each id asked.

        :param rows: as :class:`Row` says
        :raises UnexpectedAnswer: an id has two consumers, or a column holds
            what it cannot
        """
        recorded: dict[str, Row] = {}
        holders: set[str] = set()
        for row in map(Row._make, rows):
            if row.holder is not None:
                holders.add(row.holder)
            if row.uuid is None:
                continue
            # One row may come twice, for two spellings that were asked for.
            if recorded.setdefault(row.uuid, row).row_id != row.row_id:
                raise UnexpectedAnswer('two consumers of one id')
        return {id_: self._owner(id_, recorded.get(id_), id_ in holders) for id_ in ids}

    def group(
        self,
        asked: Iterable[str],
        rows: Iterable[Any],
        gathered: Callable[[Any], Iterable[Any]],
    ) -> list[tuple[Mapping[str, str], Collection[str]]]:
        """The consumers asked for, by what is recorded of their owners.

        :param rows: uuids, then some of :data:`SAID`, in that order
        :param gathered: the uuids of a row's first column
        :returns: policy targets without an id, and the consumers of each;
            nobody's are left out
        :raises UnexpectedAnswer: see :meth:`read`
        """
        # Of the rows nothing is kept but one of the facts that are the same: the
        # ids are the very ones that were asked for.
        own = {uuid: uuid for uuid in asked}
        said: defaultdict[Any, list[str]] = defaultdict(list)
        for row in rows:
            said[row[1:]] += filter(None, map(own.get, gathered(row[0])))
        # One row may come twice, for two spellings that were asked for.
        once = {facts: tuple({*uuids}) for facts, uuids in said.items()}
        if sum(map(len, once.values())) > len(set[str]().union(*once.values())):
            raise UnexpectedAnswer('two consumers of one id')
        groups = [(self._target(*facts), uuids) for facts, uuids in once.items()]
        return [group for group in groups if 'project_id' in group[0]]

    def _target(
        self, project: Any, user: Any = None, kind: Any = None
    ) -> dict[str, str]:
        _check(project, user, kind)
        if project == self.nobodys_project_id:
            project = None
        if user == self.nobodys_user_id:
            user = None
        return make_target(project_id=project, user_id=user, consumer_type=kind)

    def _owner(self, id_: str, row: Row | None, holds: bool) -> Owner:
        if row is None:
            standing = OwnerStatus.UNOWNED if holds else OwnerStatus.ABSENT
            return Owner(id_, standing, has_allocations=holds)
        if type(row.row_id) is not int or type(row.generation) is not int:
            raise UnexpectedAnswer('a column of another type')
        _check(row.project, row.user, row.type_name)
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


def count_said(keys: Collection[str]) -> int:
    """How many of :data:`SAID` a rule that reads these target keys needs."""
    return max([1, *(SAID.index(key) + 1 for key in keys if key in SAID)])


def _check(*texts: Any) -> None:
    """Refuse what placement's columns cannot hold.

    Security: a value of another type would reach the rules as text and be
    compared there.
    """
    for text in texts:
        if text is not None and not isinstance(text, str):
            raise UnexpectedAnswer('a column of another type')
