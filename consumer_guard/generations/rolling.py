# SPDX-License-Identifier: Apache-2.0
"""Reads and rolls the counters of placement's database, many rows per transaction.

The rows of a transaction are locked and read before they are changed, so that the
old value of each is exact, whatever a live placement does beside it. Whoever holds
an old generation gets placement's ordinary conflict.
"""

import collections
from collections.abc import Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from consumer_guard.generations.store import Kind, Swap, lost_race, open_transaction

#: Rows that one transaction locks and changes: some tens of milliseconds.
BATCH = 1000

#: How often a transaction is repeated that the database gave up for another one.
_TRIES = 5


class StoredRow(NamedTuple):
    """One counter, and the primary key of its row."""

    row_id: int
    uuid: str
    generation: int


def count_above(engine: sa.Engine, kind: Kind, generation: int) -> int:
    """How many counters are above a value; scans the table."""
    query = f'SELECT COUNT(*) FROM {kind.value} WHERE generation > :generation'
    with engine.connect() as connection:
        found = connection.execute(sa.text(query), {'generation': generation})
        return int(found.scalar_one())


def read_highest(engine: sa.Engine, kind: Kind, limit: int) -> list[StoredRow]:
    """The highest counters, highest first; scans the table.

    :param limit: how many at the most
    """
    clauses = 'ORDER BY generation DESC, uuid LIMIT :limit'
    return _read_rows(engine, kind, clauses, limit=limit)


def read_batch(
    engine: sa.Engine, kind: Kind, generation: int, after: int
) -> list[StoredRow]:
    """At most :data:`BATCH` counters above a value, by primary key.

    :param after: the last primary key of the batch before, -1 for the first one
    """
    clauses = 'WHERE id > :after AND generation > :above ORDER BY id LIMIT :batch'
    return _read_rows(engine, kind, clauses, after=after, above=generation, batch=BATCH)


def read_row(engine: sa.Engine, kind: Kind, uuid: str) -> StoredRow | None:
    """One counter; compared byte for byte, whatever the collation."""
    rows = _read_rows(engine, kind, 'WHERE uuid = :uuid', uuid=uuid)
    return next((row for row in rows if row.uuid == uuid), None)


def _read_rows(
    engine: sa.Engine, kind: Kind, clauses: str, **given: object
) -> list[StoredRow]:
    query = f'SELECT id, uuid, generation FROM {kind.value} {clauses}'
    with engine.connect() as connection:
        return [StoredRow(*row) for row in connection.execute(sa.text(query), given)]


def roll_rows(
    engine: sa.Engine,
    kind: Kind,
    row_ids: Sequence[int],
    choose: Callable[[int], int | None],
) -> list[Swap] | None:
    """Roll these counters in one transaction.

    :param engine: autocommit otherwise
    :param choose: the new value for a stored one; None to leave it
    :returns: old and new value of each that was rolled; None when none was, because
        the database gave the transaction up again and again
    :raises sqlalchemy.exc.SQLAlchemyError: anything else went wrong
    """
    for _ in range(_TRIES):
        try:
            with open_transaction(engine) as connection:
                return _roll_locked(connection, kind, row_ids, choose)
        except sa.exc.DBAPIError as error:
            if not lost_race(error):
                raise
    return None


def _roll_locked(
    connection: sa.Connection,
    kind: Kind,
    row_ids: Sequence[int],
    choose: Callable[[int], int | None],
) -> list[Swap]:
    # In one order, so that two of us do not wait for each other.
    query = (
        f'SELECT id, uuid, generation FROM {kind.value} WHERE id IN :ids ORDER BY id'
    )
    if connection.dialect.name == 'sqlite':
        # It locks the database, not rows.
        connection.exec_driver_sql('BEGIN IMMEDIATE')
    else:
        query += ' FOR UPDATE'
    swaps = []
    moved = collections.defaultdict(list)
    for row in connection.execute(_with_ids(query), {'ids': list(row_ids)}).all():
        new = choose(row.generation)
        if new is not None:
            moved[new].append(row.id)
            swaps.append(Swap(row.uuid, row.generation, new))
    update = _with_ids(f'UPDATE {kind.value} SET generation = :new WHERE id IN :ids')
    for new, ids in moved.items():
        connection.execute(update, {'new': new, 'ids': ids})
    return swaps


def _with_ids(query: str) -> sa.TextClause:
    return sa.text(query).bindparams(sa.bindparam('ids', expanding=True))
