# SPDX-License-Identifier: Apache-2.0
"""Compares the guard with its specification, on as many random cases as wanted.

::

    python -m tests.specification_lane --count 10000000 --seed 7

Every chunk of cases has a seed of its own, so that one alone can be repeated
(``--chunk``). Status 1 when a case is decided otherwise; it is printed, made small.
"""

import argparse
import collections
import functools
import logging
import multiprocessing
import secrets
import sys
import time
from typing import NamedTuple

from tests.specification_cases import Case, Cases, shrink
from tests.specification_core import Observation, expect, observe

#: Cases that are made from one seed, with rules of their own.
CHUNK = 20_000


class Comparison(NamedTuple):
    """What came of some cases.

    :ivar seen: how often each operation was decided for each reason
    :ivar counterexample: a case that the guard decides otherwise, in words
    """

    seen: collections.Counter[tuple[str, str]]
    counterexample: str | None = None


def compare(seed: object, count: int) -> Comparison:
    """Compare ``count`` cases, or those up to the first that differs."""
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    cases = Cases(seed)
    for number in range(count):
        case = cases.make()
        expected = expect(case)
        if _observe(case) != expected:
            place = f'seed {seed}, case {number}:'
            return Comparison(seen, f'{place}\n{explain(shrink(case, _differs))}')
        seen[case.operation, expected.answer.reason] += 1
    return Comparison(seen)


def _observe(case: Case) -> Observation | str:
    """What the guard says; an exception is an answer, too, and a wrong one."""
    try:
        return observe(case)
    except Exception as error:
        return f'raised {error!r}'


def _differs(case: Case) -> bool:
    return _observe(case) != expect(case)


def explain(case: Case) -> str:
    """A case with both answers."""
    return f'{case}\nspecified: {expect(case)}\ndecided:   {_observe(case)}'


def _compare_chunk(seed: str, chunk: int) -> Comparison:
    logging.disable(logging.CRITICAL)
    return compare(f'{seed}/{chunk}', CHUNK)


def main() -> int:
    """Compare on all processors; print the seed first and the counts last."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--count', type=int, default=10_000_000, help='cases')
    parser.add_argument('--seed', default=str(secrets.randbits(32)))
    parser.add_argument('--chunk', type=int, help='only this one')
    asked = parser.parse_args()
    print(f'--seed {asked.seed} --count {asked.count}', flush=True)
    chunks = range(-(-asked.count // CHUNK))
    if asked.chunk is not None:
        chunks = range(asked.chunk, asked.chunk + 1)
    return _run(asked.seed, chunks)


def _run(seed: str, chunks: range) -> int:
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    started = time.monotonic()
    with multiprocessing.Pool() as pool:
        work = functools.partial(_compare_chunk, seed)
        for number, done in enumerate(pool.imap_unordered(work, chunks), start=1):
            seen.update(done.seen)
            if done.counterexample is not None:
                print(done.counterexample)
                return 1
            if number % 50 == 0:
                print(f'{seen.total()} cases are decided alike', flush=True)
    for (operation, reason), count in sorted(seen.items()):
        print(f'{operation:36} {reason:16} {count:9}')
    seconds = time.monotonic() - started
    speed = seen.total() / seconds
    print(f'{seen.total()} cases decided alike in {seconds:.0f} s, {speed:.0f} per s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
