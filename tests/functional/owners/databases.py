# SPDX-License-Identifier: Apache-2.0
"""The databases that owners are looked up in, and the driver over them."""

import contextlib
import os
import socket
import sqlite3

import pytest
import sqlalchemy as sa

from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.testing import NOBODY, Consumer
from tests import servers
from tests.rows import Tables

#: Name of a database here: its dialect, driver, character set and collation.
DATABASES: dict[str, tuple[str, str | None, str | None, str | None]] = {
    'sqlite': ('sqlite', None, None, None),
    'postgresql': ('postgresql', 'psycopg', None, None),
    'postgresql-psycopg2': ('postgresql', 'psycopg2', None, None),
    'mysql': ('mysql', 'pymysql', None, None),
    'mysql-utf8mb3_general_ci': ('mysql', 'pymysql', 'utf8mb3', 'utf8mb3_general_ci'),
    'mysql-utf8mb4_general_ci': ('mysql', 'pymysql', 'utf8mb4', 'utf8mb4_general_ci'),
    'mysql-utf8mb4_bin': ('mysql', 'pymysql', 'utf8mb4', 'utf8mb4_bin'),
}

#: MySQL itself, not MariaDB, is what ``mysql`` means.
ON_MYSQL = 'CONSUMER_GUARD_TEST_MYSQLD' in os.environ

START = {
    'postgresql': servers.postgresql,
    'mysql': servers.mysql if ON_MYSQL else servers.mariadb,
    'galera': servers.galera_node,
}


def on(dialect: str, *values: str) -> object:
    """A parameter for when that database is wanted; itself unless values are given."""
    return pytest.param(
        *(values or (dialect,)),
        marks=pytest.mark.on_database(dialect),
        id=values[0] if len(values) == 1 else None,
    )


def start(stack: contextlib.ExitStack, name: str, *arguments: str) -> servers.Server:
    """Start a server; skip the test where there is none on this machine."""
    try:
        return stack.enter_context(START[name](arguments))
    except servers.ServerMissing as missing:
        pytest.skip(str(missing))


def settings(url: str, timeout: float = 1.0, pool_size: int = 2) -> OwnerLookupSettings:
    """Settings of the driver."""
    return OwnerLookupSettings(url, timeout, pool_size, NOBODY, NOBODY)


class DatabaseSource:
    """Placement's tables in a database, a :class:`consumer_guard.testing.OwnerSource`.

    :ivar url: of the database
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Connecting costs more than adding a consumer.
        self.tables = Tables(url, sa.QueuePool)

    def add(self, consumer: Consumer) -> None:
        """Add rows."""
        if not consumer.recorded:
            self.tables.allocate(consumer.uuid, consumer.allocations)
            return
        self.tables.consume(
            consumer.uuid,
            consumer.project_id,
            consumer.user_id,
            consumer.consumer_type,
            consumer.generation,
            consumer.allocations,
        )

    def change(self, consumer: Consumer) -> None:
        """Change the row in ``consumers``."""
        self.tables.set_project(consumer.uuid, consumer.project_id)
        self.tables.set_generation(consumer.uuid, consumer.generation)

    def close(self) -> None:
        """Give back the connections."""
        self.tables.engine.dispose()

    def make_driver(self) -> DatabaseOwners:
        """The driver ``database``."""
        return DatabaseOwners(settings(self.url, timeout=30.0, pool_size=3))

    def make_stray_driver(self) -> DatabaseOwners:
        """The same where no database is."""
        url = sa.make_url(self.url)
        if url.get_backend_name() == 'sqlite':
            url = url.set(database='/nowhere/at/all/placement.db')
        else:
            with socket.create_server(('127.0.0.1', 0)) as closed:
                url = url.set(port=closed.getsockname()[1])
        return DatabaseOwners(
            settings(url.render_as_string(hide_password=False), timeout=0.5)
        )


def ignore_case(url: str) -> None:
    """Make the ids in a SQLite file equal as MariaDB's are: but for their case."""
    path = sa.make_url(url).database
    assert path is not None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = replace(replace(sql,
                'uuid VARCHAR(36)', 'uuid VARCHAR(36) COLLATE NOCASE'),
                'consumer_id VARCHAR(36)', 'consumer_id VARCHAR(36) COLLATE NOCASE')
            WHERE name IN ('consumers', 'allocations');
            PRAGMA writable_schema = RESET;
            REINDEX;
        """)
