# SPDX-License-Identifier: Apache-2.0
"""What came out of a run, and whether it is what has to."""

import collections
from collections.abc import Mapping
from dataclasses import dataclass

from consumer_guard.guard import model
from tests.placement_suite.configurations import Configuration

#: Lines of a failed test that are shown.
SHOWN = 25


@dataclass(frozen=True)
class Run:
    """What came out of one run.

    :ivar outcomes: ``success``, ``skip``, ``fail`` ... of each test
    :ivar details: what the tests that failed said
    :ivar decisions: how many decisions of each operation and outcome
    """

    outcomes: Mapping[str, str]
    details: Mapping[str, str]
    decisions: Mapping[tuple[str, str], int]

    def count(self) -> str:
        """The outcomes, counted."""
        counted = collections.Counter(self.outcomes.values())
        return ', '.join(f'{number} {name}' for name, number in sorted(counted.items()))


def find_faults(configuration: Configuration, baseline: Run, run: Run) -> list[str]:
    """What is wrong with a run; nothing when it is as it has to be."""
    decided = {operation for operation, _ in run.decisions}
    faults = [
        f'the guard decided no {operation.name}'
        for operation in model.OPERATIONS
        if operation.name not in decided
    ]
    changed = compare(baseline, run)
    if configuration.passes:
        return faults + changed
    if not changed:
        faults.append('nothing fails, so the guard is not in the way')
    return faults


def compare(baseline: Run, run: Run) -> list[str]:
    """The tests that are in one run only, or have another outcome in it."""
    changed = []
    for test in sorted({*baseline.outcomes, *run.outcomes}):
        before = baseline.outcomes.get(test, 'not there')
        after = run.outcomes.get(test, 'not there')
        if before != after:
            lines = run.details.get(test, '').splitlines()[-SHOWN:]
            changed.append('\n    '.join([f'{test}: {before} -> {after}', *lines]))
    return changed
