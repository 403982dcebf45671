# SPDX-License-Identifier: Apache-2.0
"""Ports of loopback for servers that cannot take a socket that is bound already."""

import errno
import secrets
import socket

#: Below those that Linux gives to clients, who would take a free one at any time.
_PORTS = range(16_384, 32_768)


def find_free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
