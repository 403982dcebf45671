# SPDX-License-Identifier: Apache-2.0
"""Prepares each new session: bounded statements, the newest rows, no replica.

PostgreSQL gets its limits at the start of a connection. A pooler may refuse or drop
them, and may give the transactions of a connection different server sessions, which
others use too. What is SET there would bound placement, so that each transaction
sets its own.
"""

import contextlib
import logging
import math
import types
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from consumer_guard.guard.errors import GuardError

LOG = logging.getLogger(__name__)

#: The key, in the ``info`` of a connection, of what a transaction has to begin with.
BEGIN = 'consumer_guard begin'

#: What poolers say when they refuse limits at the start: pgbouncer ("unsupported
#: startup parameter"), Amazon's RDS Proxy.
_REFUSALS = ('startup parameter', 'command-line options')

# Of another DateStyle psycopg2 makes this one while it connects, and nothing bounds
# that wait. Compiling a plan costs more than running it here (measured on batches:
# 200 ms).
_START = '{given} -c statement_timeout={limit} -c jit=off -c datestyle=ISO'

_LOCAL = 'SET LOCAL statement_timeout = {limit}; SET LOCAL jit = off'

# Security: a standby takes no transaction that may write. The server behind a pooler
# can become one while the connection stays.
_BEGIN = 'BEGIN READ WRITE; '

_LOOK = """
SELECT pg_is_in_recovery(),
       CAST(current_setting('statement_timeout') AS interval)
           BETWEEN interval '1 ms' AND interval '{limit} ms'
"""

# MySQL's and MariaDB's variables that matter here, and how each is set.
_SESSION_LIMITS: Mapping[str, Callable[[float], str]] = types.MappingProxyType(
    {
        'max_statement_time': lambda seconds: f'{seconds:.3f}',
        'max_execution_time': lambda seconds: str(milliseconds(seconds)),
        # MariaDB makes a derived table of 1000 ids and reads all consumers.
        'in_predicate_conversion_threshold': lambda _: '0',
    }
)

#: Bytes of a batch's owners, however long the ids are; MySQL's default is 1 KiB.
_LONGEST_LIST = 1 << 22

_OFF = ('OFF', '0')


class ReplicaRefused(GuardError):
    """The server is read-only: it may name an owner of the past."""


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, at least one."""
    return max(1, math.ceil(seconds * 1000))


class Sessions:
    """Prepares the sessions of one engine.

    :param timeout: seconds that a statement may take
    :param replicas: whether a replica will do
    """

    def __init__(self, timeout: float, *, replicas: bool) -> None:
        self._timeout = timeout
        self._limit = milliseconds(timeout)
        self._replicas = replicas
        self._on_replica = False
        self._starts_with_limits = True

    def prepare(self, engine: sa.Engine) -> None:
        """Prepare all sessions of an engine from now on."""
        if engine.dialect.name == 'postgresql':
            event.listen(engine, 'do_connect', self._connect_postgresql)
            event.listen(engine, 'connect', self._prepare_postgresql)
            event.listen(engine, 'begin', self._begin_postgresql)
        elif engine.dialect.name in ('mysql', 'mariadb'):
            event.listen(engine, 'connect', self._prepare_mysql)

    def _connect_postgresql(
        self, dialect: Any, _record: Any, arguments: Any, parameters: Any
    ) -> Any:
        given = parameters.get('options', '')
        if not isinstance(given, str):
            given = ' '.join(given)
        # The last one of an option wins.
        limits = {'options': _START.format(given=given, limit=self._limit).strip()}
        if self._starts_with_limits:
            try:
                return dialect.connect(*arguments, **(parameters | limits))
            except dialect.loaded_dbapi.OperationalError as error:
                if not any(refusal in str(error) for refusal in _REFUSALS):
                    raise
            self._starts_with_limits = False
        return dialect.connect(*arguments, **parameters)

    def _prepare_postgresql(self, connection: Any, record: Any) -> None:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(_LOOK.format(limit=self._limit))
            ((in_recovery, limited),) = cursor.fetchall()
        self._refuse(connection, in_recovery)
        if not limited:
            record.info[BEGIN] = _BEGIN + _LOCAL.format(limit=self._limit)

    def _begin_postgresql(self, connection: sa.Connection) -> None:
        if BEGIN not in connection.info:
            return
        # Any: the driver's own. Not by SQLAlchemy, for which there is no transaction
        # yet.
        driver: Any = connection.connection.dbapi_connection
        if not driver.autocommit:
            with contextlib.closing(driver.cursor()) as cursor:
                cursor.execute(_LOCAL.format(limit=self._limit))

    def _prepare_mysql(self, connection: Any, _record: Any) -> None:
        names = ('wsrep_on', 'read_only', *_SESSION_LIMITS)
        wanted = ', '.join(f"'{name}'" for name in names)
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(f'SHOW VARIABLES WHERE Variable_name IN ({wanted})')
            there = {name.lower(): value.upper() for name, value in cursor.fetchall()}
            self._refuse(connection, there.get('read_only', 'OFF') not in _OFF)
            session = [f'group_concat_max_len = {_LONGEST_LIST}']
            session += [
                f'{name} = {value(self._timeout)}'
                for name, value in _SESSION_LIMITS.items()
                if name in there
            ]
            # Security: a node may be behind the one that took the last write, or cut
            # off from it, and would name an owner of the past.
            if there.get('wsrep_on', 'OFF') not in _OFF:
                session += ['wsrep_sync_wait = 1', 'wsrep_dirty_reads = 0']
            cursor.execute(f'SET SESSION {", ".join(session)}')

    def _refuse(self, connection: Any, is_replica: bool) -> None:
        """Refuse a replica, with one ERROR until a primary is met.

        :raises ReplicaRefused: it is one
        """
        known, self._on_replica = self._on_replica, is_replica
        if not is_replica or self._replicas:
            return
        if not known:
            LOG.error(
                'The database server is a read-only replica and may return a former '
                'owner: owners get 503 until option connection of [consumer_guard], by '
                'default that of [placement_database], points to the primary'
            )
        connection.close()
        raise ReplicaRefused('the database server is a read-only replica')
