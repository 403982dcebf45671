# SPDX-License-Identifier: Apache-2.0
"""What reaches the databases' drivers, whoever sends it: statements noted.

SQLAlchemy's own events do not see what goes through a driver's cursor.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

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
    touched: list[tuple[Any, str]] = []

    class OfPostgresql(psycopg2.extensions.cursor):
        def execute(self, query: Any, vars: Any = None) -> Any:
            note(str(query))
            return super().execute(query, vars)

    class OfMysql(pymysql.cursors.Cursor):
        def execute(self, query: str, args: Any = None) -> int:
            note(query)
            return super().execute(query, args)

    def watch(connection: Any, _record: Any, _proxy: Any) -> None:
        module = type(connection).__module__
        if module.startswith('sqlite3'):
            connection.set_trace_callback(_but_transactions(note))
            touched.append((connection, ''))
        elif module.startswith('psycopg2'):
            connection.cursor_factory = OfPostgresql
            touched.append((connection, 'cursor_factory'))
        else:
            assert module.startswith('pymysql'), module
            connection.cursorclass = OfMysql
            touched.append((connection, 'cursorclass'))

    target = engine.pool if engine is not None else pool.Pool
    sa.event.listen(target, 'checkout', watch)
    try:
        yield
    finally:
        sa.event.remove(target, 'checkout', watch)
        for connection, attribute in touched:
            with contextlib.suppress(Exception):  # closed by now
                if attribute == 'cursor_factory':
                    connection.cursor_factory = None
                elif attribute == 'cursorclass':
                    connection.cursorclass = pymysql.cursors.Cursor
                else:
                    connection.set_trace_callback(None)


def _but_transactions(note: Note) -> Note:
    """Without BEGIN and the like, which other drivers send by themselves."""

    def note_some(statement: str) -> None:
        if not statement.startswith(('BEGIN', 'COMMIT', 'ROLLBACK', 'PRAGMA')):
            note(statement)

    return note_some
