# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic and texts; no time is asserted."""

import importlib
import json
import math
import pkgutil
import random
import socket
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

import bench
from bench import machine, plots, results, statistics, tables, timing
from bench.results import Chapter, Curve, Finding, Role, Table
from bench.statistics import Estimate

#: Who import the peers' packages.
NEED_PEERS = ('peers', 'middleware', 'programme', '__main__')


@pytest.mark.parametrize(
    'name',
    [module.name for module in pkgutil.iter_modules(bench.__path__)],
)
def test_every_module_of_the_bench_can_be_imported(name: str) -> None:
    if name in NEED_PEERS:
        pytest.importorskip('casbin', reason='installed by the lane bench alone')
    if name == 'refusals':
        pytest.importorskip('scipy', reason='installed by the lane timing alone')
    importlib.import_module(f'bench.{name}')


def test_a_median_is_the_middle_and_needs_a_sample() -> None:
    assert statistics.median([3, 1, 2]) == 2
    assert statistics.median([4, 1, 2, 3]) == 2.5
    with pytest.raises(ValueError, match='no samples'):
        statistics.median([])


def test_a_percentile_is_a_sample_and_needs_a_share_above_zero() -> None:
    assert statistics.percentile(range(1, 101), 0.99) == 99
    assert statistics.percentile(range(1, 101), 1) == 100
    assert statistics.percentile([7], 0.01) == 7
    with pytest.raises(ValueError, match='no share'):
        statistics.percentile([1], 0)


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


def test_rounds_are_compared_in_pairs_and_must_be_as_many() -> None:
    assert statistics.differences([3, 5], [1, 2]) == [2, 3]
    assert statistics.ratios([3, 5], [1, 2]) == [3, 2.5]
    with pytest.raises(ValueError, match='longer'):
        statistics.differences([1], [1, 2])


def test_a_slope_is_that_of_the_line_and_needs_two_different_x() -> None:
    assert statistics.slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    with pytest.raises(ValueError, match='two different'):
        statistics.slope([(1, 1), (1, 2)])


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


def test_a_chapter_is_written_as_rst_markdown_and_plain_data(table: Table) -> None:
    chapter = Chapter('P1', 'A chapter', (Finding('f', 0.5, 1.0, 'µs'),), (table,))
    texts = tables.write_rst([chapter], {'processor': 'any'})
    assert set(texts) == {'summary.rst', 'machine.rst', 'p1.rst'}
    assert 'reached' in texts['summary.rst']
    assert '     - +50.0' in texts['p1.rst'].splitlines()
    markdown = tables.write_markdown([chapter], {'processor': 'any'})
    assert '| **ours** | 1.50 | 1.50 to 1.50 | 0.50 | +50.0 |' in markdown
    plain = json.loads(json.dumps(results.to_plain(chapter)))
    assert plain['findings'][0]['reached'] is True


@pytest.mark.parametrize('logarithmic', [True, False])
@pytest.mark.parametrize('values', [[1, 10, 1000], [5], [0.2, 0.3], [3, 3], [0, 7]])
def test_a_plot_holds_every_point_inside_and_escapes_its_texts(
    values: list[float], logarithmic: bool
) -> None:
    line = [(value, value) for value in values]
    curve = Curve('c', 'A <title>', 'x', 'y', {'one & two': line}, logarithmic)
    root = ElementTree.fromstring(plots.draw(curve))  # noqa: S314  # our own text
    circles = list(root.iter('{http://www.w3.org/2000/svg}circle'))
    assert len(circles) == len(values)
    for circle in circles:
        assert 0 <= float(circle.attrib['cx']) <= plots.WIDTH
        assert 0 <= float(circle.attrib['cy']) <= plots.HEIGHT
    across = [float(circle.attrib['cx']) for circle in circles]
    assert across == sorted(across)
    texts = {text.text for text in root.iter('{http://www.w3.org/2000/svg}text')}
    assert {'A <title>', 'one & two'} <= texts


def test_the_machine_has_no_name() -> None:
    told = ' '.join(machine.describe().values())
    assert socket.gethostname() not in told
    assert '/' not in told.replace('(R)', '')
