# SPDX-License-Identifier: Apache-2.0
"""Compares the guard with its specification on random cases.

::

    python -m tests.specification_lane --count 10000000 --seed 7

A case that is decided otherwise is printed, made small, and the status is 1. Chunks of
cases have seeds of their own: ``--chunk`` repeats the one that the case names.
"""

import argparse
import collections
import logging
import multiprocessing
import secrets
import sys
import time
from typing import NamedTuple

from tests.specification_cases import Case, Cases, shrink
from tests.specification_core import Observation, expect, observe

#: Cases that are made from one seed, with rules of their own.
CHUNK = 50_000


class Comparison(NamedTuple):
    """The result for some cases.

    :ivar seen: how often an operation was decided for a reason
    :ivar counterexample: a case that the guard decides otherwise, as text
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
            small = explain(shrink(case, _differs))
            return Comparison(seen, f'seed/chunk {seed}, case {number}:\n{small}')
        seen[case.operation, expected.answer.reason] += 1
    return Comparison(seen)


def _observe(case: Case) -> Observation | str:
    """What the guard does; to raise an exception is always wrong."""
    try:
        return observe(case)
    except Exception as error:
        return f'raised {error!r}'


def _differs(case: Case) -> bool:
    return _observe(case) != expect(case)


def explain(case: Case) -> str:
    """A case and both answers, some lines of text."""
    return f'{case}\nspecified: {expect(case)}\ndecided:   {_observe(case)}'


class Chunk(NamedTuple):
    """Some of the cases of a run, with a seed of their own."""

    seed: str
    number: int
    size: int


def _compare_chunk(chunk: Chunk) -> Comparison:
    logging.disable(logging.CRITICAL)
    return compare(f'{chunk.seed}/{chunk.number}', chunk.size)


def main() -> int:
    """Compare on all processors; print the seed first and the counts last."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--count', type=int, default=10_000_000, help='cases')
    parser.add_argument('--seed', default=str(secrets.randbits(32)))
    parser.add_argument('--chunk', type=int, help='only this one')
    options = parser.parse_args()
    print(f'--seed {options.seed} --count {options.count}', flush=True)
    chunks = [
        Chunk(options.seed, number, min(CHUNK, options.count - start))
        for number, start in enumerate(range(0, options.count, CHUNK))
        if options.chunk in (None, number)
    ]
    return _run(chunks)


def _run(chunks: list[Chunk]) -> int:
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    started = time.monotonic()
    with multiprocessing.Pool() as pool:
        results = pool.imap_unordered(_compare_chunk, chunks)
        for number, done in enumerate(results, start=1):
            seen.update(done.seen)
            if done.counterexample is not None:
                print(done.counterexample)
                return 1
            if number % 20 == 0:
                print(f'{seen.total()} cases decided as specified', flush=True)
    for (operation, reason), count in sorted(seen.items()):
        print(f'{operation:36} {reason:16} {count:9}')
    seconds = time.monotonic() - started
    speed = f'in {seconds:.0f} s, {seen.total() / seconds:.0f} per second'
    print(f'{seen.total()} cases decided as specified {speed}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
