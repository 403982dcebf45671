# SPDX-License-Identifier: Apache-2.0
"""Stores of generations: the protocol, and placement's database as one of them."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import sqlalchemy as sa

#: Codes that say a transaction was given up for another one: PostgreSQL
#: serialization_failure and deadlock_detected (SQLSTATE), MySQL and MariaDB
#: ER_LOCK_DEADLOCK and ER_CHECKREAD.
_RACES = frozenset({'40001', '40P01', 1213, 1020})


@dataclass(frozen=True, slots=True)
class Swap:
    """A compare-and-swap of one generation.

    :ivar uuid: of the consumer, or of the resource provider
    :ivar expected: the stored value; anything else loses the race
    """

    uuid: str
    expected: int
    new: int


@runtime_checkable
class GenerationStore(Protocol):
    """A driver that can compare and swap; ``roll`` needs one."""

    def swap_generations(self, swaps: Iterable[Swap]) -> bool:
        """Swap all in one transaction, or none.

        :returns: False when a race was lost, a deadlock included
        :raises consumer_guard.guard.errors.OwnersUnavailable: the store did not
            answer, so it is not known whether they were swapped; a client that
            reads again finds out
        """


class Kind(enum.Enum):
    """Whose generation it is; the value is placement's table."""

    CONSUMER = 'consumers'
    PROVIDER = 'resource_providers'


@dataclass(frozen=True, slots=True)
class Counter:
    """One stored generation."""

    kind: Kind
    uuid: str
    generation: int


class _Lost(Exception):
    """A row was not as expected."""


def read_highest(engine: sa.Engine, kind: Kind, limit: int) -> list[Counter]:
    """The highest generations of a table, highest first; scans the table.

    :param limit: how many at the most
    """
    return _read_counters(
        engine, kind, 'ORDER BY generation DESC, uuid LIMIT :limit', limit=limit
    )


def read_above(
    engine: sa.Engine, kind: Kind, generation: int, limit: int
) -> list[Counter]:
    """Those above a value, highest first; scans the table."""
    return _read_counters(
        engine,
        kind,
        'WHERE generation > :generation ORDER BY generation DESC, uuid LIMIT :limit',
        generation=generation,
        limit=limit,
    )


def read_one(engine: sa.Engine, kind: Kind, uuid: str) -> Counter | None:
    """One generation; compared byte for byte, whatever the collation says."""
    found = _read_counters(engine, kind, 'WHERE uuid = :uuid', uuid=uuid)
    return next((counter for counter in found if counter.uuid == uuid), None)


def _read_counters(
    engine: sa.Engine, kind: Kind, clauses: str, **parameters: object
) -> list[Counter]:
    statement = sa.text(f'SELECT uuid, generation FROM {kind.value} {clauses}')
    with engine.connect() as connection:
        rows = connection.execute(statement, parameters).all()
    return [Counter(kind, uuid, generation) for uuid, generation in rows]


def swap(engine: sa.Engine, kind: Kind, swaps: Iterable[Swap]) -> bool:
    """Swap all these generations in one transaction, or none.

    :param engine: autocommit otherwise
    :returns: False when one was not as expected, or at a deadlock
    :raises sqlalchemy.exc.SQLAlchemyError: anything else went wrong
    """
    statement = (
        f'UPDATE {kind.value} SET generation = :new'
        ' WHERE uuid = :uuid AND generation = :expected'
    )
    # One order for everybody, so that two of us do not wait for each other.
    ordered = sorted(swaps, key=lambda swap: swap.uuid)
    return _change_each(engine, statement, [asdict(swap) for swap in ordered])


def _change_each(
    engine: sa.Engine, statement: str, rows: Sequence[Mapping[str, object]]
) -> bool:
    """Run an UPDATE for each row in one transaction, if each changes one row."""
    # SQLite knows but one level with transactions.
    level = 'SERIALIZABLE' if engine.dialect.name == 'sqlite' else 'READ COMMITTED'
    try:
        with engine.connect() as autocommitting:
            connection = autocommitting.execution_options(isolation_level=level)
            with connection.begin():
                for parameters in rows:
                    if connection.execute(sa.text(statement), parameters).rowcount != 1:
                        raise _Lost
    except _Lost:
        return False
    except sa.exc.DBAPIError as error:
        if _is_race(error.orig):
            return False
        raise
    return True


def _is_race(error: BaseException | None) -> bool:
    code = getattr(error, 'sqlstate', None) or getattr(error, 'pgcode', None)
    if code is None and error is not None and error.args:
        code = error.args[0]
    return code in _RACES
