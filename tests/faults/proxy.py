# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that fails as networks and servers do."""

import contextlib
import select
import socket
import threading
import time


class Proxy:
    """Between the guard's look-up and its database; placement goes past it.

    :ivar port: where it listens
    :ivar delay: seconds that every answer of the server is held back
    :ivar refusing: whether connections are refused, and open ones cut
    :ivar opened: how many connections were taken
    """

    def __init__(self, port: int) -> None:
        self._target = ('127.0.0.1', port)
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self.delay = 0.0
        self.refusing = False
        self.opened = 0
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many are open now."""
        with self._lock:
            return len(self._pairs)

    def cut(self) -> None:
        """Cut all that are open."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Cut all, and take no other until told."""
        self.refusing = True
        self.cut()

    def close(self) -> None:
        """The end."""
        self.refusing = True
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.opened += 1
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._carry, args=(pair,), daemon=True).start()

    def _carry(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        try:
            while True:
                for end in select.select(pair, (), ())[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if end is server:
                        time.sleep(self.delay)
                    (client if end is server else server).sendall(data)
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._pairs.discard(pair)
            client.close()
            server.close()
