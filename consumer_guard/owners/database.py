# SPDX-License-Identifier: Apache-2.0
"""Owners from placement's own database: one SELECT a look-up, never a cache."""

import logging
import os
import weakref
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
)
from typing import Any, TypeVar

import sqlalchemy as sa

from consumer_guard.generations.store import Kind, Swap, lacks_right, swap
from consumer_guard.guard import errors
from consumer_guard.guard.model import Owner
from consumer_guard.owners import engine, statements
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.execution import Question, ask
from consumer_guard.owners.prepared import Preparation
from consumer_guard.owners.reading import OwnerReader, count_said

LOG = logging.getLogger(__name__)

_Answer = TypeVar('_Answer')

#: The most characters that an id may have to be asked for; placement's columns
#: have 36.
LONGEST_ID = 255


class DatabaseOwners:
    """The driver ``database``, a :class:`consumer_guard.guard.model.OwnerLookup`.

    It may be made before a fork and used by many threads. Worst case of a
    look-up: the timeout for a free connection, again for connecting and again
    for the statement.

    :raises consumer_guard.guard.errors.ConfigurationError: the connection cannot be
        used with any server; servers are not asked yet
    """

    def __init__(self, settings: OwnerLookupSettings) -> None:
        self._settings = settings
        self._engine = engine.make_engine(settings)
        built = statements.build(self._engine.dialect.name)
        self._one = Question.compile(built.one, 'id', self._engine.dialect)
        self._prepared: Preparation | None = None
        if self._engine.dialect.driver == 'psycopg2':
            self._prepared = Preparation(built.one, 'id')
            self._prepared.attach(self._engine)
        self._many = Question.compile(built.many, 'ids', self._engine.dialect)
        self._listed = [
            Question.compile(listed, 'ids', self._engine.dialect)
            for listed in built.listed
        ]
        self._bind = built.bind
        self._gathered = built.gathered
        self._reader = OwnerReader(
            settings.nobodys_project_id, settings.nobodys_user_id
        )
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
        """See :meth:`consumer_guard.guard.model.OwnerLookup.find`.

        Ids that placement cannot have written (not ASCII, with a NUL, longer
        than :data:`LONGEST_ID`) are absent without asking.
        """
        asked = _choose(consumer_ids)

        def read(rows: Iterable[Any]) -> Mapping[str, Owner]:
            return self._reader.read(consumer_ids, rows)

        try:
            if not asked:
                return read(())
            if len(asked) > 1:
                return self._ask(self._many, self._bind_all(asked), read)
            return self._ask(self._one, next(iter(asked)), read, self._prepared)
        except Exception as error:
            raise _tell(error) from error

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Collection[tuple[Mapping[str, str], Collection[str]]]:
        """See :meth:`consumer_guard.guard.model.OwnerGroups.find_groups`."""
        asked = _choose(consumer_ids)
        if not asked:
            return ()
        listed = self._listed[count_said(keys) - 1]
        try:
            return self._ask(
                listed,
                self._bind_all(asked),
                lambda rows: self._reader.group(asked, rows, self._gathered),
            )
        except Exception as error:
            raise _tell(error) from error

    def swap_generations(self, swaps: Iterable[Swap]) -> bool:
        """Compare and swap consumer generations, all or none.

        :returns: False when a race was lost, a deadlock included
        :raises consumer_guard.guard.errors.OwnersUnavailable: it cannot be told
            whether they were swapped; a client that reads again finds out
        """
        try:
            return swap(self.engine, Kind.CONSUMER, swaps)
        except Exception as error:
            if lacks_right(error):
                LOG.error(
                    'The database refuses to update consumers.generation: grant '
                    'UPDATE (generation) ON consumers to the account of option '
                    'connection of [consumer_guard]; until then writes by owners '
                    'are refused and no counter is rolled'
                )
            else:
                LOG.warning('Generations cannot be swapped: %s', _describe(error))
            LOG.debug('Generations cannot be swapped', exc_info=True)
            raise errors.OwnersUnavailable(
                'The generation of the consumer could not be changed; read it again.'
            ) from error

    def close(self) -> None:
        """Give back every connection; a later :meth:`find` opens new ones."""
        self.engine.dispose()

    def _bind_all(self, ids: Collection[str]) -> Any:
        # In the order of the index, neighbours share its pages.
        return self._bind(sorted(ids))

    def _ask(
        self,
        question: Question,
        value: Any,
        read: Callable[[Iterable[Any]], _Answer],
        preparation: Preparation | None = None,
    ) -> _Answer:
        timeout = self._settings.timeout
        return ask(self.engine, question, value, read, timeout, preparation)

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


def _choose(ids: Collection[str]) -> Collection[str]:
    """Those that placement can have written, each once.

    Placement writes uuids, all ASCII. Anything else could only be found by a
    lax collation; NUL and lone surrogates no database takes.
    """
    together = ''.join(ids)
    if (
        together.isascii()
        and '\0' not in together
        and (len(together) <= LONGEST_ID or max(map(len, ids)) <= LONGEST_ID)
    ):
        return dict.fromkeys(ids)
    return dict.fromkeys([id_ for id_ in ids if _may_exist(id_)])


def _may_exist(id_: str) -> bool:
    return id_.isascii() and '\0' not in id_ and len(id_) <= LONGEST_ID


def _tell(error: Exception) -> errors.OwnersUnavailable:
    """What is raised instead, whatever a driver raised: there is no owner then."""
    # Security: texts of drivers quote SQL and rows: not for clients, not for the log.
    LOG.warning('Owners cannot be looked up: %s', _describe(error))
    LOG.debug('Owners cannot be looked up', exc_info=True)
    return errors.OwnersUnavailable('The owner of the consumer could not be looked up.')


def _describe(error: Exception) -> str:
    """The names of an exception and of the driver's own one under it."""
    below = getattr(error, 'orig', None)
    name = type(error).__name__
    return name if below is None else f'{name} ({type(below).__name__})'
