# SPDX-License-Identifier: Apache-2.0
"""The guard decides as specified, and what is specified is what the docs show."""

import ast
import collections
import itertools
import pathlib
import subprocess
import sys

import pytest

from consumer_guard.guard.decision import CONSEQUENCES, Phase
from doc import decision_table
from tests import specification
from tests.specification import OPERATIONS, REASONS, Facts
from tests.specification_cases import Case, Cases, shrink
from tests.specification_lane import compare

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = pathlib.Path(specification.__file__).read_text()

#: Reasons that arise before the decision.
BEFORE = {'no_identity'}


def test_20_000_random_cases_are_decided_as_specified() -> None:
    done = compare('unit', 20_000)
    assert done.counterexample is None, done.counterexample
    reasons: collections.Counter[str] = collections.Counter()
    for (_, reason), count in done.seen.items():
        reasons[reason] += count
    assert set(reasons) == set(REASONS) - BEFORE
    assert min(reasons.values()) >= 100, reasons
    assert min(done.seen.values()) >= 10, done.seen


def test_a_case_that_is_decided_otherwise_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(specification, 'SEALED_FROM', (1, 29))
    shown = compare('unit', 20_000).counterexample
    assert shown is not None
    assert 'microversion = (1, 28)' in shown
    assert len(shown.splitlines()) <= 9, shown


def test_the_lane_prints_its_seed_first_and_the_count_last() -> None:
    command = [sys.executable, '-m', 'tests.specification_lane']
    command += ['--count', '300', '--seed', '7']
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert lines[0] == '--seed 7 --count 300'
    assert lines[-1].startswith('300 cases decided as specified ')


def test_every_reason_of_a_decision_is_specified() -> None:
    decided = {
        reason.name.lower()
        for reason, consequence in CONSEQUENCES.items()
        if consequence.phase not in (Phase.IDENTITY, Phase.OBLIGATIONS)
    }
    assert decided == set(REASONS) - BEFORE


def test_the_specification_is_short_and_knows_nothing_of_the_guard() -> None:
    assert len(SOURCE.splitlines()) <= 200
    imported = {
        name
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, 'module', None) or node.names[0].name]
    }
    assert {name.partition('.')[0] for name in imported} <= sys.stdlib_module_names


def test_a_failing_case_is_made_as_small_as_it_can_be() -> None:
    cases = Cases('shrink')

    def fails(case: Case) -> bool:
        # As if two claims of which one has no allocations were decided wrongly.
        claims = case.facts.claimed.values()
        return len(claims) >= 2 and not all(one.has_allocations for one in claims)

    failing = next(case for case in iter(cases.make, None) if fails(case))
    small = shrink(failing, fails)
    assert fails(small)
    assert len(small.facts.claimed) == 2
    assert small.facts._replace(claimed={}, path_ids=()) == Facts()


def test_the_page_in_the_docs_is_fresh() -> None:
    written = decision_table.PAGE.read_text(encoding='utf-8')
    assert written == decision_table.write_page(), 'python -m doc.decision_table'


def test_the_page_shows_every_reason() -> None:
    rows = decision_table.ALWAYS + decision_table.BY_OWNER
    answers = [
        decision_table.answer(row, operation)
        for row, operation in itertools.product(rows, OPERATIONS)
    ]
    assert {answer.reason for answer in answers if answer} == set(REASONS)


def test_the_first_row_of_the_page_that_holds_decides() -> None:
    rows = [row for row in decision_table.BY_OWNER if row.rule == decision_table.OWNERS]
    compared = 0
    for operation in OPERATIONS:
        for first, second in itertools.combinations(rows, 2):
            alone = decision_table.answer(first, operation)
            if alone is None or decision_table.answer(second, operation) is None:
                continue
            if first.facts.keys() & second.facts.keys():
                continue
            both = first._replace(facts={**first.facts, **second.facts})
            decided = decision_table.answer(both, operation)
            assert decided is not None
            assert decided.reason == alone.reason, (first.text, second.text)
            compared += 1
    assert compared > 100
