# SPDX-License-Identifier: Apache-2.0
"""Queries on a driver's own cursor, over an SQLite file."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.engine import make_engine
from consumer_guard.owners.execution import Executor
from consumer_guard.owners.sessions import BEGIN
from tests.rows import NOBODY
from tests.servers import get_pool
from tests.unit.psycopg_driver import Connection, Driver, Executed, make_fault

ONE, MANY = ['a'], ['a', 'b']


class Killed(BaseException):
    """As gevent's GreenletExit, or a worker's time-out."""


class Fault(Exception):
    """An error of psycopg, by its SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def query(ids: Sequence[str]) -> tuple[str, dict[str, str]]:
    marks = ', '.join(f'(:id{number})' for number in range(len(ids)))
    return f'VALUES {marks}', {f'id{number}': id_ for number, id_ in enumerate(ids)}


def read(rows: Iterable[Any]) -> list[Any]:
    return [row[0] for row in rows]


class Failing:
    """Reads; raises the first times."""

    def __init__(self, *faults: BaseException) -> None:
        self._faults = [*faults]
        self.calls = 0

    def __call__(self, rows: Iterable[Any]) -> list[Any]:
        self.calls += 1
        if self._faults:
            raise self._faults.pop(0)
        return read(rows)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    # The guard creates no file that is missing.
    (tmp_path / 'x.db').touch()
    url = f'sqlite:///{tmp_path}/x.db'
    made = make_engine(OwnerLookupSettings(url, 5.0, 1, NOBODY, NOBODY))
    yield made
    made.dispose()


@pytest.fixture
def opened(engine: sa.Engine) -> list[object]:
    """One for each connection that is opened."""
    made: list[object] = []
    sa.event.listen(engine, 'connect', lambda *_: made.append(None))
    return made


def test_the_text_of_an_error_has_no_statement_and_no_ids(engine: sa.Engine) -> None:
    def wrong(ids: Sequence[str]) -> tuple[str, dict[str, str]]:
        return f"SELECT '{ids[0]}' FROM nothing", {}

    with pytest.raises(sa.exc.OperationalError, match='nothing') as caught:
        Executor(engine, 5.0).run(wrong, ['secret-id'], read)
    assert 'secret-id' not in str(caught.value)
    assert 'SELECT' not in repr(caught.value)


@pytest.mark.parametrize('ids', [ONE, MANY])
def test_rows_are_read_and_the_connection_goes_back(
    engine: sa.Engine, opened: list[object], ids: list[str]
) -> None:
    executor = Executor(engine, 5.0)
    for _ in range(3):
        assert executor.run(query, ids, read) == ids
    assert len(opened) == 1
    assert get_pool(engine).checkedin() == 1


@pytest.mark.parametrize('ids', [ONE, MANY])
def test_what_fails_at_the_driver_is_run_once_more(
    engine: sa.Engine, opened: list[object], ids: list[str]
) -> None:
    reader = Failing(sqlite3.OperationalError('gone'))
    assert Executor(engine, 5.0).run(query, ids, reader) == ids
    assert reader.calls == 2
    assert len(opened) == 2, 'the connection that failed was used again'


def test_what_has_used_up_its_time_out_is_not_run_again(engine: sa.Engine) -> None:
    reader = Failing(sqlite3.OperationalError('gone'))
    with pytest.raises(sqlite3.OperationalError):
        Executor(engine, 0.0).run(query, ONE, reader)
    assert reader.calls == 1


@pytest.mark.parametrize('ids', [ONE, MANY])
@pytest.mark.parametrize('fault', [Killed(), ValueError(), MemoryError()], ids=repr)
def test_an_answer_that_was_not_read_to_its_end_is_nobody_elses(
    engine: sa.Engine, opened: list[object], fault: BaseException, ids: list[str]
) -> None:
    """O13: whatever ended the reading, the connection is not used again."""
    executor = Executor(engine, 5.0)
    reader = Failing(fault)
    with pytest.raises(type(fault)):
        executor.run(query, ids, reader)
    assert reader.calls == 1
    assert executor.run(query, ids, read) == ids
    assert len(opened) == 2
    assert get_pool(engine).checkedout() == 0


