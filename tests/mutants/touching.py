# SPDX-License-Identifier: Apache-2.0
"""Which tests run which lines, and for how long: measured once, and kept.

What is kept of a test file counts until it changes, or a module that its tests run.
"""

import hashlib
import json
import pathlib
import re
import time
from collections.abc import Collection, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import coverage
import pytest

from tests.mutants.running import Failures, run_copy

#: Seconds for one file of tests.
_LIMIT = 3600


class Touching(NamedTuple):
    """What the tests that pass run.

    :ivar seconds: by test, in their order
    :ivar lines: tests by module, as a path, and line
    """

    seconds: Mapping[str, float]
    lines: Mapping[str, Mapping[int, Collection[str]]]

    def find_tests(self, module: str, first: int, last: int) -> list[str]:
        """The tests of these lines, the best ones first."""
        known = self.lines.get(module, {})
        return self._sort(
            module,
            {test for line in range(first, last + 1) for test in known.get(line, ())},
        )

    def find_module_tests(self, module: str) -> list[str]:
        """The tests of any line, and all of files that import the module.

        What runs on import, such as a decorator or a table, is in no test's lines.
        """
        tests = {test for run in self.lines.get(module, {}).values() for test in run}
        files = {test.partition('::')[0] for test in self.seconds}
        importing = {file for file in files if _imports(file, module)}
        tests |= {test for test in self.seconds if test.partition('::')[0] in importing}
        return self._sort(module, tests)

    def _sort(self, module: str, tests: Set[str]) -> list[str]:
        """The module's own ones, then the others, file by file, the quickest first.

        A file's tests share what they are given, in the order in which they stand.
        """
        own = _name_own(module)
        files: dict[str, float] = {}
        for test in tests:
            file = test.partition('::')[0]
            files[file] = files.get(file, 0) + self.seconds[test]
        ordered = [test for test in self.seconds if test in tests]
        return sorted(
            ordered, key=lambda test: (own not in test, files[test.partition('::')[0]])
        )


def _imports(file: str, module: str) -> bool:
    *_, package, name = module.removesuffix('.py').split('/')
    pattern = rf'consumer_guard\.{package}(\.|\s+import\s[^)]*?\b){name}\b'
    return re.search(pattern, pathlib.Path(file).read_text('utf-8')) is not None


def _name_own(module: str) -> str:
    return f'/test_{pathlib.PurePath(module).stem}.py::'


def measure(
    session: pytest.Session,
    root: pathlib.Path,
    kept: pathlib.Path,
    modules: Collection[str],
    jobs: int = 1,
) -> Touching:
    """Run the tests of files that are new or have changed; read the rest.

    :param modules: whose tests are wanted; those of others are not run again
    :param jobs: files that are run at once
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in session.items:
        files.setdefault(item.nodeid.partition('::')[0], []).append(item)
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    stale = [file for file in files if _is_stale(file, known, root, modules)]

    def run(file: str) -> Any:
        out = kept.with_name(f'{file.replace("/", ".")}.fresh')
        return _measure_in_copy(files[file], root, out)

    # Threads only wait here, each for the end of a copy.
    with ThreadPoolExecutor(jobs) as pool:
        for file, tests in zip(stale, pool.map(run, stale), strict=True):
            touched = {module for entry in tests.values() for module in entry['lines']}
            digests = _digest(root, {file, *touched})
            known[file] = {'digests': digests, 'tests': tests}
            kept.write_text(json.dumps(known))
    return _collect({file: known[file] for file in files})


def _is_stale(
    file: str,
    known: Mapping[str, Any],
    root: pathlib.Path,
    modules: Collection[str],
) -> bool:
    before = known[file]['digests'] if file in known else {}
    changed = {name for name, _ in before.items() ^ _digest(root, before).items()}
    return (
        not before
        or file in changed
        or (bool(changed) and not before.keys().isdisjoint(modules))
    )


def _measure_in_copy(
    items: Sequence[pytest.Item], root: pathlib.Path, out: pathlib.Path
) -> Any:
    run_copy(lambda: _measure_items(items, root, out), _LIMIT)
    found = json.loads(out.read_text())
    out.unlink()
    return found


def _digest(root: pathlib.Path, files: Collection[str]) -> dict[str, str]:
    return {
        file: hashlib.sha256((root / file).read_bytes()).hexdigest()
        for file in sorted(files)
        if (root / file).exists()
    }


def _measure_items(
    items: Sequence[pytest.Item], root: pathlib.Path, out: pathlib.Path
) -> str:
    """Write seconds and lines of each test that passes; returns nothing."""
    measuring = coverage.Coverage(
        data_file=None, config_file=False, include=[f'{root}/consumer_guard/*']
    )
    # Tests of files and processes alone run nothing of the package here.
    measuring.set_option('run:disable_warnings', ['no-data-collected'])
    passed: dict[str, dict[str, Any]] = {}
    failures = Failures()
    items[0].config.pluginmanager.register(failures)
    measuring.start()
    for item, following in zip(items, [*items[1:], None], strict=True):
        measuring.switch_context(item.nodeid)
        started, failures.first = time.monotonic(), ''
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if not failures.first:
            seconds = time.monotonic() - started
            passed[item.nodeid] = {'seconds': seconds, 'lines': {}}
    measuring.stop()
    data = measuring.get_data()
    for file in data.measured_files():
        module = str(pathlib.Path(file).relative_to(root))
        for line, tests in data.contexts_by_lineno(file).items():
            for test in passed.keys() & tests:
                passed[test]['lines'].setdefault(module, []).append(line)
    out.write_text(json.dumps(passed))
    return ''


def _collect(known: Mapping[str, Any]) -> Touching:
    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, list[str]]] = {}
    for kept in known.values():
        for test, entry in kept['tests'].items():
            seconds[test] = entry['seconds']
            for module, numbers in entry['lines'].items():
                for line in numbers:
                    lines.setdefault(module, {}).setdefault(line, []).append(test)
    return Touching(seconds, lines)
