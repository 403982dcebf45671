# SPDX-License-Identifier: Apache-2.0
"""Runs spin on the model: every interleaving, one at random, or a counterexample."""

import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

from tests.formal import traces
from tests.formal.traces import Step

MODEL = pathlib.Path(__file__).with_name('consumer.pml')

#: Megabytes of states that one search may take.
_MEMORY = 6000

#: Steps that one run of the model may have; the search fails if it has more.
_DEEPEST = 10_000

#: Seconds for one search.
_PATIENCE = 3600

_STATES = re.compile(r'^ *([\d.e+]+) states, stored', re.MULTILINE)
_DEPTH = re.compile(r'depth reached (\d+), errors: (\d+)')
_SECONDS = re.compile(r'elapsed time ([\d.e+]+) seconds')

#: What the search prints when it did not see all states.
_INCOMPLETE = ('Search not completed', 'max search depth too small', 'out of memory')


class SpinMissing(Exception):
    """A program is not installed; names the Debian package."""


class SpinFailed(Exception):
    """The model could not be checked; carries what was printed."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search of all interleavings found.

    :ivar holds: no assertion failed, and nothing was left out
    :ivar states: how many different ones were seen
    :ivar depth: the longest run, in spin's steps
    :ivar seconds: of the search alone
    :ivar counterexample: the steps to the assertion that failed; empty if none did
    """

    holds: bool
    states: int
    depth: int
    seconds: float
    counterexample: tuple[Step, ...]


def check_programs() -> None:
    """:raises SpinMissing: spin or gcc is not installed"""
    for program in ('spin', 'gcc'):
        if shutil.which(program) is None:
            raise SpinMissing(
                f'{program} is not installed; on Debian:'
                ' sh tools/install-databases.sh spin'
            )


def search(defines: Iterable[str], *, shortest: bool, large: bool) -> Search:
    """See every interleaving, until an assertion fails.

    :param defines: the model's switches, such as ``OPS=3``
    :param shortest: find the shortest counterexample first; for those that have one
    :param large: spend time on a fast program, and less memory a state
    :raises SpinFailed: nothing was searched, or not everything was
    """
    with tempfile.TemporaryDirectory(prefix='spin-') as name:
        folder = pathlib.Path(name)
        switches = [f'-D{define}' for define in defines]
        _run(folder, 'spin', '-a', *switches, str(MODEL))
        options = ['-DSAFETY', '-DNOFAIR', '-DVECTORSZ=1024', f'-DMEMLIM={_MEMORY}']
        options += ['-O2', '-DCOLLAPSE'] if large else ['-O0']
        options += ['-DBFS'] if shortest else []
        _run(folder, 'gcc', '-w', *options, '-o', 'pan', 'pan.c')
        printed = _run(folder, './pan', '-E', f'-m{_DEEPEST}')
        counterexample: tuple[Step, ...] = ()
        trail = folder / f'{MODEL.name}.trail'
        if trail.exists():
            lines = _run(folder, 'spin', '-k', trail.name, '-T', *switches, str(MODEL))
            if 'assertion violated' not in lines:
                raise SpinFailed(lines)
            counterexample = traces.parse(lines.splitlines())
        return _read(printed, counterexample)


def simulate(defines: Iterable[str], seed: int) -> tuple[Step, ...]:
    """One run of the model, in which chance decides who goes on.

    :raises SpinFailed: the model does not run
    """
    switches = [f'-D{define}' for define in defines]
    with tempfile.TemporaryDirectory(prefix='spin-') as name:
        folder = pathlib.Path(name)
        printed = _run(folder, 'spin', f'-n{seed}', '-T', *switches, str(MODEL))
    return traces.parse(printed.splitlines())


def _read(printed: str, counterexample: tuple[Step, ...]) -> Search:
    states, depth = _STATES.search(printed), _DEPTH.search(printed)
    seconds = _SECONDS.search(printed)
    if states is None or depth is None or seconds is None:
        raise SpinFailed(printed)
    errors = int(depth[2])
    if not errors and any(text in printed for text in _INCOMPLETE):
        raise SpinFailed(printed)
    if bool(errors) != bool(counterexample):
        raise SpinFailed(printed)
    return Search(
        holds=not errors,
        states=int(float(states[1])),
        depth=int(depth[1]),
        seconds=float(seconds[1]),
        counterexample=counterexample,
    )


def _run(folder: pathlib.Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    printed = done.stdout + done.stderr
    if done.returncode:
        raise SpinFailed(
            f'{" ".join(command)} ended with {done.returncode}: {printed[-2000:]}'
        )
    return printed
