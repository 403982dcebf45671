# SPDX-License-Identifier: Apache-2.0
"""Runs placement's tests by stestr, as placement does, and reads the outcomes."""

import collections
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import placement
import subunit
import testtools

from tests.placement_suite.configurations import Configuration
from tests.placement_suite.outcomes import Run

#: Seconds that one run of all the tests may take.
PATIENCE = 3600

#: Of placement's own .stestr.conf: the tests of one file are steps of a story.
_GROUP = r'placement\.tests\.functional\.test_api(?:\.|_)([^_]+)'


class SuiteFailed(Exception):
    """The tests could not be run; carries the end of what was said."""


def run(
    configuration: Configuration | None, filters: Sequence[str], workers: int
) -> Run:
    """Run the tests; without a configuration as if there were no guard.

    :param filters: regular expressions of tests' ids; none means all
    :raises SuiteFailed: no outcomes can be told
    """
    with tempfile.TemporaryDirectory(prefix='suite-', dir=_find_memory()) as name:
        folder = Path(name)
        environment = dict(os.environ)
        if configuration is not None:
            configuration.write(folder)
            environment |= _inject(configuration, folder)
        environment['PYTHON'] = sys.executable
        _stestr(folder, environment, 'init')
        arguments = ['run', '--concurrency', str(workers), '--subunit', *filters]
        outcomes, details = _read(_stestr(folder, environment, *arguments))
        return Run(outcomes, details, _count_decisions(folder))


def _find_memory() -> str | None:
    """A folder in memory for the databases, where there is one."""
    memory = '/dev/shm'  # noqa: S108  # a folder of our own is made in it
    return memory if os.access(memory, os.W_OK) else None


def _inject(configuration: Configuration, folder: Path) -> dict[str, str]:
    paths = [str(Path(__file__).parent / 'inject')]
    if 'PYTHONPATH' in os.environ:
        paths.append(os.environ['PYTHONPATH'])
    return {
        'PYTHONPATH': os.pathsep.join(paths),
        'PLACEMENT_SUITE_FOLDER': str(folder),
        'PLACEMENT_SUITE_POSITION': configuration.position,
    }


def _stestr(folder: Path, environment: Mapping[str, str], *arguments: str) -> bytes:
    top = Path(placement.__file__).parent.parent
    command = [sys.executable, '-m', 'stestr.cli', '--here', str(folder)]
    command += ['--test-path', str(top / 'placement' / 'tests' / 'functional')]
    command += ['--top-dir', str(top), '--group-regex', _GROUP]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        # Its workers, too, if we did not wait for the end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # With --subunit the code says that there is a stream, not that tests passed.
    if process.returncode:
        said = err[-2000:].decode(errors='replace')
        raise SuiteFailed(f'stestr failed with {process.returncode}: {said}')
    return out


def _read(stream: bytes) -> tuple[dict[str, str], dict[str, str]]:
    outcomes: dict[str, str] = {}
    details: dict[str, str] = {}

    def take(test: Mapping[str, Any]) -> None:
        # Workers announce their tests first.
        if test['status'] == 'exists':
            return
        # Two of placement's tests have the name of another one.
        name = test['id']
        while name in outcomes:
            name += ' (again)'
        outcomes[name] = test['status']
        if test['status'] not in ('success', 'skip'):
            texts = [detail.as_text() for detail in test['details'].values()]
            details[name] = '\n'.join(filter(None, texts))

    result = testtools.StreamToDict(take)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream), 'stdout').run(result)
    result.stopTestRun()
    if not outcomes:
        raise SuiteFailed('no test was run')
    return outcomes, details


def _count_decisions(folder: Path) -> Mapping[tuple[str, str], int]:
    counted: collections.Counter[tuple[str, str]] = collections.Counter()
    for path in folder.glob('*.decisions'):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record['event'] != 'decision':
                continue
            counted[record['operation'], record['outcome']] += 1
    return counted
