# SPDX-License-Identifier: Apache-2.0
"""The SQL of look-ups as text: its parameters, its tables, its plans on SQLite."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from placement.db.sqlalchemy import models

from consumer_guard.owners.statements import TABLES, Queries, Query, Row, for_dialect

DIALECTS = ['sqlite', 'postgresql', 'mysql']

#: Queries by name, and how many ids each is tried with.
QUERIES: dict[str, tuple[Callable[[Queries], Query], int]] = {
    'one': (lambda queries: queries.one, 1),
    'many, of 2': (lambda queries: queries.many, 2),
    'many, of 100': (lambda queries: queries.many, 100),
    'groups by project': (lambda queries: queries.groups[0], 100),
    'groups by user': (lambda queries: queries.groups[1], 100),
    'groups by type': (lambda queries: queries.groups[2], 100),
}


@pytest.mark.parametrize('name', QUERIES)
@pytest.mark.parametrize('dialect', DIALECTS)
def test_ids_are_parameters_and_not_in_the_text(dialect: str, name: str) -> None:
    choose, count = QUERIES[name]
    ids = [f'-{number}/' for number in range(count)]
    text, parameters = choose(for_dialect(dialect))(ids)
    assert not [id_ for id_ in ids if id_ in text]
    values = [*parameters.values()]
    if name != 'one' and dialect != 'mysql':
        values = json.loads(values[0])
    assert values == ids
    for parameter in parameters:
        assert (f':{parameter}' if dialect == 'sqlite' else f'%({parameter})s') in text


@hypothesis.given(
    st.lists(st.text('0123456789abcdefABCDEF-', min_size=1), min_size=1),
    st.one_of(st.just(''), st.text()),
)
def test_only_ids_without_sql_are_in_the_text_for_mysql(
    ids: list[str], other: str
) -> None:
    text, parameters = for_dialect('mysql').many([*ids, other])
    if {*other} <= {*'0123456789abcdefABCDEF-'}:
        assert re.findall("'([^']*)'", text) == [*ids, other] * 2
        assert not parameters
    else:
        assert "'" not in text
        assert [*parameters.values()] == [*ids, other]


@pytest.mark.parametrize('name', QUERIES)
@pytest.mark.parametrize('dialect', DIALECTS)
def test_tables_and_columns_are_those_that_are_named(dialect: str, name: str) -> None:
    """So that whoever grants SELECT on ``TABLES`` grants enough."""
    choose, count = QUERIES[name]
    text, _ = choose(for_dialect(dialect))(['x'] * count)
    tables = {*re.findall(r'(?:FROM|JOIN)\s+([a-z_]+)(?=\s)', text)}
    assert tables
    assert tables <= {*TABLES}
    columns = re.findall(r'\b([a-z_]+)\.([a-z_]+)\b', text)
    assert columns
    for table, column in columns:
        assert column in TABLES.get(table, (column,))


def test_tables_and_columns_are_placements() -> None:
    for table, columns in TABLES.items():
        assert {*columns} <= {*models.BASE.metadata.tables[table].columns.keys()}


@pytest.fixture
def engine(tmp_path: Path, make_sqlite: Callable[[Path], str]) -> Iterator[sa.Engine]:
    made = sa.create_engine(make_sqlite(tmp_path / 'placement.db'))
    yield made
    made.dispose()


@pytest.mark.parametrize('name', QUERIES)
def test_every_table_is_searched_and_none_is_scanned(
    engine: sa.Engine, name: str
) -> None:
    """Names of people and projects, too, which tables of tests are short of."""
    choose, count = QUERIES[name]
    text, parameters = choose(for_dialect('sqlite'))(['x'] * count)
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f'EXPLAIN QUERY PLAN {text}', parameters)
        steps = [row[3] for row in plan]
    for table in {*re.findall(r'(?:FROM|JOIN)\s+([a-z_]+)(?=\s)', text)}:
        assert any(step.startswith(f'SEARCH {table} USING') for step in steps), steps
        assert not any(step.startswith(f'SCAN {table}') for step in steps), steps


def test_a_consumer_without_a_project_is_not_given_the_first_one() -> None:
    """Placement's schema has none; only an id that is not recorded gets it."""
    text, parameters = for_dialect('sqlite').one(['c'])
    with contextlib.closing(sqlite3.connect(':memory:')) as connection:
        for table, columns in TABLES.items():
            connection.execute(f'CREATE TABLE {table} ({", ".join(columns)})')
        for table in ('projects', 'users'):
            connection.execute(f"INSERT INTO {table} VALUES (1, 'first')")
        ((*unknown,),) = connection.execute(text, parameters)
        connection.execute("INSERT INTO consumers (uuid, id) VALUES ('c', 7)")
        ((*ownerless,),) = connection.execute(text, parameters)
    assert Row(*unknown)[:5] == (None, None, None, 'first', 'first')
    assert Row(*ownerless)[:5] == ('c', 7, None, None, None)
