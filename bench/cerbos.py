# SPDX-License-Identifier: Apache-2.0
"""The Cerbos policy decision point, from npm, as one more peer.

``npm install --prefix FOLDER cerbos`` brings the server; the lane installs it into its
own environment.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.peers import CASES, Case, Peer
from tests.ports import find_free_port

_POLICY = """
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: consumer
  version: default
  rules:
    - actions: [read]
      effect: EFFECT_ALLOW
      roles: [admin, service]
      condition: {match: {expr: P.attr.scope == "project"}}
    - actions: [read]
      effect: EFFECT_ALLOW
      roles: [reader]
      condition:
        match:
          expr: >-
            P.attr.scope == "project" && P.attr.project_id == R.attr.project_id
"""
#: Seconds.
_PATIENCE = 60.0


def find_cerbos() -> str | None:
    """The server's path, in this environment or on PATH."""
    inside = Path(sys.prefix) / 'node_modules' / '.bin'
    return shutil.which('cerbos', path=inside) or shutil.which('cerbos')


@contextlib.contextmanager
def run_cerbos(program: str) -> Iterator[int]:
    """The server in a process of its own; its port.

    :raises RuntimeError: it does not start, with its last line
    """
    port = find_free_port()
    with tempfile.TemporaryDirectory(prefix='cg-cerbos-') as name:
        folder = Path(name)
        (folder / 'policies').mkdir()
        (folder / 'policies' / 'consumer.yaml').write_text(_POLICY)
        settings = {
            'storage.driver': 'disk',
            'storage.disk.directory': str(folder / 'policies'),
            'server.httpListenAddr': f'127.0.0.1:{port}',
            'server.grpcListenAddr': f'unix:{folder}/grpc',
            'telemetry.disabled': 'true',
        }
        command = [program, 'server', *(f'--set={k}={v}' for k, v in settings.items())]
        log = folder / 'log'
        with log.open('wb') as out:
            process = subprocess.Popen(  # our own command line
                command, stdout=out, stderr=out, start_new_session=True
            )
        try:
            _wait(process, port, log)
            yield port
        finally:
            # npm's program starts the server as a child.
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _wait(process: 'subprocess.Popen[bytes]', port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection('127.0.0.1', port, timeout=1)
            connection.request('GET', '/_cerbos/health')
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        time.sleep(0.1)
    raise RuntimeError(f'cerbos did not start: {log.read_text().splitlines()[-1:]}')


def make_cerbos(port: int) -> Peer:
    """One check over one kept connection, as a client sees it."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
    prepared = {case: _ask(case) for case in CASES}

    def decide(case: Case) -> bool:
        body = json.dumps(prepared[case])
        connection.request('POST', '/api/check/resources', body)
        (answer,) = json.loads(connection.getresponse().read())['results']
        return bool(answer['actions']['read'] == 'EFFECT_ALLOW')

    return decide


def _ask(case: Case) -> dict[str, object]:
    return {
        'principal': {
            'id': 'u',
            # Cerbos asks for one at least.
            'roles': list(case.roles) or ['none'],
            'attr': {'scope': case.scope, 'project_id': case.project_id},
        },
        'resources': [
            {
                'resource': {
                    'kind': 'consumer',
                    'id': 'c',
                    'attr': {'project_id': case.owner},
                },
                'actions': ['read'],
            }
        ],
    }
