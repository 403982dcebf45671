# SPDX-License-Identifier: Apache-2.0
"""What the doctor asks over HTTP: keystone for roles, a placement what it is."""

import contextlib
import http.server
import json
import logging
import pathlib
import socket
import threading
import wsgiref.simple_server
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from keystoneauth1 import fixture as keystone_fixture

from consumer_guard.analysis.findings import Finding, Severity
from consumer_guard.cmd import main as guard_main
from consumer_guard.doctor import endpoint, keystone
from tests.administrator import User
from tests.deployment import Deploy, Deployment

pytestmark = pytest.mark.usefixtures('no_root_handlers')

PASSAGE = 'consumer_guard_passage'


@contextlib.contextmanager
def serving(server: Any) -> Iterator[str]:
    """The URL of an HTTP server while it runs in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Keystone(http.server.ThreadingHTTPServer):
    """Issues a token to whoever asks, and lists roles as it is told to."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _KeystoneHandler)
        self.password = 'right'
        self.roles: Sequence[object] = ()
        self.status = 200
        self.body: object = None


class _KeystoneHandler(http.server.BaseHTTPRequestHandler):
    server: Keystone

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers['Content-Length']))
        if self.server.password not in asked.decode():
            self._answer(401, {'error': {'message': asked.decode()}})
            return
        token = keystone_fixture.V3Token()
        token.set_project_scope()
        self._answer(201, token, {'X-Subject-Token': 'issued'})

    def do_GET(self) -> None:
        if not self.path.startswith('/v3/roles'):
            url = f'http://127.0.0.1:{self.server.server_port}'
            self._answer(200, keystone_fixture.DiscoveryList(url, v2=False))
            return
        assert self.headers['X-Auth-Token'] == 'issued'
        names = [{'name': name} for name in self.server.roles]
        body = {'roles': names} if self.server.body is None else self.server.body
        self._answer(self.server.status, body)

    def _answer(
        self, status: int, body: object, headers: dict[str, str] | None = None
    ) -> None:
        sent = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Cloud:
    """A keystone, and placement's configuration that names it."""

    def __init__(self, server: Keystone, url: str, directory: pathlib.Path) -> None:
        self.server = server
        self._file = directory / 'placement.conf'
        self.credentials = {
            'auth_type': 'password',
            'auth_url': url,
            'username': 'placement',
            'password': 'right',
            'project_name': 'service',
            'user_domain_name': 'Default',
            'project_domain_name': 'Default',
        }

    def look(self, passage_role: str = PASSAGE) -> Finding:
        lines = [f'{key} = {value}' for key, value in self.credentials.items()]
        self._file.write_text('\n'.join(['[keystone_authtoken]', *lines, '']))
        return keystone.check_passage_role(keystone.read_placement_conf(), passage_role)


@pytest.fixture
def cloud(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(tmp_path))
    server = Keystone()
    with serving(server) as url:
        yield Cloud(server, url, tmp_path)


