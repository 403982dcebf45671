# SPDX-License-Identifier: Apache-2.0
"""What doctor sees of a Galera node and of a pooler."""

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from consumer_guard.analysis.findings import Severity
from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.doctor import cluster
from consumer_guard.doctor.database import open_database
from tests import poolers, servers
from tests.functional.owners.databases import start


def make_settings(url: str, **options: str) -> Settings:
    """The settings of a guard on that database."""
    conf = loading.parse_files({})
    return loading.load(conf, {'connection': url, **options}).settings


def make_placement(connection: str, parameters: str = '') -> cfg.ConfigOpts:
    """Placement's configuration with that database."""
    conf = loading.parse_placement()
    conf.set_override('connection', connection, 'placement_database')
    conf.set_override('connection_parameters', parameters, 'placement_database')
    return conf


@pytest.fixture(scope='module')
def node() -> Iterator[servers.Server]:
    """A cluster of one node."""
    with contextlib.ExitStack() as stack:
        yield start(stack, 'galera')


@pytest.fixture
def clustered(node: servers.Server) -> Iterator[sa.Engine]:
    with open_database(make_settings(node.url('mysql'))) as engine:
        yield engine


@pytest.mark.on_database('mysql')
class TestGalera:
    @pytest.mark.parametrize(
        ('option', 'timeout', 'expected'),
        [
            ('PT30S', '2', Severity.WARNING),
            ('PT5.5S', '2', Severity.WARNING),
            ('PT2S', '2', Severity.OK),
            ('PT1M', '60', Severity.OK),
        ],
    )
    def test_a_wait_much_longer_than_a_look_up_is_a_warning(
        self,
        node: servers.Server,
        clustered: sa.Engine,
        option: str,
        timeout: str,
        expected: Severity,
    ) -> None:
        provider = f'repl.causal_read_timeout={option}'
        node.execute(f"SET GLOBAL wsrep_provider_options = '{provider}'")
        settings = make_settings(node.url('mysql'), lookup_timeout=timeout)
        found = cluster.check_causal_wait(clustered, settings)
        assert found.severity is expected, found

    @pytest.mark.parametrize('owners_write', [False, True])
    def test_writes_by_owners_need_one_writing_node(
        self, node: servers.Server, clustered: sa.Engine, owners_write: bool
    ) -> None:
        settings = make_settings(node.url('mysql'))
        found = cluster.check_writing_nodes(
            clustered, settings, owners_write=owners_write
        )
        assert (found.severity is Severity.WARNING) is owners_write

    @pytest.mark.parametrize(
        ('query', 'parameters', 'everywhere', 'expected'),
        [
            ('', '', 0, Severity.WARNING),
            ('', '', 1, Severity.OK),
            ('', '', 2, Severity.WARNING),
            ('?init_command=SET+SESSION+wsrep_sync_wait=1', '', 0, Severity.OK),
            (
                '?charset=utf8&init_command=SET%20SESSION%20wsrep_sync_wait%3D7',
                '',
                0,
                Severity.OK,
            ),
            ('', 'init_command=SET SESSION wsrep_sync_wait = 1', 0, Severity.OK),
            ('?init_command=SET wsrep_sync_wait=0', '', 1, Severity.WARNING),
            ('?init_command=SET autocommit=0', '', 0, Severity.WARNING),
        ],
    )
    def test_placements_own_reads_should_wait(
        self,
        node: servers.Server,
        clustered: sa.Engine,
        query: str,
        parameters: str,
        everywhere: int,
        expected: Severity,
    ) -> None:
        node.execute(f'SET GLOBAL wsrep_sync_wait = {everywhere}')
        url = node.url('mysql')
        found = cluster.check_placement_reads(
            clustered,
            make_settings(url),
            placement=make_placement(url + query, parameters),
        )
        assert found.severity is expected, found

    def test_another_server_is_no_cluster(self) -> None:
        with contextlib.ExitStack() as stack:
            url = start(stack, 'mysql').url('mysql')
            settings = make_settings(url)
            engine = stack.enter_context(open_database(settings))
            for found in (
                cluster.check_causal_wait(engine, settings),
                cluster.check_writing_nodes(engine, settings, owners_write=True),
                cluster.check_placement_reads(
                    engine, settings, placement=make_placement(url)
                ),
            ):
                assert (found.severity, found.text) == (Severity.OK, 'no Galera')


@pytest.mark.on_database('postgresql')
def test_a_pooler_is_noted_with_what_it_costs() -> None:
    with contextlib.ExitStack() as stack:
        server = start(stack, 'postgresql')
        direct = server.url('postgres')
        seen = {'direct': direct}
        try:
            port = stack.enter_context(poolers.pgbouncer(server.port, 'transaction'))
        except servers.ServerMissing as missing:
            pytest.skip(str(missing))
        url = sa.make_url(direct).set(port=port)
        seen['pooled'] = url.render_as_string(hide_password=False)
        assert {name: _check_pooler(url) for name, url in seen.items()} == {
            'direct': Severity.OK,
            'pooled': Severity.NOTE,
        }


def _check_pooler(url: str) -> Severity:
    settings = make_settings(url)
    with open_database(settings) as engine:
        return cluster.check_pooler(engine, settings).severity
