# SPDX-License-Identifier: Apache-2.0
"""Rolls of many counters over placement's tables in an SQLite file."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consumer_guard.generations import rolling
from consumer_guard.generations.store import Kind, Swap
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
    made = sa.create_engine(
        url, isolation_level='AUTOCOMMIT', connect_args={'timeout': 0.1}
    )
    yield made
    made.dispose()


def lower(stored: int) -> int | None:
    """Rolls what is above 5."""
    return LOWEST + stored if stored > 5 else None


class TestReading:
    @pytest.mark.parametrize('kind', Kind)
    def test_the_highest_come_first_and_no_more_than_wanted(
        self, tables: Tables, engine: sa.Engine, kind: Kind
    ) -> None:
        for number, generation in enumerate((5, LIMIT, LOWEST, 7)):
            add = tables.consume if kind is Kind.CONSUMER else tables.provide
            add(f'{ONE[:-1]}{number}', generation=generation)
        found = rolling.read_highest(engine, kind, 2)
        assert [row[1:] for row in found] == [
            (f'{ONE[:-1]}1', LIMIT),
            (f'{ONE[:-1]}3', 7),
        ]

    def test_only_those_above_a_value_are_counted_and_read(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        for uuid, generation in ((ONE, 5), (TWO, 6)):
            tables.consume(uuid, generation=generation)
        assert rolling.count_above(engine, Kind.CONSUMER, 5) == 1
        assert rolling.count_above(engine, Kind.PROVIDER, 5) == 0
        [row] = rolling.read_batch(engine, Kind.CONSUMER, 5, -1)
        assert row[1:] == (TWO, 6)
        assert rolling.read_batch(engine, Kind.CONSUMER, 5, row.row_id) == []

    def test_a_uuid_is_compared_byte_for_byte(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE, generation=5)
        row = rolling.read_row(engine, Kind.CONSUMER, ONE)
        assert row is not None
        assert row[1:] == (ONE, 5)
        for other in (ONE.upper(), f'{ONE} ', TWO):
            assert rolling.read_row(engine, Kind.CONSUMER, other) is None

    def test_a_uuid_is_compared_byte_for_byte_where_the_collation_does_not(
        self, tmp_path: Path
    ) -> None:
        engine = sa.create_engine(f'sqlite:///{tmp_path / "other.db"}')
        with engine.begin() as connection:
            for text in (
                'CREATE TABLE consumers (id INT, uuid TEXT COLLATE NOCASE, generation INT)',
                f"INSERT INTO consumers VALUES (1, '{ONE.upper()}', 5)",
            ):
                connection.exec_driver_sql(text)
        assert rolling.read_row(engine, Kind.CONSUMER, ONE) is None
        assert rolling.read_row(engine, Kind.CONSUMER, ONE.upper()) is not None
        engine.dispose()


class Lost(Exception):
    """A driver's exception: the transaction was given up for another one."""

    sqlstate = '40001'


class TestRollRows:
    @pytest.mark.parametrize(
        ('lost', 'expected'),
        [(0, LOWEST + 7), (1, LOWEST + 7), (3, LOWEST + 7), (100, 7)],
    )
    def test_a_transaction_that_the_database_gave_up_is_repeated_some_times(
        self, tables: Tables, engine: sa.Engine, lost: int, expected: int
    ) -> None:
        tables.consume(ONE, generation=7)
        [row] = rolling.read_batch(engine, Kind.CONSUMER, 5, -1)
        races = iter([Lost()] * lost)

        def lose(_c: object, _cursor: object, text: str, *_: object) -> None:
            if text.startswith('UPDATE') and (race := next(races, None)):
                raise sa.exc.OperationalError(text, {}, race)

        sa.event.listen(engine, 'before_cursor_execute', lose)
        swaps = rolling.roll_rows(engine, Kind.CONSUMER, [row.row_id], lower)
        assert swaps == ([Swap(ONE, 7, expected)] if expected != 7 else None)
        assert tables.read_generations() == {ONE: expected}

    def test_the_rows_are_locked_before_they_are_read(
        self, tables: Tables, engine: sa.Engine, url: str
    ) -> None:
        """Nobody writes between the reading and the change."""
        tables.consume(ONE, generation=7)
        [row] = rolling.read_batch(engine, Kind.CONSUMER, 5, -1)
        refused = []

        def choose(stored: int) -> int | None:
            with contextlib.closing(
                sqlite3.connect(url.removeprefix('sqlite:///'), timeout=0.1)
            ) as other:
                try:
                    other.execute('UPDATE consumers SET generation = 8')
                except sqlite3.OperationalError as error:
                    refused.append(str(error))
            return lower(stored)

        rolling.roll_rows(engine, Kind.CONSUMER, [row.row_id], choose)
        assert refused == ['database is locked']
        assert tables.read_generations() == {ONE: LOWEST + 7}

    @pytest.mark.parametrize('kind', Kind)
    def test_each_row_goes_where_it_is_chosen_to_go_and_no_other_moves(
        self, tables: Tables, engine: sa.Engine, kind: Kind
    ) -> None:
        add = tables.consume if kind is Kind.CONSUMER else tables.provide
        add(ONE, generation=LIMIT)
        add(TWO, generation=5)
        read = [rolling.read_row(engine, kind, uuid) for uuid in (ONE, TWO)]
        ids = [row.row_id for row in read if row is not None]
        swaps = rolling.roll_rows(engine, kind, [*ids, 999_999], lower)
        assert swaps == [Swap(ONE, LIMIT, LOWEST + LIMIT)]
        assert tables.read_generations(kind.value) == {ONE: LOWEST + LIMIT, TWO: 5}

    def test_the_old_value_is_the_stored_one_not_the_one_read_before(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE, generation=LIMIT)
        [row] = rolling.read_batch(engine, Kind.CONSUMER, 5, -1)
        tables.set_generation(ONE, 7)
        swaps = rolling.roll_rows(engine, Kind.CONSUMER, [row.row_id], lower)
        assert swaps == [Swap(ONE, 7, LOWEST + 7)]

    def test_a_failure_on_the_way_leaves_every_row_as_it_was(
        self, tables: Tables, engine: sa.Engine
    ) -> None:
        tables.consume(ONE, generation=6)
        tables.consume(TWO, generation=7)
        tables.run(
            'CREATE TRIGGER stop BEFORE UPDATE ON consumers WHEN OLD.generation = 7'
            " BEGIN SELECT RAISE(ABORT, 'stop'); END"
        )
        rows = rolling.read_batch(engine, Kind.CONSUMER, 5, -1)
        ids = [row.row_id for row in rows]
        with pytest.raises(sa.exc.IntegrityError):
            rolling.roll_rows(engine, Kind.CONSUMER, ids, lower)
        assert tables.read_generations() == {ONE: 6, TWO: 7}

    def test_a_database_that_stays_locked_is_an_error(
        self, tables: Tables, engine: sa.Engine, url: str
    ) -> None:
        tables.consume(ONE, generation=6)
        [row] = rolling.read_batch(engine, Kind.CONSUMER, 5, -1)
        other = sqlite3.connect(url.removeprefix('sqlite:///'))
        other.execute('BEGIN IMMEDIATE')
        try:
            with pytest.raises(sa.exc.OperationalError):
                rolling.roll_rows(engine, Kind.CONSUMER, [row.row_id], lower)
        finally:
            other.close()
        assert tables.read_generations() == {ONE: 6}
