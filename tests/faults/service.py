# SPDX-License-Identifier: Apache-2.0
"""The guarded placement as a service: gunicorn, several processes and threads."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import psutil

from tests.configuration import (
    NAIVE_RULES,
    OWNER_RULES,
    Configuration,
    make_environment,
)
from tests.faults.http import ask
from tests.ports import find_free_port

ROOT = pathlib.Path(__file__).parent.parent.parent

# gunicorn reads it in its folder.
_HOOK = """
def post_worker_init(worker):
    open(f'ready-{worker.pid}', 'w').close()
"""

#: Seconds that a service may take to start.
PATIENCE = 300


class Service:
    """One gunicorn; everything of it is in one folder.

    :ivar policy_file: the guard's
    :ivar database: URL of placement's
    :param path: where the service finds modules first
    :param output: path of what it prints, in its folder unless said
    """

    def __init__(
        self,
        folder: pathlib.Path,
        placement_database: str,
        *,
        options: Mapping[str, object] | None = None,
        pipeline: str = 'api-paste-noauth.ini',
        workers: int = 2,
        path: str = '',
        output: str | None = None,
    ) -> None:
        self.folder = folder
        self.database = placement_database
        configuration = Configuration(
            folder,
            placement_database,
            options={'policy_poll_interval': 0.2, **(options or {})},
            rules=OWNER_RULES,
            # Only the guard decides.
            placement_rules=NAIVE_RULES,
        )
        self.policy_file = configuration.policy
        self.write_rules = configuration.write_rules
        self._environment = {
            **os.environ,
            **make_environment(folder, pipeline),
            'PYTHONPATH': os.pathsep.join(filter(None, [path, str(ROOT)])),
        }
        self._workers = workers
        self._output = output or str(folder / 'gunicorn.log')
        (folder / 'gunicorn.conf.py').write_text(_HOOK)
        self.port = find_free_port()
        self._start()
        with contextlib.ExitStack() as stack:
            stack.callback(self.stop)
            self._wait()
            stack.pop_all()

    def _start(self) -> None:
        with open(self._output, 'ab') as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, '-W', 'ignore', '-m', 'gunicorn'),
                    *('--workers', str(self._workers), '--threads', '4'),
                    *('--log-level', 'warning'),
                    *('--bind', f'127.0.0.1:{self.port}', '--backlog', '512'),
                    'consumer_guard.wsgi.api:application',
                ],
                cwd=self.folder,
                env=self._environment,
                stdout=output,
                stderr=output,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        # All of them: one that starts while its policy file is broken is locked.
        while (
            len([*self.folder.glob('ready-*')]) < self._workers
            or ask(self.port, 'GET', '/').status != 200
        ):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        """The end of what the service printed."""
        if not os.path.isfile(self._output):
            return ''
        return pathlib.Path(self._output).read_text(errors='replace')[-4000:]

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        workers: list[psutil.Process] = psutil.Process(self._process.pid).children()
        return workers

    def kill_worker(self) -> None:
        """Kill one worker as the kernel does when memory is short."""
        self.workers[0].send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """The end, with all its processes."""
        family = []
        if self._process.poll() is None:
            family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in family:
            if process.is_running():
                process.kill()
