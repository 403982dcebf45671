# SPDX-License-Identifier: Apache-2.0
"""The sources can be installed from an archive, with git and without it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

#: The version without history.
[FALLBACK] = re.findall('(?m)^version = (.+)$', (ROOT / 'setup.cfg').read_text())


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    """The sources without their history, as an archive has them."""
    folder = tmp_path / 'archive'
    folder.mkdir()
    for name in ('README.rst', 'setup.cfg', 'setup.py', 'requirements.txt'):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / 'consumer_guard',
        folder / 'consumer_guard',
        ignore=shutil.ignore_patterns('__pycache__'),
    )
    return folder


def run_setup(archive: pathlib.Path, *arguments: str, path: str) -> str:
    done = subprocess.run(
        [sys.executable, 'setup.py', '-q', *arguments],
        cwd=archive,
        env={'PATH': path, 'HOME': str(archive)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_git_the_version_is_that_of_setup_cfg(archive: pathlib.Path) -> None:
    assert run_setup(archive, '--version', path='').split()[-1] == f'{FALLBACK}.dev0'


@pytest.mark.skipif(not shutil.which('git'), reason='git is not installed')
def test_within_another_repository_its_tags_are_not_the_version(
    archive: pathlib.Path,
) -> None:
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org']
    for command in (['init', '-q'], ['commit', '-qm', 'a', '--allow-empty']):
        subprocess.run(['git', *identity, *command], cwd=archive.parent, check=True)
    subprocess.run(['git', 'tag', '7.0.0'], cwd=archive.parent, check=True)
    version = run_setup(archive, '--version', path=os.environ['PATH'])
    assert version.split()[-1] == f'{FALLBACK}.dev0'


def test_without_git_what_is_not_python_is_installed_too(archive: pathlib.Path) -> None:
    run_setup(archive, 'build_py', '--build-lib', 'built', path='')
    source = archive / 'consumer_guard'
    files = {
        path.relative_to(source)
        for path in source.rglob('*')
        if path.is_file() and path.suffix not in {'.py', '.pyc'}
    }
    assert files
    built = archive / 'built' / 'consumer_guard'
    assert {name for name in files if not (built / name).exists()} == set()
