# SPDX-License-Identifier: Apache-2.0
"""The generations in placement's database: read, and compared and swapped."""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from consumer_guard.generations.thresholds import Swap

#: Codes that say a transaction was given up for another one: PostgreSQL
#: serialization_failure and deadlock_detected (SQLSTATE), MySQL and MariaDB
#: ER_LOCK_DEADLOCK and ER_CHECKREAD.
_RACES = frozenset({'40001', '40P01', 1213, 1020})


class Kind(enum.Enum):
    """Whose generation it is; the value is placement's table."""

    CONSUMER = 'consumers'
    PROVIDER = 'resource_providers'

    @property
    def table(self) -> sa.TableClause:
        """The two columns that are looked at."""
        return sa.table(self.value, sa.column('uuid'), sa.column('generation'))


@dataclass(frozen=True, slots=True)
class Counter:
    """One stored generation."""

    kind: Kind
    uuid: str
    generation: int


class _Lost(Exception):
    """A stored generation was not the expected one."""


def read_highest(engine: sa.Engine, kind: Kind, limit: int) -> list[Counter]:
    """The highest generations of a table, highest first; scans the table.

    :param limit: how many at the most
    """
    table = kind.table
    statement = (
        sa.select(table.c.uuid, table.c.generation)
        .order_by(table.c.generation.desc(), table.c.uuid)
        .limit(limit)
    )
    return _read(engine, kind, statement)


def read_above(
    engine: sa.Engine, kind: Kind, generation: int, limit: int
) -> list[Counter]:
    """Those above a value, highest first; scans the table."""
    table = kind.table
    statement = (
        sa.select(table.c.uuid, table.c.generation)
        .where(table.c.generation > generation)
        .order_by(table.c.generation.desc(), table.c.uuid)
        .limit(limit)
    )
    return _read(engine, kind, statement)


def read_one(engine: sa.Engine, kind: Kind, uuid: str) -> Counter | None:
    """One generation; compared byte for byte, whatever the collation says."""
    table = kind.table
    statement = sa.select(table.c.uuid, table.c.generation).where(table.c.uuid == uuid)
    found = _read(engine, kind, statement)
    return next((counter for counter in found if counter.uuid == uuid), None)


def _read(
    engine: sa.Engine, kind: Kind, statement: sa.Select[str, int]
) -> list[Counter]:
    with engine.connect() as connection:
        rows: Sequence[sa.Row[str, int]] = connection.execute(statement).all()
    return [Counter(kind, uuid, generation) for uuid, generation in rows]


def swap(engine: sa.Engine, kind: Kind, swaps: Iterable[Swap]) -> bool:
    """Swap all these generations in one transaction, or none.

    :param engine: autocommit otherwise
    :returns: False when one was not as expected, or at a deadlock
    :raises sqlalchemy.exc.SQLAlchemyError: anything else went wrong
    """
    # One order for everybody, so that two of us do not wait for each other.
    ordered = sorted(swaps, key=lambda swap: swap.uuid)
    # SQLite knows but one level with transactions.
    level = 'SERIALIZABLE' if engine.dialect.name == 'sqlite' else 'READ COMMITTED'
    try:
        with engine.connect() as autocommitting:
            connection = autocommitting.execution_options(isolation_level=level)
            with connection.begin():
                for one in ordered:
                    _swap_one(connection, kind.table, one)
    except _Lost:
        return False
    except sa.exc.DBAPIError as error:
        if _is_race(error.orig):
            return False
        raise
    return True


def _swap_one(connection: sa.Connection, table: sa.TableClause, one: Swap) -> None:
    result = connection.execute(
        sa.update(table)
        .where(table.c.uuid == one.uuid, table.c.generation == one.expected)
        .values(generation=one.new)
    )
    if result.rowcount != 1:
        raise _Lost


def _is_race(error: BaseException | None) -> bool:
    code = getattr(error, 'sqlstate', None) or getattr(error, 'pgcode', None)
    if code is None and error is not None and error.args:
        code = error.args[0]
    return code in _RACES
