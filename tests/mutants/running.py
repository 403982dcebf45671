# SPDX-License-Identifier: Apache-2.0
"""Run tests in copies of a process that has collected them already.

A copy costs milliseconds, an import of everything seconds. What a mutant breaks, loops
in, or leaves behind ends with its copy.
"""

import contextlib
import enum
import importlib.machinery
import importlib.util
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any

import pytest

#: Exit statuses of a copy.
_SURVIVED, _KILLED, _BROKEN = 0, 1, 70


class Verdict(enum.Enum):
    """What the tests did about a mutant."""

    SURVIVED = 'survived'
    KILLED = 'killed'


class Failures:
    """A plugin that knows whether a test has failed."""

    def __init__(self) -> None:
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep it."""
        self.failed = self.failed or report.failed

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported any more is a failure, too."""
        self.failed = self.failed or report.failed


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """No output on the terminal."""
    kept = os.dup(1), os.dup(2)
    with open(os.devnull, 'wb') as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)


def run_copy(work: Callable[[], bool], limit: float) -> Verdict:
    """Do something in a copy of this process.

    :param work: returns whether a test failed
    :param limit: seconds; a mutant that takes longer is killed
    :raises RuntimeError: the work itself is broken
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        status = _BROKEN
        try:
            with silenced():
                status = _KILLED if work() else _SURVIVED
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    descriptor = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], limit)
    finally:
        os.close(descriptor)
        # Also what a test has started and a mutant has not ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if ended and os.waitstatus_to_exitcode(status) == _BROKEN:
        raise RuntimeError('the run of the tests itself failed')
    survived = ended and os.waitstatus_to_exitcode(status) == _SURVIVED
    return Verdict.SURVIVED if survived else Verdict.KILLED


def run_items(session: pytest.Session, items: Sequence[pytest.Item]) -> bool:
    """Run collected tests up to the first failure; whether there was one."""
    failures = Failures()
    session.config.pluginmanager.register(failures)
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if failures.failed:
            break
    with contextlib.suppress(Exception):
        session._setupstate.teardown_exact(None)
    return failures.failed


class _Finder:
    """Imports one module from a given code."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._code = name, code

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module, if it is this one."""
        if name != self._name:
            return None
        origin = self._code.co_filename
        return importlib.util.spec_from_file_location(name, origin, loader=self)  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the given code."""
        exec(self._code, module.__dict__)  # noqa: S102  # a mutant of ours


def run_again(name: str, code: CodeType, tests: Sequence[str]) -> bool:
    """Import the package and its tests once more, with one module from that code.

    :param tests: ids of tests, all others of their files are left out
    """
    for module in list(sys.modules):
        if module.partition('.')[0] in ('consumer_guard', 'tests'):
            del sys.modules[module]
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, _Finder(name, code))
    failures = Failures()
    files = list(dict.fromkeys(test.partition('::')[0] for test in tests))
    status = pytest.main(
        ['-x', '-p', 'no:xdist', '-p', 'no:cacheprovider', *files],
        plugins=[failures, _Only(tests)],
    )
    return failures.failed or status is not pytest.ExitCode.OK


class _Only:
    """A plugin that keeps some tests, in an order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep them."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places),
            key=lambda item: self._places[item.nodeid],
        )
