# SPDX-License-Identifier: Apache-2.0
"""Change what decides in one place at a time; some test has to fail each time.

The tests that run the changed lines are tried, the module's own and the quick ones
first. A survivor needs a test, or a reason in ``tests/mutants/equivalent.yaml``.
"""

import argparse
import functools
import pathlib
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import CodeType

import pytest

from tests.mutants.listing import (
    Figure,
    Key,
    read_equivalents,
    write_figures,
)
from tests.mutants.mutations import Mutant, find_marked, make_mutants
from tests.mutants.running import Verdict, run_again, run_copy, run_items
from tests.mutants.swapping import Functions, NotSwappable, find_functions, find_swaps
from tests.mutants.touching import Touching, measure

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / 'build' / 'mutants.json'
_PACKAGES = ('guard', 'rules', 'generations', 'owners')
#: Run once, before any request.
_START_UP = frozenset(('drivers.py', 'engine.py'))
#: Seconds that a mutant's tests may take longer than before, at the least.
_PATIENCE = 30


class Choice:
    """Which mutants are tried.

    :ivar whole: whether they are all of their modules
    """

    def __init__(self, modules: Sequence[str], since: str | None, security: bool):
        self.modules = modules or find_modules()
        self.whole = since is None and not security
        self._changed = read_changed(since) if since else None
        self._security = security

    def find_mutants(self, module: str) -> list[Mutant]:
        """The module's, those of lines marked for security first."""
        source = (ROOT / module).read_text(encoding='utf-8')
        marked = find_marked(source)
        lines: AbstractSet[int] | None = marked if self._security else None
        if self._changed is not None:
            changed = self._changed.get(module, frozenset())
            lines = changed if lines is None else lines & changed
        if lines is not None and not lines:
            return []
        return sorted(
            (
                mutant
                for mutant in make_mutants(module, source)
                if lines is None or _touches(mutant, lines)
            ),
            key=lambda mutant: not _touches(mutant, marked),
        )


def _touches(mutant: Mutant, lines: AbstractSet[int]) -> bool:
    return not lines.isdisjoint(range(mutant.lines[0], mutant.lines[1] + 1))


def find_modules() -> list[str]:
    """The modules that decide, the pure core first."""
    folder = ROOT / 'consumer_guard'
    paths = [path for name in _PACKAGES for path in (folder / name).glob('*.py')]
    names = sorted(
        str(path.relative_to(ROOT))
        for path in paths
        if path.name not in _START_UP and path.name != '__init__.py'
    )
    return sorted(names, key=lambda name: name.endswith('/ownership.py'), reverse=True)


def read_changed(since: str) -> Mapping[str, frozenset[int]]:
    """The lines that differ from a revision, by file.

    :raises subprocess.CalledProcessError: there is no such revision
    """
    git = shutil.which('git') or 'git'
    command = [git, 'diff', '-U0', '--no-prefix', since, '--', 'consumer_guard']
    diff = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    changed: dict[str, frozenset[int]] = {}
    file = ''
    for line in diff.splitlines():
        if line.startswith('+++ '):
            file = line[4:]
        elif match := re.match(r'@@ -\S+ \+(\d+)(?:,(\d+))? @@', line):
            start, count = int(match[1]), int(match[2] or 1)
            lines = range(start, start + count)
            changed[file] = changed.get(file, frozenset()) | frozenset(lines)
    return changed


class Trial:
    """The plugin that tries all mutants once pytest has collected the tests.

    :ivar ok: whether there is no unlisted survivor
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._reasons = read_equivalents()
        self.ok = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running the tests."""
        KEPT.parent.mkdir(exist_ok=True)
        touching = measure(session, ROOT, KEPT)
        functions = find_functions(ROOT / 'consumer_guard')
        bench = _Bench(session, touching, functions)
        self.ok = True
        figures = {}
        for module in self._choice.modules:
            figure = self._try_module(module, bench)
            if sum(figure):
                figures[module] = figure
                print(f'{module}: {_describe(figure)}', flush=True)
            if self._choice.whole:
                write_figures({module: figure})
        total = Figure(
            *map(sum, zip(*figures.values(), strict=True)) if figures else (0,) * 3
        )
        print(f'{sum(total)} mutants: {_describe(total)}')
        return True

    def _try_module(self, module: str, bench: '_Bench') -> Figure:
        counts = [0, 0, 0]
        unused = {key for key in self._reasons if key[0] == module}
        mutants = self._choice.find_mutants(module)
        if mutants:
            bench.demand_survival(module)
        for mutant in mutants:
            verdict = bench.try_mutant(mutant)
            listed = mutant.key in self._reasons
            unused.discard(mutant.key)
            if verdict is Verdict.KILLED:
                counts[0] += 1
                if listed:
                    self._complain('listed as equivalent, but killed', mutant.key)
            else:
                counts[1 if listed else 2] += 1
                if not listed:
                    place = f'survived, {mutant.operator} at line {mutant.lines[0]}'
                    self._complain(place, mutant.key)
        if self._choice.whole:
            for key in unused:
                self._complain('listed as equivalent, but no mutant', key)
        return Figure(*counts)

    def _complain(self, what: str, key: Key) -> None:
        self.ok = False
        module, where, before, after = key
        print(f'{module}, {where}: {what}\n  - {before}\n  + {after}', flush=True)


