# SPDX-License-Identifier: Apache-2.0
"""The doctor sees the likeliest mistakes, and shows the cause of each failure."""

import contextlib
import csv
import io
import json
import logging
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
import yaml
from oslo_config import cfg
from oslo_log import formatters

from consumer_guard.cmd import main as guard_main
from consumer_guard.cmd import status as guard_status
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.owners.database import DatabaseOwners
from tests import servers
from tests.certificates import make_expired_certificate
from tests.configuration import ETC, NAIVE_RULES, OPEN_RULES, OWNER_RULES
from tests.functional.host import DATABASE, Host, RunDoctor, needs
from tests.functional.owners.databases import settings

CONSUMER = '11111111-2222-4333-8444-555555555555'
#: Whether Python's sqlite3 knows the names of errors.
NAMES_ERRORS = sys.version_info >= (3, 11)
LIST, THEIRS = 'consumer_guard:allocations:list', 'placement:allocations:list'


@pytest.fixture(autouse=True)
def _handlers(no_root_handlers: None) -> None:
    """Commands print to streams of this test."""


class TestPlacementRules:
    @pytest.mark.parametrize(
        'rule',
        [
            '@',
            'role:reader',
            'rule:admin_or_service_api or role:member',
            'role:reader and project_id:%(project_id)s',
        ],
    )
    def test_placement_opened_to_readers_is_a_failure_of_both_commands(
        self,
        host: Host,
        examine: RunDoctor,
        rule: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        host.policy.write_text(yaml.safe_dump({THEIRS: rule}))
        report = examine()
        assert report.status == 2
        assert report.severity('placement rules') == 'failure'
        assert THEIRS in report.of('placement rules')['finding']
        assert str(host.policy) in report.of('placement rules')['where']
        assert 'consumer_guard_passage' in report.of('placement rules')['fix']
        assert guard_status.check_upgrade(['upgrade', 'check']) == 2
        assert 'is open to callers' in ' '.join(
            capsys.readouterr().out.replace('|', ' ').split()
        )

    def test_every_naive_rule_is_named(self, host: Host, examine: RunDoctor) -> None:
        host.policy.write_text(yaml.safe_dump(NAIVE_RULES))
        texts = [
            row['finding']
            for row in examine().rows
            if row['check'] == 'placement rules'
        ]
        for name in NAIVE_RULES:
            assert any(name in text for text in texts), name

    def test_a_base_rule_that_is_opened_counts(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.policy.write_text(
            yaml.safe_dump({'admin_or_service_api': 'role:admin or role:reader'})
        )
        assert examine().severity('placement rules') == 'failure'

    @pytest.mark.parametrize('text', ['', '# nothing\n', '{}\n'])
    def test_placement_not_opened_to_owners_is_a_warning(
        self, host: Host, examine: RunDoctor, text: str
    ) -> None:
        host.policy.write_text(text)
        report = examine()
        assert report.status == 1
        assert report.severity('policy fit') == 'warning'
        assert 'owners get 403' in report.of('policy fit')['finding']
        assert report.severity('placement rules') == 'ok'
        assert guard_status.check_upgrade(['upgrade', 'check']) == 1

    def test_rules_that_no_owner_passes_need_no_passage(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.policy.write_text(
            yaml.safe_dump(
                {
                    LIST: 'rule:consumer_guard:admin_or_service',
                    'consumer_guard:usages': 'rule:consumer_guard:admin_or_service',
                }
            )
        )
        assert examine().severity('policy fit') != 'failure'
        assert 'owners get 403' not in examine().of('policy fit')['finding']

    def test_every_opened_rule_of_ours_wants_the_one_of_placement(
        self, host: Host, examine: RunDoctor
    ) -> None:
        both = OWNER_RULES | OPEN_RULES
        host.policy.write_text(yaml.safe_dump(both))
        assert examine().severity('policy fit') == 'ok'
        for name in ('allocations:update', 'resource_providers:allocations:list'):
            rules = {key: both[key] for key in both if key != f'placement:{name}'}
            host.policy.write_text(yaml.safe_dump(rules))
            report = examine()
            assert report.severity('policy fit') == 'warning'
            assert f'placement:{name}' in report.of('policy fit')['finding']

    def test_a_role_that_one_service_allows_alone_is_a_warning(
        self, host: Host, examine: RunDoctor
    ) -> None:
        rule = f'{OPEN_RULES[THEIRS]} or role:billing'
        host.policy.write_text(yaml.safe_dump({THEIRS: rule}))
        assert 'role:billing' in examine().of('policy fit')['finding']

    def test_a_broken_file_of_placement_is_a_warning_under_the_same_names(
        self, host: Host, examine: RunDoctor
    ) -> None:
        theirs = host.etc / 'theirs.yaml'
        theirs.write_text('- no mapping')
        host.configure_placement('[oslo_policy]', f'policy_file = {theirs}')
        report = examine()
        assert report.severity('placement rules') == 'warning'
        assert report.severity('policy fit') == 'note'

    def test_a_file_without_any_rule_of_the_guard_is_a_warning(
        self, host: Host, examine: RunDoctor
    ) -> None:
        other = host.etc / 'other.yaml'
        other.write_text('"os_compute_api:servers:show": "@"')
        host.configure('[oslo_policy]', f'policy_file = {other}')
        report = examine()
        assert report.severity('policy files') == 'warning'
        assert 'no rule of the guard' in report.of('policy files')['finding']
        host.configure()
        assert examine().severity('policy files') == 'note'


class TestProblemsAlone:
    def test_nothing_wrong_says_what_was_checked(
        self, host: Host, examine: RunDoctor
    ) -> None:
        report = examine('--problems')
        assert (report.status, report.rows) == (0, [])
        assert report.errors.startswith('no problems in ')
        for check in ('guard', 'policy fit', 'SELECT', 'file modes', 'logging'):
            assert f'{check},' in report.errors

    def test_a_problem_needs_no_such_line(self, host: Host, examine: RunDoctor) -> None:
        host.configure('enforcement = shadow')
        assert examine('--problems').errors == ''


def break_database(host: Host) -> None:
    host.configure('connection = sqlite:////nowhere/placement.db')


def break_pipeline(host: Host) -> None:
    host.paste.write_text(
        '[app:main]\npaste.app_factory = oslo_middleware:Healthcheck.app_factory\n'
    )


def break_policy(host: Host) -> None:
    host.policy.write_text('- no mapping')


def break_logging(host: Host) -> None:
    host.configure_placement('[DEFAULT]', 'log_config_append = /nowhere')


@pytest.mark.parametrize(
    'break_one', [break_database, break_pipeline, break_policy, break_logging]
)
def test_no_check_changes_its_name_when_it_fails(
    host: Host, examine: RunDoctor, break_one: Callable[[Host], None]
) -> None:
    sound = {row['check'] for row in examine().rows}
    break_one(host)
    report = examine()
    assert report.status == 2
    assert {row['check'] for row in report.rows} == sound


def test_without_a_paste_file_the_names_are_the_same(
    host: Host, examine: RunDoctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.path.exists('/etc/consumer-guard/api-paste.ini'):
        pytest.skip('there is one on this machine')
    sound = {row['check'] for row in examine().rows}
    monkeypatch.delenv('CONSUMER_GUARD_PASTE_CONFIG')
    assert {row['check'] for row in examine().rows} == sound


def _connection(url: sa.URL, **changed: object) -> str:
    return url.set(**changed).render_as_string(hide_password=False)  # type: ignore[arg-type]


def _refused(url: sa.URL) -> str:
    with socket.create_server(('127.0.0.1', 0)) as closed:
        return _connection(url, port=closed.getsockname()[1])


def _ask_every_command(
    host: Host, examine: RunDoctor, capsys: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """What each command says of the database, and the look-up's own log line."""
    texts = {'doctor': examine().of('database')['finding']}
    config = ['--config-file', str(host.conf)]
    for command in (
        ['generation', 'list'],
        ['generation', 'roll', '--above', '5'],
        [
            *('can-i', 'GET', f'/allocations/{CONSUMER}', '--user', 'u'),
            *('--project', 'p', '--role', 'reader'),
        ],
    ):
        capsys.readouterr()
        assert guard_main.main([*config, *command]) == 2
        printed = capsys.readouterr()
        assert printed.out == ''
        assert printed.err.count('\n') == 1
        texts[' '.join(command[:2])] = printed.err
    guard_status.check_upgrade(['upgrade', 'check'])
    texts['upgrade check'] = ' '.join(capsys.readouterr().out.replace('|', '').split())
    return texts


def _read_log_line(url: str) -> str:
    """As oslo.log's own formatter writes it, which adds what is being handled."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    conf = cfg.ConfigOpts()
    handler.setFormatter(formatters.ContextFormatter(config=_register(conf)))
    logger = logging.getLogger('consumer_guard')
    logger.addHandler(handler)
    try:
        with pytest.raises(OwnersUnavailable):
            DatabaseOwners(settings(url)).find([CONSUMER])
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def _register(conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    from oslo_log import log

    log.register_options(conf)
    conf([], project='placement', default_config_files=[])
    return conf


class TestCauses:
    """Each in every command, and in the log of the service, without a secret."""

    @needs['sqlite']
    def test_a_missing_sqlite_file_is_named_and_not_created(
        self,
        host: Host,
        examine: RunDoctor,
        capsys: pytest.CaptureFixture[str],
        tmp_path: pathlib.Path,
    ) -> None:
        path = tmp_path / 'missing.db'
        url = f'sqlite:///{path}'
        host.configure(f'connection = {url}')
        code = 'SQLITE_CANT' if NAMES_ERRORS else 'OperationalError'
        cause = f'unable to open database file: No such file or directory ({code}'
        for command, text in _ask_every_command(host, examine, capsys).items():
            wanted = cause if command != 'upgrade check' else 'No such file'
            assert wanted in text, command
            assert not path.exists(), command
        assert cause in _read_log_line(url)
        assert not path.exists()

    @pytest.mark.skipif(DATABASE == 'sqlite', reason='sqlite has no server')
    @pytest.mark.parametrize('case', ['refused', 'password', 'host', 'database'])
    def test_a_connection_that_fails_shows_its_cause(
        self,
        host: Host,
        examine: RunDoctor,
        capsys: pytest.CaptureFixture[str],
        case: str,
    ) -> None:
        url = sa.make_url(host.database.url)
        postgresql = DATABASE == 'postgresql'
        if case == 'password' and postgresql:
            pytest.skip('the throw-away server trusts every password')
        connection, cause = {
            'refused': (
                _refused(url.set(password='sesame')),
                'Connection refused (ECONNREFUSED)' if postgresql else '(2003)',
            ),
            'password': (_connection(url, password='sesame'), '(1045)'),
            'host': (
                _connection(url, host='no.such.host.invalid', password='sesame'),
                'no.such.host.invalid',
            ),
            'database': (
                _connection(url, database='nosuch', password=url.password),
                '(3D000)' if postgresql else "Unknown database 'nosuch' (1049)",
            ),
        }[case]
        host.configure(f'connection = {connection}')
        for command, text in _ask_every_command(host, examine, capsys).items():
            if command != 'upgrade check':
                assert cause in text, command
            assert 'sesame' not in text
            assert str(url.password) not in text
        line = _read_log_line(connection)
        assert cause in line
        assert line.count('\n') == 1
        assert 'sesame' not in line
        assert 'sqlalche.me' not in line

    def test_a_missing_table_is_named_with_its_code(
        self, host: Host, examine: RunDoctor, tmp_path: pathlib.Path
    ) -> None:
        code = {'sqlite': 'SQLITE_ERROR', 'postgresql': '42P01', 'mysql': '1146'}
        if not NAMES_ERRORS:
            code['sqlite'] = 'OperationalError'
        if host.database.server is None:
            (tmp_path / 'empty.db').touch()
            url = f'sqlite:///{tmp_path}/empty.db'
        else:
            url = host.database.server.url(host.database.server.create_database())
        host.configure(f'connection = {url}')
        report = examine()
        assert report.severity('SELECT') == 'failure'
        assert 'consumers' in report.of('SELECT')['finding']
        assert f'({code[DATABASE]})' in report.of('SELECT')['finding']
        line = _read_log_line(url)
        assert f'({code[DATABASE]})' in line
        assert 'SELECT' not in line
        assert CONSUMER not in line

    @pytest.mark.skipif(DATABASE == 'sqlite', reason='sqlite has no certificates')
    def test_an_expired_certificate_is_the_cause(
        self, host: Host, examine: RunDoctor
    ) -> None:
        if shutil.which('openssl') is None:
            pytest.skip('openssl is not installed')
        with self._serve_expired() as (url, cause):
            host.configure(f'connection = {url}')
            assert cause in examine().of('database')['finding']
            assert cause in _read_log_line(url)

    @staticmethod
    @contextlib.contextmanager
    def _serve_expired() -> Iterator[tuple[str, str]]:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            folder.chmod(0o755)
            if DATABASE == 'mysql':
                made = make_expired_certificate(folder, 'mysql')
                options = [f'--ssl-cert={made.certificate}', f'--ssl-key={made.key}']
                with servers.mariadb(options) as server:
                    url = server.url(server.create_database())
                    yield (
                        f'{url}?ssl_ca={made.certificate}',
                        'certificate has expired',
                    )
                return
            made = make_expired_certificate(folder, 'postgres')
            options = ['-c', 'ssl=on', '-c', f'ssl_cert_file={made.certificate}']
            options += ['-c', f'ssl_key_file={made.key}']
            with servers.postgresql(options) as server:
                url = server.url(server.create_database())
                yield (
                    f'{url}?sslmode=verify-full&sslrootcert={made.certificate}',
                    'certificate verify failed',
                )


class TestSecrets:
    @pytest.mark.parametrize(
        'connection',
        [
            'mysql+pymysql://u@127.0.0.1:9/placement?password=sesame',
            'postgresql+psycopg2://u@127.0.0.1:9/placement?password=sesame&sslmode=x',
            'mysql+pymysql://u:sesame%40@127.0.0.1:9/placement',
            'mysql+pymysql://u:a$sesame@127.0.0.1:9/placement',
            'mysql+pymysql://u:${sesame}@127.0.0.1:9/placement',
            'mysql+pymysql://u:x\n sesame@127.0.0.1:9/placement',
            'mysql+pymysql://u:x\nsesame@127.0.0.1:9/placement',
            'mysql+pymysql://u:x@127.0.0.1:sesame/placement',
        ],
    )
    @pytest.mark.parametrize('place', ['guard', 'placement', 'paste'])
    def test_no_command_prints_a_password(
        self,
        host: Host,
        connection: str,
        place: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        if place == 'guard':
            host.configure(f'connection = {connection}')
        elif place == 'placement':
            host.configure_placement(connection=connection)
        else:
            with host.paste.open('a') as file:
                file.write('\n[filter:consumer_guard]\n')
            text = host.paste.read_text().replace(
                'oslo_config_file', f'connection = {connection}\noslo_config_file', 1
            )
            host.paste.write_text(text.rpartition('\n[filter:consumer_guard]\n')[0])
        config = [] if place == 'paste' else ['--config-file', str(host.conf)]
        printed = ''
        commands = [['doctor'], ['generation', 'list']]
        commands += [['can-i', 'GET', f'/allocations/{CONSUMER}', '--user', 'u']]
        if place == 'guard':  # they read the configuration as can-i does
            commands += [['policy', 'check'], ['matrix']]
        for command in commands:
            assert guard_main.main([*config, *command]) in (0, 1, 2)
            output = capsys.readouterr()
            printed += output.out + output.err
            assert 'Traceback' not in output.err
        guard_status.check_upgrade(['upgrade', 'check'])
        printed += ''.join(capsys.readouterr())
        assert 'sesame' not in printed


class TestFiles:
    @pytest.mark.parametrize('mode', [0o660, 0o646, 0o666])
    @pytest.mark.parametrize('name', ['paste', 'conf', 'placement', 'policy'])
    def test_a_file_that_others_write_is_a_failure(
        self, host: Host, examine: RunDoctor, name: str, mode: int
    ) -> None:
        path: pathlib.Path = getattr(host, name)
        path.chmod(mode)
        report = examine()
        assert report.severity('file modes') == 'failure'
        assert report.of('file modes')['fix'] == f'chmod go-w {path}'

    def test_a_directory_of_rules_that_others_write_is_a_failure(
        self, host: Host, examine: RunDoctor
    ) -> None:
        folder = host.etc / 'policy.d'
        folder.mkdir()
        folder.chmod(0o775)
        assert examine().severity('file modes') == 'failure'
        folder.chmod(0o755)
        assert examine().severity('file modes') == 'ok'

    @pytest.mark.parametrize(
        ('name', 'line', 'severity'),
        [
            ('conf', 'connection = mysql+pymysql://u:x@127.0.0.1:9/p', 'failure'),
            (
                'conf',
                'connection = mysql+pymysql://u@127.0.0.1:9/p?password=x',
                'failure',
            ),
            ('conf', 'audit_key = 0123456789abcdef0123456789abcdef', 'failure'),
            ('conf', 'connection = sqlite:////nowhere', 'ok'),
            ('placement', 'password = x', 'failure'),
        ],
    )
    def test_a_password_that_every_account_can_read_is_a_failure(
        self, host: Host, examine: RunDoctor, name: str, line: str, severity: str
    ) -> None:
        if name == 'conf':
            host.configure(line)
        else:
            host.configure_placement(
                '[keystone_authtoken]',
                'auth_type = password',
                line,
                connection='sqlite:////nowhere',
            )
        path: pathlib.Path = getattr(host, name)
        path.chmod(0o640)
        assert examine().severity('passwords in files') == 'ok'
        path.chmod(0o644)
        report = examine()
        assert report.severity('passwords in files') == severity
        assert ':x@' not in json.dumps(report.rows)

    def test_a_password_in_a_readable_paste_file_is_a_failure(
        self, host: Host, examine: RunDoctor
    ) -> None:
        with host.paste.open('a') as file:
            file.write('[filter:guard]\nuse = consumer_guard\n')
            file.write('connection = mysql+pymysql://u:x@127.0.0.1:9/p\n')
        text = host.paste.read_text()
        host.paste.write_text(
            text.replace('authtoken consumer_guard', 'authtoken guard')
        )
        assert examine().severity('passwords in files') == 'ok'
        host.paste.chmod(0o644)
        assert examine().severity('passwords in files') == 'failure'

    @pytest.mark.skipif(os.geteuid() != 0, reason='changes owners')
    def test_owners_other_than_root_are_shown(
        self, host: Host, examine: RunDoctor
    ) -> None:
        assert examine().severity('file owners') == 'ok'
        os.chown(host.policy, 12345, -1)
        assert examine().severity('file owners') == 'note'
        os.chown(host.conf, 12346, -1)
        assert examine().severity('file owners') == 'warning'

    def test_the_paste_file_without_authentication_is_a_leftover(
        self, host: Host, examine: RunDoctor
    ) -> None:
        assert examine().severity('leftovers') == 'ok'
        left = host.etc / 'api-paste-noauth.ini'
        shutil.copy(ETC / 'api-paste-noauth.ini', left)
        report = examine()
        assert report.severity('leftovers') == 'warning'
        assert str(left) in report.of('leftovers')['finding']
        left.rename(host.etc / 'trial.ini')
        assert examine().severity('leftovers') == 'warning'

    def test_what_an_editor_left_among_the_rules(
        self, host: Host, examine: RunDoctor
    ) -> None:
        folder = host.etc / 'policy.d'
        folder.mkdir(mode=0o755)
        (folder / 'more.yaml~').write_text('{}')
        assert examine().severity('leftovers') == 'warning'

    def test_what_the_workers_read_is_listed_with_its_places(
        self, host: Host, examine: RunDoctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host.configure('denial = conceal', 'audit_key = sesamesesamesesamesesame')
        monkeypatch.setenv('OS_CONSUMER_GUARD__AUDIT', 'all')
        report = examine()
        shown = report.of('configuration')
        for path in (host.paste, host.conf, host.placement, host.policy):
            assert str(path) in shown['where']
        assert f"denial='conceal' ({host.conf})" in shown['finding']
        assert 'OS_CONSUMER_GUARD__AUDIT' in shown['finding']
        assert 'OS_CONSUMER_GUARD__AUDIT' in report.of('environment')['finding']
        assert 'sesame' not in json.dumps(report.rows)


class TestEnvironmentOfAWorker:
    """``--environment-of``: what a running process was started with."""

    @pytest.fixture
    def start(self) -> Iterator[Callable[[dict[str, str]], str]]:
        with contextlib.ExitStack() as stack:

            def run(environment: dict[str, str]) -> str:
                process = subprocess.Popen(
                    ['/bin/cat'], stdin=subprocess.PIPE, env=environment
                )
                stack.enter_context(process)
                stack.callback(process.kill)
                # Empty at first: a new program's variables are laid out last.
                environ = pathlib.Path(f'/proc/{process.pid}/environ')
                while not environ.read_bytes():
                    time.sleep(0.001)
                return str(process.pid)

            yield run

    def test_the_configuration_is_read_as_the_worker_reads_it(
        self,
        host: Host,
        examine: RunDoctor,
        start: Callable[[dict[str, str]], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pid = start(
            {
                'OS_CONSUMER_GUARD__DENIAL': 'conceal',
                'OS_PLACEMENT_CONFIG_DIR': str(host.etc),
                'CONSUMER_GUARD_PASTE_CONFIG': str(host.paste),
                'OTHER': 'sesame',
            }
        )
        # Those of the shell are not the worker's.
        monkeypatch.setenv('OS_CONSUMER_GUARD__AUDIT', 'all')
        monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', '/nowhere')
        monkeypatch.delenv('CONSUMER_GUARD_PASTE_CONFIG')
        before = dict(os.environ)
        report = examine('--environment-of', pid)
        shown = report.of('configuration')
        assert "denial='conceal'" in shown['finding']
        assert 'audit' not in shown['finding'].replace('audit_key', '')
        assert str(host.placement) in shown['where']
        found = report.of('environment')
        assert found['severity'] == 'ok'
        assert f'process {pid}' in found['finding']
        assert 'OS_CONSUMER_GUARD__DENIAL' in found['finding']
        assert 'sesame' not in json.dumps(report.rows)
        assert dict(os.environ) == before

    def test_a_mistake_in_the_workers_variables_is_one_line(
        self, host: Host, examine: RunDoctor, start: Callable[[dict[str, str]], str]
    ) -> None:
        pid = start({'OS_PLACEMENT_CONFIG_DIR': '/nowhere/of/the/worker'})
        assert '/nowhere/of/the/worker' in examine.one_line('--environment-of', pid)
        assert os.environ['OS_PLACEMENT_CONFIG_DIR'] == str(host.etc)

    @pytest.mark.parametrize('pid', ['0', '-1', '4194305'])
    def test_a_process_that_is_not_there_is_one_line(
        self, host: Host, examine: RunDoctor, pid: str
    ) -> None:
        line = examine.one_line(f'--environment-of={pid}')
        assert f'--environment-of {pid}' in line
        assert f'/proc/{pid}/environ' in line


#: The style of openstack-helm, and what else may be in the file.
LOGGING = """
[loggers]
keys = root, placement{more}
[handlers]
keys = stdout, null
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = {root}
[logger_placement]
level = INFO
handlers = stdout
qualname = placement
{section}
[handler_null]
class = logging.NullHandler
args = ()
[handler_stdout]
class = StreamHandler
args = (sys.stdout,)
formatter = plain
[formatter_plain]
format = %(message)s
"""


class TestLogging:
    @pytest.mark.parametrize(
        ('root', 'section', 'lost'),
        [
            ('null', '', ['records', 'errors']),
            ('stdout', '', ['records']),
            ('null', 'level = INFO\nhandlers = stdout', []),
            ('stdout', 'level = INFO\nhandlers =', []),
            (
                'stdout',
                'level = INFO\npropagate = 0\nhandlers =',
                ['records', 'errors'],
            ),
            ('null', 'level = ERROR\nhandlers = stdout', ['records']),
        ],
    )
    def test_lines_that_are_written_nowhere_are_a_warning(
        self, host: Host, examine: RunDoctor, root: str, section: str, lost: list[str]
    ) -> None:
        path = host.etc / 'logging.conf'
        more = ', guard' if section else ''
        if section:
            section = f'[logger_guard]\nqualname = consumer_guard\n{section}'
        path.write_text(LOGGING.format(root=root, section=section, more=more))
        host.configure_placement('[DEFAULT]', f'log_config_append = {path}')
        texts = [
            row['finding']
            for row in examine().rows
            if row['check'] == 'logging' and row['severity'] == 'warning'
        ]
        assert len(texts) == len(lost)
        for word, text in zip(lost, texts, strict=True):
            assert word in text

    def test_a_level_of_the_options_loses_records(
        self, host: Host, examine: RunDoctor
    ) -> None:
        assert examine().severity('logging') == 'ok'
        host.configure_placement(
            '[DEFAULT]', 'default_log_levels = consumer_guard=WARN'
        )
        assert 'records' in examine().of('logging')['finding']


class TestAuthToken:
    def _use(self, host: Host, *lines: str) -> None:
        text = host.paste.read_text()
        plain = 'paste.filter_factory = keystonemiddleware.auth_token:filter_factory'
        host.paste.write_text(
            text.replace(
                'use = egg:consumer-guard#authtoken', '\n'.join([plain, *lines])
            )
        )

    def test_plain_auth_token_without_keys_is_a_failure(
        self, host: Host, examine: RunDoctor
    ) -> None:
        self._use(host)
        report = examine()
        assert report.status == 2
        assert 'no configuration' in report.of('auth_token')['finding']
        assert 'egg:consumer-guard#authtoken' in report.of('auth_token')['fix']

    def test_plain_auth_token_with_keys_closes_the_root_for_probes(
        self, host: Host, examine: RunDoctor
    ) -> None:
        for lines in (
            ('auth_type = password', 'auth_url = http://127.0.0.1:9'),
            (f'oslo_config_file = {host.placement}', 'oslo_config_project = x'),
        ):
            self._use(host, *lines)
            report = examine()
            assert report.severity('auth_token') == 'warning'
            assert 'GET /' in report.of('auth_token')['finding']

    def test_an_empty_group_of_placement_is_a_failure(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.configure_placement('[keystone_authtoken]')
        assert examine().severity('auth_token') == 'failure'

    def test_a_missing_service_type_is_a_note(
        self, host: Host, examine: RunDoctor
    ) -> None:
        host.configure_placement('[keystone_authtoken]', 'auth_type = password')
        report = examine()
        assert report.severity('auth_token') == 'note'
        assert 'service_type' in report.of('auth_token')['finding']


@needs['mysql']
@pytest.mark.parametrize(
    ('server', 'option', 'severity'),
    [
        ('', None, 'ok'),
        ('', 'mysql_sql_mode =', 'warning'),
        ('STRICT_TRANS_TABLES', 'mysql_sql_mode = ANSI', 'warning'),
        ('STRICT_TRANS_TABLES', 'mysql_sql_mode = STRICT_ALL_TABLES', 'ok'),
    ],
)
def test_the_mode_of_placements_sessions_counts_and_not_the_servers(
    host: Host, examine: RunDoctor, server: str, option: str | None, severity: str
) -> None:
    host.tables.run(f"SET GLOBAL sql_mode = '{server}'")
    try:
        host.configure_placement(*([option] if option else []))
        report = examine()
    finally:
        host.tables.run("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'")
    assert report.severity('sql_mode') == severity


class TestTerminal:
    """Text of others is shown and never acts."""

    HOSTILE = 'x\x1b]0;owned\x07\x1b[2J\r\u202e\x9b31m'

    def test_escape_sequences_are_shown_in_every_form(
        self, host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        host.policy.write_text(yaml.safe_dump({f'placement:{self.HOSTILE}': '@'}))
        # MariaDB's column takes no other characters.
        host.add(self.HOSTILE.encode('ascii', 'ignore').decode()[:36])
        for command in (
            ['doctor'],
            ['policy', 'check'],
            ['generation', 'list'],
            ['can-i', 'GET', f'/{self.HOSTILE}'],
            ['policy', 'diff', self.HOSTILE, self.HOSTILE],
            ['generation', 'roll', '--consumer', self.HOSTILE],
        ):
            for form in ('table', 'json', 'yaml', 'csv', 'value'):
                arguments = ['-f', form] if command[1:2] != ['roll'] else []
                if command[0] == 'can-i' and form == 'csv':
                    continue
                config = ['--config-file', str(host.conf)]
                guard_main.main([*config, *command, *arguments])
                printed = ''.join(capsys.readouterr())
                bad = {c for c in printed if not c.isprintable()} - {'\n', '\t'}
                assert bad == set(), (command, form)
                if form == 'json' and printed.startswith('['):
                    json.loads(printed)

    @pytest.mark.parametrize('start', ['=', '+', '-', '@', '\t'])
    def test_a_cell_of_others_is_no_formula(
        self, host: Host, start: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hostile = f'{start}cmd|calc'
        host.add(hostile, generation=7)
        config = ['--config-file', str(host.conf)]
        assert guard_main.main([*config, 'generation', 'list', '-f', 'csv']) == 0
        rows = [*csv.DictReader(io.StringIO(capsys.readouterr().out))]
        assert [row['uuid'] for row in rows] == [f"'{hostile}"]
        assert rows[0]['generation'] == '7'
