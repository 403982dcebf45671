# SPDX-License-Identifier: Apache-2.0
"""An autocommit engine on placement's database: a small pool, short time-outs.

It reads from the primary, never from ``slave_connection``: a replica that lags
shows an owner of the past.
"""

import math
import sys
import types
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, pool

from consumer_guard.guard import errors
from consumer_guard.owners import sessions, watchdog
from consumer_guard.owners.api import OwnerLookupSettings

#: Seconds after which a connection is replaced, as placement's own are.
RECYCLE = 3600

#: Seconds that the client waits longer than a MySQL server may work, so that
#: normally the server ends a slow statement and the connection stays good.
GRACE = 0.5


def make_engine(settings: OwnerLookupSettings, *, replicas: bool = False) -> sa.Engine:
    """Make the engine; it opens no connection.

    :param replicas: whether a replica will do; for owners it will not

    :raises consumer_guard.guard.errors.ConfigurationError: no or a bad URL, a
        database or driver that is not supported, a driver that is missing, or a URL
        of MySQL without a database
    """
    if not settings.connection:
        raise _unusable('it is not set')
    # Security: every message here is our own and the chain is cut, because the
    # originals may quote the URL and with it the password.
    try:
        url = sa.make_url(settings.connection)
        dialect = url.get_dialect().name
        driver = url.get_driver_name()
    except sa.exc.NoSuchModuleError:
        raise _unusable(f'SQLAlchemy has no dialect {url.drivername!r}') from None
    except (sa.exc.SQLAlchemyError, ValueError, TypeError):
        raise _unusable('it is not a SQLAlchemy URL') from None
    except ImportError as error:
        raise _unusable(f'the module {error.name!r} is not installed') from None
    limits = _LIMITS.get(f'{dialect}+{driver}')
    if limits is None:
        raise _unusable(
            f'the driver {dialect}+{driver} is not supported; supported are: '
            f'{", ".join(sorted(_LIMITS))}'
        )
    # Security: cut by a line break, its host may be a part of the password.
    if dialect in ('mysql', 'mariadb') and not url.database and not url.query:
        raise _unusable('it names no database; write it on one line')
    engine = _create(url, settings, limits(settings.timeout))
    sessions.Sessions(settings.timeout, replicas=replicas).prepare(engine)
    if dialect == 'sqlite':
        event.listen(engine, 'do_connect', _open_existing)
    if dialect == 'postgresql':
        # libpq has no time-out for an answer.
        watchdog.Watchdog(settings.timeout + GRACE).guard(engine)
    return engine


def _create(
    url: sa.URL, settings: OwnerLookupSettings, limits: dict[str, Any]
) -> sa.Engine:
    try:
        return sa.create_engine(
            url,
            connect_args=limits,
            # On the engine, where it costs a connection's start, not every look-up.
            isolation_level='AUTOCOMMIT',
            pool_reset_on_return=None,
            poolclass=pool.QueuePool,
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.timeout,
            pool_recycle=RECYCLE,
            # Security: ids stay out of the texts of exceptions.
            hide_parameters=True,
        )
    except ImportError as error:
        raise _unusable(f'the module {error.name!r} is not installed') from None
    except (sa.exc.SQLAlchemyError, ValueError, TypeError) as error:
        raise _unusable(
            f'the engine cannot be created ({type(error).__name__})'
        ) from None


def _unusable(reason: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        '[consumer_guard] connection (by default that of [placement_database])'
        f' cannot be used: {reason}'
    )


def _sqlite_limits(timeout: float) -> dict[str, Any]:
    return {'timeout': timeout}


def _open_existing(
    _dialect: sa.Dialect, _record: Any, args: list[Any], options: dict[str, Any]
) -> None:
    """Never create a database file that is missing; it would be an empty one."""
    path = args[0] if args else ''
    if path and path != ':memory:' and not options.get('uri'):
        args[0] = f'file:{urllib.parse.quote(path)}?mode=rw'
        options['uri'] = True


def _libpq_limits(timeout: float) -> dict[str, Any]:
    seconds = math.ceil(timeout)
    return {
        'connect_timeout': max(2, seconds),  # libpq's own minimum
        'tcp_user_timeout': sessions.milliseconds(timeout),
        # Unanswered requests are not unsent data: only probes find a lost host.
        'keepalives_idle': max(1, seconds),
        'keepalives_interval': 1,
    }


def _psycopg_limits(timeout: float) -> dict[str, Any]:
    # Only explicitly, see consumer_guard.owners.execution.
    return {**_libpq_limits(timeout), 'prepare_threshold': sys.maxsize}


def _pymysql_limits(timeout: float) -> dict[str, Any]:
    patience = timeout + GRACE
    return {
        'connect_timeout': timeout,
        'read_timeout': patience,
        'write_timeout': patience,
    }


def _mysqldb_limits(timeout: float) -> dict[str, Any]:
    # libmysqlclient takes whole seconds, and tries a read three times.
    limits = _pymysql_limits(timeout)
    return {name: math.ceil(seconds) for name, seconds in limits.items()}


_LIMITS: Mapping[str, Callable[[float], dict[str, Any]]] = types.MappingProxyType(
    {
        'sqlite+pysqlite': _sqlite_limits,
        'postgresql+psycopg': _psycopg_limits,
        'postgresql+psycopg2': _libpq_limits,
        'mysql+pymysql': _pymysql_limits,
        'mysql+mysqldb': _mysqldb_limits,
        'mariadb+pymysql': _pymysql_limits,
        'mariadb+mysqldb': _mysqldb_limits,
    }
)
