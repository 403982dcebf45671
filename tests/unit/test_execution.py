# SPDX-License-Identifier: Apache-2.0
"""Queries on a driver's own cursor, over an SQLite file."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
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
