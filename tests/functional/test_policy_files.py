# SPDX-License-Identifier: Apache-2.0
"""Policy files under a running pipeline, and remote checks."""

import http.server
import os
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent import futures
from typing import ClassVar

import pytest
from oslo_policy import opts

from tests.administrator import User
from tests.deployment import Deploy, Deployment
from tests.functional.conftest import Records

LIST = 'consumer_guard:allocations:list'

#: Seconds between two checks of the deployments' files.
INTERVAL = 0.05

#: Seconds.
PATIENCE = 60.0


class Allocations:
    """A consumer, its owner, and a reader of another project."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.owner = deployed.add_user('reader')
        self.stranger = deployed.add_user('reader')
        provider = deployed.add_provider()
        self.consumer = deployed.add_consumer(provider, self.owner)

    def read(self, user: User) -> int:
        path = f'/allocations/{self.consumer}'
        return int(self.deployed.request('GET', path, user).status_int)

    def await_status(self, user: User, status: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.read(user) != status:
            assert time.monotonic() < deadline, f'never {status}'
            time.sleep(0.02)

    def hold_status(self, user: User, status: int) -> None:
        for _ in range(10):
            assert self.read(user) == status
            time.sleep(0.03)


def test_an_edit_is_in_force_without_a_restart(deploy: Deploy) -> None:
    scene = Allocations(deploy())
    assert scene.read(scene.owner) == 200
    scene.deployed.policy_file.write_text(f'"{LIST}": "role:admin"\n')
    scene.await_status(scene.owner, 403)
    assert scene.read(scene.deployed.admin) == 200
    scene.deployed.policy_file.write_text(f'"{LIST}": "role:reader"\n')
    scene.await_status(scene.stranger, 200)


def test_the_first_requests_of_an_idle_worker_are_judged_by_the_edit(
    deploy: Deploy,
) -> None:
    """Y22: though its time is forged; a second worker is idle for longer."""
    scene = Allocations(deploy(rules={LIST: 'role:reader'}))
    assert scene.read(scene.stranger) == 200
    other = scene.deployed.client
    scene.deployed.load()
    assert scene.read(scene.stranger) == 200
    scene.deployed.policy_file.write_text(f'"{LIST}": "role:admin"\n')
    os.utime(scene.deployed.policy_file, (1, 1))
    time.sleep(3 * INTERVAL)
    assert [scene.read(scene.stranger) for _ in range(3)] == [403] * 3
    scene.deployed.client = other
    assert [scene.read(scene.stranger) for _ in range(3)] == [403] * 3


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
        f'"{LIST}": "role:admin"\n"{LIST}": "role:reader"\n',
        f'# role:admin\u2028"{LIST}": "role:reader"\n',
        f'"{LIST}": "admin_or_service"\n',
        '"consumer_guard:no_such": "@"\n',
        '- a\n',
        'text\n',
    ],
)
def test_a_broken_edit_keeps_the_last_good_rules(
    deploy: Deploy, records: Records, text: str
) -> None:
    """Y02 Y04 Y08 Y23 Y24"""
    scene = Allocations(
        deploy(rules={LIST: 'role:reader and project_id:%(project_id)s'})
    )
    assert scene.read(scene.owner) == 200
    scene.deployed.policy_file.write_text(text)
    scene.hold_status(scene.stranger, 403)
    assert scene.read(scene.owner) == 200
    assert 'policy.yaml' in records.text
    scene.deployed.policy_file.write_text(f'"{LIST}": "role:admin"\n')
    scene.await_status(scene.owner, 403)


def test_a_removed_file_keeps_the_last_good_rules(deploy: Deploy) -> None:
    scene = Allocations(deploy(rules={LIST: 'role:admin'}))
    scene.deployed.policy_file.unlink()
    scene.hold_status(scene.owner, 403)


@pytest.mark.parametrize('text', [f'"{LIST}": ""\n', f'"{LIST}": true\n', '"x: ['])
def test_a_bad_file_at_the_start_locks_until_it_is_repaired(
    deploy: Deploy, records: Records, text: str
) -> None:
    """Y12: 503 for guarded requests, the rest passes."""
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
    scene = Allocations(deployed)
    assert scene.read(scene.owner) == 200


def _unlocked(deployed: Deployment) -> bool:
    deadline = time.monotonic() + PATIENCE
    path = f'/allocations/{uuid.uuid4()}'
    while time.monotonic() < deadline:
        if deployed.request('GET', path, deployed.admin).status_int == 200:
            return True
        time.sleep(0.02)
    return False


def test_every_visible_file_of_the_policy_directory_counts(deploy: Deploy) -> None:
    """Y14"""
    deployed = deploy()
    folder = deployed.directory / 'policy.d'
    folder.mkdir()
    scene = Allocations(deployed)
    (folder / '.hidden').write_text(f'"{LIST}": "role:reader"\n')
    scene.hold_status(scene.stranger, 403)
    (folder / 'README.txt').write_text(f'"{LIST}": "role:admin"\n')
    scene.await_status(scene.owner, 403)
    (folder / 'README.txt').unlink()
    scene.await_status(scene.owner, 200)


def test_placements_rules_in_a_shared_file_are_ignored_or_referred_to(
    deploy: Deploy,
) -> None:
    scene = Allocations(
        deploy(
            rules={
                'placement:allocations:list': True,
                'admin_api': 'role:admin',
                LIST: 'rule:admin_api',
            }
        )
    )
    assert scene.read(scene.owner) == 403
    assert scene.read(scene.deployed.admin) == 200


class DecisionPoint(http.server.BaseHTTPRequestHandler):
    """Answers True for one project, False for others, late for a third."""

    allowed: str = ''
    slow: str = ''
    late: ClassVar[threading.Event]
    paths: ClassVar[list[str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers['Content-Length']))
        type(self).paths.append(self.path)
        if self.path == f'/{self.slow}':
            self.late.wait()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'True' if self.path == f'/{self.allowed}' else b'False')

    def log_message(self, *_arguments: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def decision_point() -> Iterator[tuple[type[DecisionPoint], str]]:
    class Handler(DecisionPoint):
        paths: ClassVar[list[str]] = []
        late = threading.Event()

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Handler, f'http://127.0.0.1:{server.server_port}'
    Handler.late.set()
    server.shutdown()
    server.server_close()
    thread.join()


class TestRemoteChecks:
    """http: checks are called in the final pass only."""

    def _make(self, deploy: Deploy, url: str) -> Allocations:
        rule = f'role:admin or (role:reader and {url}/%(project_id)s)'
        return Allocations(deploy(rules={LIST: rule}, options={'lookup_timeout': 0.5}))

    def test_the_answer_of_the_decision_point_decides(
        self, deploy: Deploy, decision_point: tuple[type[DecisionPoint], str]
    ) -> None:
        handler, url = decision_point
        scene = self._make(deploy, url)
        assert scene.read(scene.stranger) == 403
        assert handler.paths == [f'/{scene.owner.project_id}']
        handler.allowed = scene.owner.project_id or ''
        assert scene.read(scene.stranger) == 200

    def test_nothing_is_called_for_role_holders(
        self, deploy: Deploy, decision_point: tuple[type[DecisionPoint], str]
    ) -> None:
        handler, url = decision_point
        scene = self._make(deploy, url)
        assert scene.read(scene.deployed.admin) == 200
        assert scene.read(scene.deployed.add_user('unrelated')) == 403
        assert handler.paths == []

    def test_a_late_answer_refuses_within_the_time_out(
        self, deploy: Deploy, decision_point: tuple[type[DecisionPoint], str]
    ) -> None:
        """R09: the guard's time-out, not oslo.policy's 60 s."""
        ((_, options),) = opts.list_opts()
        if 'remote_timeout' not in {option.dest for option in options}:
            pytest.skip('oslo.policy up to 4.4 has no remote_timeout')
        handler, url = decision_point
        scene = self._make(deploy, url)
        handler.slow = scene.owner.project_id or ''
        with futures.ThreadPoolExecutor() as threads:
            answer = threads.submit(scene.read, scene.owner)
            try:
                assert answer.result(timeout=30) == 403
            finally:
                handler.late.set()

    def test_a_decision_point_that_does_not_answer_refuses(
        self, deploy: Deploy
    ) -> None:
        scene = self._make(deploy, 'http://127.0.0.1:9')
        assert scene.read(scene.owner) == 403
