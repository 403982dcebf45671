# SPDX-License-Identifier: Apache-2.0
"""One cluster for all the tests; each test leaves it whole."""

import os
from collections.abc import Callable, Iterator

import pytest

from consumer_guard.owners.database import DatabaseOwners
from tests import servers
from tests.functional.owners.databases import settings
from tests.galera.cluster import Cluster, cluster


@pytest.fixture(scope='session')
def running() -> Iterator[Cluster]:
    if not os.environ.get('CONSUMER_GUARD_TEST_GALERA'):
        pytest.skip(
            'tox -e galera starts a cluster; CONSUMER_GUARD_TEST_GALERA is unset'
        )
    try:
        with cluster() as made:
            yield made
    except servers.ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def whole(running: Cluster) -> Iterator[Cluster]:
    """The cluster with every node in it, before and after the test."""
    yield running
    running.wait_until_whole()


@pytest.fixture(scope='session')
def database(running: Cluster) -> str:
    """Name of a database with placement's schema."""
    name = running.nodes[0].create_database()
    servers.create_schema(running.nodes[0].url(name))
    return name


@pytest.fixture
def look_up() -> Iterator[Callable[..., DatabaseOwners]]:
    """Make a driver by its URL; all are closed in the end."""
    made = []

    def make(url: str, timeout: float = 2.0, pool_size: int = 5) -> DatabaseOwners:
        made.append(DatabaseOwners(settings(url, timeout, pool_size)))
        return made[-1]

    yield make
    for lookup in made:
        lookup.close()
