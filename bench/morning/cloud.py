# SPDX-License-Identifier: Apache-2.0
"""Who is there: everything has a number, from which its id follows.

So clients know what a right answer is without a list of ids. Consumer ``i`` is on
provider ``i % providers`` with VCPU, MEMORY_MB and DISK_GB, as an instance is.
"""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

#: A prime: the consumers of one provider are of different projects.
_SPREAD = 7919
#: os_resource_classes: VCPU, MEMORY_MB, DISK_GB.
_CLASSES = (0, 1, 2)
_UUID = ",'-',".join(
    f'substr(h, {start}, {length})'
    for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
)
_INDEXES = {
    'consumers': {
        'consumers_project_id_uuid_idx': 'project_id, uuid',
        'consumers_project_id_user_id_uuid_idx': 'project_id, user_id, uuid',
    },
    'allocations': {
        'allocations_resource_provider_class_used_idx': (
            'resource_provider_id, resource_class_id, used'
        ),
        'allocations_resource_class_id_idx': 'resource_class_id',
        'allocations_consumer_id_idx': 'consumer_id',
    },
}


@dataclass(frozen=True, slots=True)
class Cloud:
    """How large it is; numbers count from 0."""

    providers: int = 8000
    consumers: int = 100_000
    projects: int = 1000
    users: int = 5000

    def provider(self, number: int) -> str:
        """The uuid of a compute's resource provider."""
        return _make_uuid(f'provider{number}')

    def consumer(self, number: int) -> str:
        """The uuid of a consumer that was there before the load."""
        return _make_uuid(f'consumer{number}')

    def project(self, number: int) -> str:
        """Keystone's id of a project."""
        return _hash(f'project{number}')

    def user(self, number: int) -> str:
        """Keystone's id of a user."""
        return _hash(f'user{number}')

    def owner(self, consumer: int) -> tuple[str, str]:
        """Project and user of a consumer."""
        project = (consumer + consumer % _SPREAD) % self.projects
        return self.project(project), self.user(consumer % self.users)

    def residents(self, provider: int) -> range:
        """The numbers of the consumers on a provider."""
        return range(provider, self.consumers, self.providers)


def _hash(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _make_uuid(text: str) -> str:
    return str(uuid.UUID(_hash(text)))


def fill(url: str, cloud: Cloud) -> None:
    """Fill the tables of an empty schema, on PostgreSQL or MariaDB.

    :raises ValueError: another database, or one that is not empty
    :raises sqlalchemy.exc.SQLAlchemyError: it cannot be filled
    """
    engine = sa.create_engine(
        url, isolation_level='AUTOCOMMIT', poolclass=sa.pool.NullPool
    )
    dialect = engine.dialect.name
    if dialect not in ('postgresql', 'mysql'):
        raise ValueError(f'{dialect} is neither PostgreSQL nor MariaDB')
    with engine.connect() as connection:
        if connection.exec_driver_sql('SELECT 1 FROM consumers LIMIT 1').first():
            raise ValueError('there are consumers in it; an empty schema is needed')
        for statement in _statements(cloud, dialect):
            connection.exec_driver_sql(statement)


def _statements(cloud: Cloud, dialect: str) -> Iterator[str]:
    postgresql = dialect == 'postgresql'
    for table, indexes in _INDEXES.items():
        for name in indexes:
            yield f'DROP INDEX {name}' + ('' if postgresql else f' ON {table}')
    yield from _inserts(cloud, dialect)
    for table, indexes in _INDEXES.items():
        for name, columns in indexes.items():
            yield f'CREATE INDEX {name} ON {table} ({columns})'
    for table in ('projects', 'users', 'resource_providers', 'consumers'):
        if postgresql:
            yield f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"
    yield (
        'VACUUM ANALYZE'
        if postgresql
        else 'ANALYZE TABLE consumers, allocations, resource_providers, inventories'
    )


def _inserts(cloud: Cloud, dialect: str) -> Iterator[str]:
    """In SQL that both understand; all of it is written here."""

    def numbers(count: int) -> str:
        if dialect == 'postgresql':
            return f'generate_series(0, {count - 1}) AS n(i)'
        return f'(SELECT seq AS i FROM seq_0_to_{count - 1}) n'

    def named(text: str, count: int) -> str:
        return f"(SELECT i, md5(concat('{text}', i)) AS h FROM {numbers(count)}) x"

    for table, name, count in (
        ('projects', 'project', cloud.projects),
        ('users', 'user', cloud.users),
    ):
        yield (
            f'INSERT INTO {table} (id, external_id, created_at)'
            f' SELECT i + 1, h, now() FROM {named(name, count)}'
        )
    yield (
        'INSERT INTO resource_providers'
        ' (id, uuid, name, generation, root_provider_id, created_at)'
        f" SELECT i + 1, concat({_UUID}), concat('compute-', i), 1, i + 1, now()"
        f' FROM {named("provider", cloud.providers)}'
    )
    for number in _CLASSES:
        yield (
            'INSERT INTO inventories (resource_provider_id, resource_class_id, total,'
            ' reserved, min_unit, max_unit, step_size, allocation_ratio, created_at)'
            f' SELECT i + 1, {number}, 1000000, 0, 1, 1000000, 1, 1.0, now()'
            f' FROM {numbers(cloud.providers)}'
        )
    yield (
        'INSERT INTO consumers'
        ' (id, uuid, project_id, user_id, generation, created_at)'
        f' SELECT i + 1, concat({_UUID}),'
        f' mod(i + mod(i, {_SPREAD}), {cloud.projects}) + 1,'
        f' mod(i, {cloud.users}) + 1, 1, now()'
        f' FROM {named("consumer", cloud.consumers)}'
    )
    for number in _CLASSES:
        yield (
            'INSERT INTO allocations (resource_provider_id, consumer_id,'
            ' resource_class_id, used, created_at)'
            f' SELECT mod(i, {cloud.providers}) + 1, concat({_UUID}), {number}, 1,'
            f' now() FROM {named("consumer", cloud.consumers)}'
        )
