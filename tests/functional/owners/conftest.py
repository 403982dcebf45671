# SPDX-License-Identifier: Apache-2.0
"""Fixtures over every database that is wanted.

``CONSUMER_GUARD_TEST_DATABASES`` names them, a comma list of sqlite, postgresql and
mysql; sqlite alone by default. Every server is thrown away.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from consumer_guard.owners.database import DatabaseOwners
from tests import servers
from tests.functional.owners.databases import (
    DATABASES,
    DatabaseSource,
    on,
    settings,
    start,
)
from tests.rows import Tables


@pytest.fixture(scope='session')
def server() -> Iterator[Callable[[str], servers.Server]]:
    """Servers by dialect, started when first wanted."""
    running: dict[str, servers.Server] = {}
    with contextlib.ExitStack() as stack:

        def get(dialect: str) -> servers.Server:
            if dialect not in running:
                running[dialect] = start(stack, dialect)
            return running[dialect]

        yield get


@pytest.fixture(
    scope='session',
    params=[on(dialect, name) for name, (dialect, *_) in DATABASES.items()],
)
def url(
    request: pytest.FixtureRequest,
    server: Callable[[str], servers.Server],
    tmp_path_factory: pytest.TempPathFactory,
    make_sqlite: Callable[..., str],
) -> str:
    """URL of a database with placement's schema."""
    dialect, driver, charset, collation = DATABASES[request.param]
    if dialect == 'sqlite':
        return make_sqlite(tmp_path_factory.mktemp('owners') / 'placement.db')
    running = server(dialect)
    made = running.url(running.create_database(charset, collation), driver)
    servers.create_schema(made)
    return made


@pytest.fixture(scope='session')
def database_source(url: str) -> Iterator[DatabaseSource]:
    source = DatabaseSource(url)
    yield source
    source.close()


@pytest.fixture
def tables(url: str) -> Tables:
    return Tables(url)


@pytest.fixture
def make(url: str) -> Iterator[Callable[..., DatabaseOwners]]:
    made = []

    def build(**others: Any) -> DatabaseOwners:
        made.append(DatabaseOwners(settings(url, **others)))
        return made[-1]

    yield build
    for lookup in made:
        lookup.close()


@pytest.fixture
def lookup(make: Callable[..., DatabaseOwners]) -> DatabaseOwners:
    return make(timeout=10.0)
