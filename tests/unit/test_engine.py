# SPDX-License-Identifier: Apache-2.0
"""The engine on placement's database, before it has a connection."""

import sys
import traceback
from typing import Any

import pytest

from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.engine import GRACE, RECYCLE, make_engine
from tests.rows import NOBODY
from tests.servers import get_pool

SECRET = 'Wonderful-17'


class Stopped(Exception):
    """Raised instead of connecting."""


def settings(url: str, timeout: float = 1.5, pool_size: int = 3) -> OwnerLookupSettings:
    return OwnerLookupSettings(url, timeout, pool_size, NOBODY, NOBODY)


def read_arguments(url: str, timeout: float = 1.5) -> dict[str, Any]:
    """What the driver would be connected with."""
    engine = make_engine(settings(url, timeout))
    seen: dict[str, Any] = {}

    def stop(*_arguments: Any, **parameters: Any) -> None:
        seen.update(parameters)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.dialect, 'connect', stop)
        with pytest.raises(Stopped):
            engine.connect()
    return seen


@pytest.mark.parametrize('driver', ['psycopg2', 'psycopg'])
def test_postgresql_is_bounded_by_client_and_server(driver: str) -> None:
    seen = read_arguments(f'postgresql+{driver}://u:p@host/placement')
    assert seen['connect_timeout'] == 2
    assert seen['tcp_user_timeout'] == 1500
    assert '-c statement_timeout=1500' in seen['options']
    assert '-c jit=off' in seen['options']
    assert ('prepare_threshold' in seen) is (driver == 'psycopg')


def test_options_of_the_url_come_before_ours() -> None:
    """PostgreSQL takes the last one of an option."""
    url = 'postgresql+psycopg2://host/p?options=-c%20statement_timeout%3D9'
    options = read_arguments(url)['options']
    assert options.index('statement_timeout=9 ') < options.index('timeout=1500')


def test_mysql_waits_longer_than_its_server_may_work() -> None:
    seen = read_arguments('mysql+pymysql://u:p@host/placement')
    assert seen['connect_timeout'] == 1.5
    assert seen['read_timeout'] == seen['write_timeout'] == 1.5 + GRACE


def test_sqlite_waits_for_a_lock_no_longer_than_the_time_out() -> None:
    assert read_arguments('sqlite:////x/placement.db')['timeout'] == 1.5


def test_the_pool_has_no_more_than_its_size() -> None:
    pool = get_pool(make_engine(settings('sqlite:////x/placement.db')))
    assert pool.size() == 3
    assert pool._max_overflow == 0
    assert pool._timeout == 1.5
    assert pool._recycle == RECYCLE


@pytest.mark.parametrize(
    ('url', 'words'),
    [
        ('', 'is not set'),
        (SECRET, 'is not a SQLAlchemy URL'),
        (f'postgresql://u:{SECRET}@host:port/p', 'is not a SQLAlchemy URL'),
        (f'nosuchdb://u:{SECRET}@host/p', "has no dialect 'nosuchdb'"),
        (f'postgresql+pg8000://u:{SECRET}@host/p', 'postgresql+pg8000 is not sup'),
        (f'mysql+mysqldb://u:{SECRET}@host/p', "module 'MySQLdb' is not installed"),
        (f'sqlite://u:{SECRET}@host/p', 'the engine cannot be created'),
    ],
    ids=['empty', 'text', 'port', 'database', 'driver', 'module', 'sqlite'],
)
def test_a_url_that_cannot_be_used_is_named_without_its_secret(
    url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for missing in ('MySQLdb', 'pg8000'):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError) as caught:
        make_engine(settings(url))
    assert words in str(caught.value)
    assert str(caught.value).startswith('[consumer_guard] connection')
    whole = ''.join(traceback.format_exception(caught.value))
    assert 'During handling' not in whole, 'the chain is not cut'
    assert SECRET not in whole


def test_the_secret_is_in_no_repr() -> None:
    given = settings(f'mysql+pymysql://user:{SECRET}@host/placement')
    engine = make_engine(given)
    for text in (repr(given), str(given), repr(engine), repr(engine.pool)):
        assert SECRET not in text
