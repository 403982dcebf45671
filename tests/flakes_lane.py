# SPDX-License-Identifier: Apache-2.0
"""Repeats tests in random order, beside processes that keep the machine busy.

::

    python -m tests.flakes_lane --runs 20 tests/unit/test_reloading.py

What is no option of this lane goes to pytest; without it all default tests run. Each
run prints its seed, of the order and of hashes: ``--seed`` repeats it.
"""

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence

#: A process that never rests, and ends with the one that started it.
_BUSY = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    sum(range(100_000))
"""


@contextlib.contextmanager
def keep_busy(count: int) -> Iterator[None]:
    """Run processes that never rest."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(
                subprocess.Popen([sys.executable, '-c', _BUSY, str(os.getpid())])
            )
            stack.callback(process.kill)
        yield


def run(seed: int, chosen: Sequence[str]) -> bool:
    """Run pytest once; returns whether everything has passed."""
    print(f'--seed {seed}', flush=True)
    command = [sys.executable, '-m', 'pytest', '-n', 'auto', f'--randomly-seed={seed}']
    environment = os.environ | {'PYTHONHASHSEED': str(seed)}
    return not subprocess.call([*command, *chosen], env=environment)


def main(arguments: Sequence[str]) -> int:
    """Run as often as wanted; returns 1 if anything failed in any run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--busy', type=int, default=4, help='processes beside')
    parser.add_argument('--seed', type=int, help='of the first run')
    options, chosen = parser.parse_known_args(arguments)
    seeds = [secrets.randbits(32) for _ in range(options.runs)]
    if options.seed is not None:
        seeds[:1] = [options.seed]
    with keep_busy(options.busy):
        failed = [seed for seed in seeds if not run(seed, chosen)]
    print(f'{len(seeds)} runs, {len(failed)} with failures', *failed)
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
