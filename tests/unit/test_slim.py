# SPDX-License-Identifier: Apache-2.0
"""Without the extra ``cli``: the service runs, the programs name what is missing."""

import pathlib
import subprocess
import sys

import pytest

import consumer_guard

ROOT = pathlib.Path(consumer_guard.__file__).parent

#: Finds no package of the extra, as where it is not installed.
WITHOUT_EXTRA = """
import importlib.machinery, sys
BLOCKED = {'autopage', 'cliff', 'cmd2', 'oslo_upgradecheck', 'prettytable', 'tqdm'}
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition('.')[0] not in BLOCKED:
            return super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in an installation without the extra."""
    command = [sys.executable, '-c', WITHOUT_EXTRA + script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_module_but_those_of_the_commands_is_imported_without_the_extra() -> None:
    names = [
        '.'.join(('consumer_guard', *path.relative_to(ROOT).with_suffix('').parts))
        for path in sorted(ROOT.rglob('*.py'))
        # The module for WSGI servers loads a pipeline, which its own tests do.
        if path.relative_to(ROOT).parts[0] not in ('cmd', 'wsgi')
    ]
    done = run(f'import importlib\nfor name in {names}: importlib.import_module(name)')
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ('function', 'program'),
    [('run_commands', 'consumer-guard'), ('run_status', 'consumer-guard-status')],
)
def test_a_program_without_the_extra_is_one_line_that_names_it(
    function: str, program: str
) -> None:
    done = run(f'from consumer_guard.cmd import entry\nsys.exit(entry.{function}())')
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr == (
        f'{program} needs cliff, oslo_upgradecheck, tqdm; install the command line: '
        'pip install consumer-guard[cli]\n'
    )
