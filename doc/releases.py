# SPDX-License-Identifier: Apache-2.0
"""The table of supported releases: what the lanes ``release-*`` ran, and on what.

python -m doc.releases    the table as CSV
"""

import csv
import io
import json
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from doc import lanes

HERE = pathlib.Path(__file__).resolve().parent
RUNS = HERE / 'releases.json'

#: Databases in the order of the table, and how it names them.
DATABASES = {'sqlite': 'SQLite', 'postgresql': 'PostgreSQL', 'mysql': 'MariaDB'}

#: Libraries of an extra that are recorded beside those of ``requirements.txt``.
_MORE = ('openstack-placement', 'keystonemiddleware')


@dataclass(frozen=True, slots=True)
class Run:
    """A lane that ran its tests, and none failed.

    :ivar release: of OpenStack
    :ivar python: major and minor version
    :ivar database: a key of :data:`DATABASES`
    :ivar whole: whether all of its tests ran
    :ivar versions: of libraries, by name
    """

    release: str
    python: str
    database: str
    passed: int
    skipped: int
    whole: bool
    versions: Mapping[str, str]

    @property
    def key(self) -> tuple[str, tuple[int, ...], int]:
        """What it is the latest run of; sorts as the table does."""
        python = tuple(map(int, self.python.split('.')))
        return self.release, python, [*DATABASES].index(self.database)


def list_libraries() -> tuple[str, ...]:
    """The libraries whose versions are recorded."""
    text = (HERE.parent / 'requirements.txt').read_text(encoding='utf-8')
    return (*re.findall(r'^([A-Za-z][\w.-]*)', text, re.M), *_MORE)


def read_runs(path: pathlib.Path = RUNS) -> list[Run]:
    """All that is recorded, in the order of the table."""
    return [Run(**run) for run in json.loads(path.read_text(encoding='utf-8'))]


def record(run: Run, path: pathlib.Path = RUNS) -> None:
    """Write a run to the file, unless more was run before."""
    runs = {old.key: old for old in read_runs(path)}
    old = runs.get(run.key)
    if old and not run.whole and (old.whole or old.passed >= run.passed):
        return
    runs[run.key] = run
    lines = [json.dumps(asdict(runs[key])) for key in sorted(runs)]
    path.write_text('[\n' + ',\n'.join(lines) + '\n]\n', encoding='utf-8')


def make_table(runs: Iterable[Run] | None = None) -> str:
    """Release, libraries, Python, then the tests that passed on each database."""
    rows: dict[tuple[str, str], dict[str, Run]] = {}
    for run in read_runs() if runs is None else runs:
        rows.setdefault((run.release, run.python), {})[run.database] = run
    recorded = {release for release, _ in rows}
    out = io.StringIO()
    writer = csv.writer(out)
    for (release, python), by_database in rows.items():
        versions = next(iter(by_database.values())).versions
        cells = [
            _show(by_database[name]) if name in by_database else ''
            for name in DATABASES
        ]
        libraries = (versions['SQLAlchemy'], versions['oslo.policy'])
        writer.writerow(
            [release, versions['openstack-placement'], *libraries, python, *cells]
        )
    for release in list_releases():
        if release not in recorded:
            writer.writerow([release, *[''] * 4, 'not recorded', '', ''])
    return out.getvalue()


def _show(run: Run) -> str:
    return f'{run.passed}' if run.whole else f'{run.passed} (part)'


def list_releases() -> list[str]:
    """The releases that have a lane, oldest first."""
    names = {name for lane in lanes.read_lanes() for name in lane.names}
    return sorted({name.split('-')[1] for name in names if name.startswith('release-')})


if __name__ == '__main__':
    sys.stdout.write(make_table())
