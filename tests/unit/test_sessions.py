# SPDX-License-Identifier: Apache-2.0
"""What each new session is prepared for, over a driver of the test's own."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.engine import make_engine
from consumer_guard.owners.sessions import ReplicaRefused, Sessions
from tests.rows import NOBODY


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
        return [*self._variables.items()]

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
