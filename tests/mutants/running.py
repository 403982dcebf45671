# SPDX-License-Identifier: Apache-2.0
"""Run tests in copies of a process that has collected them already.

A copy costs milliseconds, an import of everything seconds. What a mutant breaks, loops
in, or leaves behind ends with its copy.
"""

import contextlib
import importlib.machinery
import importlib.util
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any, Protocol

import pytest

#: For pytest: nothing that costs time, and no folder of a test that has ended.
OPTIONS = (
    *('-p', 'no:xdist', '-p', 'no:cacheprovider', '--assert=plain'),
    *('-o', 'tmp_path_retention_policy=none'),
)
#: Exit status of a copy whose work is broken.
_BROKEN = 70
#: Instead of the test that failed, where the limit was reached.
TIMEOUT = 'too slow'


class Watch(Protocol):
    """A plugin that waits for a test that is worth noticing.

    :ivar first: its id; empty while there was none
    """

    first: str


class Failures:
    """Notices the first test that fails, or a file that cannot be imported."""

    def __init__(self) -> None:
        self.first = ''

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep it."""
        if report.failed:
            self.first = self.first or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported any more is a failure, too."""
        if report.failed:
            self.first = self.first or report.nodeid


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


def run_copy(work: Callable[[], str], limit: float) -> str:
    """Do something in a copy of this process.

    :param work: returns the test that failed, or nothing
    :param limit: seconds
    :returns: what the work returned, or :data:`TIMEOUT`
    :raises RuntimeError: the work itself is broken
    """
    # Not in a common one, in which pytest removes the folders of other copies.
    folder = tempfile.mkdtemp()
    try:
        return _run_copy(work, limit, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_copy(work: Callable[[], str], limit: float, folder: str) -> str:
    sys.stdout.flush()
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.environ['PYTEST_DEBUG_TEMPROOT'] = folder
        status = _BROKEN
        try:
            with silenced():
                os.write(sink, work().encode()[: select.PIPE_BUF])
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    os.close(sink)
    descriptor = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], limit)
    finally:
        os.close(descriptor)
        # Also what a test has started and a mutant has not ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    failed = _read_pipe(source)
    code = os.waitstatus_to_exitcode(status)
    if ended and code == _BROKEN:
        raise RuntimeError('the run of the tests itself failed')
    if not ended or code == -signal.SIGALRM:
        return TIMEOUT
    # A mutant may end the process itself.
    return failed or ('the process ended' if status else '')


def _read_pipe(source: int) -> str:
    # Whoever left the copy's group may have the other end open.
    os.set_blocking(source, False)
    with open(source, 'rb', buffering=0) as pipe:
        return (pipe.read(select.PIPE_BUF) or b'').decode()


class _Alarm:
    """A plugin that ends the copy with a test that takes too long.

    :param limits: seconds of each test
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Set it."""
        signal.setitimer(signal.ITIMER_REAL, self._limits[nodeid])

    def pytest_runtest_logfinish(self) -> None:
        """Stop it."""
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_items(
    session: pytest.Session,
    items: Sequence[pytest.Item],
    watch: Watch,
    limits: Mapping[str, float],
) -> str:
    """Run collected tests until one is noticed; returns it.

    :param limits: seconds of each test; the copy ends with one that takes longer
    """
    session.config.pluginmanager.register(watch)
    session.config.pluginmanager.register(_Alarm(limits))
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if watch.first:
            break
    with contextlib.suppress(Exception):
        session._setupstate.teardown_exact(None)
    return watch.first


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


def run_again(
    name: str, code: CodeType, watch: Watch, limits: Mapping[str, float]
) -> str:
    """Import the package and its tests once more, with one module from that code.

    :param limits: ids of tests, each with its seconds; others are left out
    :returns: what was noticed first, or why pytest did not run, or nothing
    """
    for module in list(sys.modules):
        if module.partition('.')[0] in ('consumer_guard', 'tests'):
            del sys.modules[module]
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, _Finder(name, code))
    files = list(dict.fromkeys(test.partition('::')[0] for test in limits))
    plugins = [watch, _Only(list(limits), watch), _Alarm(limits)]
    status = pytest.main([*OPTIONS, *files], plugins=plugins)
    ran = status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    return watch.first or ('' if ran else str(status))


class _Only:
    """A plugin that keeps some tests, in an order, until one is noticed."""

    def __init__(self, tests: Sequence[str], watch: Watch) -> None:
        self._watch = watch
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep them."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places),
            key=lambda item: self._places[item.nodeid],
        )

    def pytest_runtest_logfinish(self) -> None:
        """Stop."""
        if self._watch.first:
            pytest.exit('noticed', 1)
