# SPDX-License-Identifier: Apache-2.0
"""Which mutants are tried."""

import csv
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from tests.mutants.mutations import Mutant, find_marked, make_mutants
from tests.mutants.trying import ROOT

_PACKAGE = ROOT / 'consumer_guard'
#: What decides.
DECIDING = ('guard', 'rules', 'generations', 'owners')
#: What no request reaches.
_ASIDE = ('analysis', 'cmd', 'doctor', 'testing')
#: Run once, before any request.
_START_UP = frozenset(('drivers.py', 'engine.py'))


class Choice:
    """Which mutants are tried.

    :ivar whole: whether they are all of their modules, with all tests
    """

    def __init__(
        self,
        modules: Sequence[str],
        since: str | None,
        security: bool,
        budget: float | None,
    ):
        self.whole = since is None and not security and budget is None
        self._changed = read_changed(since) if since else None
        self.modules = [
            module
            for module in modules
            if self._changed is None or module in self._changed
        ]
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
    names = _list_modules(
        path
        for name in DECIDING
        for path in (_PACKAGE / name).glob('*.py')
        if path.name not in _START_UP
    )
    return sorted(names, key=lambda name: name.endswith('/ownership.py'), reverse=True)


def find_others() -> list[str]:
    """The other modules that a request can reach.

    They are all that no reviewer has to read: ``doc/review.csv`` lists the rest.
    """
    with (ROOT / 'doc' / 'review.csv').open(newline='', encoding='utf-8') as file:
        read = {f'{_PACKAGE}/{row[1].replace(".", "/")}.py' for row in csv.reader(file)}
    return _list_modules(
        path
        for path in _PACKAGE.rglob('*.py')
        if str(path) not in read and path.relative_to(_PACKAGE).parts[0] not in _ASIDE
    )


def _list_modules(paths: Iterable[pathlib.Path]) -> list[str]:
    return sorted(
        str(path.relative_to(ROOT)) for path in paths if path.name != '__init__.py'
    )


def read_changed(since: str) -> Mapping[str, frozenset[int]]:
    """The lines that differ from a revision, by file.

    :raises subprocess.CalledProcessError: there is no such revision
    """
    git = shutil.which('git') or 'git'
    options = ('--no-ext-diff', '-U0', '--no-prefix', since)
    command = [git, 'diff', *options, '--', 'consumer_guard']
    diff = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return parse_diff(diff)


def parse_diff(diff: str) -> Mapping[str, frozenset[int]]:
    """The changed lines of each file, of a diff without context and prefixes."""
    changed: dict[str, frozenset[int]] = {}
    file = ''
    for line in diff.splitlines():
        if line.startswith('+++ '):
            file = line[4:]
        elif match := re.match(r'@@ -\S+ \+(\d+)(?:,(\d+))? @@', line):
            start, count = int(match[1]), int(match[2] or 1)
            # Where lines were removed, the one before.
            lines = range(start, start + max(count, 1))
            changed[file] = changed.get(file, frozenset()) | frozenset(lines)
    return changed
