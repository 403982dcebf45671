# SPDX-License-Identifier: Apache-2.0
"""Placement under gunicorn or uwsgi, two workers, and what its processes hold."""

import contextlib
import dataclasses
import http.client
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench import scene, stores
from bench.morning.served import REMEMBER, WORKER
from tests.configuration import Configuration, make_environment
from tests.ports import find_free_port

ROOT = Path(__file__).parent.parent.parent
WORKERS = 2
SERVERS = ('gunicorn', 'uwsgi')
_PATIENCE = 300
#: The opened list, as an operator opens it.
RULES = {
    'consumer_guard:resource_providers:allocations:list': (
        'rule:consumer_guard:admin_or_service or rule:consumer_guard:owner_reader'
    )
}
_PIPELINE = 'api-paste-noauth.ini'


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One way to run placement.

    :ivar remember: with the patch of oslo.policy
    """

    name: str
    guarded: bool
    remember: bool = False


BARE = Variant('bare', guarded=False)
AGAIN = Variant('bare (again)', guarded=False)
GUARDED = Variant('guarded', guarded=True)
PATCHED = Variant('guarded, oslo.policy patched', guarded=True, remember=True)
VARIANTS = (BARE, GUARDED, AGAIN, PATCHED)


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What the workers hold at a moment.

    :ivar at: of :func:`time.monotonic`
    :ivar memory: resident, bytes, all workers
    :ivar connections: to the database
    :ivar spent: seconds of the processor so far
    """

    at: float
    memory: int
    connections: int
    spent: float


class Placement:
    """One running server with a configuration of its own."""

    def __init__(self, variant: Variant, kind: str, folder: Path, url: str) -> None:
        self.variant = variant
        self._database_port = int(url.rpartition(':')[2].partition('/')[0])
        self.configuration = Configuration(
            folder,
            url,
            options={
                'connection': stores.look_up_url(url),
                'generation_strategy': 'roll',
            },
            rules=RULES,
            placement_rules=scene.PASSAGE_RULES,
            placement_options={'DEFAULT': {'log_file': folder / 'placement.log'}},
        )
        if not variant.guarded:
            paste = folder / _PIPELINE
            paste.write_text(
                paste.read_text().replace(' consumer_guard placement', ' placement')
            )
        environment = os.environ | make_environment(folder, _PIPELINE)
        environment['PYTHONPATH'] = str(ROOT)
        if variant.remember:
            environment[REMEMBER] = '1'
        self.port = find_free_port()
        self._log = folder / 'server.log'
        with self._log.open('wb') as output:
            self._process = psutil.Popen(
                make_command(kind, self.port),
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=output,
            )

    def wait(self) -> None:
        """Wait until all workers answer.

        :raises SystemExit: they do not, with the end of their log
        """
        deadline = time.monotonic() + _PATIENCE
        seen: set[str | None] = set()
        while len(seen) < WORKERS:
            if time.monotonic() > deadline or self._process.poll() is not None:
                text = self._log.read_text(errors='replace')[-2000:]
                raise SystemExit(f'placement did not start: {text}')
            link = http.client.HTTPConnection('127.0.0.1', self.port, timeout=5)
            with contextlib.suppress(OSError, http.client.HTTPException):
                link.request('GET', '/')
                answer = link.getresponse()
                answer.read()
                seen.add(answer.getheader(WORKER))
            link.close()
            time.sleep(0.02)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer now."""
        return list(self._process.children())

    def sample(self) -> Sample:
        """What they hold now."""
        memory = connections = 0
        spent = 0.0
        for worker in self.workers():
            with contextlib.suppress(psutil.Error, OSError):
                memory += worker.memory_info().rss
                links = worker.net_connections(kind='tcp')
                connections += sum(
                    bool(link.raddr) and link.raddr.port == self._database_port
                    for link in links
                )
                times = worker.cpu_times()
                spent += times.user + times.system
        return Sample(time.monotonic(), memory, connections, spent)

    def stop(self) -> None:
        """Stop it."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except psutil.TimeoutExpired:
            self._process.kill()


def find_uwsgi() -> str | None:
    """Path of this environment's uwsgi; None where it could not be built."""
    return shutil.which('uwsgi', path=str(Path(sys.executable).parent))


def make_command(kind: str, port: int) -> list[str]:
    """The command of a server.

    :raises SystemExit: it is not installed
    """
    module = 'bench.morning.app:application'
    if kind == 'gunicorn':
        command = [*(sys.executable, '-W', 'ignore', '-m', 'gunicorn', module)]
        command += ['--workers', str(WORKERS), '--bind', f'127.0.0.1:{port}']
        return [*command, '--log-level', 'warning', '--backlog', '2048']
    binary = find_uwsgi()
    if binary is None:
        raise SystemExit('uwsgi is not installed (pip builds it with a C compiler)')
    command = [*(binary, '--http-socket', f'127.0.0.1:{port}', '--module', module)]
    command += ['--master', '--processes', str(WORKERS), '--single-interpreter']
    command += ['--need-app', '--die-on-term', '--home', sys.prefix]
    return [*command, '--listen', '100', '--disable-logging']


@contextlib.contextmanager
def run_placements(kind: str, folder: Path, url: str) -> Iterator[dict[str, Placement]]:
    """All variants over one database, by name; only one has a load at a time."""
    with contextlib.ExitStack() as stack:
        running = {}
        for number, variant in enumerate(VARIANTS):
            placement = Placement(variant, kind, folder / f'{kind}-{number}', url)
            stack.callback(placement.stop)
            running[variant.name] = placement
        for placement in running.values():
            placement.wait()
        yield running


@contextlib.contextmanager
def watch(placement: Placement) -> Iterator[list[Sample]]:
    """Sample it each second, and at the beginning and the end."""
    samples = [placement.sample()]
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            samples.append(placement.sample())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
        samples.append(placement.sample())
