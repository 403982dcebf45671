# SPDX-License-Identifier: Apache-2.0
"""The SQL of look-ups: its plans on every database, and its parameters."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from consumer_guard.owners.statements import TABLES, Row, for_dialect
from consumer_guard.testing.sources import make_id
from tests.rows import Tables
from tests.unit.test_statements import QUERIES

#: Consumers in the tables, enough for planners to prefer an index.
COUNT = 5000


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
    'mysql': ('EXPLAIN FORMAT=TRADITIONAL', _scans_of_mysql),
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
    text, parameters = choose(for_dialect(engine.dialect.name))(ids[:count])
    with engine.connect() as connection:
        if engine.dialect.name == 'mysql':
            # As in the sessions of look-ups; MySQL cuts at 1,024.
            connection.exec_driver_sql('SET SESSION group_concat_max_len = 4194304')
        rows = connection.exec_driver_sql(text, parameters).all()
    if name.startswith('groups'):
        ((values, number),) = rows
        # The uuid, and each reference up to the last one.
        width = 1 + [*QUERIES].index(name) - 2
        assert number == count
        assert sorted(json.loads(values)[::width]) == sorted(ids[:count])
        assert {*json.loads(values)[1::width]} == {'project-a'}
    else:
        assert {len(row) for row in rows} == {len(Row._fields)}
        assert {row[0] for row in rows} - {None} == {*ids[:count]}
        assert {row[6] for row in rows} - {None} == {*ids[:count]}


def test_an_id_that_is_not_recorded_is_joined_as_others_are(
    filled: tuple[sa.Engine, list[str]],
) -> None:
    """The time of the query would tell that it is not; the reader ignores whom."""
    engine, ids = filled
    with engine.connect() as connection:
        recorded, unknown = (
            Row(*connection.exec_driver_sql(*choose((id_,))).one())
            for choose in (for_dialect(engine.dialect.name).one,)
            for id_ in (ids[0], make_id())
        )
    assert (
        unknown.uuid is unknown.row_id is unknown.generation is unknown.holder is None
    )
    assert type(unknown.project) is type(recorded.project) is str
    assert type(unknown.user) is type(recorded.user) is str
