# SPDX-License-Identifier: Apache-2.0
"""A server that is read-only names no owner: it may be behind its primary."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from consumer_guard.guard import errors
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.testing.sources import make_id
from tests import poolers, servers
from tests.functional.conftest import Records
from tests.functional.owners.databases import on, settings, start
from tests.rows import Tables


@pytest.fixture(params=[on('postgresql'), on('mysql')])
def demoted(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A server of the test's own, to be made a replica."""
    with contextlib.ExitStack() as stack:
        yield start(stack, request.param)


def demote(server: servers.Server) -> None:
    """Make the server what it is as a replica: PostgreSQL in recovery."""
    if server.dialect == 'mysql':
        server.execute('SET GLOBAL read_only = 1')
        return
    server.stop()
    signal = server.folder / 'data' / 'standby.signal'
    signal.touch()
    signal.chmod(0o644)
    server.start()


def promote(server: servers.Server) -> None:
    """Make it a primary again."""
    statement = {
        'mysql': 'SET GLOBAL read_only = 0',
        'postgresql': 'SELECT pg_promote()',
    }
    server.execute(statement[server.dialect])


def is_found(lookup: DatabaseOwners, id_: str) -> bool:
    """Whether the owner is found; False for a 503."""
    try:
        return lookup.find([id_])[id_].project_id == 'project-p'
    except errors.OwnersUnavailable:
        return False


def test_no_owner_is_looked_up_on_a_replica_and_one_error_says_so(
    demoted: servers.Server, records: Records
) -> None:
    url = demoted.url(demoted.create_database())
    servers.create_schema(url)
    id_ = make_id()
    Tables(url).consume(id_, 'project-p')
    lookup = DatabaseOwners(settings(url, timeout=10.0))
    for _ in range(2):
        demote(demoted)
        assert not any(is_found(lookup, id_) for _ in range(5))
        promote(demoted)
        assert is_found(lookup, id_)
        lookup.close()
    found = [line for line in records.lines if line.startswith('ERROR')]
    assert len(found) == 2
    assert all('a read-only replica' in line for line in found)
    lookup.close()


@pytest.mark.on_database('postgresql')
def test_a_server_that_becomes_a_standby_behind_a_pooler_is_left_at_once(
    server: Callable[[str], servers.Server], records: Records
) -> None:
    """The connection to the pooler stays while the server behind it changes."""
    with contextlib.ExitStack() as stack:
        running = start(stack, 'postgresql')
        database = running.create_database()
        servers.create_schema(running.url(database))
        id_ = make_id()
        Tables(running.url(database)).consume(id_, 'project-p')
        try:
            port = stack.enter_context(
                poolers.pgbouncer(
                    running.port, 'transaction', 'server_login_retry = 0.1'
                )
            )
        except servers.ServerMissing as missing:
            pytest.skip(str(missing))
        url = sa.make_url(running.url(database)).set(port=port)
        lookup = DatabaseOwners(
            settings(url.render_as_string(hide_password=False), timeout=10.0)
        )
        assert is_found(lookup, id_)
        connected = servers.get_pool(lookup.engine).checkedin()
        demote(running)
        assert connected == servers.get_pool(lookup.engine).checkedin() == 1
        assert not any(is_found(lookup, id_) for _ in range(5))
        assert records.text.count('ERROR') == 1
        promote(running)
        assert is_found(lookup, id_)
        lookup.close()
