# SPDX-License-Identifier: Apache-2.0
"""WSGI servers on loopback that the tests start and stop."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

#: Seconds that a server may take to start or to stop.
PATIENCE = 600


def ask(url: str, headers: Mapping[str, str] | None = None) -> int:
    """GET; returns the status, or 0 where nobody answers."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code
    except OSError:
        return 0


@contextlib.contextmanager
def serve(
    command: Sequence[str],
    probe: str,
    log: pathlib.Path,
    environment: Mapping[str, str],
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator['subprocess.Popen[bytes]']:
    """Run a server until the end of the ``with``.

    :param probe: URL that is answered 200 as soon as the server serves
    :param log: where its output goes; shown when it does not start
    :param environment: in addition to this process's own
    :param stop_signal: what ends the server with all its workers
    """
    with log.open('ab') as output:
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while ask(probe) != 200:
                said = log.read_text(errors='replace')[-4000:]
                assert process.poll() is None, f'{command[0]} ended: {said}'
                assert time.monotonic() < deadline, f'no answer yet: {said}'
                time.sleep(0.1)
            yield process
        finally:
            process.send_signal(stop_signal)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
