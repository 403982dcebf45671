# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard doctor`` over real databases, files and HTTP servers."""

import contextlib
import json
import logging
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from consumer_guard.analysis.findings import Assessment, Severity
from consumer_guard.cmd import main as guard_main
from consumer_guard.cmd import status as guard_status
from consumer_guard.config.settings import Settings
from consumer_guard.doctor import database, examination
from tests import servers
from tests.functional.host import (
    DATABASE,
    Host,
    RunDoctor,
    needs,
)
from tests.functional.owners.databases import start
from tests.rows import LIMIT, NOBODY

pytestmark = pytest.mark.usefixtures('no_root_handlers')


@pytest.fixture(autouse=True)
def _root_handlers() -> Iterator[None]:
    """cliff gives the root logger a handler for every run."""
    root = logging.getLogger()
    before = list(root.handlers)
    # A deployment of this process leaves some that print to other streams.
    root.handlers[:] = []
    yield
    root.handlers[:] = before


class TestCommand:
    def test_a_sound_deployment_is_well_with_or_without_keystone(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.add()
        report = examine()
        assert (report.status, report.errors) == (0, '')
        assert {row['severity'] for row in report.rows} <= {'ok', 'note'}
        assert report.severity('passage role') == 'note'
        assert 'passage role' not in {
            row['check'] for row in examine('--no-keystone').rows
        }

    @pytest.mark.parametrize('form', ['table', 'csv', 'yaml'])
    def test_every_output_form_shows_the_findings(
        self, host: Host, form: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert guard_main.main(['doctor', '-f', form]) == 0
        assert 'behind the guard' in capsys.readouterr().out

    def test_problems_alone_worst_first(self, host: Host, examine: RunDoctor) -> None:
        host.configure('enforcement = shadow', 'auth_strategy = noauth2')
        report = examine('--problems')
        assert report.status == 2
        severities = [row['severity'] for row in report.rows]
        assert severities == ['failure', 'warning']
        assert all(row['fix'] for row in report.rows)

    def test_warnings_alone_exit_with_status_one(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.configure('enforcement = shadow')
        assert examine().status == 1

    def test_options_of_the_paste_section_count(
        self, host: Host, examine: RunDoctor
    ) -> None:
        with host.paste.open('a') as file:
            file.write('auth_strategy = noauth2\n')
        report = examine()
        assert report.severity('auth_strategy') == 'failure'
        assert report.of('auth_strategy')['where'] == 'the paste section of placement'

    def test_noauth2_of_placement_itself(self, host: Host, examine: RunDoctor) -> None:
        host.configure_placement('[api]', 'auth_strategy = noauth2')
        assert examine().severity('auth_strategy') == 'failure'

    def test_without_any_paste_file_the_pipeline_is_a_warning(
        self, host: Host, examine: RunDoctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if os.path.exists('/etc/consumer-guard/api-paste.ini'):
            pytest.skip('there is one on this machine')
        monkeypatch.delenv('CONSUMER_GUARD_PASTE_CONFIG')
        report = examine()
        assert report.severity('pipeline') == 'warning'

    def test_allowed_origins_without_the_cors_filter_are_a_warning(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.configure_placement('[cors]', 'allowed_origin = https://x')
        assert examine().severity('cors') == 'warning'

    @pytest.mark.parametrize(
        ('servers_', 'strategy', 'severity'),
        [
            ('10.0.0.1:11211', None, 'warning'),
            ('127.0.0.1:11211', None, 'ok'),
            ('10.0.0.1:11211', 'ENCRYPT', 'ok'),
        ],
    )
    def test_a_remote_token_cache_without_encryption_is_a_warning(
        self,
        host: Host,
        examine: RunDoctor,
        servers_: str,
        strategy: str | None,
        severity: str,
    ) -> None:
        lines = ['[keystone_authtoken]', f'memcached_servers = {servers_}']
        if strategy:
            lines.append(f'memcache_security_strategy = {strategy}')
        host.configure_placement(*lines)
        assert examine().severity('token cache') == severity

    def test_a_file_that_everybody_can_write(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.paste.chmod(0o666)
        report = examine()
        assert report.severity('file modes') == 'failure'
        assert report.of('file modes')['fix'] == f'chmod go-w {host.paste}'


class TestPolicyFiles:
    @pytest.mark.parametrize(
        ('text', 'severity', 'said'),
        [
            ('{}', 'ok', 'usable'),
            ('- not a mapping', 'failure', 'policy.yaml'),
            ('"consumer_guard:nosuch": "@"', 'failure', 'consumer_guard:nosuch'),
            ('"consumer_guard:usages": "@"', 'warning', 'allows every caller'),
            ('"consumer_gaurd:usages": "@"', 'warning', 'has no effect'),
        ],
    )
    def test_a_broken_policy_file_fails_and_a_careless_one_is_warned_of(
        self, host: Host, examine: RunDoctor, text: str, severity: str, said: str
    ) -> None:
        (host.etc / 'policy.yaml').write_text(text)
        report = examine()
        assert report.severity('policy files') == severity
        assert said in report.of('policy files')['finding']
        assert report.errors == ''

    def test_an_explicit_file_that_is_missing(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.configure('[oslo_policy]', 'policy_file = /nowhere.yaml')
        report = examine()
        assert report.severity('policy files') == 'failure'
        assert '/nowhere.yaml' in report.of('policy files')['finding']


class TestRows:
    @pytest.mark.parametrize(
        ('generation', 'severity'),
        [(LIMIT - 100_000_001, 'ok'), (LIMIT - 1000, 'failure'), (LIMIT, 'failure')],
    )
    def test_a_generation_near_the_limit_is_a_failure(
        self, host: Host, examine: RunDoctor, generation: int, severity: str
    ) -> None:
        host.add(generation=generation)
        assert examine().severity('generations') == severity

    def test_consumers_that_belong_to_nobody_are_counted_in_a_note(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.add(project=NOBODY)
        lost = host.add()
        host.tables.run(
            'UPDATE consumers SET project_id = 999999 WHERE uuid = :uuid', uuid=lost
        )
        host.add()
        report = examine()
        assert report.status == 0
        assert report.severity('ownerless consumers') == 'note'
        assert report.of('ownerless consumers')['finding'].startswith('2 ')

    def test_allocations_without_a_consumer(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.tables.allocate(str(uuid.uuid4()), 3)
        host.tables.allocate(host.add())
        report = examine()
        assert report.severity('unrecorded consumers') == 'warning'
        assert report.of('unrecorded consumers')['finding'].startswith('1 consumers')

    @pytest.mark.parametrize(
        'spell',
        [
            pytest.param(
                str.upper,
                marks=pytest.mark.skipif(
                    DATABASE == 'mysql', reason='one key for both in its collation'
                ),
            ),
            lambda id_: id_.replace('-', ''),
            lambda id_: '{' + id_.replace('-', '') + '}',
        ],
    )
    def test_two_spellings_of_one_uuid_are_a_warning_that_names_it(
        self, host: Host, examine: RunDoctor, spell: Any
    ) -> None:
        id_ = host.add(str(uuid.uuid4()).replace('0', 'a'))
        host.add(spell(id_))
        report = examine()
        assert report.severity('twin consumers') == 'warning'
        assert id_ in report.of('twin consumers')['finding']

    def test_twins_that_are_both_odd(self, host: Host, examine: RunDoctor) -> None:
        id_ = 'abcdefab-0000-4000-8000-00000000000a'
        host.add(id_.replace('-', ''))
        host.add(id_.replace('-', '', 1))
        assert examine().severity('twin consumers') == 'warning'

    def test_a_twin_that_only_has_allocations(
        self, host: Host, examine: RunDoctor
    ) -> None:
        id_ = host.add('abcdefab-0000-4000-8000-00000000000a')
        host.tables.allocate(id_.upper())
        assert examine().severity('twin consumers') == 'warning'

    def test_odd_ids_without_a_twin(self, host: Host, examine: RunDoctor) -> None:
        host.add('ABCDEFAB-0000-4000-8000-00000000000A')
        host.add('not a uuid')
        host.add()
        report = examine()
        assert report.severity('twin consumers') == 'note'
        assert report.of('twin consumers')['finding'].startswith('2 consumers')


class TestDatabase:
    @pytest.mark.parametrize(
        'connection',
        [
            'postgresql+psycopg2://u:sesame@127.0.0.1:9/placement',
            'mysql+pymysql://u:sesame@127.0.0.1:9/placement',
            'sqlite:////nowhere/placement.db',
        ],
    )
    def test_a_database_that_is_away_is_a_failure_that_tells_no_password(
        self, host: Host, examine: RunDoctor, connection: str
    ) -> None:
        host.configure(f'connection = {connection}')
        report = examine()
        assert report.status == 2
        assert report.severity('database') == 'failure'
        assert report.of('SELECT')['finding'].startswith('skipped')
        assert 'sesame' not in json.dumps(report.rows) + report.errors
        # Everything else is still looked at.
        assert report.severity('guard') == 'ok'

    @pytest.mark.parametrize(
        ('patience', 'severity'), [(0.0, Severity.NOTE), (60.0, Severity.WARNING)]
    )
    def test_a_time_out_is_no_warning(
        self, host: Host, patience: float, severity: Severity
    ) -> None:
        def check_nothing(engine: sa.Engine, _settings: Settings) -> Assessment:
            with engine.connect() as connection:
                connection.exec_driver_sql('SELECT 1 FROM nosuch')
            raise AssertionError

        settings = examination.read_deployment(None, None).settings
        engine = host.tables.engine
        found = database.run_checks(
            engine, settings, {'shown': check_nothing}, patience
        )
        assert [(one.subject, one.severity) for one in found[1:]] == [
            ('shown', severity)
        ]

    def test_a_database_without_tables_is_a_failure_of_select(
        self, host: Host, examine: RunDoctor, tmp_path: pathlib.Path
    ) -> None:
        (tmp_path / 'empty.db').touch()
        host.configure(f'connection = sqlite:///{tmp_path}/empty.db')
        report = examine()
        assert report.severity('SELECT') == 'failure'
        assert 'consumers: no such table: consumers' in report.of('SELECT')['finding']
        assert report.severity('generations') == 'warning'

    @needs['sqlite']
    def test_roll_without_the_right(self, host: Host, examine: RunDoctor) -> None:
        path = host.database.url.removeprefix('sqlite:///')
        read_only = f'connection = sqlite:///file:{path}?mode=ro&uri=true'
        host.configure(read_only)
        assert examine().severity('UPDATE(generation)') == 'ok'
        host.configure(read_only, 'generation_strategy = roll')
        assert examine().severity('UPDATE(generation)') == 'failure'

    @pytest.mark.skipif(DATABASE == 'sqlite', reason='sqlite has no accounts')
    @pytest.mark.parametrize(
        ('grants', 'rights', 'excess'),
        [
            (('SELECT',), 'failure', 'ok'),
            (('SELECT', 'UPDATE (generation)'), 'ok', 'ok'),
            (('SELECT', 'UPDATE'), 'ok', 'warning'),
            (('SELECT', 'UPDATE (generation)', 'DELETE'), 'ok', 'warning'),
        ],
    )
    def test_an_account_of_its_own(
        self,
        host: Host,
        examine: RunDoctor,
        grants: tuple[str, ...],
        rights: str,
        excess: str,
    ) -> None:
        name = f'u{uuid.uuid4().hex[:12]}'
        with self._account(host, name, grants) as url:
            host.configure(f'connection = {url}', 'generation_strategy = roll')
            report = examine()
        assert report.severity('SELECT') == 'ok'
        assert report.severity('UPDATE(generation)') == rights
        assert report.severity('more rights') == excess, report.of('more rights')

    @pytest.mark.skipif(DATABASE == 'sqlite', reason='sqlite has no accounts')
    def test_a_missing_right_to_select_is_a_failure_that_names_the_table(
        self, host: Host, examine: RunDoctor
    ) -> None:
        with self._account(host, f'u{uuid.uuid4().hex[:12]}', ()) as url:
            host.configure(f'connection = {url}')
            report = examine()
        assert report.status == 2
        assert 'consumers' in report.of('SELECT')['finding']

    @contextlib.contextmanager
    def _account(self, host: Host, name: str, grants: tuple[str, ...]) -> Iterator[str]:
        """An account that reads all the tables and has the grants on consumers."""
        url = sa.make_url(host.database.url)
        mysql = url.get_backend_name() == 'mysql'
        spelled = f"{name}@'%'" if mysql else name
        made = f"CREATE USER {spelled} {'IDENTIFIED BY' if mysql else 'PASSWORD'} 'x'"
        host.tables.run(made)
        others = ('projects', 'users', 'consumer_types', 'allocations')
        for table in (*others, 'resource_providers') if grants else ('traits',):
            host.tables.run(f'GRANT SELECT ON {table} TO {spelled}')
        for grant in grants:
            host.tables.run(f'GRANT {grant} ON consumers TO {spelled}')
        try:
            made_url = url.set(username=name, password='x')
            yield made_url.render_as_string(hide_password=False)
        finally:
            if not mysql:
                host.tables.run(f'DROP OWNED BY {spelled}')
            host.tables.run(f'DROP USER {spelled}')

    @pytest.mark.parametrize(
        ('grants', 'severity'),
        [(('SELECT',), 'failure'), (('SELECT', 'UPDATE (generation)'), 'ok')],
    )
    @pytest.mark.skipif(DATABASE == 'sqlite', reason='sqlite has no accounts')
    def test_rules_that_open_writes_to_owners_need_the_right_to_update(
        self, host: Host, examine: Any, grants: tuple[str, ...], severity: str
    ) -> None:
        policy = host.conf.with_name('policy.yaml')
        rule = '"consumer_guard:allocations:update": "rule:consumer_guard:owner_member"'
        policy.write_text(rule)
        with self._account(host, f'u{uuid.uuid4().hex[:12]}', grants) as url:
            host.configure(
                f'connection = {url}', '[oslo_policy]', f'policy_file = {policy}'
            )
            report = examine()
        assert report.severity('UPDATE(generation)') == severity

    def test_more_rights_of_placements_own_account_are_noted_except_on_sqlite(
        self, host: Host, examine: RunDoctor
    ) -> None:
        wanted = 'ok' if DATABASE == 'sqlite' else 'note'
        assert examine().severity('more rights') == wanted

    @needs['mysql']
    def test_a_read_only_replica_is_a_failure_of_the_primary(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.tables.run('SET GLOBAL read_only = 1')
        try:
            report = examine()
        finally:
            host.tables.run('SET GLOBAL read_only = 0')
        assert report.severity('primary') == 'failure'


@needs['mysql']
def test_reads_of_a_galera_cluster_wait_for_the_newest_rows(
    host: Host, examine: RunDoctor
) -> None:
    assert examine().of('wsrep_sync_wait')['finding'] == 'no Galera'
    with contextlib.ExitStack() as stack:
        server = start(stack, 'galera')
        url = server.url(server.create_database())
        servers.create_schema(url)
        host.configure(f'connection = {url}')
        report = examine()
    assert report.severity('wsrep_sync_wait') == 'ok'
    assert 'wait for the newest' in report.of('wsrep_sync_wait')['finding']


class TestBadInput:
    """One clear line and exit status 2."""

    def test_a_missing_paste_file_is_one_line_that_names_the_option(
        self, host: Host, examine: RunDoctor
    ) -> None:
        assert '--paste-config' in examine.one_line('--paste-config', '/nowhere.ini')

    def test_the_variable_names_nothing(
        self, host: Host, examine: RunDoctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv('CONSUMER_GUARD_PASTE_CONFIG', '/nowhere.ini')
        line = examine.one_line()
        assert '/nowhere.ini' in line
        assert 'CONSUMER_GUARD_PASTE_CONFIG' in line

    @pytest.mark.parametrize(
        ('old', 'new', 'named'),
        [
            ('authtoken consumer_guard', 'nosuch consumer_guard', 'nosuch'),
            ('egg:consumer-guard#authtoken', 'egg:consumer-guard#x', 'egg'),
            ('[pipeline:main]', '[pipeline:main', 'api-paste.ini'),
            ('oslo_config_file', 'oslo_konfig', 'oslo_konfig'),
        ],
    )
    def test_an_unusable_paste_file_is_one_line_that_names_the_cause(
        self, host: Host, examine: RunDoctor, old: str, new: str, named: str
    ) -> None:
        text = host.paste.read_text()
        assert old in text
        host.paste.write_text(text.replace(old, new))
        assert named in examine.one_line()

    def test_a_missing_configuration_file_is_one_line_that_names_it(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.conf.unlink()
        assert str(host.conf) in examine.one_line()

    @pytest.mark.parametrize(
        ('line', 'named'),
        [
            ('enforcement = maybe', 'enforcement'),
            ('nosuch = 1', 'nosuch'),
            ('passage_role = admin', 'passage_role'),
            ('connection = nonsense:sesame', 'connection'),
        ],
    )
    def test_an_unusable_option_is_named_without_its_password(
        self, host: Host, examine: RunDoctor, line: str, named: str
    ) -> None:
        host.configure(line)
        said = examine.one_line()
        assert named in said
        assert 'sesame' not in said

    def test_a_missing_placement_configuration_is_one_line_that_names_it(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.placement.unlink()
        assert str(host.placement) in examine.one_line()

    @pytest.mark.parametrize('content', [None, b'', b'a b', b'\xff\xfe', b'a\nb'])
    def test_a_missing_or_malformed_token_file_is_named_with_its_option(
        self,
        host: Host,
        examine: RunDoctor,
        tmp_path: pathlib.Path,
        content: bytes | None,
    ) -> None:
        path = tmp_path / 'token'
        if content is not None:
            path.write_bytes(content)
        assert f'--token-file {path}' in examine.one_line('--token-file', str(path))

    @pytest.mark.parametrize('url', ['placement', 'file:///etc/passwd', ''])
    def test_a_placement_url_that_is_not_http_names_the_option(
        self, host: Host, examine: RunDoctor, url: str
    ) -> None:
        assert '--placement-url' in examine.one_line('--placement-url', url)


class TestUpgradeCheck:
    def check(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
        status = guard_status.check_upgrade(['upgrade', 'check'])
        return status, ' '.join(capsys.readouterr().out.replace('|', ' ').split())

    def test_a_sound_deployment_passes_every_upgrade_check(
        self, host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, said = self.check(capsys)
        assert status == 0
        for name in ('Newest rows', 'Pipeline', 'Policy files', 'Passage role'):
            assert name in said

    def test_a_pipeline_without_the_guard_fails_the_upgrade_check(
        self, host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = host.paste.read_text()
        host.paste.write_text(text.replace('authtoken consumer_guard', 'authtoken'))
        status, said = self.check(capsys)
        assert status == 2
        assert 'without the guard' in said

    def test_the_file_of_the_pipeline_is_checked_and_not_the_default_one(
        self,
        host: Host,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: pathlib.Path,
    ) -> None:
        home = tmp_path / 'home'
        shutil.copytree(os.environ['HOME'], home)
        default = home / '.consumer-guard' / 'consumer-guard.conf'
        default.write_text('hunter2\n')
        monkeypatch.setenv('HOME', str(home))
        assert self.check(capsys)[0] == 0

    @pytest.mark.parametrize('content', [b'hunter2\n', b'[a]\nb = \xff\n', None])
    def test_a_file_that_cannot_be_read_stops_the_upgrade_check(
        self,
        host: Host,
        capsys: pytest.CaptureFixture[str],
        tmp_path: pathlib.Path,
        content: bytes | None,
    ) -> None:
        path = tmp_path / 'broken.conf'
        if content is not None:
            path.write_bytes(content)
        arguments = ['--config-file', str(path), 'upgrade', 'check']
        assert guard_status.check_upgrade(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith('--config-file: ')
        assert 'hunter2' not in line

    def test_a_broken_policy_file_fails_the_upgrade_check(
        self, host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (host.etc / 'policy.yaml').write_text('- broken')
        status, said = self.check(capsys)
        assert status == 2
        assert 'policy.yaml' in said