def _describe(figure: Figure) -> str:
    return (
        f'{figure.killed} killed, {figure.equivalent} equivalent, '
        f'{figure.survived} survived'
    )


class _Bench:
    """Tries one mutant after another."""

    def __init__(
        self, session: pytest.Session, touching: Touching, functions: Functions
    ) -> None:
        self._session = session
        self._touching = touching
        self._functions = functions
        self._items = {item.nodeid: item for item in session.items}

    def try_mutant(self, mutant: Mutant) -> Verdict:
        """Run the tests of the changed lines, up to the first that fails."""
        path = ROOT / mutant.module
        original = compile(path.read_text(encoding='utf-8'), path, 'exec')
        code = compile(mutant.source, path, 'exec')
        try:
            swaps = find_swaps(self._functions, original, code)
        except NotSwappable:
            return self._try_import(mutant.module, code)
        tests = self._touching.find_tests(mutant.module, *mutant.lines)

        def work() -> bool:
            for function, new in swaps:
                function.__code__ = new
            return run_items(self._session, [self._items[test] for test in tests])

        return run_copy(work, self._limit(tests)) if tests else Verdict.SURVIVED

    def demand_survival(self, module: str) -> None:
        """Import a module unchanged: nothing but a mutation may make tests fail.

        :raises RuntimeError: they fail all the same
        """
        path = ROOT / module
        code = compile(path.read_text(encoding='utf-8'), path, 'exec')
        if self._try_import(module, code) is not Verdict.SURVIVED:
            raise RuntimeError(f'{module}: tests fail, though nothing has changed')

    def _try_import(self, module: str, code: CodeType) -> Verdict:
        tests = self._touching.find_module_tests(module)
        name = module.removesuffix('.py').replace('/', '.')
        files: dict[str, list[str]] = {}
        for test in tests:
            files.setdefault(test.partition('::')[0], []).append(test)
        groups = list(files.values())
        # Most are noticed by the module's own tests; others cost their import.
        for group in (groups[:1], groups[1:]):
            chosen = [test for some in group for test in some]
            work = functools.partial(run_again, name, code, chosen)
            if chosen and run_copy(work, self._limit(chosen)) is Verdict.KILLED:
                return Verdict.KILLED
        return Verdict.SURVIVED

    def _limit(self, tests: Sequence[str]) -> float:
        return _PATIENCE + 10 * sum(self._touching.seconds[test] for test in tests)


def main() -> int:
    """Run the command; 1 when a mutant survived that is not listed."""
    parser = argparse.ArgumentParser(prog='mutants', description=__doc__)
    parser.add_argument('modules', nargs='*', help='paths; default: all that decide')
    parser.add_argument('--since', metavar='REV', help='only lines changed since then')
    parser.add_argument(
        '--security', action='store_true', help='only lines marked for security'
    )
    parser.add_argument(
        '--tests',
        nargs='+',
        default=['tests/unit', 'tests/functional'],
        help='files or folders; default: %(default)s',
    )
    options = parser.parse_args()
    for module in options.modules:
        if not (ROOT / module).is_file():
            parser.error(f'{module}: there is no such file')
    try:
        choice = Choice(options.modules, options.since, options.security)
    except subprocess.CalledProcessError as error:
        parser.error(f'--since {options.since}: {error.stderr.strip()}')
    trial = Trial(choice)
    arguments = ['-p', 'no:xdist', '-p', 'no:cacheprovider', *options.tests]
    status = pytest.main([*arguments, '--capture=sys'], plugins=[trial])
    return 0 if trial.ok and status is pytest.ExitCode.OK else 1


if __name__ == '__main__':
    raise SystemExit(main())
