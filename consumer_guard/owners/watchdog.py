# SPDX-License-Identifier: Apache-2.0
"""Ends what libpq would wait for without end: it has no time-out for reading.

``statement_timeout`` is the server's and ``tcp_user_timeout`` the kernel's; a
server that is frozen, or behind a proxy that is, acknowledges and does not answer.
"""

import contextlib
import functools
import importlib
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

#: Checks per time-out: an answer is waited for at most a fifth longer.
_CHECKS_PER_TIMEOUT = 5


def unpatched(module: str, name: str) -> Any:
    """A name of a module of Python, as it is without gevent's or eventlet's patch.

    A green thread does not run while libpq waits in C, and its lock is none
    between operating-system threads.
    """
    # Which are not imported have not patched anything.
    gevent = sys.modules.get('gevent.monkey')
    if gevent and gevent.is_module_patched('threading'):
        return gevent.get_original(module, name)
    eventlet = sys.modules.get('eventlet.patcher')
    if eventlet and eventlet.is_monkey_patched('thread'):
        return getattr(eventlet.original(module), name)
    return getattr(importlib.import_module(module), name)


def _make_lock() -> Any:
    return unpatched('_thread', 'RLock')()


@dataclass(slots=True)
class _Watched:
    """Connections in use in one process.

    :ivar until: the moment (``time.monotonic``) and the driver's connection, by
        the pool's record of it
    """

    until: dict[int, tuple[float, Any]] = field(default_factory=dict)
    # Re-entrant: the collector may give a connection back in the middle.
    lock: Any = field(default_factory=_make_lock)
    started: bool = False


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
        for name in ('checkin', 'close', 'detach'):
            event.listen(engine, name, self._end)

    def _begin_record(self, connection: Any, record: Any) -> None:
        try:
            self._begin(connection, record, None)
        except BaseException:
            # The pool does not know it yet; that of SQLAlchemy 2.0 leaves it open.
            connection.close()
            raise

    def _begin(self, connection: Any, record: Any, _proxy: Any) -> None:
        watched = self._processes.get(os.getpid())
        if watched is None:
            watched = self._processes.setdefault(os.getpid(), _Watched())
        until = time.monotonic() + self._timeout
        with watched.lock:
            watched.until[id(record)] = (until, connection)
            if not watched.started:
                pause = self._timeout / _CHECKS_PER_TIMEOUT
                sleep = functools.partial(unpatched('time', 'sleep'), pause)
                shut = functools.partial(_shut, unpatched('socket', 'socket'))
                start = unpatched('_thread', 'start_new_thread')
                start(_watch, (weakref.ref(self), watched, sleep, shut))
                # Not before: one that could not be started is tried again.
                watched.started = True

    def _end(self, _connection: Any, record: Any = None) -> None:
        watched = self._processes.get(os.getpid())
        if watched is not None:
            # The lock: nothing is shut once its user has gone on.
            with watched.lock:
                watched.until.pop(id(record), None)


def _watch(
    owner: 'weakref.ref[Watchdog]',
    watched: _Watched,
    sleep: Callable[[], None],
    shut: Callable[[Any], None],
) -> None:
    while owner() is not None:
        sleep()
        now = time.monotonic()
        with watched.lock:
            late = [key for key, (until, _) in watched.until.items() if until < now]
            for key in late:
                shut(watched.until.pop(key)[1])


def _shut(make_socket: type[socket.socket], connection: Any) -> None:
    # The pool has no event for a connection that failed while it was being made;
    # its descriptor may be somebody else's by now.
    if connection.closed:
        return
    with (
        contextlib.suppress(OSError),
        make_socket(fileno=os.dup(connection.fileno())) as end,
    ):
        end.shutdown(socket.SHUT_RDWR)