class TestPassageRole:
    @pytest.mark.parametrize(
        ('roles', 'severity'),
        [
            (('admin', 'reader'), Severity.OK),
            ((), Severity.OK),
            (('admin', PASSAGE), Severity.FAILURE),
            ((PASSAGE.upper(),), Severity.FAILURE),
            ((f'x, {PASSAGE} ',), Severity.FAILURE),
            ((f'{PASSAGE}s', f'my_{PASSAGE}'), Severity.OK),
        ],
    )
    def test_a_role_named_like_the_passage_role_is_a_failure(
        self, cloud: Cloud, roles: tuple[str, ...], severity: Severity
    ) -> None:
        cloud.server.roles = roles
        finding = cloud.look()
        assert finding.severity is severity
        assert finding.where == f'{cloud.credentials["auth_url"]}/v3/roles'
        assert bool(finding.fix) is (severity is Severity.FAILURE)

    def test_an_auth_url_that_ends_in_the_version_is_understood(
        self, cloud: Cloud
    ) -> None:
        cloud.server.roles = (PASSAGE,)
        cloud.credentials['auth_url'] += '/v3/'
        assert cloud.look().severity is Severity.FAILURE

    def test_without_a_passage_role_any_role_in_keystone_is_fine(
        self, cloud: Cloud
    ) -> None:
        cloud.server.roles = (PASSAGE,)
        assert cloud.look('').severity is Severity.OK

    @pytest.mark.parametrize(
        ('status', 'body', 'said'),
        [
            (403, {'error': {'message': 'sesame'}}, 'may not list roles'),
            (500, {}, 'InternalServerError'),
            (200, {'roles': 5}, 'list of roles'),
            (200, [], 'list of roles'),
            (200, {'roles': [], 'truncated': True}, 'some of its roles'),
        ],
    )
    def test_what_cannot_be_told_is_skipped(
        self, cloud: Cloud, status: int, body: object, said: str
    ) -> None:
        cloud.server.status, cloud.server.body = status, body
        self._is_skipped(cloud, said)

    def test_a_wrong_password_skips_the_check_and_is_not_told(
        self, cloud: Cloud
    ) -> None:
        cloud.credentials['password'] = 'sesame'
        self._is_skipped(cloud, 'may not list roles')

    def test_without_credentials_the_check_is_skipped(self, cloud: Cloud) -> None:
        cloud.credentials.clear()
        self._is_skipped(cloud, 'no credentials')

    @pytest.mark.parametrize(
        ('key', 'value'), [('auth_type', 'nosuch'), ('auth_url', 'http://127.0.0.1:9')]
    )
    def test_unusable_credentials_or_no_keystone_skip_the_check_quietly(
        self,
        cloud: Cloud,
        key: str,
        value: str,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        cloud.credentials[key] = value
        self._is_skipped(cloud, '')
        assert capfd.readouterr().err == ''

    def _is_skipped(self, cloud: Cloud, said: str) -> None:
        finding = cloud.look()
        assert finding.severity is Severity.NOTE
        assert 'skipped' in finding.text
        assert said in finding.text
        assert 'sesame' not in str(finding)
        assert PASSAGE in finding.fix


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Deployment], str]]:
    """Serve a deployment; the URL."""
    with contextlib.ExitStack() as stack:

        def run(deployed: Deployment) -> str:
            server = wsgiref.simple_server.make_server(
                '127.0.0.1', 0, deployed.application, handler_class=_Quiet
            )
            return stack.enter_context(serving(server))

        yield run


Serve = Callable[[Deployment], str]

CLOSED: dict[str, str] = {}
UNGUARDED = ('authtoken consumer_guard placement', 'authtoken placement')


def find(url: str, user: User | None, check: str) -> Finding:
    token = None if user is None else user.token
    found = {one.subject: one for one in endpoint.check_endpoint(url, token)}
    assert found['placement'].severity is Severity.OK
    return found[check]


