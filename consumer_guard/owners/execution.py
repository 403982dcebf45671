# SPDX-License-Identifier: Apache-2.0
"""Asks the database: by the driver's own cursor, and by SQLAlchemy after a fault.

The pool, its connections and their time-outs are SQLAlchemy's. Its way from a
statement to rows costs three to five times as much as the driver's, so what
does not change from one look-up to the next is compiled once. What fails there
is asked again by SQLAlchemy, which knows each driver's lost connections.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from consumer_guard.owners.prepared import Preparation

LOG = logging.getLogger(__name__)

_Answer = TypeVar('_Answer')


@dataclass(frozen=True, slots=True)
class Question:
    """A statement with one parameter, ready to be asked.

    :ivar name: the parameter
    :ivar text: as the driver takes it; None where it depends on the value
    :ivar order: the names of the parameters, where the driver counts them
    :ivar fixed: the parameters that never change
    """

    statement: sa.Executable
    name: str
    text: str | None
    order: tuple[str, ...] | None
    fixed: Mapping[str, Any]

    @classmethod
    def compile(
        cls, statement: sa.Executable, name: str, dialect: sa.Dialect
    ) -> 'Question':
        """Compile it; ``name`` is its only open parameter."""
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        if compiled.literal_execute_params or compiled.post_compile_params:
            return cls(statement, name, None, None, {})
        order = tuple(compiled.positiontup) if compiled.positional else None
        fixed = {key: value for key, value in compiled.params.items() if key != name}
        return cls(statement, name, str(compiled), order, fixed)

    def bind(self, value: Any) -> Any:
        """The parameters as the driver takes them."""
        named = {**self.fixed, self.name: value}
        return (
            named if self.order is None else tuple([named[key] for key in self.order])
        )


def ask(
    engine: sa.Engine,
    question: Question,
    value: Any,
    read: Callable[[Iterable[Any]], _Answer],
    timeout: float,
    preparation: Preparation | None = None,
) -> _Answer:
    """Ask; once more if a connection of the pool was dead already.

    :param value: of the question's parameter
    :param read: makes the answer of the rows, as they come; it may be called
        again from the first row on
    :param timeout: seconds; who waited as long is not made to wait again
    :param preparation: of the question's statement
    :raises Exception: whatever the driver, the pool or SQLAlchemy raises
    """
    started = time.monotonic()
    if question.text is not None:
        try:
            return _ask_driver(
                engine, question.text, question.bind(value), read, preparation
            )
        except engine.dialect.loaded_dbapi.Error as error:
            if preparation is not None:
                preparation.look_at(error)
            # A server that lets us wait is not asked again.
            if time.monotonic() - started >= timeout:
                raise
            LOG.debug('A look-up is repeated: %s', type(error).__name__)
    try:
        return _ask_sqlalchemy(engine, question, value, read)
    except sa.exc.DBAPIError as error:
        spent = time.monotonic() - started
        if not error.connection_invalidated or spent >= timeout:
            raise
        LOG.debug('A connection was lost: %s', type(error).__name__)
    return _ask_sqlalchemy(engine, question, value, read)


def _ask_driver(
    engine: sa.Engine,
    text: str,
    parameters: Any,
    read: Callable[[Iterable[Any]], _Answer],
    preparation: Preparation | None,
) -> _Answer:
    connection = engine.raw_connection()
    try:
        if preparation is not None and preparation.holds(connection):
            text = preparation.text
        # SQLAlchemy's protocol of cursors does not say that they iterate.
        cursor: Any = connection.cursor()
        try:
            cursor.execute(text, parameters)
            answer = read(cursor)
        finally:
            cursor.close()
    except BaseException:
        # Security: an answer that was not read to its end would be the next
        # one's, with another's owner in it.
        connection.invalidate()
        raise
    connection.close()
    return answer


def _ask_sqlalchemy(
    engine: sa.Engine,
    question: Question,
    value: Any,
    read: Callable[[Iterable[Any]], _Answer],
) -> _Answer:
    with engine.connect() as connection:
        return read(connection.execute(question.statement, {question.name: value}))
