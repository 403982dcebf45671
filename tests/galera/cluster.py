# SPDX-License-Identifier: Apache-2.0
"""Three MariaDB nodes of one Galera cluster on loopback, haproxy in front of them."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymysql
import sqlalchemy as sa

from tests import ports, servers

#: Nodes of the cluster.
SIZE = 3

_SETTINGS = (
    '--no-defaults --bind-address=127.0.0.1 --skip-name-resolve'
    ' --innodb-flush-log-at-trx-commit=0 --innodb-autoinc-lock-mode=2'
    ' --innodb-buffer-pool-size=32M --max-connect-errors=1000000'
    ' --binlog-format=ROW --wsrep-on=ON --wsrep-cluster-name=guard'
    ' --wsrep-node-address=127.0.0.1 --wsrep-sst-method=rsync'
)

# A frozen node is out of the cluster after about as long as a look-up waits.
_PROVIDER = (
    'gcache.size=32M;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;'
    'evs.inactive_check_period=PT0.2S;evs.keepalive_period=PT0.2S;'
    'repl.causal_read_timeout=PT2S;gcs.fc_limit=1000'
)

# The greeting of the server shows that it runs; a connection would not.
_BALANCER = """
global
    maxconn 1000
defaults
    mode tcp
    timeout connect 1s
    timeout client 1m
    timeout server 1m
listen every_node
    bind 127.0.0.1:{every}
    balance roundrobin
    option mysql-check
    default-server check inter 200ms fall 2 rise 2 on-marked-down shutdown-sessions
    {nodes}
listen one_node
    bind 127.0.0.1:{one}
    option mysql-check
    default-server check inter 200ms fall 2 rise 2 on-marked-down shutdown-sessions
    {nodes_of_one}
"""


class Node(servers.Server):
    """One node; after its first start it joins those that are there.

    :ivar joining: the command without the order to make a new cluster
    """

    joining: Sequence[str] = ()

    def start(self) -> None:
        """Start it, and wait until it is in step with the others."""
        super().start()
        self._command = self.joining

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """As for any server; SQLAlchemy begins with what a node that is cut off refuses."""
        url = sa.make_url(self.url('mysql'))
        try:
            connection = pymysql.connect(
                host='127.0.0.1',
                port=self.port,
                user=url.username,
                password=str(url.password),
                autocommit=True,
            )
            with contextlib.closing(connection), connection.cursor() as cursor:
                cursor.execute(statement)
                return [tuple(row) for row in cursor.fetchall()]
        except pymysql.err.Error as error:
            raise sa.exc.OperationalError(statement, None, error) from error

    def kill(self) -> None:
        """End it with nothing said to anybody."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def state(self) -> str:
        """``Synced`` where it takes part; as Galera says otherwise."""
        ((_, state),) = self.execute("SHOW STATUS LIKE 'wsrep_local_state_comment'")
        return str(state)

    def isolate(self, isolated: bool) -> None:
        """Cut it off from the others, or put it back."""
        option = f'gmcast.isolate={int(isolated)}'
        self.execute(f"SET GLOBAL wsrep_provider_options = '{option}'")


