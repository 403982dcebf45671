# SPDX-License-Identifier: Apache-2.0
"""A driver of the tests' own in the place of psycopg: what it is asked, no server."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
import pytest
import sqlalchemy as sa

from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.engine import make_engine
from tests.rows import NOBODY


class Executed(NamedTuple):
    """One call of ``execute``.

    :ivar cursor: the number of the cursor, from 0 on
    """

    cursor: int
    text: str
    options: Mapping[str, Any]


class Driver:
    """Makes connections; every statement is answered with the same rows.

    :param limited: whether a server's session has the limits from its start
    :param in_recovery: whether the server is a standby
    :ivar looks: what was asked of each new session
    :ivar executed: what has reached a cursor since the connections were made
    :ivar fetched: for each answer that was read, whether by ``fetchall``
    :ivar connections: all that were made
    :ivar fail: called before each statement with its connection
    """

    def __init__(self, *, limited: bool = True, in_recovery: bool = False) -> None:
        self.limited = limited
        self.in_recovery = in_recovery
        self.looks: list[str] = []
        self.executed: list[Executed] = []
        self.fetched: list[bool] = []
        self.connections: list[Connection] = []
        self.cursors = 0
        self.fail: Callable[[Connection], None] = lambda _: None

    def connect(self, **_: Any) -> 'Connection':
        """A new connection."""
        self.connections.append(Connection(self))
        return self.connections[-1]

    def make_engine(
        self, patch: pytest.MonkeyPatch, timeout: float = 1.5, **options: Any
    ) -> sa.Engine:
        """The guard's engine, with this driver beneath SQLAlchemy's dialect."""
        url = 'postgresql+psycopg://u:p@127.0.0.1:9/placement'
        settings = OwnerLookupSettings(url, timeout, 1, NOBODY, NOBODY)
        engine = make_engine(settings, **options)
        patch.setattr(engine.dialect, 'connect', lambda *_, **__: self.connect())
        # It would ask for the version of a server.
        patch.setattr(engine.dialect, 'initialize', lambda _: None)
        return engine


class Connection:
    """As much of psycopg's as SQLAlchemy and the guard use.

    :ivar descriptor: of a socket of the test's
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.closed = False
        self.broken = False
        self.autocommit = False
        self.isolation_level: object = None
        self.descriptor: int | None = None

    def add_notice_handler(self, handler: object) -> None:
        """There are no notices."""

    def cursor(self, *_: object, **__: object) -> 'Cursor':
        """A new one."""
        self._driver.cursors += 1
        return Cursor(self._driver, self)

    def fileno(self) -> int:
        """The descriptor of its socket, if it has one."""
        if self.descriptor is None:
            raise OSError
        return self.descriptor

    def close(self) -> None:
        """No statement reaches it any more."""
        self.closed = True

    def rollback(self) -> None:
        """There are no transactions."""

    commit = rollback


class Cursor:
    """Keeps what is executed; the rows are those of the ids that were asked for."""

    description = (('id', None, None, None, None, None, None),)
    rowcount = -1
    itersize = arraysize = 1

    def __init__(self, driver: Driver, connection: Connection) -> None:
        self._driver = driver
        self._connection = connection
        self._number = driver.cursors - 1
        self._rows: Sequence[tuple[Any, ...]] = ()

    def execute(self, text: str, parameters: Any = None, **options: Any) -> None:
        """Run it, or what the test wants instead."""
        if 'pg_is_in_recovery' in text:
            self._driver.looks.append(text)
            self._rows = [(self._driver.in_recovery, self._driver.limited)]
            return
        self._driver.fail(self._connection)
        self._driver.executed.append(Executed(self._number, text, options))
        self._rows = [(value,) for value in (parameters or {}).values()]

    def fetchall(self) -> Sequence[tuple[Any, ...]]:
        """The rows."""
        self._driver.fetched.append(True)
        return self._rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        self._driver.fetched.append(False)
        return iter(self._rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; SQLAlchemy reads so."""
        row, self._rows = next(iter(self._rows), None), self._rows[1:]
        return row

    def close(self) -> None:
        """Nothing is open."""


def make_fault(state: str | None = None) -> psycopg.Error:
    """An error of the driver, by its SQLSTATE."""
    if state is None:
        return psycopg.OperationalError('gone')
    return psycopg.errors.lookup(state)('lost')
