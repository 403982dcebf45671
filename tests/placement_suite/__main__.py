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

from tests.placement_suite import outcomes, suite
from tests.placement_suite.configurations import (
    CONFIGURATIONS,
    SHORT,
    Configuration,
)


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
                f'{name}: {fault}'
                for fault in outcomes.find_faults(configuration, baseline, run)
            ]
            if not configuration.passes:
                print(f'    {len(outcomes.compare(baseline, run))} tests are stopped')
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
) -> outcomes.Run:
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


if __name__ == '__main__':
    sys.exit(main())
