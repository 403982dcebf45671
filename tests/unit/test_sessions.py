# SPDX-License-Identifier: Apache-2.0
"""What each new session is prepared for, over a driver of the test's own."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.engine import make_engine
from consumer_guard.owners.sessions import ReplicaRefused, Sessions, milliseconds
from tests.rows import NOBODY
from tests.unit.psycopg_driver import Driver


class Stopped(Exception):
    """Raised instead of a connection."""


class Server:
    """Takes connections as a pooler does.

    :ivar options: those of each attempt, None for none
    """

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal
        self.options: list[str | None] = []

    def connect(self, **parameters: Any) -> None:
        options = parameters.get('options')
        self.options.append(options)
        if options is not None and 'statement_timeout' in options:
            raise self.error(self._refusal)
        raise Stopped

    error: type[Exception] = Exception


def connect_twice(server: Server, query: str = '') -> list[Exception]:
    """Both attempts of an engine; neither gets a connection."""
    url = f'postgresql+psycopg2://u:p@127.0.0.1:9/placement{query}'
    engine = make_engine(OwnerLookupSettings(url, 1.5, 1, NOBODY, NOBODY))
    server.error = engine.dialect.loaded_dbapi.OperationalError
    raised = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.dialect, 'connect', server.connect)
        for _ in range(2):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                engine.connect()
            raised.append(caught.value)
    return raised


@pytest.mark.parametrize(
    'refusal',
    [
        'FATAL:  unsupported startup parameter: options',
        'FATAL:  unsupported startup parameter in options: statement_timeout',
        "RDS Proxy currently doesn't support command-line options.",
    ],
)
def test_limits_that_are_refused_at_the_start_are_not_asked_for_again(
    refusal: str,
) -> None:
    server = Server(refusal)
    raised = connect_twice(server)
    assert [type(error) for error in raised] == [Stopped, Stopped]
    assert [options is not None for options in server.options] == [True, False, False]


def test_options_of_the_url_are_kept_without_the_limits() -> None:
    server = Server('unsupported startup parameter: options')
    connect_twice(server, '?options=-c%20work_mem%3D5MB')
    assert server.options[1:] == ['-c work_mem=5MB'] * 2


@pytest.mark.parametrize(
    ('query', 'given'),
    [
        ('', ''),
        ('?options=-c%20work_mem%3D5MB', '-c work_mem=5MB '),
        (
            '?options=-c%20jit%3Don&options=-c%20work_mem%3D5MB',
            '-c jit=on -c work_mem=5MB ',
        ),
    ],
)
def test_the_limits_come_after_the_options_of_the_url(query: str, given: str) -> None:
    """The last one of an option wins."""
    server = Server('password authentication failed')
    connect_twice(server, query)
    limits = '-c statement_timeout=1500 -c jit=off -c datestyle=ISO'
    assert server.options == [given + limits] * 2


@pytest.mark.parametrize(
    ('seconds', 'expected'), [(0, 1), (0.0002, 1), (0.0011, 2), (1.5, 1500)]
)
def test_milliseconds_are_whole_and_at_least_one(seconds: float, expected: int) -> None:
    assert milliseconds(seconds) == expected


LIMITS = 'SET LOCAL statement_timeout = 1500; SET LOCAL jit = off'


@pytest.mark.parametrize(
    ('limited', 'level', 'executed'),
    [
        (True, 'READ COMMITTED', []),
        (False, 'READ COMMITTED', [LIMITS]),
        (False, 'AUTOCOMMIT', []),
    ],
)
def test_a_transaction_sets_the_limits_that_its_session_lacks(
    monkeypatch: pytest.MonkeyPatch, limited: bool, level: str, executed: list[str]
) -> None:
    driver = Driver(limited=limited)
    engine = driver.make_engine(monkeypatch).execution_options(isolation_level=level)
    with engine.begin():
        pass
    assert [each.text for each in driver.executed] == executed
    (look,) = driver.looks
    assert "BETWEEN interval '1 ms' AND interval '1500 ms'" in look


@pytest.mark.parametrize('replicas', [False, True])
def test_a_standby_is_left_unless_a_replica_will_do(
    monkeypatch: pytest.MonkeyPatch, replicas: bool
) -> None:
    driver = Driver(in_recovery=True)
    engine = driver.make_engine(monkeypatch, replicas=replicas)
    if replicas:
        engine.connect().close()
    else:
        with pytest.raises(ReplicaRefused):
            engine.connect()
    (connection,) = driver.connections
    assert connection.closed is not replicas


def test_a_standby_is_named_once_until_a_primary_is_met(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver(in_recovery=True)
    engine = driver.make_engine(monkeypatch)

    def be_refused() -> None:
        with pytest.raises(ReplicaRefused):
            engine.connect()

    be_refused()
    be_refused()
    assert caplog.text.count('The database server is a read-only replica') == 1
    driver.in_recovery = False
    engine.connect().close()
    engine.dispose()
    driver.in_recovery = True
    be_refused()
    assert caplog.text.count('The database server is a read-only replica') == 2


def test_an_account_that_is_refused_is_tried_once_each_time() -> None:
    """A second try with a wrong password could lock the account."""
    server = Server('password authentication failed for user "u"')
    raised = connect_twice(server)
    assert all(isinstance(error, sa.exc.OperationalError) for error in raised)
    assert len(server.options) == 2


class Cursor:
    """Shows variables, and keeps what is set."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self.executed: list[str] = []

    def execute(self, text: str) -> None:
        self.executed.append(text)

    def fetchall(self) -> Sequence[tuple[str, str]]:
        """The variables that were asked for; a server ignores case."""
        names = r"SHOW VARIABLES WHERE Variable_name IN \(('\w+'(?:, '\w+')*)\)"
        (asked,) = re.findall(names, self.executed[-1])
        return [
            row for row in self._variables.items() if f"'{row[0].lower()}'" in asked
        ]

    def close(self) -> None:
        """Nothing is open."""


