# SPDX-License-Identifier: Apache-2.0
"""A memcached on loopback, where auth_token keeps tokens."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from tests.cloud.processes import (
    GRACE,
    PATIENCE,
    StartFailed,
    die_with_parent,
    make_environment,
)
from tests.ports import find_free_port


class Memcached:
    """One server; it comes back on the same port, empty.

    :ivar address: host and port, as ``memcached_servers`` takes it
    """

    def __init__(self) -> None:
        self._port = find_free_port()
        self.address = f'127.0.0.1:{self._port}'
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        :raises StartFailed: it is not installed, or did not come up
        """
        binary = shutil.which('memcached')
        if binary is None:
            raise StartFailed(
                'there is no memcached; sh tools/install-databases.sh memcached'
                ' installs it'
            )
        # It refuses to be root.
        user = ['-u', 'nobody'] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [binary, '-l', '127.0.0.1', '-p', str(self._port), '-U', '0', *user],
            env=make_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # calls prctl alone
        )
        deadline = time.monotonic() + PATIENCE
        while not self.count_items() >= 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StartFailed('memcached did not start')
            time.sleep(0.05)

    def count_items(self) -> int:
        """How many values it holds; -1 when it does not answer."""
        try:
            address = ('127.0.0.1', self._port)
            with socket.create_connection(address, timeout=5) as connection:
                connection.sendall(b'stats\r\n')
                said = b''
                while not said.endswith(b'END\r\n'):
                    piece = connection.recv(65536)
                    if not piece:
                        return -1
                    said += piece
        except OSError:
            return -1
        lines = [line.split() for line in said.splitlines()]
        return next(int(line[2]) for line in lines if line[1:2] == [b'curr_items'])

    def stop(self) -> None:
        """Kill it, as it dies without a good-bye; may be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(GRACE)

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)
