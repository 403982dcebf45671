# SPDX-License-Identifier: Apache-2.0
"""Throw-away PostgreSQL and MariaDB servers, and placement's schema in them.

::

    with postgresql() as server:
        url = server.url(server.create_database())
        create_schema(url)

Every server has a folder and a port of its own on the loopback address, runs as
the packaged system user when the tests run as root (both servers refuse root),
and is gone at the end of the ``with``. Durability is off: never keep anything.
"""

import contextlib
import glob
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from tests.ports import find_free_port

#: Seconds that a server may take to start, stop or be made.
PATIENCE = 600

_PASSWORD = 'thrown-away'

# Placement's own migration, as ``placement-manage db sync`` runs it. The URL
# comes by the environment, so that no process list shows it.
_MIGRATE = """
import os
from oslo_config import cfg
from placement import conf, db_api
from placement.db.sqlalchemy import migration
config = cfg.ConfigOpts()
conf.register_opts(config)
config.set_default('connection', os.environ['URL'], group='placement_database')
config([], project='placement', default_config_files=[], default_config_dirs=[])
db_api.configure(config)
migration.upgrade('head')
"""


class ServerMissing(Exception):
    """The server's binaries are not installed; names the Debian package."""


class ServerFailed(Exception):
    """A server did not start or stop in time; carries the end of its log."""


def create_schema(url: str) -> None:
    """Run placement's migrations to the newest revision in the database.

    In a process of its own: the first process that fills a MariaDB keeps a
    non-strict session in its pool.
    """
    done = subprocess.run(
        [sys.executable, '-c', _MIGRATE],
        env={**os.environ, 'URL': url},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f'placement db sync failed: {done.stderr[-2000:]}')


def get_pool(engine: sa.Engine) -> sa.QueuePool:
    """The pool of an engine, which has to be the one that counts."""
    assert isinstance(engine.pool, sa.QueuePool)
    return engine.pool