#: Lists of owners are longer than MySQL's default.
ALWAYS = 'SET SESSION group_concat_max_len = 4194304'


class Connection:
    """A connection with one cursor."""

    def __init__(self, **variables: str) -> None:
        self.one = Cursor(variables)
        self.closed = False

    def cursor(self) -> Cursor:
        return self.one

    def close(self) -> None:
        self.closed = True

    def rollback(self) -> None:
        """There is no transaction."""

    def character_set_name(self) -> str:
        """For SQLAlchemy."""
        return 'utf8mb4'

    def autocommit(self, value: bool) -> None:
        """As it is set on the engine."""
        assert value


def prepare(connection: Connection, *, replicas: bool = False) -> list[str]:
    """What is set in a session of MySQL or MariaDB."""
    Sessions(1.5, replicas=replicas)._prepare_mysql(connection, None)
    return connection.one.executed[1:]


@pytest.mark.parametrize(
    ('variables', 'expected'),
    [
        ({}, ''),
        ({'wsrep_on': 'OFF'}, ''),
        ({'max_statement_time': '0'}, ', max_statement_time = 1.500'),
        ({'MAX_EXECUTION_TIME': '0'}, ', max_execution_time = 1500'),
        (
            {'IN_PREDICATE_CONVERSION_THRESHOLD': '1000'},
            ', in_predicate_conversion_threshold = 0',
        ),
        ({'wsrep_on': 'ON'}, ', wsrep_sync_wait = 1, wsrep_dirty_reads = 0'),
        ({'wsrep_on': 'OFF', 'read_only': 'OFF'}, ''),
        ({'wsrep_on': '0', 'read_only': '0'}, ''),
    ],
)
def test_a_session_gets_what_its_server_knows(
    variables: dict[str, str], expected: str
) -> None:
    assert prepare(Connection(**variables)) == [ALWAYS + expected]


@pytest.mark.parametrize('value', ['ON', '1', 'NO_LOCK', 'NO_LOCK_NO_ADMIN'])
def test_a_server_that_is_read_only_is_left(value: str) -> None:
    connection = Connection(read_only=value)
    with pytest.raises(ReplicaRefused):
        prepare(connection)
    assert connection.closed
    assert prepare(Connection(read_only=value), replicas=True) == [ALWAYS]


@pytest.mark.parametrize('dialect', ['mysql', 'mariadb'])
def test_every_session_of_mysql_and_mariadb_is_prepared(
    monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    url = f'{dialect}+pymysql://u:p@127.0.0.1:9/placement'
    engine = make_engine(OwnerLookupSettings(url, 1.5, 1, NOBODY, NOBODY))
    connection = Connection()
    monkeypatch.setattr(engine.dialect, 'connect', lambda **_: connection)
    monkeypatch.setattr(engine.dialect, 'initialize', lambda _: None)
    engine.connect().close()
    assert ALWAYS in connection.one.executed
