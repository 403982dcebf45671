# SPDX-License-Identifier: Apache-2.0
"""Stored generations over placement's tables in an SQLite file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consumer_guard.generations import store
from consumer_guard.generations.store import Judged, Kind, Swap
from tests.rows import LIMIT, LOWEST, Tables

ONE = 'c1c1c1c1-0000-4000-8000-00000000000a'
TWO = 'c2c2c2c2-0000-4000-8000-00000000000b'


@pytest.fixture
def url(tmp_path: Path, make_sqlite: Callable[[Path], str]) -> str:
    return make_sqlite(tmp_path / 'placement.db')


@pytest.fixture
def tables(url: str) -> Tables:
    return Tables(url)


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(url, isolation_level='AUTOCOMMIT')
    yield made
    made.dispose()


def judge(tables: Tables, uuid: str) -> Judged:
    """The consumer as it is stored now."""
    row = tables.read(uuid)
    assert row is not None
    return Judged(row.row_id, row.project_id, row.user_id)


class TestSwap:
    def test_all_are_swapped_where_each_is_as_expected(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE, generation=5)
        tables.consume(TWO, generation=6)
        swaps = [Swap(TWO, 6, -6), Swap(ONE, 5, -5)]
        assert store.swap(engine, Kind.CONSUMER, swaps) is True
        assert tables.read_generations() == {ONE: -5, TWO: -6}

    def test_a_race_that_the_database_decides_stops_all(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE, generation=5)
        tables.consume(TWO, generation=5)
        updates: list[str] = []

        def lose(_c: object, _cursor: object, text: str, *_: object) -> None:
            updates.extend([text] if text.startswith('UPDATE') else [])
            if len(updates) == 2:
                raise sa.exc.OperationalError(text, {}, Fault(sqlstate='40001'))

        sa.event.listen(engine, 'before_cursor_execute', lose)
        swaps = [Swap(ONE, 5, -5), Swap(TWO, 5, -5)]
        assert store.swap(engine, Kind.CONSUMER, swaps) is False
        assert tables.read_generations() == {ONE: 5, TWO: 5}

    @pytest.mark.parametrize('expected', [4, 6, LIMIT])
    def test_one_that_is_not_as_expected_stops_all(
        self, tables: Tables, engine: sa.Engine, expected: int
    ) -> None:
        tables.consume(ONE, generation=5)
        tables.consume(TWO, generation=5)
        swaps = [Swap(ONE, 5, -5), Swap(TWO, expected, -5)]
        assert store.swap(engine, Kind.CONSUMER, swaps) is False
        assert tables.read_generations() == {ONE: 5, TWO: 5}

    def test_one_that_is_missing_stops_all(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE, generation=5)
        swaps = [Swap(ONE, 5, -5), Swap(TWO, 5, -5)]
        assert store.swap(engine, Kind.CONSUMER, swaps) is False
        assert tables.read_generations() == {ONE: 5}

    @pytest.mark.parametrize('user', ['user-a', None])
    def test_a_row_as_it_was_judged_is_swapped(
        self, tables: Tables, engine: sa.Engine, user: str | None
    ) -> None:
        tables.consume(ONE, user=user)
        swap = Swap(ONE, 1, -1, judge(tables, ONE))
        assert store.swap(engine, Kind.CONSUMER, [swap]) is True

    @pytest.mark.parametrize(
        'change',
        [
            "UPDATE projects SET external_id = 'another'",
            "UPDATE users SET external_id = 'another'",
            'UPDATE consumers SET id = id + 1',
            'UPDATE consumers SET generation = generation + 1',
            'DELETE FROM allocations',
            'DELETE FROM projects',
            'DELETE FROM users',
            'DELETE FROM consumers',
        ],
    )
    def test_a_row_that_is_not_as_judged_is_not_swapped(
        self, tables: Tables, engine: sa.Engine, change: str
    ) -> None:
        tables.consume(ONE)
        swap = Swap(ONE, 1, -1, judge(tables, ONE))
        tables.run(change)
        assert store.swap(engine, Kind.CONSUMER, [swap]) is False
        assert -1 not in tables.read_generations().values()

    def test_a_roll_compares_the_generation_alone(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE, project=None, user=None, allocations=0)
        swap = Swap(ONE, 1, LOWEST)
        assert store.swap(engine, Kind.CONSUMER, [swap]) is True

    def test_the_connection_commits_by_itself_again(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE)
        assert store.swap(engine, Kind.CONSUMER, [Swap(ONE, 9, 5)]) is False
        with engine.connect() as connection:
            connection.exec_driver_sql('UPDATE consumers SET generation = 3')
        assert tables.read_generation(ONE) == 3

    def test_a_fault_is_raised_and_changes_nothing(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE)
        tables.consume(TWO)
        tables.run(
            'CREATE TRIGGER refuse BEFORE UPDATE ON consumers WHEN NEW.generation = -2'
            " BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        swaps = [Swap(ONE, 1, -1), Swap(TWO, 1, -2)]
        with pytest.raises(sa.exc.DBAPIError, match='refused'):
            store.swap(engine, Kind.CONSUMER, swaps)
        assert tables.read_generations() == {ONE: 1, TWO: 1}


class Fault(Exception):
    """An exception of a driver."""

    def __init__(self, *args: object, **attributes: object) -> None:
        super().__init__(*args)
        self.__dict__ |= attributes


@pytest.mark.parametrize(
    ('fault', 'lacks'),
    [
        (Fault(sqlstate='42501'), True),
        (Fault(pgcode='42501'), True),
        (Fault(1142, 'UPDATE command denied'), True),
        (Fault(1205, 1142), False),
        (Fault(1143, 'UPDATE command denied to a column'), True),
        (Fault(sqlite_errorcode=8), True),
        (Fault(sqlstate='40001'), False),
        (Fault(1213, 'Deadlock'), False),
        (Fault(), False),
        (Fault('1142'), False),
    ],
    ids=repr,
)
def test_a_missing_right_is_known_by_its_code(fault: Fault, lacks: bool) -> None:
    assert store.lacks_right(fault) is lacks
    assert store.lacks_right(sa.exc.DBAPIError('UPDATE', {}, fault)) is lacks


@pytest.mark.parametrize(
    ('fault', 'lost'),
    [
        (Fault(sqlstate='40001'), True),
        (Fault(pgcode='40P01'), True),
        (Fault(1213, 'Deadlock found'), True),
        (Fault(1020, 'Record has changed since last read'), True),
        (Fault(1205, 'Lock wait timeout exceeded'), False),
        (Fault(1205, 1213), False),
        (None, False),
        (Fault(sqlite_errorcode=5), False),
        (Fault(), False),
    ],
    ids=repr,
)
def test_a_lost_race_is_known_by_its_code(fault: Fault | None, lost: bool) -> None:
    error = sa.exc.DBAPIError('UPDATE', {}, fault or Fault())
    error.orig = fault
    assert store.lost_race(error) is lost


def test_a_database_that_may_only_be_read_lacks_the_right(
    tables: Tables, url: str
) -> None:
    tables.consume(ONE)
    path = url.removeprefix('sqlite:///')
    engine = sa.create_engine(
        f'sqlite:///file:{path}?mode=ro&uri=true', isolation_level='AUTOCOMMIT'
    )
    with pytest.raises(sa.exc.DBAPIError) as caught:
        store.swap(engine, Kind.CONSUMER, [Swap(ONE, 1, -1)])
    engine.dispose()
    assert store.lacks_right(caught.value)