class TestGuarded:
    @pytest.mark.parametrize('denial', ['forbid', 'conceal'])
    @pytest.mark.parametrize('role', ['reader', 'member'])
    @pytest.mark.parametrize('naive', [True, False])
    def test_an_enforcing_guard_is_recognised_by_its_answer(
        self, deploy: Deploy, serve: Serve, denial: str, role: str, naive: bool
    ) -> None:
        deployed = deploy(
            options={'denial': denial}, placement_rules=None if naive else CLOSED
        )
        url = serve(deployed)
        found = find(url, deployed.add_user(role), 'guarded')
        assert (found.severity, found.text) == (Severity.OK, 'the guard answered')
        assert find(url, None, 'proof of identity').severity is Severity.OK

    @pytest.mark.parametrize(
        ('naive', 'severity'), [(True, Severity.FAILURE), (False, Severity.WARNING)]
    )
    @pytest.mark.parametrize('shadow', [False, True])
    def test_a_missing_or_shadow_guard_is_a_failure_or_a_warning(
        self,
        deploy: Deploy,
        serve: Serve,
        naive: bool,
        severity: Severity,
        shadow: bool,
    ) -> None:
        deployed = deploy(
            options={'enforcement': 'shadow'},
            placement_rules=None if naive else CLOSED,
        )
        if not shadow:
            deployed.reload_with(*UNGUARDED)
        found = find(serve(deployed), deployed.add_user('reader'), 'guarded')
        assert found.severity is severity
        assert 'shadow' in found.text

    @pytest.mark.parametrize('guarded', [True, False])
    def test_a_role_holder_cannot_tell(
        self, deploy: Deploy, serve: Serve, guarded: bool
    ) -> None:
        deployed = deploy()
        if not guarded:
            deployed.reload_with(*UNGUARDED)
        found = find(serve(deployed), deployed.admin, 'guarded')
        assert found.severity is Severity.NOTE
        assert 'role' in found.text

    def test_without_a_valid_token(self, deploy: Deploy, serve: Serve) -> None:
        url = serve(deploy())
        for user in (None, User((), None)):
            found = find(url, user, 'guarded')
            assert found.severity is Severity.NOTE
            assert '--token-file' in found.fix


def test_placement_with_noauth_fails_the_proof_of_identity(
    deploy: Deploy, serve: Serve
) -> None:
    deployed = deploy()
    deployed.load('api-paste-noauth.ini')
    found = find(serve(deployed), None, 'proof of identity')
    assert found.severity is Severity.FAILURE


def test_identity_headers_are_found_to_be_believed(
    deploy: Deploy, serve: Serve
) -> None:
    deployed = deploy()
    path = deployed.directory / 'api-paste.ini'
    path.write_text(
        path.read_text().replace('authtoken consumer', 'consumer')
        + 'auth_strategy = noauth2\n'
    )
    deployed.load()
    url = serve(deployed)
    # The guard is closed without authtoken, although placement is not.
    assert find(url, None, 'proof of identity').severity is Severity.OK
    deployed.reload_with('request_log consumer_guard placement', 'placement')
    found = find(serve(deployed), None, 'proof of identity')
    assert found.severity is Severity.FAILURE


@pytest.mark.parametrize('answer', ['nothing there', 'another service'])
def test_a_url_without_placement_is_one_warning_that_names_it(
    cloud: Cloud, answer: str
) -> None:
    url = 'http://127.0.0.1:9'
    if answer == 'another service':
        url = f'{cloud.credentials["auth_url"]}/v3/roles/'
        cloud.server.status = 404
    found = endpoint.check_endpoint(url, None)
    assert [one.severity for one in found] == [
        Severity.WARNING,
        Severity.NOTE,
        Severity.NOTE,
    ]
    assert url.rstrip('/') == found[0].where


def test_a_host_that_never_answers_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint, 'REQUEST_TIMEOUT', 0.2)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        (found, *_) = endpoint.check_endpoint(
            f'http://127.0.0.1:{silent.getsockname()[1]}', None
        )
    assert found.severity is Severity.WARNING
    assert 'Timeout' in found.text


def test_the_command_asks_with_the_token_of_the_file(
    deploy: Deploy,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    deployed = deploy(options={'enforcement': 'shadow'})
    url = serve(deployed)
    user = deployed.add_user('reader')
    token = deployed.directory / 'token'
    token.write_text(f'{user.token}\n')
    paste = str(deployed.directory / 'api-paste.ini')
    before = list(logging.getLogger().handlers)
    try:
        asking = ['--placement-url', url, '--token-file', str(token)]
        status = guard_main.main(
            ['doctor', '-f', 'json', '--paste-config', paste, *asking]
        )
    finally:
        logging.getLogger().handlers[:] = before
    said = capsys.readouterr()
    # The placement in this process logs to the same place.
    rows = json.loads(said.out[said.out.rindex('[\n  {') :])
    found = next(row for row in rows if row['check'] == 'guarded')
    assert (status, found['severity'], found['where']) == (2, 'failure', url)
    assert user.token not in said.out + said.err
