# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.formal [--small]``: check the model, and the code against it.

Searches every interleaving of the model and of its mutants. Then takes the
counterexamples, and runs at random, through the guard and placement. Exits with
1 when something does not end as expected. A whole run writes the tables of the
documentation.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence

from tests.formal import figures, spin, traces
from tests.formal.conftest import TRACES
from tests.formal.spin import Search
from tests.formal.traces import Trace
from tests.formal.variants import GROUPS, MUTANTS, RANDOM, Variant


def main(arguments: Sequence[str] | None = None) -> int:
    """Check everything; returns the process's exit code."""
    options = _parse(arguments)
    spin.check_programs()
    started = time.monotonic()
    found = _search_all(options.small)
    wrong = sum(found[variant].holds != variant.holds for variant in found)
    states = sum(search.states for search in found.values())
    print(
        f'\n{len(found)} searches, {states:,} states,'
        f' {time.monotonic() - started:.0f} s; {wrong} not as expected',
        flush=True,
    )
    recorded = [
        *_take_counterexamples(found),
        *_simulate(options.runs or (20 if options.small else 200)),
    ]
    _print_coverage(recorded)
    with tempfile.TemporaryDirectory(prefix='formal-') as folder:
        path = options.traces or pathlib.Path(folder, 'traces.json')
        traces.write(path, recorded)
        databases = options.databases.split(',')
        for database in databases:
            wrong += _replay(database, path)
    if not wrong and not options.small:
        figures.write_searches(found)
        figures.write_replays(recorded, databases)
    print('FAILED' if wrong else 'passed')
    return bool(wrong)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m tests.formal',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--small', action='store_true', help='small bounds: seconds, not minutes'
    )
    parser.add_argument(
        '--databases',
        default='sqlite,postgresql,mysql',
        help='where runs are replayed; default: %(default)s',
    )
    parser.add_argument(
        '--runs', type=int, help='how many runs at random; default: 200, or 20'
    )
    parser.add_argument(
        '--traces', type=pathlib.Path, help='write all runs to this file, as JSON'
    )
    return parser.parse_args(arguments)


def _search_all(small: bool) -> dict[Variant, Search]:
    found = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        searches = {
            variant: pool.submit(_search, variant, small)
            for group in GROUPS.values()
            for variant in group
        }
        for title, group in GROUPS.items():
            print(f'\n{title}')
            for variant in group:
                found[variant] = searches[variant].result()
                _print(variant, found[variant])
    return found


def _search(variant: Variant, small: bool) -> Search:
    return spin.search(
        variant.switches(small=small),
        shortest=not variant.holds,
        large=variant.holds and not small,
    )


def _print(variant: Variant, found: Search) -> None:
    outcome = 'holds' if found.holds else f'fails in {len(found.counterexample)} steps'
    wrong = '' if found.holds == variant.holds else '  NOT AS EXPECTED'
    print(
        f'  {variant.name:34} {outcome:17} {found.states:>11,} states,'
        f' depth {found.depth:3}, {found.seconds:5.1f} s  {variant.claim}{wrong}',
        flush=True,
    )
    if wrong:
        for step in found.counterexample:
            print(f'    {step}')


def _take_counterexamples(found: dict[Variant, Search]) -> Iterable[Trace]:
    for variant, search in found.items():
        if search.counterexample:
            yield Trace(
                variant.name,
                variant.switches(small=True),
                variant in MUTANTS,
                search.counterexample,
            )


def _simulate(runs: int) -> Iterable[Trace]:
    """So many for databases that give ids again, and for those that do not."""
    for name, defines in RANDOM.items():
        switches = tuple(defines.split())
        for seed in range(runs // 2):
            steps = spin.simulate(switches, seed)
            yield Trace(f'{name}, {seed}', switches, False, steps)


def _print_coverage(recorded: Sequence[Trace]) -> None:
    """What the runs do, so that nobody takes them for idle."""
    answers = collections.Counter[tuple[str, int]]()
    for trace in recorded:
        owners = trace.get_bound('OWNERS', 1)
        for step in trace.steps:
            if step.answer:
                who = 'owners' if step.writer < owners else 'role-holders'
                answers[who, step.answer] += 1
    steps = sum(len(trace.steps) for trace in recorded)
    shown = [f'{who} {code}: {n:,}' for (who, code), n in sorted(answers.items())]
    print(
        f'\n{len(recorded)} runs to be replayed, {steps:,} steps; answers to'
        f' {", ".join(shown)}'
    )


def _replay(database: str, path: pathlib.Path) -> bool:
    """Run the tests of this folder; whether one failed."""
    print(f'\nOn {database}:', flush=True)
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-rs', str(pathlib.Path(__file__).parent)],
        env={
            **os.environ,
            'CONSUMER_GUARD_TEST_DATABASES': database,
            TRACES: str(path),
        },
        check=False,
    )
    return bool(done.returncode)


if __name__ == '__main__':
    sys.exit(main())
