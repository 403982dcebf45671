# SPDX-License-Identifier: Apache-2.0
"""Policy files under a running pipeline, and checks that ask elsewhere."""

import http.server
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.deployment import Deployment, User
from tests.functional.conftest import Records

Deploy = Callable[..., Deployment]

LIST = 'consumer_guard:allocations:list'

#: Seconds; the deployments look at their files every 0.05.
PATIENCE = 5.0


class Room:
    """An owner with a consumer of his own, and a stranger."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.owner = deployed.add_user('reader')
        self.stranger = deployed.add_user('reader')
        provider = deployed.add_provider()
        self.consumer = deployed.add_consumer(provider, self.owner)

    def ask(self, user: User) -> int:
        path = f'/allocations/{self.consumer}'
        return int(self.deployed.request('GET', path, user).status_int)

    def await_status(self, user: User, status: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.ask(user) != status:
            assert time.monotonic() < deadline, f'never {status}'
            time.sleep(0.02)

    def stays(self, user: User, status: int) -> None:
        for _ in range(10):
            assert self.ask(user) == status
            time.sleep(0.03)


def test_an_edit_is_in_force_soon(deploy: Deploy) -> None:
    room = Room(deploy())
    assert room.ask(room.owner) == 200
    room.deployed.policy_file.write_text(f'"{LIST}": "role:admin"\n')
    room.await_status(room.owner, 403)
    assert room.ask(room.deployed.admin) == 200
    room.deployed.policy_file.write_text(f'"{LIST}": "role:reader"\n')
    room.await_status(room.stranger, 200)


@pytest.mark.parametrize(
    'text',
    [
        '',
        '"a: [',
        f'"{LIST}": ""\n',
        f'"{LIST}":\n',
        f'"{LIST}": true\n',
        f'"{LIST}": []\n',
        f'"{LIST}": !\n',
        f'"{LIST}": "rule:no_such"\n',
        f'"{LIST}": "admin_or_service"\n',
        '"consumer_guard:no_such": "@"\n',
        '- a\n',
        'text\n',
    ],
)
def test_a_broken_edit_keeps_the_last_good_rules(
    deploy: Deploy, records: Records, text: str
) -> None:
    """Y02 Y04 Y08"""
    room = Room(deploy(rules={LIST: 'role:reader and project_id:%(project_id)s'}))
    assert room.ask(room.owner) == 200
    room.deployed.policy_file.write_text(text)
    room.stays(room.stranger, 403)
    assert room.ask(room.owner) == 200
    assert 'policy.yaml' in records.text
    room.deployed.policy_file.write_text(f'"{LIST}": "role:admin"\n')
    room.await_status(room.owner, 403)


def test_a_removed_file_keeps_the_last_good_rules(deploy: Deploy) -> None:
    room = Room(deploy(rules={LIST: 'role:admin'}))
    room.deployed.policy_file.unlink()
    room.stays(room.owner, 403)


@pytest.mark.parametrize('text', [f'"{LIST}": ""\n', f'"{LIST}": true\n', '"x: ['])
def test_a_bad_file_at_the_start_locks(
    deploy: Deploy, records: Records, text: str
) -> None:
    """Y12: 503 for guarded requests, the rest passes, retried by itself."""
    deployed = deploy()
    deployed.policy_file.write_text(text)
    deployed.load()
    path = f'/allocations/{uuid.uuid4()}'
    for user in (deployed.add_user('reader'), deployed.admin):
        answer = deployed.request('GET', path, user)
        assert answer.status_int == 503
        assert answer.headers['Retry-After']
        assert answer.json['errors'][0]['status'] == 503
    assert deployed.request('GET', '/traits', deployed.admin).status_int == 200
    assert 'policy.yaml' in records.text
    deployed.policy_file.write_text('{}')
    assert _unlocked(deployed)
    room = Room(deployed)
    assert room.ask(room.owner) == 200


def _unlocked(deployed: Deployment) -> bool:
    deadline = time.monotonic() + PATIENCE
    path = f'/allocations/{uuid.uuid4()}'
    while time.monotonic() < deadline:
        if deployed.request('GET', path, deployed.admin).status_int == 200:
            return True
        time.sleep(0.02)
    return False


def test_a_policy_directory(deploy: Deploy) -> None:
    """Y14: any file in it that is not hidden counts."""
    deployed = deploy()
    folder = deployed.directory / 'policy.d'
    folder.mkdir()
    room = Room(deployed)
    (folder / '.hidden').write_text(f'"{LIST}": "role:reader"\n')
    room.stays(room.stranger, 403)
    (folder / 'README.txt').write_text(f'"{LIST}": "role:admin"\n')
    room.await_status(room.owner, 403)
    (folder / 'README.txt').unlink()
    room.await_status(room.owner, 200)


def test_a_shared_file(deploy: Deploy) -> None:
    """Placement's rules in the same file are none of ours."""
    room = Room(
        deploy(
            rules={
                'placement:allocations:list': True,
                'admin_api': 'role:admin',
                LIST: 'rule:admin_api',
            }
        )
    )
    assert room.ask(room.owner) == 403
    assert room.ask(room.deployed.admin) == 200


class DecisionPoint(http.server.BaseHTTPRequestHandler):
    """Says True for one project, False for others, and is slow for a third."""

    allowed: str = ''
    slow: str = ''
    asked: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers['Content-Length']))
        type(self).asked.append(self.path)
        if self.path == f'/{self.slow}':
            time.sleep(3)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'True' if self.path == f'/{self.allowed}' else b'False')

    def log_message(self, *_arguments: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def decision_point() -> Iterator[tuple[type[DecisionPoint], str]]:
    handler = type('Handler', (DecisionPoint,), {'asked': []})
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
    thread.join()


class TestElsewhere:
    """http: checks are asked in the final pass only."""

    def _room(self, deploy: Deploy, url: str) -> Room:
        rule = f'role:admin or (role:reader and {url}/%(project_id)s)'
        return Room(deploy(rules={LIST: rule}, options={'lookup_timeout': 0.5}))

    def test_true_and_false(
        self, deploy: Deploy, decision_point: tuple[type[DecisionPoint], str]
    ) -> None:
        handler, url = decision_point
        room = self._room(deploy, url)
        assert room.ask(room.stranger) == 403
        assert handler.asked == [f'/{room.owner.project_id}']
        handler.allowed = room.owner.project_id or ''
        assert room.ask(room.stranger) == 200

    def test_role_holders_ask_nobody(
        self, deploy: Deploy, decision_point: tuple[type[DecisionPoint], str]
    ) -> None:
        handler, url = decision_point
        room = self._room(deploy, url)
        assert room.ask(room.deployed.admin) == 200
        assert room.ask(room.deployed.add_user('unrelated')) == 403
        assert handler.asked == []

    def test_slow(
        self, deploy: Deploy, decision_point: tuple[type[DecisionPoint], str]
    ) -> None:
        """R09: refused within the guard's time-out, not oslo.policy's 60 s."""
        handler, url = decision_point
        room = self._room(deploy, url)
        handler.slow = room.owner.project_id or ''
        started = time.monotonic()
        assert room.ask(room.owner) == 403
        assert time.monotonic() - started < 2.5

    def test_away(self, deploy: Deploy) -> None:
        room = self._room(deploy, 'http://127.0.0.1:9')
        assert room.ask(room.owner) == 403
