# SPDX-License-Identifier: Apache-2.0
"""Runs queries: on the driver's own cursor, and by SQLAlchemy after a fault.

The pool, its connections and their time-outs are SQLAlchemy's. Its way from a
text to rows costs three to five times as much as the driver's. What fails there
is run again by SQLAlchemy, which knows each driver's lost connections.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from consumer_guard.owners.sessions import BEGIN
from consumer_guard.owners.statements import Query

LOG = logging.getLogger(__name__)

_Result = TypeVar('_Result')

#: The key of the cursor that a connection of the pool keeps.
_CURSOR = 'consumer_guard cursor'

#: PostgreSQL's invalid_sql_statement_name and duplicate_prepared_statement.
_NOT_OUR_SESSION = frozenset({'26000', '42P05'})


class Executor:
    """Runs queries on one engine.

    psycopg 3 prepares the query of one id. Behind a pooler that gives the
    transactions of a connection different sessions, a prepared statement is lost, or
    its name is taken: at the first such error nothing is prepared any more.

    :param timeout: seconds; a query that has used them up is not run again
    """

    def __init__(self, engine: sa.Engine, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout
        # Security: no other query is prepared. psycopg counts the names: in a session
        # that is shared with other guards, the first one is this query, too.
        self._options = {'prepare': True} if engine.dialect.driver == 'psycopg' else {}

    def run(
        self,
        query: Query,
        ids: Sequence[str],
        read: Callable[[Iterable[Any]], _Result],
        *,
        keep: bool = False,
    ) -> _Result:
        """Run a query; once more if a connection of the pool was dead already.

        :param read: makes the result of the rows, as they come; it may be called
            again from the first row on
        :param keep: keep a cursor and a prepared statement for it; for the one query
            of one short row alone
        :raises Exception: whatever the driver, the pool or SQLAlchemy raises
        """
        started = time.monotonic()
        try:
            return self._run_raw(query, ids, read, keep)
        except self._engine.dialect.loaded_dbapi.Error as error:
            self.examine(error)
            if time.monotonic() - started >= self._timeout:
                raise
            LOG.debug('Retrying a look-up: %s', type(error).__name__)
        try:
            return self._run_by_sqlalchemy(query, ids, read)
        except sa.exc.DBAPIError as error:
            spent = time.monotonic() - started
            if not error.connection_invalidated or spent >= self._timeout:
                raise
            LOG.debug('A database connection was lost: %s', type(error).__name__)
        return self._run_by_sqlalchemy(query, ids, read)

    def examine(self, error: BaseException) -> None:
        """Stop preparing, if this error of the driver shows that it does not work."""
        state = getattr(error, 'sqlstate', None)
        if state in _NOT_OUR_SESSION and self._options['prepare']:
            self._options = {'prepare': False}
            # The connections that there are know prepared statements.
            self._engine.dispose()
            LOG.info('Look-ups use no prepared statements: sessions do not keep them')

    def _run_raw(
        self,
        query: Query,
        ids: Sequence[str],
        read: Callable[[Iterable[Any]], _Result],
        keep: bool,
    ) -> _Result:
        connection = self._engine.raw_connection()
        try:
            # A cursor of psycopg 3 costs as much as what it executes. Those of long
            # answers are not kept: they hold the answer.
            # Any: SQLAlchemy's protocol of cursors does not iterate.
            cursor: Any = connection.info.get(_CURSOR) if keep else connection.cursor()
            if cursor is None:
                cursor = connection.info[_CURSOR] = connection.cursor()
            begin = connection.info.get(BEGIN)
            prepare = self._options if keep and begin is None else {}
            if begin is not None:
                cursor.execute(begin)
            cursor.execute(*query(ids), **prepare)
            result = read(cursor.fetchall() if keep else cursor)
            if begin is not None:
                cursor.execute('COMMIT')
        except BaseException:
            # Security: what is left of an answer could be read as the next answer,
            # with another's owner in it.
            connection.invalidate()
            raise
        connection.close()
        return result

    def _run_by_sqlalchemy(
        self,
        query: Query,
        ids: Sequence[str],
        read: Callable[[Iterable[Any]], _Result],
    ) -> _Result:
        with self._engine.connect() as connection:
            begin = connection.info.get(BEGIN)
            try:
                if begin is not None:
                    connection.exec_driver_sql(begin)
                result = read(connection.exec_driver_sql(*query(ids)))
                if begin is not None:
                    connection.exec_driver_sql('COMMIT')
                return result
            except BaseException as error:
                if isinstance(error, sa.exc.StatementError):
                    # Security: the text of the exception would name others' consumers.
                    error.statement = None
                # SQLAlchemy does not know of that transaction.
                if begin is not None:
                    connection.invalidate()
                raise
