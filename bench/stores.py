# SPDX-License-Identifier: Apache-2.0
"""Placement's tables, filled with many consumers by a few statements.

Each consumer has one allocation on one of :data:`SPREAD` providers; the first
ones have another on the providers with the lists. A thousandth of all belongs
to each project.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tests import servers

PROJECTS = 1000
USERS = 5000
SPREAD = 1000
#: Lists: provider number and how many consumers are on it.
LISTS = {1: 100, 2: 1000, 3: 10_000, 5: 100_000}
#: A provider with an inventory to write on.
WRITABLE = 4
_FIRST = 10

#: The project that asks; the others own the rest.
OURS = 7

_INDEXES = {
    'consumers': (
        ('consumers_project_id_uuid_idx', 'project_id, uuid'),
        ('consumers_project_id_user_id_uuid_idx', 'project_id, user_id, uuid'),
    ),
    'allocations': (
        (
            'allocations_resource_provider_class_used_idx',
            'resource_provider_id, resource_class_id, used',
        ),
        ('allocations_resource_class_id_idx', 'resource_class_id'),
        ('allocations_consumer_id_idx', 'consumer_id'),
    ),
}


@dataclass(frozen=True, slots=True)
class Store:
    """One filled database.

    :ivar engine: ``SQLite``, ``PostgreSQL`` or ``MariaDB``
    :ivar consumers: how many rows
    """

    engine: str
    url: str
    consumers: int

    @property
    def words(self) -> str:
        """For titles."""
        return f'{self.engine}, {self.consumers} consumers'


def look_up_url(url: str) -> str:
    """The same database by the driver that is recommended for look-ups."""
    return url.replace('postgresql+psycopg2:', 'postgresql+psycopg:')


def find_lists(store: Store) -> list[int]:
    """Providers with a list that this store can fill."""
    return [number for number, count in LISTS.items() if count <= store.consumers]


def project(number: int = OURS) -> str:
    """Keystone's id of a project."""
    return f'{number:032x}'


def provider(number: int) -> str:
    """The uuid of a resource provider."""
    return f'00000000-0000-4000-8000-{number:012x}'


def read_consumers(store: Store, limit: int, of_project: int = OURS) -> list[str]:
    """Ids of consumers of a project."""
    engine = sa.create_engine(store.url)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                'SELECT uuid FROM consumers JOIN projects'
                ' ON projects.id = consumers.project_id'
                ' WHERE external_id = :project LIMIT :limit'
            ),
            {'project': project(of_project), 'limit': limit},
        )
        found = [str(row[0]) for row in rows]
    engine.dispose()
    return found


@contextlib.contextmanager
def postgresql_server() -> Iterator[servers.Server]:
    """A PostgreSQL of our own; raises SystemExit naming what is missing."""
    try:
        with servers.postgresql() as server:
            yield server
    except servers.ServerMissing as error:
        raise SystemExit(f'PostgreSQL is to be measured, too: {error}') from None


def fill_sqlite(folder: Path, consumers: int) -> Store:
    """Make and fill a SQLite file."""
    store = Store('SQLite', f'sqlite:///{folder}/placement-{consumers}.db', consumers)
    _fill(store)
    return store


def fill_postgresql(server: servers.Server, consumers: int) -> Store:
    """Make and fill a database of the server."""
    store = Store('PostgreSQL', server.url(server.create_database()), consumers)
    _fill(store)
    return store


@contextlib.contextmanager
def mariadb_server() -> Iterator[servers.Server]:
    """A MariaDB of our own; raises SystemExit naming what is missing."""
    try:
        # The default is 128 MiB, which a million consumers do not fit in.
        with servers.mariadb(['--innodb-buffer-pool-size=1G']) as server:
            yield server
    except servers.ServerMissing as error:
        raise SystemExit(f'MariaDB is to be measured, too: {error}') from None


def fill_mariadb(server: servers.Server, consumers: int) -> Store:
    """Make and fill a database of the server."""
    store = Store('MariaDB', server.url(server.create_database()), consumers)
    _fill(store)
    return store


def _fill(store: Store) -> None:
    servers.create_schema(store.url)
    engine = sa.create_engine(
        store.url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool
    )
    before, after = _SETTINGS[store.engine]
    # InnoDB needs an index for each foreign key.
    indexes = {} if store.engine == 'MariaDB' else _INDEXES
    with engine.connect() as connection:
        run = connection.exec_driver_sql
        for statement in before:
            run(statement)
        for names in indexes.values():
            for name, _ in names:
                run(f'DROP INDEX {name}')
        for statement in _statements(store):
            # psycopg2 and PyMySQL read % as the beginning of a parameter.
            run(statement if store.engine == 'SQLite' else statement.replace('%', '%%'))
        for table, names in indexes.items():
            for name, columns in names:
                run(f'CREATE INDEX {name} ON {table} ({columns})')
        for statement in after:
            run(statement)
    engine.dispose()


