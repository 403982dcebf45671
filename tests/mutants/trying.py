# SPDX-License-Identifier: Apache-2.0
"""Try one mutant after another, each in a copy of the process."""

import functools
import itertools
import json
import math
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import CodeType
from typing import TypeVar

import pytest

from tests.mutants.listing import Key
from tests.mutants.mutations import Mutant
from tests.mutants.running import Failures, Watch, run_again, run_copy, run_items
from tests.mutants.swapping import Functions, NotSwappable, Swaps, find_swaps
from tests.mutants.touching import Touching

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_Code = TypeVar('_Code')
#: Seconds of tests for a mutant that is listed.
_FEW = 8
#: Seconds that a mutant's test may take longer than before, at the least.
_PATIENCE = 30


class Bench:
    """Runs the tests of a mutant's lines; knows which one noticed it before.

    :param functions: the living ones, before any test has run
    :param kept: where it is written which test noticed which mutant
    :param watch: makes what notices a test; by default those that fail
    :param budget: seconds of tests per mutant, of the best ones
    :param listed: keys of mutants for which few tests are enough: it is argued that
        nothing can notice them, and all tests would take the longest here
    :param jobs: mutants that are tried at once
    """

    def __init__(
        self,
        session: pytest.Session,
        touching: Touching,
        functions: Functions,
        kept: pathlib.Path,
        watch: Callable[[], Watch] = Failures,
        budget: float = math.inf,
        listed: Collection[Key] = (),
        jobs: int = 1,
    ) -> None:
        self._session = session
        self._touching = touching
        self._functions = functions
        self._kept = kept
        self._watch = watch
        self._budget = budget
        self._listed = listed
        self._jobs = jobs
        self._items = {item.nodeid: item for item in session.items}
        #: Tests that notice nothing without a mutant, with what was imported anew.
        self._reliable: set[tuple[str, str]] = set()
        self._unreliable: set[str] = set()
        self._noticed: dict[str, str] = {}
        if kept.exists():
            self._noticed = json.loads(kept.read_text())

    def try_mutants(self, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, str]]:
        """Run the tests of the changed lines; each with the first one that notices."""
        # Threads only wait here, each for the end of a copy.
        with ThreadPoolExecutor(self._jobs) as pool:
            yield from zip(mutants, pool.map(self._try_mutant, mutants), strict=True)

    def _try_mutant(self, mutant: Mutant) -> str:
        key = '\n'.join(mutant.key)
        found = self._try(mutant, self._noticed.get(key, ''))
        self._noticed.pop(key, None)
        if found in self._items:
            self._noticed[key] = found
        return found

    def keep(self) -> None:
        """Write down what the next run starts with."""
        self._kept.write_text(json.dumps(self._noticed))

    def _try(self, mutant: Mutant, best: str) -> str:
        path = ROOT / mutant.module
        original = compile(path.read_text(encoding='utf-8'), path, 'exec')
        code = compile(mutant.source, path, 'exec')
        tests = self._touching.find_tests(mutant.module, *mutant.lines)
        try:
            swaps = find_swaps(self._functions, original, code)
        except NotSwappable:
            swaps = ()
        if swaps and tests:
            tests = self._choose(mutant, best, tests)
            return self._notice('', tests, self._run, (swaps, ()))
        # What an import or only a forked child runs is in no test's lines.
        tests = self._touching.find_module_tests(mutant.module)
        tests = self._choose(mutant, best, tests)
        return self._try_import(mutant.module, original, code, tests)

    def _try_import(
        self, module: str, original: CodeType, code: CodeType, tests: Sequence[str]
    ) -> str:
        """Try a mutant of what runs on import."""
        files: dict[str, list[str]] = {}
        for test in tests:
            files.setdefault(test.partition('::')[0], []).append(test)
        groups = list(files.values())
        run = functools.partial(self._import, module)
        # Most are noticed by the first file's; others cost their import.
        for group in (groups[:1], groups[1:]):
            chosen = [test for some in group for test in some]
            if found := self._notice(module, chosen, run, (code, original)):
                return found
        return ''

    def _notice(
        self,
        module: str,
        tests: Sequence[str],
        run: Callable[[Sequence[str], _Code], str],
        codes: tuple[_Code, _Code],
    ) -> str:
        """The first test that notices the mutant, and not also what is unchanged.

        :param module: that is imported anew, if one is
        :param run: runs tests in a copy with a code; the first one that notices
        :param codes: the mutant's, and the one without a mutant
        """
        while kept := [test for test in tests if test not in self._unreliable]:
            found = run(kept, codes[0])
            if not found or (module, found) in self._reliable:
                return found
            # A test may also fail because of those before it, or of the load.
            before = kept[: kept.index(found) + 1] if found in kept else kept
            failed = run(before, codes[1])
            if not failed:
                self._reliable.add((module, found))
                return found
            if failed not in kept:
                raise RuntimeError(f'{failed}, though {module or "all"} is unchanged')
            print(f'{failed}: left out, it fails without a mutant', flush=True)
            self._unreliable.add(failed)
        return ''

    def _run(self, tests: Sequence[str], swaps: Swaps) -> str:
        def work() -> str:
            for function, new in swaps:
                function.__code__ = new
            items = [self._items[test] for test in tests]
            return run_items(self._session, items, self._watch(), limits)

        limits = self._limits(tests)
        return run_copy(work, sum(limits.values()))

    def _import(self, module: str, tests: Sequence[str], code: CodeType) -> str:
        name = module.removesuffix('.py').replace('/', '.')
        limits = self._limits(tests)
        work = functools.partial(run_again, name, code, self._watch(), limits)
        return run_copy(work, _PATIENCE + sum(limits.values()))

    def _choose(self, mutant: Mutant, best: str, tests: Sequence[str]) -> list[str]:
        """The best one first, and as many as the budget allows, at least one."""
        budget = min(self._budget, _FEW if mutant.key in self._listed else math.inf)
        ordered = sorted(tests, key=lambda test: test != best)
        until = itertools.accumulate(self._touching.seconds[test] for test in ordered)
        return [
            test
            for test, seconds in zip(ordered, until, strict=True)
            if seconds <= budget or test == ordered[0]
        ]

    def _limits(self, tests: Sequence[str]) -> Mapping[str, float]:
        return {test: _PATIENCE + 10 * self._touching.seconds[test] for test in tests}