class Server:
    """One running server; made by :func:`postgresql` and :func:`mariadb`.

    :ivar dialect: ``postgresql`` or ``mysql``, as SQLAlchemy names them
    :ivar folder: everything of the server: data, socket, log
    :ivar port: TCP port on 127.0.0.1, the same after a restart
    """

    def __init__(
        self,
        dialect: str,
        command: Sequence[str],
        folder: Path,
        port: int,
        account: str,
        stop_signal: signal.Signals,
    ) -> None:
        self.dialect = dialect
        self.folder = folder
        self.port = port
        self._command = command
        self._account = account
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def url(self, database: str, driver: str | None = None) -> str:
        """SQLAlchemy URL of a database, with its password."""
        default = {'postgresql': 'psycopg2', 'mysql': 'pymysql'}[self.dialect]
        user = {'postgresql': 'postgres', 'mysql': 'guard'}[self.dialect]
        return (
            f'{self.dialect}+{driver or default}://{user}:{_PASSWORD}'
            f'@127.0.0.1:{self.port}/{database}'
        )

    def create_database(
        self, charset: str | None = None, collation: str | None = None
    ) -> str:
        """Make an empty database and return its name.

        ``charset`` is PostgreSQL's ENCODING or MariaDB's CHARACTER SET; None
        is the server's default.
        """
        name = f'placement{next(self._numbers)}'
        statement = f'CREATE DATABASE {name}'
        if self.dialect == 'postgresql':
            statement += ' TEMPLATE template0'
            statement += f" ENCODING '{charset}'" if charset else ''
            statement += f" LC_COLLATE '{collation}'" if collation else ''
        else:
            statement += f' CHARACTER SET {charset}' if charset else ''
            statement += f' COLLATE {collation}' if collation else ''
        self.execute(statement)
        return name

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement as the administrator, outside of any transaction."""
        database = 'postgres' if self.dialect == 'postgresql' else 'mysql'
        engine = sa.create_engine(
            self.url(database), isolation_level='AUTOCOMMIT', poolclass=sa.NullPool
        )
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        with open(self.folder / 'log', 'ab') as log:
            self._process = launch(self._command, self._account, log, self.folder)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerFailed(f'{self._command[0]} did not start: {self.log()}')
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, cutting its connections; its data stay."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(self._stop_signal)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def freeze(self, *, sessions: bool = False) -> None:
        """Stop the main process from running, its connections stay open.

        MariaDB is one process and answers nothing then; PostgreSQL takes no new
        connections, and with ``sessions`` those that are open get no answer
        either. :meth:`thaw` and :meth:`stop` end it.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # The signal is on its way: some threads may answer once more until then.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)
        if sessions:
            self._signal_children(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all its processes run again."""
        assert self._process is not None
        self._signal_children(signal.SIGCONT)
        self._process.send_signal(signal.SIGCONT)

    def _signal_children(self, number: signal.Signals) -> None:
        assert self._process is not None
        task = f'/proc/{self._process.pid}/task/{self._process.pid}/children'
        for child in Path(task).read_text().split():
            os.kill(int(child), number)

    def log(self) -> str:
        """The end of the server's log."""
        return (self.folder / 'log').read_text(errors='replace')[-2000:]

    def _answers(self) -> bool:
        try:
            self.execute('SELECT 1')
        except sa.exc.OperationalError:
            return False
        return True


@contextlib.contextmanager
def postgresql(extra_args: Sequence[str] = ()) -> Iterator[Server]:
    """A PostgreSQL server; ``extra_args`` go to ``postgres``.

    :raises ServerMissing: no ``initdb`` on this machine
    """
    folders = sorted(glob.glob('/usr/lib/postgresql/*/bin'), reverse=True)
    initdb = find_binary('initdb', 'postgresql', folders)
    postgres = find_binary('postgres', 'postgresql', folders)
    with make_folder('postgres') as folder:
        data, port = folder / 'data', find_free_port()
        make = f'{initdb} -A trust -U postgres -E UTF8 --locale=C.UTF-8 -N -D {data}'
        _run(make.split(), 'postgres', folder)
        settings = f'-k {folder} -c listen_addresses=127.0.0.1 -c fsync=off'
        command = [postgres, '-D', str(data), '-p', str(port), *settings.split()]
        command += extra_args
        server = Server('postgresql', command, folder, port, 'postgres', signal.SIGINT)
        yield from _serve(server)


@contextlib.contextmanager
def mariadb(extra_args: Sequence[str] = ()) -> Iterator[Server]:
    """A MariaDB server; ``extra_args`` go to ``mariadbd``.

    :raises ServerMissing: no ``mariadbd`` on this machine
    """
    mariadbd = find_binary('mariadbd', 'mariadb-server', ['/usr/sbin'])
    with make_folder('mysql') as folder:
        data, port = folder / 'data', find_free_port()
        make_mariadb_data(folder, data)
        account = write_account(folder)
        settings = (
            f'--no-defaults --datadir={data} --socket={folder}/s --port={port}'
            f' --bind-address=127.0.0.1 --skip-name-resolve --tmpdir={folder}'
            f' --pid-file={folder}/pid --init-file={account}'
            ' --innodb-flush-log-at-trx-commit=0'
        )
        command = [mariadbd, *settings.split(), *extra_args]
        server = Server('mysql', command, folder, port, 'mysql', signal.SIGTERM)
        yield from _serve(server)


@contextlib.contextmanager
def galera_node(extra_args: Sequence[str] = ()) -> Iterator[Server]:
    """A cluster of one node.

    :raises ServerMissing: MariaDB or Galera is not installed
    """
    cluster = (
        '--wsrep-on=ON',
        f'--wsrep-provider={galera_library()}',
        '--wsrep-cluster-address=gcomm://',
        '--binlog-format=ROW',
        '--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:0',
    )
    with mariadb((*cluster, *extra_args)) as node:
        yield node


@contextlib.contextmanager
def mysql(extra_args: Sequence[str] = ()) -> Iterator[Server]:
    """A MySQL server; ``CONSUMER_GUARD_TEST_MYSQLD`` names its ``mysqld``.

    :raises ServerMissing: it is unset, or there is no such file
    """
    mysqld = os.environ.get('CONSUMER_GUARD_TEST_MYSQLD', '')
    if not os.path.isfile(mysqld):
        raise ServerMissing(
            'CONSUMER_GUARD_TEST_MYSQLD names no mysqld; see tools/unpack-mysql.sh'
        )
    with make_folder('mysql') as folder:
        data, port = folder / 'data', find_free_port()
        make = f'{mysqld} --initialize-insecure --datadir={data} --tmpdir={folder}'
        _run(make.split(), 'mysql', folder)
        settings = (
            f'--datadir={data} --socket={folder}/s --port={port} --mysqlx=OFF'
            f' --bind-address=127.0.0.1 --skip-name-resolve --tmpdir={folder}'
            f' --pid-file={folder}/pid --init-file={write_account(folder)}'
            ' --innodb-flush-log-at-trx-commit=0 --skip-log-bin --secure-file-priv='
        )
        command = [mysqld, *settings.split(), *extra_args]
        server = Server('mysql', command, folder, port, 'mysql', signal.SIGTERM)
        yield from _serve(server)


def make_mariadb_data(folder: Path, data: Path) -> None:
    """Make the data of a new MariaDB.

    :raises ServerMissing: no ``mariadb-install-db`` on this machine
    """
    install = find_binary('mariadb-install-db', 'mariadb-server', ['/usr/sbin'])
    make = f'{install} --no-defaults --datadir={data} --skip-test-db'
    # Of its own: a MariaDB that starts removes the temporary tables that it
    # finds there, also those of another one that is being made.
    make += f' --auth-root-authentication-method=normal --tmpdir={folder}'
    _run(make.split(), 'mysql', folder)


def write_account(folder: Path) -> Path:
    """Statements that make the account of the tests."""
    account = folder / 'account.sql'
    account.write_text(
        f"CREATE USER IF NOT EXISTS guard@'%' IDENTIFIED BY '{_PASSWORD}';\n"
        "GRANT ALL ON *.* TO guard@'%' WITH GRANT OPTION;\n"
    )
    account.chmod(0o644)
    return account


def wait_for_port(port: int) -> None:
    """Wait until a port of the loopback address takes connections.

    :raises ServerFailed: it does not
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(('127.0.0.1', port)),
        ):
            return
        time.sleep(0.05)
    raise ServerFailed(f'nothing listens on port {port}')


def galera_library() -> str:
    """Path of Galera's library.

    :raises ServerMissing: it is not installed
    """
    for path in (
        '/usr/lib/galera/libgalera_smm.so',
        '/usr/lib64/galera/libgalera_smm.so',
    ):
        if os.path.exists(path):
            return path
    raise ServerMissing('no Galera; on Debian: apt-get install galera-4')


def _serve(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def find_binary(binary: str, package: str, folders: Sequence[str]) -> str:
    path = os.pathsep.join([*folders, os.environ.get('PATH', os.defpath)])
    found = shutil.which(binary, path=path)
    if found is None:
        raise ServerMissing(
            f'{binary} is not installed; on Debian: tools/install-databases.sh,'
            f' or apt-get install {package}'
        )
    return found


@contextlib.contextmanager
def make_folder(account: str) -> Iterator[Path]:
    # Not pytest's tmp_path: a socket's path may have 107 bytes, and the parent
    # folders must be open to the server's account.
    with tempfile.TemporaryDirectory(prefix='cg-', ignore_cleanup_errors=True) as name:
        if os.geteuid() == 0:
            shutil.chown(name, account, pwd.getpwnam(account).pw_gid)
        yield Path(name)


def _run(command: Sequence[str], account: str, folder: Path) -> None:
    with open(folder / 'log', 'ab') as log:
        process = launch(command, account, log, folder)
        if process.wait(PATIENCE):
            end = (folder / 'log').read_text(errors='replace')[-2000:]
            raise ServerFailed(f'{command[0]} failed: {end}')


def launch(
    command: Sequence[str], account: str, log: IO[bytes], folder: Path
) -> subprocess.Popen[bytes]:
    other: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = {'user': account, 'group': account, 'extra_groups': []}
    return subprocess.Popen(
        command,
        cwd=folder,
        env={'PATH': f'{os.environ.get("PATH", os.defpath)}:/usr/sbin', 'LC_ALL': 'C'},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        **other,
    )
