# SPDX-License-Identifier: Apache-2.0
"""Placement's tables, read and written beside any code under test."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

#: Everything that a request about consumers can change.
TABLES = (
    'consumers',
    'allocations',
    'projects',
    'users',
    'consumer_types',
    'inventories',
    'resource_providers',
)

#: Project and user of ownerless consumers: placement's default for
#: ``incomplete_consumer_project_id`` and ``incomplete_consumer_user_id``.
NOBODY = '00000000-0000-0000-0000-000000000000'

#: The highest and the lowest generation that the column holds.
LIMIT = 2**31 - 1
LOWEST = -(2**31)

#: A primary key that no row has.
_MISSING = 2_000_000_000

_CONSUMER = (
    'SELECT c.uuid, c.id, c.generation, p.external_id, u.external_id,'
    ' (SELECT COALESCE(SUM(a.used), 0) FROM allocations a'
    '  WHERE a.consumer_id = c.uuid)'
    ' FROM consumers c LEFT JOIN projects p ON p.id = c.project_id'
    ' LEFT JOIN users u ON u.id = c.user_id'
)

#: Everything that a client can change, without primary keys and times.
_NAMED = {
    'provider': 'SELECT p.uuid, p.name, p.generation, up.uuid, root.uuid'
    ' FROM resource_providers p'
    ' JOIN resource_providers root ON root.id = p.root_provider_id'
    ' LEFT JOIN resource_providers up ON up.id = p.parent_provider_id',
    'inventory': 'SELECT p.uuid, c.name, i.total, i.reserved, i.min_unit,'
    ' i.max_unit, i.step_size, i.allocation_ratio FROM inventories i'
    ' JOIN resource_providers p ON p.id = i.resource_provider_id'
    ' JOIN resource_classes c ON c.id = i.resource_class_id',
    'allocation': 'SELECT a.consumer_id, p.uuid, c.name, a.used FROM allocations a'
    ' JOIN resource_providers p ON p.id = a.resource_provider_id'
    ' JOIN resource_classes c ON c.id = a.resource_class_id',
    'consumer': 'SELECT c.uuid, p.external_id, u.external_id, t.name, c.generation'
    ' FROM consumers c LEFT JOIN projects p ON p.id = c.project_id'
    ' LEFT JOIN users u ON u.id = c.user_id'
    ' LEFT JOIN consumer_types t ON t.id = c.consumer_type_id',
    'trait': 'SELECT p.uuid, t.name FROM resource_provider_traits j'
    ' JOIN resource_providers p ON p.id = j.resource_provider_id'
    ' JOIN traits t ON t.id = j.trait_id',
    'aggregate': 'SELECT p.uuid, a.uuid FROM resource_provider_aggregates j'
    ' JOIN resource_providers p ON p.id = j.resource_provider_id'
    ' JOIN placement_aggregates a ON a.id = j.aggregate_id',
    'resource class': 'SELECT name FROM resource_classes',
}

#: A row whose references are resolved: its kind, then its values.
NamedRow = tuple[Any, ...]


class Row(NamedTuple):
    """A consumer as it is stored.

    :ivar row_id: its primary key
    :ivar project_id: None where the row that it refers to is missing
    :ivar user_id: as for the project
    :ivar used: the sum of its allocations
    """

    row_id: int
    generation: int
    project_id: str | None
    user_id: str | None
    used: int


def _make_row(found: tuple[Any, ...]) -> Row:
    _uuid, row_id, generation, project_id, user_id, used = found
    return Row(row_id, generation, project_id, user_id, int(used))


def make_engine(url: str, pool: type[sa.Pool] = sa.NullPool) -> sa.Engine:
    """Connect anew for each transaction; SQLite does not wait for the disk."""
    engine = sa.create_engine(url, poolclass=pool)
    if engine.dialect.name == 'sqlite':
        sa.event.listen(
            engine, 'connect', lambda raw, _: raw.execute('PRAGMA synchronous = OFF')
        )
    return engine


class Tables:
    """Placement's tables in one database.

    :ivar engine: connects anew for each statement, unless with another ``pool``
    """

    def __init__(self, url: str, pool: type[sa.Pool] = sa.NullPool) -> None:
        self.engine = make_engine(url, pool)
        self._numbers = itertools.count(1)

    def run(self, statement: str, **parameters: object) -> int:
        """Run one statement and commit; returns how many rows it changed."""
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(statement), parameters)
            return result.rowcount

    def select(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Run one query; returns its rows as plain values."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.text(statement), parameters)
            return [tuple(row) for row in rows]

    # Consumers that exist.

    def read(self, consumer: str) -> Row | None:
        """Read one consumer; None without a row of its own."""
        found = self.select(f'{_CONSUMER} WHERE c.uuid = :uuid', uuid=consumer)
        return _make_row(found[0]) if found else None

    def read_consumers(self) -> dict[str, Row]:
        """Read all consumers that have a row of their own, by uuid."""
        return {found[0]: _make_row(found) for found in self.select(_CONSUMER)}

    def read_used(self, consumer: str) -> int:
        """Sum the allocations of a consumer, which may have no row."""
        statement = 'SELECT SUM(used) FROM allocations WHERE consumer_id = :uuid'
        [[used]] = self.select(statement, uuid=consumer)
        return int(used or 0)

    def read_generation(self, consumer: str) -> int | None:
        """Read the generation of one consumer; None without a row of its own."""
        row = self.read(consumer)
        return None if row is None else row.generation

    def read_generations(self, table: str = 'consumers') -> dict[str, int]:
        """Read all generations by uuid, of ``consumers`` or ``resource_providers``."""
        return dict(self.select(f'SELECT uuid, generation FROM {table}'))

    def set_generation(self, consumer: str, generation: int) -> None:
        """Set the generation of one consumer."""
        self._change(consumer, 'generation', generation)

    def set_project(self, consumer: str, project: str | None) -> None:
        """Give a consumer to a project; None refers to a row that is missing."""
        self._change(consumer, 'project_id', self._refer('projects', project))

    def _change(self, consumer: str, column: str, value: int) -> None:
        statement = f'UPDATE consumers SET {column} = :value WHERE uuid = :uuid'
        assert self.run(statement, value=value, uuid=consumer) == 1

    def rename_project(self, old: str, new: str) -> None:
        """Change the id of a project, and so of all that it owns."""
        statement = 'UPDATE projects SET external_id = :new WHERE external_id = :old'
        assert self.run(statement, old=old, new=new) == 1

    def remove_allocations(self, consumer: str) -> None:
        """Leave a consumer without allocations, its row in place."""
        statement = 'DELETE FROM allocations WHERE consumer_id = :uuid'
        assert self.run(statement, uuid=consumer)

    def remove_row(self, consumer: str) -> None:
        """Leave a consumer's allocations without a row in ``consumers``."""
        statement = 'DELETE FROM consumers WHERE uuid = :uuid'
        assert self.run(statement, uuid=consumer) == 1

    # Consumers that are made here.

    def name(self, table: str, column: str, value: object) -> int:
        """Primary key of the row with that value, which is added when missing."""
        find = f'SELECT id FROM {table} WHERE {column} = :value'
        add = f'INSERT INTO {table} ({column}) VALUES (:value)'
        with self.engine.begin() as connection:
            found = connection.execute(sa.text(find), {'value': value}).scalar()
            if found is None:
                connection.execute(sa.text(add), {'value': value})
                found = connection.execute(sa.text(find), {'value': value}).scalar()
        assert found is not None
        return int(found)

    def _refer(self, table: str, external_id: object) -> int:
        if external_id is None:
            return _MISSING
        return self.name(table, 'external_id', external_id)

    def allocate(self, uuid: str, count: int = 1) -> None:
        """Add allocations of a consumer; they need no other row."""
        for _ in range(count):
            self.run(
                'INSERT INTO allocations (resource_provider_id, consumer_id,'
                ' resource_class_id, used) VALUES (1, :uuid, 1, 1)',
                uuid=uuid,
            )

    def consume(
        self,
        uuid: str,
        project: object = 'project-a',
        user: object = 'user-a',
        type_name: str | None = None,
        generation: object = 1,
        allocations: int = 1,
    ) -> None:
        """Add a consumer; a project or user of None has no row of its own."""
        self.run(
            'INSERT INTO consumers (uuid, project_id, user_id, generation,'
            ' consumer_type_id) VALUES (:uuid, :project, :user, :generation, :type)',
            uuid=uuid,
            generation=generation,
            project=self._refer('projects', project),
            user=self._refer('users', user),
            type=type_name and self.name('consumer_types', 'name', type_name),
        )
        self.allocate(uuid, allocations)

    def fill(self, uuids: Sequence[str]) -> None:
        """Add many recorded consumers of one project, with one allocation each."""
        project = self.name('projects', 'external_id', 'project-a')
        user = self.name('users', 'external_id', 'user-a')
        with self.engine.begin() as connection:
            connection.execute(
                sa.text(
                    'INSERT INTO consumers (uuid, project_id, user_id, generation)'
                    f' VALUES (:uuid, {project}, {user}, 1)'
                ),
                [{'uuid': uuid} for uuid in uuids],
            )
            connection.execute(
                sa.text(
                    'INSERT INTO allocations (resource_provider_id, consumer_id,'
                    ' resource_class_id, used) VALUES (1, :uuid, 1, 1)'
                ),
                [{'uuid': uuid} for uuid in uuids],
            )

    def copy(self, consumer: str, uuid: str, provider: str) -> None:
        """Add a consumer at generation 1 with the owner and times of another one.

        :param uuid: of the new one, any text
        :param provider: uuid of the provider on which it holds one unit
        """
        self.run(
            'INSERT INTO consumers (created_at, uuid, project_id, user_id,'
            ' generation) SELECT created_at, :uuid, project_id, user_id, 1'
            ' FROM consumers WHERE uuid = :consumer',
            uuid=uuid,
            consumer=consumer,
        )
        self.run(
            'INSERT INTO allocations (created_at, resource_provider_id,'
            ' consumer_id, resource_class_id, used) SELECT created_at,'
            ' (SELECT id FROM resource_providers WHERE uuid = :provider), :uuid,'
            ' resource_class_id, 1 FROM allocations WHERE consumer_id = :consumer',
            uuid=uuid,
            provider=provider,
            consumer=consumer,
        )

    def provide(self, uuid: str, generation: int) -> None:
        """Add a resource provider without inventories, below the first one."""
        ((root,),) = self.select('SELECT MIN(id) FROM resource_providers')
        self.run(
            'INSERT INTO resource_providers (uuid, name, generation,'
            ' root_provider_id) VALUES (:uuid, :uuid, :generation, :root)',
            uuid=uuid,
            generation=generation,
            root=root,
        )

    # All of them.

    def clear(self, *tables: str) -> None:
        """Remove all rows."""
        for table in tables:
            self.run(f'DELETE FROM {table}')

    def read_all(self) -> dict[str, list[tuple[Any, ...]]]:
        """Read all rows of :data:`TABLES`, sorted, to compare before and after."""
        with self.engine.connect() as connection:
            return {
                table: sorted(
                    map(tuple, connection.execute(sa.text(f'SELECT * FROM {table}'))),
                    key=repr,
                )
                for table in TABLES
            }

    def read_named(self) -> frozenset[NamedRow]:
        """Read the whole content with names in the place of primary keys."""
        return frozenset(
            (kind, *row)
            for kind, statement in _NAMED.items()
            for row in self.select(statement)
        )

    def save(self) -> Callable[[], None]:
        """Read all rows; returns a function that puts them back."""
        metadata = sa.MetaData()
        metadata.reflect(self.engine)
        with self.engine.connect() as connection:
            saved = [
                (table, [dict(row) for row in connection.execute(query).mappings()])
                for table in metadata.sorted_tables
                for query in [sa.select(table)]
            ]

        def put_back() -> None:
            with self.engine.begin() as connection:
                if self.engine.dialect.name == 'mysql':
                    # Root providers refer to themselves; VCPU has the id 0.
                    connection.exec_driver_sql(
                        'SET SESSION foreign_key_checks = 0,'
                        " sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')"
                    )
                for table, _ in reversed(saved):
                    connection.execute(sa.delete(table))
                for table, rows in saved:
                    if rows:
                        connection.execute(sa.insert(table), rows)

        return put_back