@pytest.mark.parametrize('fault', [Killed(), ValueError()], ids=repr)
def test_a_transaction_that_was_not_ended_is_nobody_elses(
    engine: sa.Engine, opened: list[object], fault: BaseException
) -> None:
    def note(_connection: object, record: Any) -> None:
        record.info[BEGIN] = 'BEGIN'

    sa.event.listen(engine, 'connect', note)
    executor = Executor(engine, 5.0)
    with pytest.raises(type(fault)):
        executor.run(query, ONE, Failing(sqlite3.OperationalError('gone'), fault))
    for _ in range(2):
        assert executor.run(query, ONE, read) == ONE
    assert len(opened) == 3
    assert get_pool(engine).checkedout() == 0


def test_a_database_that_is_away_is_asked_twice_and_no_more(tmp_path: Path) -> None:
    url = f'sqlite:///{tmp_path}/nowhere/x.db'
    engine = make_engine(OwnerLookupSettings(url, 5.0, 1, NOBODY, NOBODY))
    with pytest.raises(sa.exc.OperationalError):
        Executor(engine, 5.0).run(query, ONE, read)
    assert get_pool(engine).checkedout() == 0


@pytest.mark.parametrize(
    ('state', 'given_up'), [('26000', True), ('42P05', True), ('57014', False)]
)
def test_preparing_is_given_up_where_sessions_keep_no_statements(
    state: str, given_up: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    url = 'postgresql+psycopg://u:p@127.0.0.1:9/placement'
    engine = make_engine(OwnerLookupSettings(url, 1.0, 1, NOBODY, NOBODY))
    executor = Executor(engine, 1.0)
    before = engine.pool
    for _ in range(2):
        executor.examine(Fault(state))
    assert caplog.text.count('use no prepared statements') == given_up
    assert (engine.pool is not before) is given_up


def _raise_each(*faults: Exception | None) -> Callable[[Connection], None]:
    """One for each statement, as long as there are any; None lets one pass."""
    left = [*faults]

    def fail(_: Connection) -> None:
        fault = left.pop(0) if left else None
        if fault is not None:
            raise fault

    return fail


class Psycopg:
    """An executor over a driver of the test's own, with a clock of the test's own."""

    def __init__(self, patch: pytest.MonkeyPatch, *, limited: bool = True) -> None:
        self.driver = Driver(limited=limited)
        self.now = 100.0
        self.engine = self.driver.make_engine(patch)
        self.engine.connect().close()
        self.driver.fetched.clear()
        patch.setattr(time, 'monotonic', lambda: self.now)
        self.executor = Executor(self.engine, 1.5)

    def run(self, *, keep: bool = False) -> list[Any]:
        return self.executor.run(query, ONE, read, keep=keep)

    def take(self) -> list[Executed]:
        """What was executed since the last time."""
        executed = [*self.driver.executed]
        self.driver.executed.clear()
        return executed


@pytest.fixture
def psycopg(monkeypatch: pytest.MonkeyPatch) -> Psycopg:
    return Psycopg(monkeypatch)


TEXT = query(ONE)[0]


def test_the_query_of_one_is_prepared_and_its_cursor_kept(psycopg: Psycopg) -> None:
    for _ in range(2):
        assert psycopg.run(keep=True) == ONE
    first, second = psycopg.take()
    assert first == second
    assert first[1:] == (TEXT, {'prepare': True})
    assert psycopg.driver.fetched == [True, True]


def test_another_query_is_not_prepared_and_its_rows_are_read_one_by_one(
    psycopg: Psycopg,
) -> None:
    for _ in range(2):
        assert psycopg.executor.run(query, ONE, read) == ONE
    first, second = psycopg.take()
    assert first.cursor != second.cursor
    assert first[1:] == second[1:] == (TEXT, {})
    assert psycopg.driver.fetched == [False, False]


@pytest.mark.parametrize('keep', [True, False])
def test_where_a_pooler_dropped_the_limits_a_transaction_sets_them(
    monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    """And prepares nothing: its session may be another one the next time."""
    psycopg = Psycopg(monkeypatch, limited=False)
    assert psycopg.run(keep=keep) == ONE
    limits = 'SET LOCAL statement_timeout = 1500; SET LOCAL jit = off'
    expected = [f'BEGIN READ WRITE; {limits}', TEXT, 'COMMIT']
    executed = psycopg.take()
    assert [each.text for each in executed] == expected
    assert not any(each.options for each in executed)
    # The same by SQLAlchemy, after a fault at the driver.
    psycopg.driver.fail = _raise_each(make_fault())
    assert psycopg.run(keep=keep) == ONE
    assert [each.text for each in psycopg.take()] == expected


@pytest.mark.parametrize('state', ['26000', '42P05'])
def test_a_lost_statement_is_run_again_and_none_is_prepared_any_more(
    psycopg: Psycopg, state: str
) -> None:
    psycopg.driver.fail = _raise_each(make_fault(state))
    assert psycopg.run(keep=True) == ONE
    psycopg.take()
    assert psycopg.run(keep=True) == ONE
    assert [each.options for each in psycopg.take()] == [{'prepare': False}]


def _lose(psycopg: Psycopg, times: int, *, seconds: float = 0.0) -> None:
    """The connection of each of the first statements is lost."""
    left = times

    def fail(connection: Connection) -> None:
        nonlocal left
        if left:
            left -= 1
            psycopg.now += seconds
            connection.broken = True
            raise make_fault()

    psycopg.driver.fail = fail


def test_a_connection_that_was_dead_twice_is_replaced_twice(
    psycopg: Psycopg, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('DEBUG')
    _lose(psycopg, 2)
    assert psycopg.run() == ONE
    assert len(psycopg.driver.connections) == 3
    assert [record.getMessage() for record in caplog.records] == [
        'Retrying a look-up: OperationalError',
        'A database connection was lost: OperationalError',
    ]


def test_a_server_that_is_lost_each_time_is_tried_three_times(
    psycopg: Psycopg,
) -> None:
    _lose(psycopg, 4)
    with pytest.raises(sa.exc.OperationalError):
        psycopg.run()
    assert len(psycopg.driver.connections) == 3
    assert psycopg.run() == ONE  # the fourth loss, and once more


@pytest.mark.parametrize(
    ('seconds', 'tries'), [(0.75, 2), (0.74, 3), (1.5, 1), (1.49, 2)]
)
def test_nothing_is_tried_once_the_time_out_is_spent(
    psycopg: Psycopg, seconds: float, tries: int
) -> None:
    """1.5 seconds: of one loss, or of two together."""
    _lose(psycopg, 3, seconds=seconds)
    with pytest.raises(Exception, match='gone'):
        psycopg.run()
    assert len(psycopg.driver.connections) == tries


def test_what_fails_again_on_a_living_connection_is_not_run_a_third_time(
    psycopg: Psycopg,
) -> None:
    psycopg.driver.fail = _raise_each(make_fault(), make_fault())
    with pytest.raises(sa.exc.OperationalError):
        psycopg.run()
    assert psycopg.take() == []
    assert psycopg.run() == ONE
    # The one that SQLAlchemy had is used again.
    assert len(psycopg.driver.connections) == 2


def test_an_error_of_the_reader_is_raised_as_it_was(psycopg: Psycopg) -> None:
    fault = ValueError('of the reader')
    psycopg.driver.fail = _raise_each(make_fault())
    with pytest.raises(ValueError, match='of the reader') as caught:
        psycopg.executor.run(query, ONE, Failing(fault))
    assert caught.value is fault
    assert not vars(fault)
