# SPDX-License-Identifier: Apache-2.0
"""Stops requests before each of their steps in placement's database.

Nothing is patched: SQLAlchemy's own events say which statement comes next. A
request runs in a thread of its own until its next step is due, and goes on when
it is let.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
import webob
from sqlalchemy import event

#: Seconds for one step; more means that it waits for a lock that another one holds.
PATIENCE = 60

#: How placement's statements begin, and the steps that begin with them.
_STATEMENTS = (
    ('SELECT c.id, c.uuid', 'placement_compare'),
    ('INSERT INTO consumers', 'placement_create'),
    ('SELECT a.id, a.resource_provider_id', 'placement_second_read'),
    ('UPDATE consumers SET project_id', 'placement_commit'),
    ('SELECT resource_classes.id', 'placement_commit'),
    ('SELECT allocations.resource_provider_id', 'placement_commit'),
    ('DELETE FROM consumers WHERE consumers.id', 'placement_cleanup'),
    ('DELETE FROM allocations WHERE allocations.id', 'delete_allocations'),
    ('SELECT consumers.uuid FROM consumers', 'delete_find'),
    ('DELETE FROM consumers WHERE consumers.uuid', 'delete_row'),
)


class Naming:
    """Gives the statements of one request the model's names.

    :param role: whose steps the guard's are, ``owner`` or ``role``; None leaves
        the guard's look-ups out
    :param deletes: the request is a DELETE
    :param splits: the two statements of DELETE's last transaction are two steps
    """

    def __init__(self, role: str | None, *, deletes: bool, splits: bool) -> None:
        self._role = role
        self._deletes = deletes
        self._splits = splits
        self._seen: list[str] = []

    def of_guard(self) -> str | None:
        """The guard is about to use a connection."""
        if self._role is None or len(self._seen) > 1:
            return None
        return self._note(f'{self._role}_{("judge", "swap")[len(self._seen)]}')

    def of_placement(self, statement: str) -> str | None:
        """Placement is about to run a statement, with single blanks in it."""
        if statement.startswith('SELECT resource_classes') and self._read_before:
            # Of the reading, in a transaction of its own.
            return None
        for beginning, name in _STATEMENTS:
            if statement.startswith(beginning):
                return self._name(name)
        return None

    @property
    def _read_before(self) -> bool:
        return self._deletes or 'placement_second_read' in self._seen

    def _name(self, name: str) -> str | None:
        if name == 'placement_compare' and name in self._seen:
            name = 'placement_reread'
        if self._deletes:
            if name == 'placement_second_read':
                name = 'delete_read'
            if name == 'delete_find' and not self._splits:
                name = 'delete_row'
        elif name in ('delete_find', 'delete_row'):
            # In the transaction of a write.
            return None
        return None if name in self._seen else self._note(name)

    def _note(self, name: str) -> str:
        self._seen.append(name)
        return name


class Request:
    """One request; it stops before its first step.

    :ivar due: the step that it stopped before; None when it has been answered
    :ivar answer: the status; 0 before there is one
    :param send: sends it
    """

    def __init__(self, send: Callable[[], webob.Response], naming: Naming) -> None:
        self.due: str | None = None
        self.answer = 0
        self._naming = naming
        self._send = send
        self._error: BaseException | None = None
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()
        self._wait()

    def go_on(self) -> None:
        """Take the step that is due, and stop before the next one.

        :raises TimeoutError: it waits for something that another request holds
        """
        self._go.release()
        self._wait()

    def finish(self) -> None:
        """Take all steps that are left."""
        while self.due is not None:
            self.go_on()

    def at_guard(self) -> None:
        """Called in the request's thread."""
        self._stop(self._naming.of_guard())

    def at_placement(self, statement: str) -> None:
        """Called in the request's thread."""
        self._stop(self._naming.of_placement(statement))

    def _stop(self, name: str | None) -> None:
        if name is not None:
            self.due = name
            self._stopped.release()
            if not self._go.acquire(timeout=PATIENCE):
                raise TimeoutError(f'nobody lets {name} go on')

    def _wait(self) -> None:
        if not self._stopped.acquire(timeout=PATIENCE):
            raise TimeoutError(f'{self.due} does not end')
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        _current.request = self
        try:
            self.answer = int(self._send().status_int)
        except BaseException as error:
            self._error = error
        finally:
            _current.request = None
            self.due = None
            self._stopped.release()


class _Current(threading.local):
    request: Request | None = None


#: The request of each thread; other threads, and the tests' own, have none.
_current = _Current()


@contextlib.contextmanager
def stepping(placement: sa.Engine) -> Iterator[None]:
    """Stop the requests that are made meanwhile.

    :param placement: placement's engine; whatever else a request connects to is
        the guard's
    """

    def mark(_connection: object, record: Any) -> None:
        record.info['placement'] = True

    def check_out(_connection: object, record: Any, _proxy: object) -> None:
        if _current.request is not None and 'placement' not in record.info:
            _current.request.at_guard()

    def execute(
        connection: sa.Connection, _cursor: object, statement: str, *_rest: object
    ) -> None:
        if _current.request is not None and connection.engine is placement:
            _current.request.at_placement(' '.join(statement.split()))

    listeners: list[tuple[Any, str, Callable[..., None]]] = [
        (placement, 'connect', mark),
        (sa.pool.Pool, 'checkout', check_out),
        (placement, 'before_cursor_execute', execute),
    ]
    for listener in listeners:
        event.listen(*listener)
    # Connections that were made before have no mark.
    placement.dispose()
    try:
        yield
    finally:
        for listener in listeners:
            event.remove(*listener)
