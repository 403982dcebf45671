# SPDX-License-Identifier: Apache-2.0
"""Owners from placement's own database: one SELECT a look-up, never a cache."""

import logging
import os
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from consumer_guard import errors
from consumer_guard.generations import Swap
from consumer_guard.model import Owner, Standing
from consumer_guard.owners import OwnerLookupSettings, counters, engine, statements

LOG = logging.getLogger(__name__)

#: The most characters that an id may have to be asked for; placement's columns
#: have 36.
LONGEST_ID = 255

_TEXT = (str, type(None))


class UnexpectedAnswer(Exception):
    """The database answered with what placement's schema cannot hold."""


class DatabaseOwners:
    """The driver ``database``, a :class:`consumer_guard.model.OwnerLookup`.

    It may be made before a fork and used by many threads. Worst case of a
    look-up: the timeout for a free connection, again for connecting and again
    for the statement.

    :raises consumer_guard.errors.ConfigurationError: the connection cannot be
        used with any server; servers are not asked yet
    """

    def __init__(self, settings: OwnerLookupSettings) -> None:
        self._settings = settings
        self._engine = engine.make_engine(settings)
        self._statements = statements.build(self._engine.dialect.name)
        self._pid = os.getpid()
        self._inherited: list[sa.Pool] = []
        _after_fork(weakref.WeakMethod(self._leave_parent))

    @property
    def engine(self) -> sa.Engine:
        """The engine, for other short autocommit statements of this process."""
        if os.getpid() != self._pid:
            # A server in C may fork without running Python's hooks.
            self._leave_parent()
        return self._engine

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        """See :meth:`consumer_guard.model.OwnerLookup.find`.

        Ids that placement cannot have written (not ASCII, with a NUL, longer
        than :data:`LONGEST_ID`) are absent without asking.
        """
        asked = {id_ for id_ in consumer_ids if _may_exist(id_)}
        try:
            return self._owners(consumer_ids, self._ask(asked) if asked else ())
        except Exception as error:
            # Security: whatever a driver raises, there is no owner then. Texts
            # of drivers quote SQL and rows: not for clients, not for the log.
            LOG.warning('Owners cannot be looked up: %s', _describe(error))
            LOG.debug('Owners cannot be looked up', exc_info=True)
            raise errors.OwnersUnavailable(
                'The owner of the consumer could not be looked up.'
            ) from error

    def swap_generations(self, swaps: Iterable[Swap]) -> bool:
        """Compare and swap consumer generations, all or none.

        :returns: False when a race was lost, a deadlock included
        :raises consumer_guard.errors.OwnersUnavailable: it cannot be told
            whether they were swapped; a client that reads again finds out
        """
        try:
            return counters.swap(self.engine, counters.Kind.CONSUMER, swaps)
        except Exception as error:
            LOG.warning('Generations cannot be swapped: %s', _describe(error))
            LOG.debug('Generations cannot be swapped', exc_info=True)
            raise errors.OwnersUnavailable(
                'The generation of the consumer could not be changed; read it again.'
            ) from error

    def close(self) -> None:
        """Give back every connection; a later :meth:`find` opens new ones."""
        self.engine.dispose()

    def _ask(self, ids: set[str]) -> Sequence[Any]:
        if len(ids) == 1:
            return self._select(self._statements.one, {'id': next(iter(ids))})
        # In the order of the index, neighbours share its pages.
        bound = self._statements.bind(sorted(ids))
        return self._select(self._statements.many, {'ids': bound})

    def _select(
        self, statement: sa.Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Any]:
        """Run it, once more if the pool's connection was dead already."""
        started = time.monotonic()
        try:
            return self._select_once(statement, parameters)
        except sa.exc.DBAPIError as error:
            spent = time.monotonic() - started
            # A server that lets us wait is not asked again.
            if not error.connection_invalidated or spent >= self._settings.timeout:
                raise
            LOG.debug('A connection was lost: %s', _describe(error))
        return self._select_once(statement, parameters)

    def _select_once(
        self, statement: sa.Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Any]:
        with self.engine.connect() as connection:
            return connection.execute(statement, parameters).all()

    def _owners(self, ids: Collection[str], rows: Iterable[Any]) -> dict[str, Owner]:
        """Bring ids and rows together.

        Security: by Python's equality, byte for byte. A database's ignores case,
        accents or trailing blanks, and would give one id's owner to another.
        """
        recorded: dict[str, statements.Row] = {}
        holders: set[str] = set()
        for row in map(statements.Row._make, rows):
            if row.holder is not None:
                holders.add(row.holder)
            if row.uuid is None:
                continue
            # One row may come twice, for two spellings that were asked for.
            if recorded.setdefault(row.uuid, row).row_id != row.row_id:
                raise UnexpectedAnswer('two consumers of one id')
        return {id_: self._owner(id_, recorded.get(id_), id_ in holders) for id_ in ids}

    def _owner(self, id_: str, row: statements.Row | None, holds: bool) -> Owner:
        if row is None:
            standing = Standing.NOBODYS if holds else Standing.ABSENT
            return Owner(id_, standing, has_allocations=holds)
        _check(row)
        project = row.project or None
        if project == self._settings.nobodys_project_id:
            project = None
        user = row.user or None
        if user == self._settings.nobodys_user_id:
            user = None
        return Owner(
            id_,
            Standing.RECORDED if project else Standing.NOBODYS,
            project,
            user,
            row.type_name or None,
            row.generation,
            row.row_id,
            holds,
        )

    def _leave_parent(self) -> None:
        """In a forked child: start with connections of our own.

        Security: on a shared connection two workers would read each other's
        owners.
        """
        # Kept: some drivers say good-bye to the server when a connection is
        # collected, which would end the parent's.
        self._inherited.append(self._engine.pool)
        # No lock, which a fork could leave locked: two threads here at once make
        # two pools, and one of them is used no more.
        self._engine.dispose(close=False)
        self._pid = os.getpid()


def _after_fork(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call the method in every forked child, while its object lives."""

    def call() -> None:
        leave = method()
        if leave is not None:
            leave()

    # Never unregistered, hence the weak reference.
    os.register_at_fork(after_in_child=call)


def _may_exist(id_: str) -> bool:
    # Placement writes uuids, all ASCII. Anything else could only be found by a
    # lax collation; NUL and lone surrogates no database takes.
    return id_.isascii() and '\0' not in id_ and len(id_) <= LONGEST_ID


def _check(row: statements.Row) -> None:
    """Refuse what placement's columns cannot hold.

    Security: a value of another type would reach the rules as text and be
    compared there.
    """
    if not (
        type(row.row_id) is int
        and type(row.generation) is int
        and isinstance(row.project, _TEXT)
        and isinstance(row.user, _TEXT)
        and isinstance(row.type_name, _TEXT)
    ):
        raise UnexpectedAnswer('a column of another type')


def _describe(error: Exception) -> str:
    """The names of an exception and of the driver's own one under it."""
    below = getattr(error, 'orig', None)
    name = type(error).__name__
    return name if below is None else f'{name} ({type(below).__name__})'
