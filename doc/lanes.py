# SPDX-License-Identifier: Apache-2.0
"""The table of tox lanes: what each proves, from ``tox.ini`` and ``.ci/run``.

python -m doc.lanes    the table as CSV
"""

import configparser
import csv
import io
import itertools
import pathlib
import re
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent

_SECTION = re.compile(r'testenv(?::(?P<name>.+))?')
_PYTHON = re.compile(r'-py3\d+$')
_CHOICE = re.compile(r'\{([^{}]*)\}')


class Lane(NamedTuple):
    """One section of ``tox.ini``.

    :ivar names: its environments
    :ivar description: what it proves or does
    :ivar installs: what tools/install-databases.sh installs for it
    :ivar in_check: whether ``.ci/run`` runs it: ``all``, ``some`` or nothing
    """

    names: tuple[str, ...]
    description: str
    installs: tuple[str, ...]
    in_check: str


def read_lanes(root: pathlib.Path = ROOT) -> list[Lane]:
    """Every lane of ``tox.ini`` in its order; the one without a name is py3.

    :raises configparser.NoOptionError: a lane has no description
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string((root / 'tox.ini').read_text(encoding='utf-8'))
    run = read_check((root / '.ci' / 'run').read_text(encoding='utf-8'))
    lanes = []
    for section in parser.sections():
        match = _SECTION.fullmatch(section)
        if match is None:
            continue
        names = expand(match['name'] or 'py3')
        prepared = parser.get(section, 'commands_pre', fallback='')
        installed = re.search(r'install-databases\.sh (.+)', prepared)
        lanes.append(
            Lane(
                names,
                ' '.join(parser.get(section, 'description').split()),
                tuple(installed[1].split()) if installed else (),
                next((run[name] for name in names if name in run), ''),
            )
        )
    return lanes


def expand(pattern: str) -> tuple[str, ...]:
    """The environments of a section: ``a{1,2}`` is a1 and a2."""
    pieces = _CHOICE.split(pattern)
    choices = [
        piece.split(',') if number % 2 else [piece]
        for number, piece in enumerate(pieces)
    ]
    return tuple(''.join(chosen) for chosen in itertools.product(*choices))


def read_check(script: str) -> dict[str, str]:
    """What each lane that ``.ci/run`` names runs there."""
    run = {}
    for line in script.replace('\\\n', ' ').splitlines():
        match = re.fullmatch(r'(?:\w+=\S+ )?tox ([\w,.-]+)( -- .+)?', line)
        if match is not None:
            for name in match[1].split(','):
                run[name] = 'some' if match[2] else 'all'
    # The README's test command, which the script runs first.
    return {'py3': 'all'} | run


def make_table() -> str:
    """Lane, what it proves, what it installs, whether each check runs it."""
    out = io.StringIO()
    writer = csv.writer(out)
    for lane in read_lanes():
        # The same on another Python needs no name of its own.
        shown = [name for name in lane.names if not _PYTHON.search(name)]
        names = ' '.join(f'``{name}``' for name in shown)
        # As literals, or Sphinx makes dashes of them.
        proves = re.sub(r'(-- )?--\w+', r'``\g<0>``', lane.description)
        writer.writerow((names, proves, ', '.join(lane.installs), lane.in_check))
    return out.getvalue()


if __name__ == '__main__':
    sys.stdout.write(make_table())
