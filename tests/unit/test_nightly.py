# SPDX-License-Identifier: Apache-2.0
"""What the long lanes print becomes the table of what has been run."""

import json
import pathlib

from doc import evidence
from tools import nightly


def test_counts_and_seeds_are_found_in_whatever_a_lane_prints() -> None:
    counts, failures = nightly.read_output(
        'On sqlite:\n'
        '\x1b[31mFAILED\x1b[0m tests/a.py::test_b - assert 1\n'
        '===== 1 failed, 12 passed in 3.2s =====\n'
        '--seed 7 --count 10\n'
        '10,000,000 cases decided as specified in 300 s\n'
        'an ordinary line with 12 things\n'
    )
    assert counts == (
        '1 failed, 12 passed in 3.2s',
        '10,000,000 cases decided as specified in 300 s',
    )
    assert failures == ('FAILED tests/a.py::test_b - assert 1', '--seed 7 --count 10')


def test_an_entry_of_a_lane_is_replaced_and_the_others_are_kept(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'evidence.json'
    for lane, count in (('fuzz', '1 passed'), ('races', '2 passed')):
        nightly.write_down(lane, [], nightly.Run('passed', 60, (count,), ()), path)
    nightly.write_down(
        'fuzz', ['-x'], nightly.Run('failed', 60, ('3 passed',), ('F',)), path
    )
    shown = json.loads(path.read_text())
    assert {lane: run['counts'] for lane, run in shown.items()} == {
        'fuzz': ['3 passed'],
        'races': ['2 passed'],
    }
    table = evidence.make_table(path)
    assert '``fuzz -- -x``' in table
    assert '* ``failed``\n* ``3 passed``\n* ``F``' in table


def test_the_table_is_empty_before_anything_was_run(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'evidence.json'
    path.write_text('{}')
    assert evidence.make_table(path) == ''
