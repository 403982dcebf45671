# SPDX-License-Identifier: Apache-2.0
"""Stores of generations: the protocol, and placement's database as one of them."""

import contextlib
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import sqlalchemy as sa

#: Codes that say a transaction was given up for another one: PostgreSQL
#: serialization_failure and deadlock_detected (SQLSTATE), MySQL and MariaDB
#: ER_LOCK_DEADLOCK and ER_CHECKREAD.
_RACES = frozenset({'40001', '40P01', 1213, 1020})

#: Codes of an account without the right to update: PostgreSQL insufficient_privilege,
#: MySQL and MariaDB ER_TABLEACCESS_DENIED_ERROR and ER_COLUMNACCESS_DENIED_ERROR,
#: SQLITE_READONLY, and its text for Python 3.10, which has no code.
_NO_RIGHT = frozenset({'42501', 1142, 1143, 8, 'attempt to write a readonly database'})


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged of a consumer beside its generation, to be compared too.

    The consumer must also hold allocations still: without them its owner can
    change while its generation stays.

    :ivar row_id: primary key of the consumers row
    :ivar project_id: keystone's id of the recorded project
    :ivar user_id: keystone's id of the recorded user; None is not compared
    """

    row_id: int | None
    project_id: str | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Swap:
    """A compare-and-swap of one generation.

    :ivar uuid: of the consumer, or of the resource provider
    :ivar expected: the stored value; anything else loses the race
    :ivar judged: compared as well; None for a counter that is rolled
    """

    uuid: str
    expected: int
    new: int
    judged: Judged | None = None


@runtime_checkable
class GenerationStore(Protocol):
    """A driver that can compare and swap; ``roll`` and writes by owners need one."""

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


class _Lost(Exception):
    """A row was not as expected."""


#: What is compared beside the generation where the row was judged.
_AS_JUDGED = (
    ' AND id = :row_id'
    ' AND EXISTS (SELECT 1 FROM allocations WHERE consumer_id = :uuid)'
    ' AND EXISTS (SELECT 1 FROM projects WHERE projects.id = consumers.project_id'
    ' AND external_id = :project_id)'
)
_AS_JUDGED_USER = (
    ' AND EXISTS (SELECT 1 FROM users WHERE users.id = consumers.user_id'
    ' AND external_id = :user_id)'
)


def swap(engine: sa.Engine, kind: Kind, swaps: Iterable[Swap]) -> bool:
    """Swap all these generations in one transaction, or none.

    :param engine: autocommit otherwise
    :returns: False when one was not as expected, or at a deadlock
    :raises sqlalchemy.exc.SQLAlchemyError: anything else went wrong
    """
    # One order for everybody, so that two of us do not wait for each other.
    ordered = sorted(swaps, key=lambda swap: swap.uuid)
    return _change_each(engine, [_make_update(kind, swap) for swap in ordered])


def _make_update(kind: Kind, swap: Swap) -> tuple[str, Mapping[str, object]]:
    """The statement and its parameters."""
    statement = (
        f'UPDATE {kind.value} SET generation = :new'
        ' WHERE uuid = :uuid AND generation = :expected'
    )
    given = {'uuid': swap.uuid, 'expected': swap.expected, 'new': swap.new}
    if swap.judged is None:
        return statement, given
    statement += _AS_JUDGED
    if swap.judged.user_id is not None:
        statement += _AS_JUDGED_USER
    return statement, given | asdict(swap.judged)


def _change_each(
    engine: sa.Engine, updates: Sequence[tuple[str, Mapping[str, object]]]
) -> bool:
    """Run all UPDATEs in one transaction, if each changes one row."""
    try:
        with open_transaction(engine) as connection:
            for statement, parameters in updates:
                if connection.execute(sa.text(statement), parameters).rowcount != 1:
                    raise _Lost
    except _Lost:
        return False
    except sa.exc.DBAPIError as error:
        if lost_race(error):
            return False
        raise
    return True


@contextlib.contextmanager
def open_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that is committed at the end, or rolled back on any exception.

    :param engine: autocommit otherwise
    """
    # SQLite knows but one level with transactions.
    level = 'SERIALIZABLE' if engine.dialect.name == 'sqlite' else 'READ COMMITTED'
    with engine.connect() as autocommitting:
        connection = autocommitting.execution_options(isolation_level=level)
        with connection.begin():
            yield connection


def lost_race(error: sa.exc.DBAPIError) -> bool:
    """Whether the database gave the transaction up in favour of another one."""
    return not _RACES.isdisjoint(_codes_of(error.orig))


def lacks_right(error: BaseException) -> bool:
    """Whether an UPDATE failed because the account may not do it."""
    return not _NO_RIGHT.isdisjoint(_codes_of(getattr(error, 'orig', error)))


def _codes_of(error: BaseException | None) -> list[object]:
    """SQLSTATE of PostgreSQL and MySQL, number of MySQL, result code of SQLite."""
    names = ('sqlstate', 'pgcode', 'sqlite_errorcode')
    codes: list[object] = [getattr(error, name, None) for name in names]
    # MySQL's SQLSTATE is coarser than its number.
    return codes + list(error.args[:1] if error is not None else ())
