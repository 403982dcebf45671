# SPDX-License-Identifier: Apache-2.0
"""Change what decides in one place at a time; some test has to fail each time.

The tests that run the changed lines are tried, the module's own and the quick ones
first. A survivor needs a test, or a reason in ``tests/mutants/equivalent.yaml``.
"""

import argparse
import functools
import gc
import math
import os
import subprocess

import pytest

from tests.mutants import choosing, listing
from tests.mutants.doors import Doors, measure_attacks
from tests.mutants.listing import Figure, Key
from tests.mutants.running import OPTIONS
from tests.mutants.swapping import find_functions
from tests.mutants.touching import measure
from tests.mutants.trying import ROOT, Bench

#: What is kept from one run to the next one.
KEPT = ROOT / 'build' / 'mutants.json'
_TESTS = ('tests/unit', 'tests/functional')
#: The attacks and the short fuzzing, without those that are about time, threads and
#: servers: their answers differ from run to run.
_ATTACKS = tuple(
    f'tests/functional/test_threats_{name}.py'
    for name in (
        'answers',
        'bodies',
        'databases',
        'fuzz',
        'identity',
        'leftovers',
        'logs',
        'lookup',
        'oracles',
        'paths',
        'records',
        'resources',
        'services',
        'tokens',
        'transfer',
        'versions',
    )
)
#: Seconds of attacks per mutant, the quickest ones of its lines.
_ATTACKING = 2.0


class Trial:
    """The plugin that tries all mutants once pytest has collected the tests.

    :ivar ok: whether there is no unlisted survivor
    """

    def __init__(self, choice: choosing.Choice, jobs: int, budget: float) -> None:
        self._choice = choice
        self._jobs = jobs
        self._budget = budget
        self._reasons = listing.read_equivalents()
        self.ok = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running the tests."""
        touching = measure(session, ROOT, KEPT, self._choice.modules, self._jobs)
        functions = find_functions(ROOT / 'consumer_guard')
        killers = KEPT.with_name('mutants-killers.json')
        bench = Bench(
            session,
            touching,
            functions,
            killers,
            budget=self._budget,
            listed=self._reasons,
            jobs=self._jobs,
        )
        # The copies share what nobody collects.
        gc.freeze()
        self.ok = True
        figures = {}
        for module in self._choice.modules:
            figure = self._try_module(module, bench)
            if sum(figure):
                figures[module] = figure
                print(f'{module}: {_describe(figure)}', flush=True)
            if self._choice.whole:
                listing.write_figures({module: figure})
        total = Figure(
            *map(sum, zip(*figures.values(), strict=True)) if figures else (0,) * 3
        )
        print(f'{sum(total)} mutants: {_describe(total)}')
        return True

    def _try_module(self, module: str, bench: Bench) -> Figure:
        counts = [0, 0, 0]
        unused = {key for key in self._reasons if key[0] == module}
        mutants = self._choice.find_mutants(module)
        for mutant, failed in bench.try_mutants(mutants):
            listed = mutant.key in self._reasons
            unused.discard(mutant.key)
            if failed:
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
        bench.keep()
        return Figure(*counts)

    def _complain(self, what: str, key: Key) -> None:
        self.ok = False
        _print_mutant(what, key)


def _print_mutant(what: str, key: Key) -> None:
    module, where, before, after = key
    print(f'{module}, {where}: {what}\n  - {before}\n  + {after}', flush=True)


class DoorTrial:
    """The plugin that sends all attacks through mutants of what does not decide.

    :ivar ok: whether none of them has turned a refusal into a pass
    """

    def __init__(self, choice: choosing.Choice, jobs: int, budget: float) -> None:
        self._choice = choice
        self._jobs = jobs
        self._budget = budget
        self.ok = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running the tests."""
        functions = find_functions(ROOT / 'consumer_guard')
        attacks = measure_attacks(session, ROOT, KEPT.with_name('attacks.json'))
        bench = Bench(
            session,
            attacks.touching,
            functions,
            KEPT.with_name('mutants-doors.json'),
            functools.partial(Doors, attacks.answers),
            self._budget,
            jobs=self._jobs,
        )
        gc.freeze()
        total = doors = 0
        for module in self._choice.modules:
            mutants = [
                mutant
                for mutant in self._choice.find_mutants(module)
                if attacks.touching.find_tests(mutant.module, *mutant.lines)
            ]
            opened = [
                mutant
                for mutant, found in bench.try_mutants(mutants)
                if found in attacks.answers
            ]
            for mutant in opened:
                _print_mutant('a refusal has become a pass', mutant.key)
            bench.keep()
            total, doors = total + len(mutants), doors + len(opened)
            print(f'{module}: {len(mutants)} mutants, {len(opened)} doors', flush=True)
            if self._choice.whole:
                row = len(attacks.answers), len(mutants), len(opened)
                listing.write_rows({module: row}, listing.DOORS)
        print(f'{total} mutants in the way of the attacks: {doors} doors')
        self.ok = not doors
        return True


def _describe(figure: Figure) -> str:
    return (
        f'{figure.killed} killed, {figure.equivalent} equivalent, '
        f'{figure.survived} survived'
    )


def main() -> int:
    """Run the command; 1 when a mutant survived that is not listed."""
    parser = argparse.ArgumentParser(prog='mutants', description=__doc__)
    parser.add_argument('modules', nargs='*', help='paths; default: all that decide')
    parser.add_argument('--since', metavar='REV', help='only lines changed since then')
    parser.add_argument(
        '--security', action='store_true', help='only lines marked for security'
    )
    parser.add_argument(
        '--doors',
        action='store_true',
        help='attack mutants of what else a request reaches: all have to be refused',
    )
    parser.add_argument(
        '--tests', nargs='+', metavar='PATH', help='files or folders of tests'
    )
    parser.add_argument(
        '--jobs', type=int, default=os.cpu_count() or 1, help='mutants at once'
    )
    parser.add_argument(
        '--budget',
        type=float,
        metavar='SECONDS',
        help='of tests per mutant, for a quick look; nothing is written then',
    )
    options = parser.parse_args()
    for module in options.modules:
        if not (ROOT / module).is_file():
            parser.error(f'{module}: there is no such file')
    modules = options.modules or (
        choosing.find_others() if options.doors else choosing.find_modules()
    )
    try:
        choice = choosing.Choice(
            modules, options.since, options.security, options.budget
        )
    except subprocess.CalledProcessError as error:
        parser.error(f'--since {options.since}: {error.stderr.strip()}')
    tests = options.tests or (_ATTACKS if options.doors else _TESTS)
    usual = _ATTACKING if options.doors else math.inf
    trial = (DoorTrial if options.doors else Trial)(
        choice, options.jobs, options.budget or usual
    )
    KEPT.parent.mkdir(exist_ok=True)
    status = pytest.main([*OPTIONS, '--capture=sys', *tests], plugins=[trial])
    return 0 if trial.ok and status is pytest.ExitCode.OK else 1


if __name__ == '__main__':
    raise SystemExit(main())
