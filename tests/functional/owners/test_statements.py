# SPDX-License-Identifier: Apache-2.0
"""The SQL of look-ups: its plans on every database, and its parameters."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from placement.db.sqlalchemy import models

from consumer_guard.owners.statements import TABLES, Queries, Query, Row, for_dialect
from consumer_guard.testing.sources import make_id
from tests.rows import Tables

#: Consumers in the tables, enough for planners to prefer an index.
COUNT = 5000

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


@pytest.fixture(scope='session')
def filled(url: str) -> Iterator[tuple[sa.Engine, list[str]]]:
    """An engine on filled tables, and the ids of their consumers."""
    ids = [make_id() for _ in range(COUNT)]
    Tables(url).fill(ids)
    engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        for table in TABLES:
            analyze = 'ANALYZE TABLE' if url.startswith('mysql') else 'ANALYZE'
            connection.exec_driver_sql(f'{analyze} {table}').close()
    yield engine, ids
    engine.dispose()


def _scans_of_sqlite(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    for row in rows:
        scan = re.match(r'SCAN (\w+)', row[3])
        if scan:
            yield scan[1]


def _scans_of_postgresql(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    ((plan,),) = rows
    nodes = [plan[0]['Plan']]
    while nodes:
        node = nodes.pop()
        nodes += node.get('Plans', [])
        # A bitmap or an index scan has a condition; a walk of an index has none.
        if node['Node Type'].endswith('Scan') and 'Index Cond' not in node:
            yield node.get('Relation Name', '')


def _scans_of_mysql(rows: Iterable[Any]) -> Iterator[str]:
    for row in rows:
        if row.type in ('ALL', 'index'):
            # Plans have the names that a statement gives to tables.
            yield 'consumers' if row.table == 'grouped' else row.table


EXPLAIN = {
    'sqlite': ('EXPLAIN QUERY PLAN', _scans_of_sqlite),
    'postgresql': ('EXPLAIN (FORMAT JSON)', _scans_of_postgresql),
    'mysql': ('EXPLAIN', _scans_of_mysql),
}


@pytest.mark.parametrize('name', QUERIES)
def test_no_consumers_and_no_allocations_are_scanned(
    filled: tuple[sa.Engine, list[str]], name: str
) -> None:
    engine, ids = filled
    choose, count = QUERIES[name]
    text, parameters = choose(for_dialect(engine.dialect.name))(ids[:count])
    explain, find_scans = EXPLAIN[engine.dialect.name]
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f'{explain} {text}', parameters).all()
    assert plan
    assert not {*find_scans(plan)} & {'consumers', 'allocations'}, plan


def test_a_scan_is_found(filled: tuple[sa.Engine, list[str]]) -> None:
    """Of a statement that has to: without it the test above says nothing."""
    engine, _ = filled
    explain, find_scans = EXPLAIN[engine.dialect.name]
    for table, column in (('consumers', 'generation'), ('allocations', 'id + used')):
        text = f'{explain} SELECT {column} FROM {table} WHERE {column} = 7'
        with engine.connect() as connection:
            assert table in {*find_scans(connection.exec_driver_sql(text).all())}


@pytest.mark.parametrize('name', QUERIES)
def test_answers_have_the_columns_that_the_reader_expects(
    filled: tuple[sa.Engine, list[str]], name: str
) -> None:
    engine, ids = filled
    choose, count = QUERIES[name]
    queries = for_dialect(engine.dialect.name)
    text, parameters = choose(queries)(ids[:count])
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(text, parameters).all()
    if name.startswith('groups'):
        uuids = [uuid for row in rows for uuid in queries.uuids(row[0])]
        assert sorted(uuids) == sorted(ids[:count])
        # The uuids, and each reference up to the last one.
        assert {len(row) for row in rows} == {1 + [*QUERIES].index(name) - 2}
        assert {row[1] for row in rows} == {'project-a'}
    else:
        assert {len(row) for row in rows} == {len(Row._fields)}
        assert {row[0] for row in rows} - {None} == {*ids[:count]}
        assert {row[6] for row in rows} - {None} == {*ids[:count]}


@pytest.mark.parametrize('name', QUERIES)
@pytest.mark.parametrize('dialect', DIALECTS)
def test_ids_are_parameters_and_not_in_the_text(dialect: str, name: str) -> None:
    choose, count = QUERIES[name]
    ids = [f'-{number}-' for number in range(count)]
    text, parameters = choose(for_dialect(dialect))(ids)
    assert not [id_ for id_ in ids if id_ in text]
    values = [*parameters.values()]
    if name != 'one' and dialect != 'mysql':
        values = json.loads(values[0])
    assert values == ids
    for parameter in parameters:
        assert (f':{parameter}' if dialect == 'sqlite' else f'%({parameter})s') in text


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
