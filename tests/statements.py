# SPDX-License-Identifier: Apache-2.0
"""What reaches the databases' drivers, whoever sends it: statements noted.

SQLAlchemy's own events do not see what goes through a driver's cursor.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import psycopg2.extensions
import pymysql.cursors
import sqlalchemy as sa
from sqlalchemy import pool

Note = Callable[[str], None]

_VALUES = re.compile(r"'(?:[^']|'')*'")


def without_values(statement: str) -> str:
    """The statement with a mark in the place of every text in it."""
    return _VALUES.sub('?', statement)


@contextlib.contextmanager
def noted(note: Note, engine: sa.Engine | None = None) -> Iterator[None]:
    """Note every statement of one engine, or of all engines of the process.

    Values are in the text on SQLite only, see :func:`without_values`.
    """
    touched: list[tuple[Any, Any]] = []

    class OfPsycopg2(psycopg2.extensions.cursor):
        def execute(self, query: Any, vars: Any = None) -> Any:
            note(str(query))
            return super().execute(query, vars)

    class OfPsycopg(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            note(str(query))
            return super().execute(query, params, **options)

    class OfPymysql(pymysql.cursors.Cursor):
        def execute(self, query: str, args: Any = None) -> int:
            note(query)
            return super().execute(query, args)

    def watch(connection: Any, record: Any, _proxy: Any) -> None:
        module = type(connection).__module__.partition('.')[0]
        if module == 'sqlite3':
            connection.set_trace_callback(_but_transactions(note))
        elif module == 'psycopg2':
            connection.cursor_factory = OfPsycopg2
        elif module == 'psycopg':
            connection.cursor_factory = OfPsycopg
        else:
            assert module == 'pymysql', module
            connection.cursorclass = OfPymysql
        # A cursor that the connection keeps is of the other class.
        record.info.pop('consumer_guard cursor', None)
        touched.append((connection, record))

    target = engine.pool if engine is not None else pool.Pool
    sa.event.listen(target, 'checkout', watch)
    try:
        yield
    finally:
        sa.event.remove(target, 'checkout', watch)
        for connection, record in touched:
            record.info.pop('consumer_guard cursor', None)
            with contextlib.suppress(Exception):  # closed by now
                _unwatch(connection)


def _unwatch(connection: Any) -> None:
    module = type(connection).__module__.partition('.')[0]
    if module == 'sqlite3':
        connection.set_trace_callback(None)
    elif module == 'psycopg2':
        connection.cursor_factory = None
    elif module == 'psycopg':
        connection.cursor_factory = psycopg.Cursor
    else:
        connection.cursorclass = pymysql.cursors.Cursor


def _but_transactions(note: Note) -> Note:
    """Without BEGIN and the like, which other drivers send by themselves."""

    def note_some(statement: str) -> None:
        if not statement.startswith(('BEGIN', 'COMMIT', 'ROLLBACK', 'PRAGMA')):
            note(statement)

    return note_some
