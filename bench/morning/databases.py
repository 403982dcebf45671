# SPDX-License-Identifier: Apache-2.0
"""The databases that a morning can be spent on, each started for the run."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from tests import servers
from tests.galera.cluster import Cluster, cluster


class Database(Protocol):
    """What the run does with a database."""

    def create_database(self) -> str:
        """Make an empty database; its name."""

    def url(self, database: str, /) -> str:
        """SQLAlchemy URL of a database."""

    def stop(self) -> None:
        """Take it away, or the node that is written to."""

    def start(self) -> None:
        """Bring back what was taken away."""


@dataclass(frozen=True, slots=True)
class WritingNode:
    """A Galera cluster behind haproxy: one node is written to, two are backups."""

    cluster: Cluster

    def create_database(self) -> str:
        """On the node that is written to."""
        return self.cluster.nodes[0].create_database()

    def url(self, database: str, /) -> str:
        """By way of haproxy."""
        return self.cluster.url(database, self.cluster.one)

    def stop(self) -> None:
        """Kill the node; haproxy goes over to a backup."""
        self.cluster.nodes[0].kill()

    def start(self) -> None:
        """Let the node join the others; haproxy goes back to it."""
        self.cluster.nodes[0].start()
        self.cluster.wait_until_whole()


@contextlib.contextmanager
def galera() -> Iterator[Database]:
    """Start three nodes and haproxy.

    :raises tests.servers.ServerMissing: MariaDB, Galera or haproxy is not installed
    """
    with cluster() as running:
        yield WritingNode(running)


#: What starts each of them, by name.
DATABASES: Mapping[str, Callable[[], contextlib.AbstractContextManager[Database]]]
DATABASES = {
    'PostgreSQL': servers.postgresql,
    'MariaDB': servers.mariadb,
    'Galera': galera,
}
