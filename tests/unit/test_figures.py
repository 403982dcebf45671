# SPDX-License-Identifier: Apache-2.0
"""The tables of the formal lane, from what it has found."""

import csv
import pathlib

from tests.formal import figures
from tests.formal.spin import Search
from tests.formal.traces import Row, Step, Trace
from tests.formal.variants import GROUPS, GUARD, MUTANTS

STEP = Step(0, 'owner_read', 'put', 'alice', 1, 0, Row(1, 1, 'alice'), held=True)


def _read(path: pathlib.Path) -> list[list[str]]:
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.reader(file))


def test_each_search_of_the_guard_has_a_row_and_the_sums_have_two(
    tmp_path: pathlib.Path,
) -> None:
    found = {
        variant: Search(variant.holds, 1000, 9, 0.1, (STEP,) * (not variant.holds))
        for group in GROUPS.values()
        for variant in group
    }
    figures.write_searches(found, tmp_path / 'model.csv')
    *rows, mutants, total = _read(tmp_path / 'model.csv')
    assert len(rows) == len({tuple(row) for row in rows}) == len(GUARD)
    assert rows[1] == [
        '``FOREIGN CLAIM``',
        '``DELETE`` in one step; ids given again; generation 0',
        '5, 1',
        '1,000',
    ]
    assert mutants[0].startswith(f'{len(MUTANTS)} ')
    assert mutants[-1] == f'{len(MUTANTS)},000'
    assert total[0].startswith(f'{len(found)} ')
    assert total[-1] == f'{len(found)},000'


def test_a_database_is_shown_the_runs_that_can_happen_on_it(
    tmp_path: pathlib.Path,
) -> None:
    recorded = [
        Trace('random, 1', (), False, (STEP, STEP)),
        Trace('random, ids given again, 1', ('REUSE',), False, (STEP,)),
        Trace('DELETE in steps', (), False, (STEP._replace(name='delete_find'),)),
        Trace('emptying', (), True, (STEP,)),
        Trace('rolled by hand', (), False, (STEP._replace(kind='roll'),)),
    ]
    figures.write_replays(recorded, ['sqlite', 'mysql'], tmp_path / 'replays.csv')
    assert _read(tmp_path / 'replays.csv') == [
        ['sqlite', '2', '0', '1', '4'],
        ['mysql', '1', '1', '1', '4'],
    ]
