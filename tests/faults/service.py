# SPDX-License-Identifier: Apache-2.0
"""The guarded placement as a service: gunicorn, several processes and threads."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

import psutil
import yaml

from tests.deployment import ETC, NAIVE_RULES, OWNER_RULES
from tests.faults.http import ask

ROOT = pathlib.Path(__file__).parent.parent.parent

# gunicorn reads it in its folder.
_HOOK = """
def post_worker_init(worker):
    open(f'ready-{worker.pid}', 'w').close()
"""

#: Seconds that a service may take to start.
PATIENCE = 60


class Service:
    """One gunicorn; everything of it is in one folder.

    :ivar policy_file: the guard's
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
        placement_options: str = '',
        workers: int = 2,
        path: str = '',
        output: str | None = None,
    ) -> None:
        shutil.copytree(ETC, folder, dirs_exist_ok=True)
        self.folder = folder
        self.policy_file = folder / 'policy.yaml'
        self.write_rules(OWNER_RULES)
        lines = ['[consumer_guard]', 'policy_poll_interval = 0.2']
        lines += [f'{key} = {value}' for key, value in (options or {}).items()]
        (folder / 'consumer-guard.conf').write_text('\n'.join(lines) + '\n')
        placement = folder / 'placement'
        placement.mkdir(exist_ok=True)
        (placement / 'placement.conf').write_text(
            f'[placement_database]\nconnection = {placement_database}\n'
            f'[oslo_policy]\npolicy_file = {placement / "policy.yaml"}\n'
            f'{placement_options}'
        )
        # Only the guard decides.
        (placement / 'policy.yaml').write_text(yaml.safe_dump(NAIVE_RULES))
        self._environment = {
            **os.environ,
            'OS_PLACEMENT_CONFIG_DIR': str(placement),
            'CONSUMER_GUARD_PASTE_CONFIG': str(folder / pipeline),
            'PYTHONPATH': os.pathsep.join(filter(None, [path, str(ROOT)])),
        }
        self._workers = workers
        self._output = output or str(folder / 'gunicorn.log')
        (folder / 'gunicorn.conf.py').write_text(_HOOK)
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.port = int(probe.getsockname()[1])
        self._start()

    def write_rules(self, rules: Mapping[str, str]) -> None:
        """Replace the guard's policy file."""
        self.policy_file.write_text(yaml.safe_dump(dict(rules)))

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
