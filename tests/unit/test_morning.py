# SPDX-License-Identifier: Apache-2.0
"""The load model: its schedule, its ledger, what it takes for a wrong answer."""

import argparse
import collections
import inspect
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from oslo_policy import _checks, _parser

pytest.importorskip('hdrh', reason='installed by the lanes bench and morning')
pytest.importorskip('matplotlib')
pytest.importorskip('psutil')
pytest.importorskip('tabulate')

from hdrh.histogram import HdrHistogram

from bench.morning import __main__ as morning
from bench.morning import client, ledger, model, report, served, stage, trouble
from bench.morning.actions import Actions, Answer, Wrong
from bench.morning.cloud import Cloud
from bench.morning.ledger import Ledger
from bench.morning.model import Arrival, Share
from bench.morning.programme import Scene, Turn
from bench.morning.stage import Sample

SMALL = Cloud(providers=40, consumers=400, projects=7, users=20)
HERE, THERE = frozenset({'here'}), frozenset({'there'})


def test_the_shares_of_a_morning_are_its_133_updates_of_computes_a_second() -> None:
    counted = collections.Counter(
        arrival.kind
        for index in range(2)
        for arrival in model.schedule(Share(index, 2, 1.0, 60.0, 1, storm=30.0))
    )
    assert counted['compute'] == pytest.approx(8000, rel=0.02)
    assert counted['boot'] == pytest.approx(120, rel=0.4)
    assert counted['evacuate'] == model.STORM


@given(
    rate=st.floats(0.01, 2.0),
    seconds=st.floats(0.5, 20.0),
    seed=st.integers(0, 10),
    readers=st.booleans(),
)
def test_a_schedule_is_in_order_within_its_time_and_the_same_again(
    rate: float, seconds: float, seed: int, readers: bool
) -> None:
    share = Share(1, 3, rate, seconds, seed, readers)
    due = model.schedule(share)
    assert due == sorted(due) == model.schedule(share)
    assert all(0 <= arrival.due < seconds for arrival in due)
    assert readers or not {arrival.kind for arrival in due} & model.READERS


def test_a_write_that_is_cut_on_its_way_leaves_two_possibilities() -> None:
    noted = Ledger()
    assert noted.note('c', HERE, 204)
    assert not noted.note('c', THERE, 0)
    assert noted.possible == {'c': {HERE, THERE}}
    assert not noted.note('c', ledger.NOWHERE, 409)
    assert noted.possible == {'c': {HERE, THERE}}
    assert noted.note('c', THERE, 204)
    assert noted.possible == {'c': {THERE}}
    assert (noted.acknowledged, noted.uncertain, noted.refused) == (2, 1, 1)


@pytest.mark.parametrize(
    ('possible', 'lost'),
    [({HERE}, 0), ({HERE, THERE}, 0), ({THERE}, 1), ({ledger.NOWHERE}, 1)],
)
def test_a_write_that_is_not_in_the_database_is_named_and_all_is_removed(
    possible: set[frozenset[str]], lost: int, tmp_path: pathlib.Path
) -> None:
    url = f'sqlite:///{tmp_path}/placement.db'
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in (
            'CREATE TABLE allocations (consumer_id TEXT, resource_provider_id INT)',
            'CREATE TABLE resource_providers (id INT, uuid TEXT)',
            'CREATE TABLE consumers (uuid TEXT)',
            "INSERT INTO allocations VALUES ('c', 1), ('other', 1)",
            "INSERT INTO resource_providers VALUES (1, 'here')",
            "INSERT INTO consumers VALUES ('c'), ('other')",
        ):
            connection.exec_driver_sql(statement)
    assert len(ledger.compare(url, [Ledger({'c': possible})])) == lost
    with engine.connect() as connection:
        left = connection.exec_driver_sql('SELECT consumer_id FROM allocations')
        assert left.scalars().all() == ['other']
    engine.dispose()


class Canned:
    """The same answer to each request."""

    def __init__(self, status: int, document: object) -> None:
        self._answer = Answer(status, json.dumps(document).encode())

    def __call__(
        self,
        name: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: object = None,
    ) -> Answer:
        """Answer."""
        return self._answer


def _list(*consumers: int) -> dict[str, object]:
    shown: dict[str, object] = {SMALL.consumer(number): {} for number in consumers}
    return {'allocations': shown}


def _of_the_same(consumer: int) -> list[int]:
    there = SMALL.residents(consumer % SMALL.providers)
    owner = SMALL.owner(consumer)[0]
    return [number for number in there if SMALL.owner(number)[0] == owner]


@pytest.mark.parametrize(
    ('kind', 'status', 'document', 'right'),
    [
        ('audit', 200, _list(*SMALL.residents(7)), True),
        ('audit', 200, _list(*list(SMALL.residents(7))[1:]), False),
        ('audit', 503, {}, True),
        ('opened list', 200, _list(*_of_the_same(7)), True),
        ('opened list', 200, _list(*SMALL.residents(7)), False),
        ('opened list', 403, {}, False),
        ("another's consumer", 403, {}, True),
        ("another's consumer", 200, {}, False),
        ("another's consumer", 403, {'owner': SMALL.owner(7)[0]}, False),
        ('own consumer', 403, {}, False),
        ('own consumer', 500, {}, True),
    ],
)
def test_wrong_is_what_no_fault_of_a_server_excuses(
    kind: str, status: int, document: object, right: bool
) -> None:
    actions = Actions(SMALL, 'f' * 12, guarded=True)
    send = Canned(status, document)
    if right:
        actions.perform(send, Arrival(0.0, kind, 7))
        return
    with pytest.raises(Wrong):
        actions.perform(send, Arrival(0.0, kind, 7))


