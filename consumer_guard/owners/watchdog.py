# SPDX-License-Identifier: Apache-2.0
"""Ends what libpq would wait for without end: it has no time-out for reading.

``statement_timeout`` is the server's and ``tcp_user_timeout`` the kernel's; a
server that is frozen, or behind a proxy that is, acknowledges and does not answer.
"""

import contextlib
import os
import socket
import threading
import time
import weakref
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

#: Checks per time-out: an answer is waited for at most a fifth longer.
_CHECKS_PER_TIMEOUT = 5


@dataclass(slots=True)
class _Watched:
    """Connections in use in one process.

    :ivar until: the moment (``time.monotonic``) and the driver's connection, by
        the pool's record of it
    """

    until: dict[int, tuple[float, Any]] = field(default_factory=dict)
    # Re-entrant: the collector may give a connection back in the middle.
    lock: threading.RLock = field(default_factory=threading.RLock)
    thread: threading.Thread | None = None


class Watchdog:
    """Shuts the socket of a connection that was in use for too long.

    Its user then gets the driver's error of a lost connection. No thread before
    the first connection, none inherited by a fork, none once the engine is gone.

    :param timeout: seconds
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        # By process: a fork leaves locks as they are and threads behind.
        self._processes: dict[int, _Watched] = {}

    def guard(self, engine: sa.Engine) -> None:
        """Watch all the connections of an engine, those that are being made too."""
        # First: SQLAlchemy queries a new connection for its version.
        event.listen(engine, 'connect', self._begin_record, insert=True)
        event.listen(engine, 'checkout', self._begin)
        for name in ('checkin', 'close', 'close_detached', 'detach'):
            event.listen(engine, name, self._end)

    def _begin_record(self, connection: Any, record: Any) -> None:
        self._begin(connection, record, None)

    def _begin(self, connection: Any, record: Any, _proxy: Any) -> None:
        watched = self._processes.get(os.getpid())
        if watched is None:
            watched = self._processes.setdefault(os.getpid(), _Watched())
        until = time.monotonic() + self._timeout
        with watched.lock:
            watched.until[id(record)] = (until, connection)
            if watched.thread is None:
                thread = threading.Thread(
                    target=_watch,
                    args=(
                        weakref.ref(self),
                        watched,
                        self._timeout / _CHECKS_PER_TIMEOUT,
                    ),
                    name='consumer_guard look-ups',
                    daemon=True,
                )
                thread.start()
                # Not before: one that could not be started is tried again.
                watched.thread = thread

    def _end(self, _connection: Any, record: Any = None) -> None:
        watched = self._processes.get(os.getpid())
        if watched is not None:
            # The lock: nothing is shut once its user has gone on.
            with watched.lock:
                watched.until.pop(id(record), None)


def _watch(owner: 'weakref.ref[Watchdog]', watched: _Watched, pause: float) -> None:
    while owner() is not None:
        time.sleep(pause)
        now = time.monotonic()
        with watched.lock:
            late = [key for key, (until, _) in watched.until.items() if until < now]
            for key in late:
                _shut(watched.until.pop(key)[1])


def _shut(connection: Any) -> None:
    # The pool has no event for a connection that failed while it was being made;
    # its descriptor may be somebody else's by now.
    if connection.closed:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(connection.fileno())) as end,
    ):
        end.shutdown(socket.SHUT_RDWR)
