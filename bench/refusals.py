# SPDX-License-Identifier: Apache-2.0
"""What the time of a refusal tells: ``python -m bench.refusals``.

A reader of another project reads foreign and unknown consumers, in random order,
through the guard alone: no refusal reaches an application. Printed is the area under
the curve (Mann and Whitney), how often a refusal of a foreign consumer takes longer
than one of an unknown consumer: 0.5 tells nothing. The control compares unknown
consumers with other unknown ones; its spread is the farthest of many random halves.
"""

import argparse
import contextlib
import math
import random
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scipy import stats

from bench import scene, stores, timing
from bench.scene import Environ
from bench.stores import Store

KINDS = ('foreign', 'unknown', 'control')
CLOCKS = {'CPU': time.thread_time_ns, 'clock': time.perf_counter_ns}

#: How far from one half an area may be.
BOUND = 0.02

_CONSUMERS = 50
_WARM_UP = 500
_HALVES = 200

Times = dict[str, dict[str, list[int]]]


def sample(store: Store, count: int) -> Times:
    """Nanoseconds of each refusal, by clock and kind.

    :param count: samples of each kind
    """
    ids = {
        'foreign': stores.read_consumers(store, _CONSUMERS, stores.OURS + 1),
        'unknown': [str(uuid.uuid4()) for _ in range(_CONSUMERS)],
        'control': [str(uuid.uuid4()) for _ in range(_CONSUMERS)],
    }
    times: Times = {name: {kind: [] for kind in KINDS} for name in CLOCKS}
    chance = random.Random(1)  # noqa: S311  # not a secret
    with scene.make_scene(store.url) as place:
        requests = scene.Requests()
        guard = place.guard(_fail)
        environs = {
            kind: [requests.make(scene.OWNER, f'/allocations/{id_}') for id_ in some]
            for kind, some in ids.items()
        }
        for number in range(-_WARM_UP, count):
            for kind in chance.sample(KINDS, len(KINDS)):
                spent = _refuse(guard, chance.choice(environs[kind]).copy())
                for name, nanoseconds in spent.items() if number >= 0 else ():
                    times[name][kind].append(nanoseconds)
    return times


def _fail(_environ: Environ, _start_response: Any) -> list[bytes]:
    raise RuntimeError('the request was not refused')


def _refuse(guard: Any, environ: Environ) -> dict[str, int]:
    answer = scene.Answer()
    before = {name: clock() for name, clock in CLOCKS.items()}
    body = guard(environ, answer.start)
    spent = {name: clock() - before[name] for name, clock in CLOCKS.items()}
    if not answer.status.startswith('403') or not body:
        raise RuntimeError(f'it was not refused but answered {answer.status}')
    return spent


def measure_area(ones: Sequence[float], others: Sequence[float]) -> float:
    """How often one of the first ones is greater; 0.5 where nothing is told."""
    statistic = stats.mannwhitneyu(ones, others).statistic
    return float(statistic) / (len(ones) * len(others))


def measure_spread(equals: Sequence[float]) -> float:
    """How far from one half the areas of random halves are at most."""
    chance = random.Random(2)  # noqa: S311  # not a secret
    middle = len(equals) // 2
    shuffled = [*equals]
    farthest = 0.0
    for _ in range(_HALVES):
        chance.shuffle(shuffled)
        area = measure_area(shuffled[:middle], shuffled[middle : 2 * middle])
        farthest = max(farthest, abs(area - 0.5))
    return farthest


def count_needed(area: float) -> float:
    """Refusals of each kind that tell them apart, 95 times in 100 (Noether).

    For a test of both sides with a power of 95 %.
    """
    away = area - 0.5
    return (1.96 + 1.645) ** 2 / (6 * away * away) if away else math.inf


def report(store: Store, count: int) -> bool:
    """Print the figures of a database; whether all are within the bound."""
    within = True
    for name, times in timing.apart(sample, store, count).items():
        area = measure_area(times['foreign'], times['unknown'])
        control = measure_area(times['control'], times['unknown'])
        spread = measure_spread(times['unknown'] + times['control'])
        medians = [sorted(times[kind])[count // 2] / 1000 for kind in KINDS]
        print(
            f'{store.engine:10} {name:5} foreign {medians[0]:6.1f} us unknown'
            f' {medians[1]:6.1f} us area {area:.4f} control {control:.4f}'
            f' spread {spread:.4f} needed {count_needed(area):.0f}',
            flush=True,
        )
        within = within and abs(area - 0.5) <= BOUND
    return within


def main() -> int:
    """Measure and print; 1 where an area is out of bounds."""
    parser = argparse.ArgumentParser(
        prog='python -m bench.refusals',
        description='Measure what the time of a refusal tells of a consumer.',
    )
    parser.add_argument('--samples', type=int, default=10_000, help='of each kind')
    options = parser.parse_args()
    if options.samples < 2:
        parser.error('--samples must be at least 2')
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix='cg-bench-'))
        postgresql = stack.enter_context(stores.postgresql_server())
        mariadb = stack.enter_context(stores.mariadb_server())
        filled = (
            stores.fill_sqlite(Path(folder), stores.PROJECTS * _CONSUMERS),
            stores.fill_postgresql(postgresql, stores.PROJECTS * _CONSUMERS),
            stores.fill_mariadb(mariadb, stores.PROJECTS * _CONSUMERS),
        )
        within = [report(store, options.samples) for store in filled]
    print('all' if all(within) else 'NOT all', f'within {BOUND} of one half')
    return int(not all(within))


if __name__ == '__main__':
    sys.exit(main())