@dataclass(frozen=True)
class Cluster:
    """The nodes, and ports of haproxy.

    :ivar every: port that leads to each node in turn
    :ivar one: port that leads to the first node, to others only while it is away
    """

    nodes: Sequence[Node]
    every: int
    one: int

    def url(self, database: str, port: int | None = None) -> str:
        """By a port of haproxy; by default the one that takes turns."""
        url = sa.make_url(self.nodes[0].url(database)).set(port=port or self.every)
        return url.render_as_string(hide_password=False)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the cluster is as it is wanted.

        :raises servers.ServerFailed: it does not become so
        """
        deadline = time.monotonic() + servers.PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(sa.exc.DBAPIError):
                if condition():
                    return
            time.sleep(0.1)
        raise servers.ServerFailed('the cluster did not get into the wanted state')

    def wait_until_whole(self) -> None:
        """Wait until every node takes part."""
        self.wait_until(lambda: all(node.state() == 'Synced' for node in self.nodes))
        query = "SHOW STATUS LIKE 'wsrep_cluster_size'"
        self.wait_until(
            lambda: {node.execute(query)[0][1] for node in self.nodes} == {str(SIZE)}
        )


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Start the three nodes and haproxy.

    :raises servers.ServerMissing: MariaDB, Galera or haproxy is not installed
    """
    haproxy = servers.find_binary('haproxy', 'haproxy', ['/usr/sbin'])
    with contextlib.ExitStack() as stack:
        folders = [
            stack.enter_context(servers.make_folder('mysql')) for _ in range(SIZE)
        ]
        groups = [ports.find_free_port() for _ in range(SIZE)]
        nodes = []
        for number, folder in enumerate(folders):
            node = _make_node(folder, number, groups)
            stack.callback(node.stop)
            node.start()
            nodes.append(node)
        whole = Cluster(nodes, ports.find_free_port(), ports.find_free_port())
        whole.wait_until_whole()
        stack.enter_context(_balance(haproxy, whole))
        yield whole


def _make_node(folder: Path, number: int, groups: Sequence[int]) -> Node:
    data, port = folder / 'data', ports.find_free_port()
    transfer, increments = ports.find_free_port(), ports.find_free_port()
    others = [f'127.0.0.1:{group}' for group in groups if group != groups[number]]
    provider = (
        f'{_PROVIDER};gmcast.listen_addr=tcp://127.0.0.1:{groups[number]};'
        f'ist.recv_addr=127.0.0.1:{increments}'
    )
    joining = [
        servers.find_binary('mariadbd', 'mariadb-server', ['/usr/sbin']),
        *_SETTINGS.split(),
        *f'--datadir={data} --socket={folder}/s --port={port}'.split(),
        *f'--tmpdir={folder} --pid-file={folder}/pid'.split(),
        f'--wsrep-node-name=node{number}',
        f'--wsrep-provider={servers.galera_library()}',
        f'--wsrep-provider-options={provider}',
        f'--wsrep-sst-receive-address=127.0.0.1:{transfer}',
        f'--wsrep-node-incoming-address=127.0.0.1:{port}',
        f'--wsrep-cluster-address=gcomm://{",".join(others)}',
    ]
    command = joining
    if number > 0:
        # Filled by the node that it joins.
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(data, 'mysql', 'mysql')
    else:
        servers.make_mariadb_data(folder, data)
        account = servers.write_account(folder)
        command = [*joining, '--wsrep-new-cluster', f'--init-file={account}']
    node = Node('mysql', command, folder, port, 'mysql', signal.SIGTERM)
    node.joining = joining
    return node


@contextlib.contextmanager
def _balance(haproxy: str, whole: Cluster) -> Iterator[None]:
    lines = [
        f'server node{number} 127.0.0.1:{node.port}'
        for number, node in enumerate(whole.nodes)
    ]
    one = [
        f'{lines[0]} on-marked-up shutdown-backup-sessions',
        *(f'{line} backup' for line in lines[1:]),
    ]
    text = _BALANCER.format(
        every=whole.every,
        one=whole.one,
        nodes='\n    '.join(lines),
        nodes_of_one='\n    '.join(one),
    )
    with servers.make_folder('mysql') as folder:
        configuration = folder / 'haproxy.cfg'
        configuration.write_text(text)
        os.chmod(configuration, 0o644)
        with open(folder / 'log', 'ab') as log:
            command = [haproxy, '-db', '-f', str(configuration)]
            process = servers.launch(command, 'mysql', log, folder)
        try:
            servers.wait_for_port(whole.every)
            whole.wait_until(lambda: _answers(whole))
            yield
        finally:
            process.terminate()
            process.wait(servers.PATIENCE)


def _answers(whole: Cluster) -> bool:
    for port in (whole.every, whole.one):
        engine = sa.create_engine(whole.url('mysql', port), poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql('SELECT 1')
    return True
