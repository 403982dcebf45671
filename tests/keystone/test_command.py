# SPDX-License-Identifier: Apache-2.0
"""``tox -e cloud``: one command, and nothing left behind."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent

#: Seconds for the start of the whole cloud on a busy machine.
PATIENCE = 180


def find_processes(folder: pathlib.Path) -> list[str]:
    """Command lines of the processes that know the folder."""
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            known = (entry / 'environ').read_bytes() + (entry / 'cmdline').read_bytes()
            if str(folder).encode() in known and int(entry.name) != os.getpid():
                found.append((entry / 'cmdline').read_text().replace('\0', ' '))
        except (OSError, UnicodeDecodeError):
            continue
    return found


class Command:
    """The command, running; its temporary folders are below one of our own."""

    def __init__(self, folder: pathlib.Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'tools.cloud', *arguments],
            cwd=ROOT,
            env=os.environ | {'TMPDIR': str(folder), 'PYTHONUNBUFFERED': '1'},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, pattern: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if re.search(pattern, line):
                return
        pytest.fail(f'ended without {pattern}')

    def end(self) -> tuple[int, str]:
        said, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said

    def assert_nothing_left(self) -> None:
        assert find_processes(self.folder) == []
        assert list(self.folder.iterdir()) == []


Start = Callable[..., Command]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Start the command: start(*arguments)."""
    running: list[Command] = []

    def begin(*arguments: str) -> Command:
        running.append(Command(tmp_path, *arguments))
        return running[-1]

    yield begin
    for command in running:
        if command.process.poll() is None:
            os.killpg(command.process.pid, signal.SIGTERM)
            command.process.communicate(timeout=PATIENCE)


SHOW = 'openstack --os-cloud {} resource provider allocation show -f value -c resources'


def test_run(start: Start) -> None:
    """One command instead of a shell: the three clouds, and its status."""
    script = '; '.join(
        [
            SHOW.format('admin') + ' $CONSUMER_OF_BETA',
            SHOW.format('alice') + ' $CONSUMER_OF_ALPHA',
            SHOW.format('alice') + ' $CONSUMER_OF_BETA',
            SHOW.format('bob') + ' $CONSUMER_OF_BETA',
            'exit 7',
        ]
    )
    command = start('--run', script, '--set', 'audit=all')
    status, said = command.end()
    assert said.splitlines()[1:] == [
        "{'VCPU': 4}",
        "{'VCPU': 2}",
        'Policy does not allow consumer_guard:allocations:list to be performed.'
        ' (HTTP 403)',
        "{'VCPU': 4}",
    ]
    assert status == 7
    command.assert_nothing_left()


def test_sigterm_while_a_command_runs(start: Start) -> None:
    command = start('--run', 'echo begun; sleep 600; echo never')
    command.read_until('begun')
    assert any('gunicorn' in line for line in find_processes(command.folder))
    command.process.terminate()
    assert command.end() == (128 + signal.SIGTERM, '')
    command.assert_nothing_left()


def test_interrupted_while_it_starts(start: Start) -> None:
    """Ctrl-C, twice, as an impatient user presses it."""
    command = start('--run', 'echo never')
    command.read_until('Starting')
    deadline = time.monotonic() + PATIENCE
    while len(find_processes(command.folder)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(command.process.pid, signal.SIGINT)
        time.sleep(0.1)
    assert command.end() == (128 + signal.SIGINT, '')
    command.assert_nothing_left()


def test_an_option_that_is_wrong(start: Start) -> None:
    command = start('--set', 'denial', '--run', 'true')
    status, said = command.end()
    assert status == 2
    assert "'denial' is not NAME=VALUE" in said
    command.assert_nothing_left()
