# SPDX-License-Identifier: Apache-2.0
"""A throw-away pgbouncer in front of a throw-away PostgreSQL."""

import contextlib
from collections.abc import Iterator

from tests.ports import find_free_port
from tests.servers import (
    PATIENCE,
    find_binary,
    launch,
    make_folder,
    wait_for_port,
)

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
{extra}
"""


@contextlib.contextmanager
def pgbouncer(server: int, mode: str, *extra: str, size: int = 3) -> Iterator[int]:
    """A pgbouncer, by its port on the loopback address.

    :param server: port of the PostgreSQL
    :param mode: ``session`` or ``transaction``
    :param extra: lines of its configuration
    :param size: connections to the server
    :raises ServerMissing: there is no pgbouncer on this machine
    """
    binary = find_binary('pgbouncer', 'pgbouncer', ['/usr/sbin'])
    with make_folder('postgres') as folder:
        port = find_free_port()
        configuration = folder / 'pgbouncer.ini'
        configuration.write_text(
            _CONFIGURATION.format(
                server=server, port=port, mode=mode, size=size, extra='\n'.join(extra)
            )
        )
        configuration.chmod(0o644)
        with open(folder / 'log', 'ab') as log:
            process = launch([binary, str(configuration)], 'postgres', log, folder)
        try:
            wait_for_port(port)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)
