# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.placement_suite [--short] [--configuration NAME]``.

Exits with 1 when a test's outcome differs from that without the guard, or when
the guard was not in the way.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from consumer_guard import model
from tests.placement_suite import suite
from tests.placement_suite.configurations import (
    CONFIGURATIONS,
    SHORT,
    Configuration,
)

#: Lines of a failed test that are shown.
_SHOWN = 25


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and compare; returns the process's exit code."""
    options = _parse(arguments)
    filters = SHORT if options.short else ()
    baseline = _run('without the guard', None, filters, options.concurrency)
    broken = sorted(baseline.details)
    faults = [f'{test} fails without the guard' for test in broken]
    for configuration in CONFIGURATIONS:
        if options.configuration in (None, configuration.name):
            name = configuration.name
            run = _run(name, configuration, filters, options.concurrency)
            faults += [
                f'{name}: {fault}' for fault in _judge(configuration, baseline, run)
            ]
    for fault in faults:
        print(fault)
    print('FAILED' if faults else 'passed')
    return bool(faults)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m tests.placement_suite', description=__doc__
    )
    parser.add_argument(
        '--short', action='store_true', help='only the tests about consumers'
    )
    parser.add_argument(
        '--configuration',
        choices=[configuration.name for configuration in CONFIGURATIONS],
        help='compare this one only',
    )
    parser.add_argument('--concurrency', type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


def _run(
    name: str,
    configuration: Configuration | None,
    filters: Sequence[str],
    workers: int,
) -> suite.Run:
    started = time.monotonic()
    run = suite.run(configuration, filters, workers)
    print(
        f'{name}: {len(run.outcomes)} tests: {run.count()};'
        f' {time.monotonic() - started:.0f} s',
        flush=True,
    )
    for (operation, outcome), number in sorted(run.decisions.items()):
        print(f'    {number:5} x {outcome:11} {operation}', flush=True)
    return run


def _judge(
    configuration: Configuration, baseline: suite.Run, run: suite.Run
) -> list[str]:
    """What is wrong with a run; nothing when it is as it has to be."""
    faults = []
    decided = {operation for operation, _ in run.decisions}
    for operation in model.OPERATIONS:
        if operation.name not in decided:
            faults.append(f'the guard decided no {operation.name}')
    changed = _compare(baseline, run)
    if configuration.passes:
        return faults + changed
    if not changed:
        faults.append('nothing fails, so the guard is not in the way')
    print(f'    {len(changed)} tests have another outcome, as they have to')
    return faults


def _compare(baseline: suite.Run, run: suite.Run) -> list[str]:
    changed = []
    for test in sorted({*baseline.outcomes, *run.outcomes}):
        before = baseline.outcomes.get(test, 'not there')
        after = run.outcomes.get(test, 'not there')
        if before != after:
            lines = run.details.get(test, '').splitlines()[-_SHOWN:]
            changed.append('\n    '.join([f'{test}: {before} -> {after}', *lines]))
    return changed


if __name__ == '__main__':
    sys.exit(main())
