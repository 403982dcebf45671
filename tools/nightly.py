# SPDX-License-Identifier: Apache-2.0
"""Run the long lanes one after another, and write down what they have shown.

A lane that fails does not stop the others. What each has printed is kept in
``build/nightly``, and its counts in ``doc/evidence.json``, from which the
documentation is generated.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / 'doc' / 'evidence.json'
LOGS = ROOT / 'build' / 'nightly'

#: Every lane whose counts are evidence, the short ones first.
LANES = (
    'py3',
    'py310',
    'py312',
    'py313',
    'lowest',
    'functional-postgresql',
    'functional-mysql',
    'mysql',
    'release-2024.2',
    'release-2025.1',
    'release-2025.2',
    'release-2026.1',
    'release-2026.2',
    'monitoring',
    'clients',
    'servers',
    'keystone',
    'placement-suite',
    'specification',
    'proof',
    'suggestions',
    'properties',
    'flakes',
    'formal',
    'fuzz',
    'galera',
    'faults',
    'races',
    'timing',
    'mutants',
    'morning',
)

#: Lines that count something.
_COUNTS = re.compile(
    r'\d[\d,]* (?:passed|failed|tests:|cases decided|interleavings|searches,'
    r'|runs to be replayed|judged|pairs|mutants|requests)'
)
#: Lines that say how to see a failure again.
_FAILURES = re.compile(r'^(?:FAILED |ERROR |You can reproduce|.*--seed )')
#: Lines of each kind that are kept, the last ones.
_KEPT = 6
#: Colours.
_ESCAPE = re.compile(r'\x1b\[[0-9;]*m')


class Run(NamedTuple):
    """What one lane has shown.

    :ivar outcome: ``passed``, ``failed``, or ``stopped`` after its time
    :ivar seconds: including the installation
    """

    outcome: str
    seconds: float
    counts: tuple[str, ...]
    failures: tuple[str, ...]


def read_output(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The counts, and what a failure can be repeated with."""
    lines = [line.strip(' =') for line in _ESCAPE.sub('', text).splitlines()]
    counts = [line for line in lines if _COUNTS.search(line)]
    failures = [line for line in lines if _FAILURES.search(line)]
    return tuple(counts[-_KEPT:]), tuple(failures[-_KEPT:])


def run_lane(name: str, arguments: Sequence[str], limit: float) -> Run:
    """Run one lane to its end, or for so many seconds."""
    log = LOGS / f'{name}.log'
    command = [sys.executable, '-m', 'tox', 'run', '-q', '-e', name]
    if arguments:
        command += ['--', *arguments]
    outcome, started = 'failed', time.monotonic()
    with log.open('wb') as out:
        process = subprocess.Popen(  # noqa: S603  # our own command line
            command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True
        )
        try:
            if process.wait(limit) == 0:
                outcome = 'passed'
        except subprocess.TimeoutExpired:
            outcome = 'stopped'
        finally:
            if process.poll() is None:
                # tox ends what it has started.
                os.killpg(process.pid, signal.SIGINT)
                process.wait()
    counts, failures = read_output(log.read_text(errors='replace'))
    kept = failures if outcome != 'passed' else ()
    return Run(outcome, time.monotonic() - started, counts, kept)


def write_down(
    name: str, arguments: Sequence[str], run: Run, path: pathlib.Path = EVIDENCE
) -> None:
    """Replace the lane's entry of the evidence."""
    known: dict[str, Any] = {}
    if path.exists():
        known = json.loads(path.read_text(encoding='utf-8'))
    known[name] = {
        'day': datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        'revision': _read_revision(),
        'arguments': ' '.join(arguments),
        'outcome': run.outcome,
        'minutes': round(run.seconds / 60, 1),
        'counts': run.counts,
        'failures': run.failures,
    }
    text = json.dumps(known, indent=1, sort_keys=True)
    path.write_text(text + '\n', encoding='utf-8')


def _read_revision() -> str:
    git = shutil.which('git')
    if git is None:
        return ''
    command = [git, 'describe', '--always']
    done = subprocess.run(  # noqa: S603  # our own command line
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def find_lanes() -> tuple[str, ...]:
    """Those of :data:`LANES` that ``tox.ini`` has.

    :raises subprocess.CalledProcessError: tox cannot read it
    """
    command = [sys.executable, '-m', 'tox', 'list', '-q', '--no-desc']
    listed = subprocess.run(  # noqa: S603  # our own command line
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return tuple(lane for lane in LANES if lane in listed or lane.startswith('py3'))


def main() -> int:
    """Run the command; 1 when a lane did not pass."""
    parser = argparse.ArgumentParser(
        prog='nightly', description=(__doc__ or '').splitlines()[0]
    )
    parser.add_argument('lanes', nargs='*', help='by default all of them')
    parser.add_argument(
        '--hours', type=float, default=12, help='for one lane; default: %(default)s'
    )
    parser.add_argument(
        '--with',
        dest='arguments',
        default='',
        help='arguments for the lane, where one is named',
    )
    options = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in options.lanes or find_lanes():
        print(f'{name} ...', flush=True)
        arguments = options.arguments.split()
        run = run_lane(name, arguments, options.hours * 3600)
        write_down(name, arguments, run)
        failed = failed or run.outcome != 'passed'
        print(f'  {run.outcome} after {run.seconds / 60:.1f} minutes')
        for line in (*run.counts, *run.failures):
            print(f'  {line}')
    return int(failed)


if __name__ == '__main__':
    raise SystemExit(main())
