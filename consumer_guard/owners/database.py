# SPDX-License-Identifier: Apache-2.0
"""Owners from placement's own database: one SELECT a look-up, never a cache."""

import functools
import itertools
import logging
import os
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from consumer_guard.generations.store import Kind, Swap, lacks_right, swap
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.guard.model import Owner
from consumer_guard.owners import engine
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.breaker import Breaker
from consumer_guard.owners.causes import describe_failure
from consumer_guard.owners.execution import Executor
from consumer_guard.owners.reading import OwnerReader, count_references
from consumer_guard.owners.statements import Query, for_dialect

LOG = logging.getLogger(__name__)

_Found = TypeVar('_Found')

#: The most characters that an id may have to be looked up; placement's columns
#: have 36.
LONGEST_ID = 255


class DatabaseOwners:
    """The driver ``database``, a :class:`consumer_guard.guard.model.OwnerLookup`.

    It may be made before a fork and used by many threads. Worst case of a
    look-up: the timeout for a free connection, again for connecting and again
    for the statement; of one of many ids, in batches, once more.

    :raises consumer_guard.guard.errors.ConfigurationError: the connection cannot be
        used with any server; servers are not connected to yet
    """

    def __init__(self, settings: OwnerLookupSettings) -> None:
        self._engine = engine.make_engine(settings)
        self._timeout = settings.timeout
        self._executor = Executor(self._engine, settings.timeout)
        self._breaker = Breaker(settings.timeout)
        self._queries = for_dialect(self._engine.dialect.name)
        self._reader = OwnerReader(
            settings.nobodys_project_id, settings.nobodys_user_id
        )
        self._pid = os.getpid()
        self._inherited: list[sa.Pool] = []
        _after_fork(weakref.WeakMethod(self._leave_parent))

    @property
    def engine(self) -> sa.Engine:
        """The engine, for other short autocommit statements of this process."""
        self._notice_fork()
        return self._engine

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        """See :meth:`consumer_guard.guard.model.OwnerLookup.find`.

        Ids that placement cannot have written (not ASCII, with a NUL, longer
        than :data:`LONGEST_ID`) are absent without a query.
        """
        ids = _keep_plausible(consumer_ids)
        if len(ids) == 1:
            return self._run(
                self._queries.one,
                ids,
                lambda rows: self._reader.read(consumer_ids, rows),
            )
        owners = self._reader.read(consumer_ids, ())
        deadline = time.monotonic() + self._timeout
        for found in self._run_batches(self._queries.many, ids, self._reader.read):
            owners |= found
            if time.monotonic() > deadline:
                raise OwnersUnavailable('The owners could not be looked up in time.')
        return owners

    def find_types(self, names: Collection[str]) -> Collection[str]:
        """See :meth:`consumer_guard.guard.model.ConsumerTypes.find_types`."""
        plausible = _keep_plausible(names)
        if not plausible:
            return ()
        # Security: compared by Python; databases fold cases and accents.
        return {*plausible} & self._run(
            self._queries.types, plausible, lambda rows: {row[0] for row in rows}
        )

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        """See :meth:`consumer_guard.guard.model.OwnerGroups.find_groups`."""
        ids = _keep_plausible(consumer_ids)
        query = self._queries.groups[count_references(keys) - 1]
        groups = self._run_batches(query, ids, self._reader.group)
        return itertools.chain.from_iterable(groups)

    def _run_batches(
        self,
        query: Query,
        ids: Sequence[str],
        read: Callable[[Sequence[str], Iterable[Any]], _Found],
    ) -> Iterator[_Found]:
        """Run a query for some of the ids at a time.

        Each batch is a statement of its own: an owner that changes meanwhile is the
        old or the new one, as if all had been read at the moment of its batch.
        """
        for start in range(0, len(ids), self._queries.batch):
            batch = ids[start : start + self._queries.batch]
            yield self._run(query, batch, functools.partial(read, batch))

    def _run(
        self,
        query: Query,
        ids: Sequence[str],
        read: Callable[[Iterable[Any]], _Found],
    ) -> _Found:
        self._notice_fork()
        return self._breaker.run(lambda: self._execute(query, ids, read), len(ids))

    def _execute(
        self,
        query: Query,
        ids: Sequence[str],
        read: Callable[[Iterable[Any]], _Found],
    ) -> _Found:
        # Security: one query alone is prepared, see Executor.
        keep = query is self._queries.one
        try:
            return self._executor.run(query, ids, read, keep=keep)
        except Exception as error:
            failure = error
        # Security: after the except clause, and without the exception: formatters
        # add the text of one that is being handled, which quotes SQL and rows.
        LOG.warning('Owners cannot be looked up: %s', self._describe(failure))
        raise OwnersUnavailable(
            'The owner of the consumer could not be looked up.'
        ) from failure

    def _describe(self, failure: Exception) -> str:
        return describe_failure(failure, self._engine.url)

    def swap_generations(self, swaps: Iterable[Swap]) -> bool:
        """See :meth:`consumer_guard.generations.store.GenerationStore.swap_generations`."""
        try:
            return swap(self.engine, Kind.CONSUMER, swaps)
        except Exception as error:
            failure = error
        self._executor.examine(getattr(failure, 'orig', failure))
        # Security: after the except clause, as in _run.
        if lacks_right(failure):
            LOG.error(
                'The database refuses to update consumers.generation: grant '
                'UPDATE (generation) ON consumers to the account of option '
                'connection of [consumer_guard]; until then writes by owners '
                'are refused and no counter is rolled'
            )
        else:
            LOG.warning('Generations cannot be swapped: %s', self._describe(failure))
        raise OwnersUnavailable(
            'The generation of the consumer could not be changed; read it again.'
        ) from failure

    def close(self) -> None:
        """Give back every connection; a later :meth:`find` opens new ones."""
        self.engine.dispose()

    def _notice_fork(self) -> None:
        if os.getpid() != self._pid:
            # A server in C may fork without running Python's hooks.
            self._leave_parent()

    def _leave_parent(self) -> None:
        """In a forked child: start with connections of our own.

        Security: on a shared connection two workers would read each other's
        owners.
        """
        # Kept: some drivers sign off at the server when a connection is collected,
        # which would end the parent's.
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


def _keep_plausible(ids: Collection[str]) -> Sequence[str]:
    """Those that placement can have written, each once.

    Placement writes uuids, all ASCII. Anything else could only be found by a
    lax collation; NUL and lone surrogates no database takes.
    """
    together = ''.join(ids)
    longest = max(map(len, ids), default=0)
    if longest > LONGEST_ID or not together.isascii() or '\0' in together:
        ids = [id_ for id_ in ids if _is_plausible(id_)]
    return [*dict.fromkeys(ids)]


def _is_plausible(id_: str) -> bool:
    return len(id_) <= LONGEST_ID and id_.isascii() and '\0' not in id_
