# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic and texts; no time is asserted."""

import importlib
import json
import math
import pathlib
import pkgutil
import random
import socket
from collections.abc import Callable

import pytest

# Installed by the lanes bench and morning alone.
pytest.importorskip('scipy')
pytest.importorskip('matplotlib')
pytest.importorskip('tabulate')
pytest.importorskip('hdrh')
pytest.importorskip('psutil')

import bench
from bench import lists, machine, plots, results, statistics, tables, timing
from bench.results import Chapter, Curve, Finding, Role, Table
from bench.statistics import Estimate
from bench.stores import Store

#: Who import the peers' packages.
NEED_PEERS = ('cerbos', 'peers', 'middleware', 'programme', '__main__')

#: Loads a pipeline when it is imported, as WSGI servers want it.
LOADS = 'bench.morning.app'


@pytest.mark.parametrize(
    'name',
    sorted(
        module.name.removeprefix('bench.')
        for module in pkgutil.walk_packages(bench.__path__, 'bench.')
        if module.name != LOADS
    ),
)
def test_every_module_of_the_bench_can_be_imported(name: str) -> None:
    if name in NEED_PEERS:
        pytest.importorskip('casbin', reason='installed by the lane bench alone')
    if name == 'refusals':
        pytest.importorskip('scipy', reason='installed by the lane timing alone')
    importlib.import_module(f'bench.{name}')


@pytest.mark.parametrize(
    # The ranks of the sign test, as in any table of it: the k-th smallest and
    # largest of n samples hold the median with at least 95 %.
    ('count', 'rank'),
    [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (101, 41)],
)
def test_the_interval_of_a_median(count: int, rank: int) -> None:
    found = statistics.estimate(range(1, count + 1))
    assert (found.low, found.high) == (rank, count + 1 - rank)
    outside = sum(math.comb(count, k) for k in range(rank)) / 2**count
    assert 2 * outside <= 0.05


@pytest.mark.parametrize('count', [1, 2, 5])
def test_few_samples_are_all_of_them(count: int) -> None:
    assert statistics.estimate(range(count)) == Estimate((count - 1) / 2, 0, count - 1)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    draw = random.Random(1).lognormvariate  # noqa: S311  # no secret
    held = 0
    for _ in range(400):
        found = statistics.estimate([draw(0, 1) for _ in range(25)])
        held += found.low <= 1 <= found.high
    assert held >= 0.93 * 400


def test_measure_by_a_clock_of_calls() -> None:
    # The clock moves only when a variant is called: by what it costs.
    now = 0

    def spend(nanoseconds: int) -> Callable[[], None]:
        def call() -> None:
            nonlocal now
            now += nanoseconds

        return call

    found = timing.measure(
        {'cheap': spend(1000), 'dear': spend(5000)},
        timing.Effort(rounds=7, batch=0.001),
        control='cheap',
        clock=lambda: now,
    )
    assert list(found) == ['cheap', 'dear', 'cheap (again)']
    assert found['cheap'] == pytest.approx([1e-6] * 7)
    assert found['dear'] == pytest.approx([5e-6] * 7)


@pytest.fixture
def table() -> results.Table:
    samples = {
        'bare': [1e-6] * 9,
        'ours': [1.5e-6] * 9,
        'bare (again)': [1e-6] * 9,
    }
    return results.make_table('A table', samples, ours=['ours'], base='bare')


def test_figures_of_a_table_are_found_by_the_names_of_rows(table: Table) -> None:
    assert [row.role for row in table.rows] == [
        Role.REFERENCE,
        Role.OURS,
        Role.CONTROL,
    ]
    assert results.over(table, 'ours') == pytest.approx(0.5)
    assert results.share(table, 'ours') == pytest.approx(50)
    assert results.noise(table).figure == 0
    with pytest.raises(KeyError):
        results.find(table, 'theirs')


def test_a_finding_is_reached_within_its_limit_if_it_has_one() -> None:
    assert Finding('x', 1.0, 1.0, 'µs').reached is True
    assert Finding('x', 1.1, 1.0, 'µs').reached is False
    assert Finding('x', 9, 10, '', at_least=True).reached is False
    assert Finding('x', 9, None, '').reached is None


def test_a_chapter_is_written_as_markdown_csv_and_plain_data(table: Table) -> None:
    chapter = Chapter(
        'P1',
        'A chapter',
        (Finding('f', 0.5, 1.0, 'µs'), Finding('noise: g', 2.0, None, '%')),
        (table,),
    )
    markdown = tables.write_markdown([chapter], {'processor': 'any'})
    rows = [[cell.strip() for cell in line.split('|')] for line in markdown.split('\n')]
    assert ['', '**ours**', '1.50', '1.50 to 1.50', '0.50', '+50.0', ''] in rows
    text = tables.to_csv(tables.regression_grid([chapter]))
    assert text.splitlines()[1] == 'P1,f,0.50 µs,at most 1 µs,within,2.0 %'
    plain = json.loads(json.dumps(results.to_plain(chapter)))
    assert plain['findings'][0]['reached'] is True


@pytest.mark.parametrize('logarithmic', [True, False])
def test_a_plot_is_the_same_for_the_same_figures(
    logarithmic: bool, tmp_path: pathlib.Path
) -> None:
    line = {'one & two': [(1.0, 5.0), (1000.0, 7.0)]}
    curve = Curve('c', 'A <title>', 'x', 'y', line, logarithmic, logarithmic)
    for name in ('one.svg', 'two.svg'):
        plots.draw(curve, tmp_path / name)
    drawn = (tmp_path / 'one.svg').read_text()
    assert drawn == (tmp_path / 'two.svg').read_text()
    assert 'A &lt;title&gt;' in drawn
    assert 'one &amp; two' in drawn


def test_a_list_that_the_slow_way_was_not_measured_on_is_in_the_chapters() -> None:
    samples = {
        lists.ALONE: [0.001, 0.002],
        lists.FILTERED: [0.041, 0.042],
        lists.WHOLE: [0.002, 0.003],
        # Half as fast as where the limits were set.
        lists.REFERENCE: [0.0084, 0.0084],
    }
    store = Store('SQLite', 'sqlite://', 100_000)
    measured = [
        (
            store,
            number,
            results.make_table('', costs, ours=[], base=lists.ALONE, unit='ms'),
            Finding('heap', 1.7, 3.0, ''),
        )
        for number, costs in {
            3: samples | {lists.STRAIGHT: [0.1, 0.1]},
            5: samples,
        }.items()
    ]
    filtered, whole = lists.make_chapters(measured)
    (curve,) = filtered.curves
    assert [x for x, _ in curve.series[lists.FILTERED]] == [10_000, 100_000]
    assert [x for x, _ in curve.series[lists.STRAIGHT]] == [10_000]
    assert len(whole.tables[0].rows) == 2
    scaled = filtered.findings[0]
    assert 'scaled' in scaled.claim
    assert scaled.figure == pytest.approx(20)


def test_the_machine_has_no_name() -> None:
    told = ' '.join(machine.describe().values())
    assert socket.gethostname() not in told
    assert '/' not in told.replace('(R)', '')
