# SPDX-License-Identifier: Apache-2.0
"""Whether the attacks' tests get through a mutant where they were refused.

A pass is an answer below 400 to a request that the guard has refused before.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import coverage
import pytest

from tests.mutants.running import run_copy
from tests.mutants.touching import Touching

#: Method and path of a request, and the status of its answer.
Answer = tuple[str, str, int]
#: Ids, which differ from run to run.
_ID = re.compile('[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')
#: Seconds for all attacks, without a mutant.
_LIMIT = 3600


class Attacks(NamedTuple):
    """What the attacks' tests do without a mutant.

    :ivar answers: by test, in their order
    :ivar touching: the lines that run while a request is answered
    """

    answers: Mapping[str, Sequence[Answer]]
    touching: Touching


class Listener:
    """A plugin that keeps the answers of each test.

    :param measuring: takes note of the lines that run for them, if given
    """

    def __init__(self, measuring: coverage.Coverage | None = None) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self._measuring = measuring
        self._test = ''

    def _listen(self) -> None:
        """Wrap the middleware; not earlier, because it may be imported once more."""
        from consumer_guard.guard.wsgi import ConsumerGuard

        call = ConsumerGuard.__call__

        def listening(guard: Any, environ: Any, start_response: Any) -> Any:
            asked = environ.get('REQUEST_METHOD', ''), environ.get('PATH_INFO', '')
            answers = self.answers.setdefault(self._test, [])

            def start(line: str, *rest: Any) -> Any:
                answers.append((asked[0], _ID.sub('ID', asked[1]), int(line[:3])))
                return start_response(line, *rest)

            self._switch(self._test)
            try:
                return call(guard, environ, start)
            finally:
                self._switch('')

        setattr(ConsumerGuard, '__call__', listening)  # noqa: B010  # a method

    def _switch(self, context: str) -> None:
        if self._measuring is not None:
            self._measuring.switch_context(context)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """The next answers are this test's."""
        if not self._test:
            self._listen()
        self._test = nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep how long it takes, and whether it fails without a mutant."""
        self.seconds[report.nodeid] = (
            self.seconds.get(report.nodeid, 0) + report.duration
        )
        if report.failed:
            self.failed.add(report.nodeid)


class Doors(Listener):
    """Notices the first test in which a refusal has become a pass."""

    def __init__(self, usual: Mapping[str, Sequence[Answer]]) -> None:
        super().__init__()
        self._usual = usual
        self.first = ''

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Compare."""
        if opens(self._usual.get(nodeid, ()), self.answers.get(nodeid, ())):
            self.first = self.first or nodeid


def opens(usual: Sequence[Answer], answers: Sequence[Answer]) -> bool:
    """Whether a request that is usually refused has passed.

    What follows a request that is another one than usual is not compared.
    """
    for before, now in zip(usual, answers, strict=False):
        if before[:2] != now[:2]:
            return False
        if before[2] >= 400 > now[2]:
            return True
    return False


def measure_attacks(
    session: pytest.Session, root: pathlib.Path, out: pathlib.Path
) -> Attacks:
    """Run all attacks once, without a mutant.

    :raises RuntimeError: some of them fail, as on a machine that is overloaded
    """

    def work() -> str:
        measuring = coverage.Coverage(
            data_file=None, config_file=False, include=[f'{root}/consumer_guard/*']
        )
        listener = Listener(measuring)
        session.config.pluginmanager.register(listener)
        measuring.start()
        for item, following in zip(
            session.items, [*session.items[1:], None], strict=True
        ):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        measuring.stop()
        out.write_text(json.dumps(_summarize(listener, measuring.get_data(), root)))
        return ''

    run_copy(work, _LIMIT)
    made = json.loads(out.read_text())
    if made['failed']:
        raise RuntimeError(f'these fail without a mutant: {made["failed"]}')
    lines = {
        module: {int(line): tests for line, tests in found.items()}
        for module, found in made['lines'].items()
    }
    answers = {
        test: [(method, path, status) for method, path, status in found]
        for test, found in made['answers'].items()
    }
    return Attacks(answers, Touching(made['seconds'], lines))


def _summarize(
    listener: Listener, data: coverage.CoverageData, root: pathlib.Path
) -> dict[str, Any]:
    """What :func:`measure_attacks` reads."""
    tests = listener.answers.keys()
    lines: dict[str, dict[int, list[str]]] = {}
    for file in data.measured_files():
        found = {
            line: [test for test in run if test in tests]
            for line, run in data.contexts_by_lineno(file).items()
        }
        module = str(pathlib.Path(file).relative_to(root))
        lines[module] = {line: run for line, run in found.items() if run}
    return {
        'answers': {test: listener.answers[test] for test in sorted(tests)},
        'seconds': {test: listener.seconds[test] for test in sorted(tests)},
        'lines': lines,
        'failed': sorted(listener.failed),
    }