# What is run before and after filling.
_SETTINGS = {
    'SQLite': (
        (
            'PRAGMA journal_mode = OFF',
            'PRAGMA synchronous = OFF',
            'PRAGMA cache_size = -400000',
        ),
        ('ANALYZE', 'PRAGMA journal_mode = DELETE'),
    ),
    'PostgreSQL': ((), ('VACUUM ANALYZE',)),
    'MariaDB': (
        (
            "SET SESSION sql_mode = 'PIPES_AS_CONCAT',"
            ' foreign_key_checks = 0, unique_checks = 0',
        ),
        ('ANALYZE TABLE projects, users, resource_providers, consumers, allocations',),
    ),
}

_HEXADECIMAL = {
    'SQLite': "printf('%0{0}x', i)",
    'PostgreSQL': "lpad(to_hex(i), {0}, '0')",
    'MariaDB': "lpad(lower(hex(i)), {0}, '0')",
}

_NUMBERS = {
    'SQLite': '(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n'
    ' WHERE i < {0}) SELECT i FROM n)',
    'PostgreSQL': 'generate_series(1, {0}) AS n(i)',
    'MariaDB': '(SELECT seq AS i FROM seq_1_to_{0}) AS n',
}

_UUID = {
    'SQLite': "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' ||"
    " substr(hex(randomblob(2)), 2) || '-8' || substr(hex(randomblob(2)), 2)"
    " || '-' || hex(randomblob(6)))",
    'PostgreSQL': 'gen_random_uuid()::text',
    # UUID() is in the order of time; this one is as mixed as random ones.
    'MariaDB': "substr(md5(i), 1, 8) || '-' || substr(md5(i), 9, 4) || '-4' ||"
    " substr(md5(i), 14, 3) || '-8' || substr(md5(i), 18, 3) || '-' ||"
    ' substr(md5(i), 21, 12)',
}


def _statements(store: Store) -> Iterator[str]:
    """In SQL that all three understand; all of it is written here."""
    now = "datetime('now')" if store.engine == 'SQLite' else 'now()'
    uuid = _UUID[store.engine]

    def numbers(last: int) -> str:
        return _NUMBERS[store.engine].format(last)

    def hexadecimal(width: int) -> str:
        return _HEXADECIMAL[store.engine].format(width)

    for table, count in (('projects', PROJECTS), ('users', USERS)):
        yield (
            f'INSERT INTO {table} (id, external_id, created_at)'
            f' SELECT i, {hexadecimal(32)}, {now} FROM {numbers(count)}'
        )
    yield (
        'INSERT INTO resource_providers'
        ' (id, uuid, name, generation, root_provider_id, created_at)'
        f" SELECT i, '00000000-0000-4000-8000-' || {hexadecimal(12)},"
        f" 'provider-' || i, 1, i, {now} FROM {numbers(_FIRST + SPREAD)}"
    )
    yield (
        'INSERT INTO inventories (resource_provider_id, resource_class_id, total,'
        ' reserved, min_unit, max_unit, step_size, allocation_ratio, created_at)'
        f' SELECT {WRITABLE}, 0, 1000000, 0, 1, 1000000, 1, 1.0, {now}'
    )
    yield (
        'INSERT INTO consumers'
        ' (id, uuid, project_id, user_id, generation, created_at)'
        f' SELECT i, {uuid}, i % {PROJECTS} + 1, i % {USERS} + 1, 1, {now}'
        f' FROM {numbers(store.consumers)}'
    )
    allocate = (
        'INSERT INTO allocations (resource_provider_id, consumer_id,'
        ' resource_class_id, used, created_at)'
    )
    yield (
        f'{allocate} SELECT id % {SPREAD} + {_FIRST + 1}, uuid, 0, 1, {now}'
        ' FROM consumers ORDER BY id'
    )
    for number in find_lists(store):
        yield (
            f'{allocate} SELECT {number}, uuid, 0, 1, {now}'
            f' FROM consumers WHERE id <= {LISTS[number]} ORDER BY id'
        )
    if store.engine == 'PostgreSQL':
        for table in ('projects', 'users', 'resource_providers', 'consumers'):
            yield f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"