@pytest.mark.parametrize(
    ('p99', 'failed', 'seconds'),
    [
        ({10: 5.0, 11: 5.0}, {}, 0.0),
        ({10: 5.0, 11: 5.0}, {12: 1}, 2.5),
        ({10: 5.0, 13: 900.0}, {12: 1}, 3.5),
        ({10: 5.0, 25: 900.0}, {}, 0.0),
        ({10: 5.0, 18: 900.0}, {12: 1}, 2.5),
        ({10: 5.0, 16: 900.0}, {12: 1}, 6.5),
    ],
)
def test_recovery_ends_where_five_seconds_in_a_row_are_as_before(
    p99: dict[int, float], failed: dict[int, int], seconds: float
) -> None:
    found = trouble.measure_recovery((10.5, 11.0), 20.0, p99, failed, 5.0)
    assert found == seconds


def _make_turn(slower: float, *names: str) -> Turn:
    """Of requests that take a millisecond, and that much of the processor."""

    def filled() -> HdrHistogram:
        histogram = client.make_histogram()
        for number in range(1, 101):
            histogram.record_value(round(1000 * slower) + number % 2)
        return histogram

    return Turn(
        {name: filled() for name in names},
        {name: filled() for name in names},
        {second: filled() for second in range(12)},
        collections.Counter({(5, names[0], 503): 2}),
        [],
        10,
        1,
        [Sample(float(at), 2**20, 3, 0.1) for at in range(12)],
    )


COMPUTES = ('compute list', report.TREE)


def _make_scene(slower: float) -> Scene:
    scene = Scene('PostgreSQL', 'gunicorn', 0.5)
    scene.turns[0.5] = {
        variant.name: [
            _make_turn(slower if variant is stage.GUARDED else 1.0, *COMPUTES),
            # A kind that only some turns have counts for none.
            _make_turn(1.0, *COMPUTES, 'boot POST'),
        ]
        for variant in stage.VARIANTS
    }
    return scene


class Over(trouble.Trouble):
    """All of it has happened, at nobody's server."""

    def __init__(self) -> None:
        moments = enumerate(trouble.MOMENTS)
        happened = {name: (2.0 + 2 * at, 3.0 + 2 * at) for at, name in moments}
        object.__setattr__(self, 'happened', happened)
        object.__setattr__(self, 'rolled', [204, 204])


def test_a_run_is_written_as_tables_figures_and_a_summary(
    tmp_path: pathlib.Path,
) -> None:
    scene = _make_scene(1.5)
    for variant in (stage.BARE, stage.GUARDED):
        turn = _make_turn(1.0, 'compute list')
        scene.troubled[variant.name] = turn, Over()
    text = report.write(tmp_path, [scene], {'processor': 'any'})
    (summary,) = report.summarize([scene])
    assert summary['CPU ratio, A/A'] == '1.000 (1.000 to 1.000)'
    assert summary['CPU ratio, guarded'] == '1.250 (1.000 to 1.500)'
    # That the whole machine was slower meanwhile is not the guard's.
    assert summary['CPU ratio over trees, guarded'] == '1.000 (1.000 to 1.000)'
    assert summary['memory guarded, MiB'] == '1 to 1'
    assert summary['connections bare, at most'] == 3
    killed = report.tabulate_trouble(scene)[1]
    assert killed['failed, bare'] == 2
    assert killed['as before after, bare, s'] == '2.0'
    (row,) = report.account([scene])
    assert row['writes acknowledged'] == 100
    assert row['wrong answers and lost writes'] == 0
    assert '204 204' in text
    written = {path.name for path in tmp_path.iterdir()}
    assert {'summary.csv', 'report.md', 'trouble-postgresql-gunicorn.svg'} <= written


def test_the_patch_inspects_each_class_once_and_changes_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inspected: list[object] = []
    nobody: Any = None
    original = inspect.getfullargspec

    def count(function: object) -> inspect.FullArgSpec:
        inspected.append(function)
        return original(function)

    rules = [
        _parser.parse_rule(text)
        for text in ('role:a and not role:b', 'role:b or project_id:%(p)s', '@', '!')
    ]
    callers = [{'roles': roles, 'project_id': 'x'} for roles in ([], ['a'], ['a', 'b'])]

    def judge() -> list[bool]:
        return [
            _checks._check(rule, {'p': project}, caller, nobody, 'name')
            for rule in rules
            for caller in callers
            for project in ('x', 'y')
        ]

    before = judge()
    # Put back afterwards.
    monkeypatch.setattr(_checks, '_check', _checks._check)
    monkeypatch.setattr(inspect, 'getfullargspec', count)
    served.remember_signatures()
    assert judge() == before
    assert {*before} == {True, False}
    # And, not, or, role, generic, true, false.
    assert len(inspected) == 7


@pytest.mark.parametrize('url', ['sqlite://', 'nonsense', 'postgresql://127.0.0.1:9/x'])
def test_a_database_that_cannot_be_filled_is_one_line_and_exit_status_2(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(database=url, consumers=10)
    assert morning.fill(options) == 2
    printed = capsys.readouterr().err
    assert printed.startswith('--database: ')
    assert printed.count('\n') == 1
