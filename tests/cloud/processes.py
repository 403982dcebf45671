# SPDX-License-Identifier: Apache-2.0
"""Processes of the cloud: commands that end, and servers on loopback."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from tests.ports import find_free_port

#: Seconds that a command or the start of a server may take on a busy machine.
PATIENCE = 120

#: Seconds between SIGTERM and SIGKILL.
GRACE = 15

#: Where the console scripts of this Python environment are.
BIN = pathlib.Path(sys.executable).parent

#: gunicorn puts a control socket into the home folder; releases that do not know
#: the setting skip it in a file, and refuse it on the command line. Headers with
#: underscores are dropped by default; the other servers let them in, so do we.
_GUNICORN_CONF = 'control_socket_disable = True\nheader_map = "dangerous"\n'


#: Loopback is not behind anybody's proxy.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Let the kernel end this process when its parent has gone (Linux).

    Between fork and exec: whoever kills the parent with SIGKILL leaves no server
    behind; gunicorn's workers go with their master.
    """
    if sys.platform == 'linux':
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class StartFailed(Exception):
    """A command or a server failed; carries the end of its log."""


def make_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the variables of another cloud."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(('OS_', 'CONSUMER_GUARD_', 'GUNICORN_'))
        and not key.lower().endswith('_proxy')
    }
    kept['PATH'] = f'{BIN}{os.pathsep}{kept.get("PATH", os.defpath)}'
    return {**kept, **extra}


def run_all(
    commands: Sequence[Sequence[str]], folder: pathlib.Path, env: Mapping[str, str]
) -> None:
    """Run commands side by side in sessions of their own, to their ends.

    :raises StartFailed: one failed, or did not end within :data:`PATIENCE`
    """
    running: list[tuple[Sequence[str], subprocess.Popen[str]]] = []
    try:
        for command in commands:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # calls prctl alone
            )
            running.append((command, process))
        for command, process in running:
            try:
                said, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                raise StartFailed(f'{command[0]} did not end') from None
            if process.returncode:
                raise StartFailed(f'{" ".join(command)} failed:\n{said[-2000:]}')
    finally:
        for _, process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


class WebServer:
    """A WSGI module under gunicorn, one worker of four threads.

    In a session of its own, so that Ctrl-C in a terminal is for the command and
    not for its servers.

    :ivar url: without a slash at the end; the port stays over a restart
    :ivar folder: working folder, with the log ``<name>.log``
    """

    def __init__(
        self,
        name: str,
        module: str,
        folder: pathlib.Path,
        env: Mapping[str, str],
        port: int | None = None,
        address: str = '127.0.0.1',
    ) -> None:
        self.port = find_free_port() if port is None else port
        self._address = address
        self.url = f'http://127.0.0.1:{self.port}'
        self.folder = folder
        self._name = name
        self._module = module
        self._env = make_environment(env)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers.

        :raises StartFailed: it ended, or did not answer within :data:`PATIENCE`
        """
        conf = self.folder / 'gunicorn.conf.py'
        conf.write_text(_GUNICORN_CONF)
        with open(self.folder / f'{self._name}.log', 'ab') as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, '-m', 'gunicorn', '--config', str(conf)),
                    *('--workers', '1', '--threads', '4', '--graceful-timeout', '2'),
                    # An idle connection that is closed at the moment when its client
                    # sends is no answer to it.
                    *('--keep-alive', '600'),
                    *('--bind', f'{self._address}:{self.port}', self._module),
                ],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # calls prctl alone
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StartFailed(f'{self._name} did not start:\n{self.log()}')
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server with all its workers; may be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        self._signal(process, signal.SIGCONT)
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Workers too, and when we are interrupted while we wait.
            self._signal(process, signal.SIGKILL)
            process.wait()

    def freeze(self) -> None:
        """Stop master and workers from running; their sockets stay open."""
        assert self._process is not None
        self._signal(self._process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them run again."""
        assert self._process is not None
        self._signal(self._process, signal.SIGCONT)

    def log(self) -> str:
        """The end of the server's log."""
        path = self.folder / f'{self._name}.log'
        return path.read_text(errors='replace')[-3000:]

    def _answers(self) -> bool:
        try:
            with _DIRECT.open(self.url, timeout=PATIENCE):
                return True
        except urllib.error.HTTPError as answer:
            answer.close()
            return True
        except OSError:
            return False

    @staticmethod
    def _signal(process: 'subprocess.Popen[bytes]', number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
