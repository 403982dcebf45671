# SPDX-License-Identifier: Apache-2.0
"""StatsD packets, as a server on loopback gets them."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from consumer_guard.guard.errors import ConfigurationError
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.functional.conftest import Records
from tests.fuzz.wire import send
from tests.rows import LIMIT
from tests.scenery import Scene


class Server:
    """Takes packets."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(('127.0.0.1', 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    def take(self) -> dict[str, list[str]]:
        """What has come since the last time: values by name."""
        taken: dict[str, list[str]] = {}
        with contextlib.suppress(BlockingIOError):
            while True:
                name, _, value = self._socket.recv(65535).decode().partition(':')
                taken.setdefault(name, []).append(value)
        return taken

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def _options(server: Server, **more: object) -> dict[str, object]:
    return {'statsd_host': '127.0.0.1', 'statsd_port': server.port, **more}


def test_each_decision_is_counted_and_each_look_up_is_timed(
    deploy: Deploy, server: Server
) -> None:
    scene = Scene(deploy(options=_options(server), rules=OWNER_RULES))
    server.take()
    for consumer, token in (
        (scene.own, scene.alice.token),
        (scene.foreign, scene.alice.token),
        (scene.foreign, scene.deployed.admin.token),
    ):
        environ = scene.environ('GET', '/allocations/{CB}', consumer, token=token)
        send(scene.deployed.application, environ)
    taken = server.take()
    prefix = 'consumer_guard.decisions.allocations_list'
    assert taken[f'{prefix}.allow.enforce'] == ['1|c', '1|c']
    assert taken[f'{prefix}.deny.enforce'] == ['1|c']
    times = taken['consumer_guard.lookup.time']
    assert len(times) == 2, 'none for the role'
    assert all(float(value.removesuffix('|ms')) > 0 for value in times)


def test_a_shadowed_refusal_is_counted_as_such_under_the_prefix(
    deploy: Deploy, server: Server
) -> None:
    options = _options(server, enforcement='shadow', statsd_prefix='cg')
    scene = Scene(deploy(options=options))
    server.take()
    send(scene.deployed.application, scene.environ('DELETE', '/allocations/{CB}'))
    assert server.take()['cg.decisions.allocations_delete.deny.shadow'] == ['1|c']


def test_look_ups_that_fail(deploy: Deploy, server: Server) -> None:
    dead = 'sqlite:////nonexistent/placement.db'
    scene = Scene(deploy())
    scene.deployed = deploy(options=_options(server, connection=dead))
    server.take()
    environ = scene.environ('GET', '/allocations/{CB}')
    assert send(scene.deployed.application, environ).status == 503
    taken = server.take()
    assert taken['consumer_guard.lookup.failed'] == ['1|c']


def test_the_rulebooks_age_is_told_and_a_broken_file_is_counted_once(
    deploy: Deploy, server: Server
) -> None:
    deployed = deploy(options=_options(server))
    scene = Scene(deployed)
    environ = scene.environ('GET', '/allocations/{CA}')
    time.sleep(0.06)
    server.take()
    assert send(deployed.application, dict(environ)).status == 200
    (age,) = server.take()['consumer_guard.rulebook.age']
    assert 0.05 < float(age.removesuffix('|g')) < 600
    deployed.policy_file.write_text('"consumer_guard:usages": 1\n')
    failed = []
    for _ in range(10):
        time.sleep(0.06)
        assert send(deployed.application, dict(environ)).status == 200
        failed += server.take().get('consumer_guard.rulebook.failed_reloads', [])
    assert failed == ['1|c'], 'a file that stays broken is read once'


def test_a_write_near_the_limit_tells_the_generations_headroom(
    deploy: Deploy, server: Server
) -> None:
    deployed = deploy(options=_options(server))
    scene = Scene(deployed)
    near = LIMIT - 50_000_000
    scene.tables.set_generation(scene.own, near)
    server.take()
    environ = scene.environ(
        'PUT',
        '/allocations/{CA}',
        body=json.dumps(scene.claim(generation=near)).encode(),
        token=deployed.admin.token,
    )
    assert send(deployed.application, environ).status == 204
    assert server.take()['consumer_guard.generation.headroom'] == ['50000000|g']


def test_nobody_listens(deploy: Deploy, server: Server) -> None:
    """Packets to a port that refuses them change no answer."""
    options = _options(server)
    server.close()
    scene = Scene(deploy(options=options))
    for _ in range(3):
        environ = scene.environ('GET', '/allocations/{CA}')
        assert send(scene.deployed.application, environ).status == 200


def test_a_host_without_an_address(deploy: Deploy, records: Records) -> None:
    """No outage: the workers start, and one line tells of it."""
    scene = Scene(deploy(options={'statsd_host': 'nothing.invalid'}))
    environ = scene.environ('GET', '/allocations/{CA}')
    assert send(scene.deployed.application, environ).status == 200
    assert "option 'statsd_host'" in records.text
    assert 'nothing.invalid' in records.text


def test_a_missing_statsd_package_stops_the_start_and_says_what_to_install(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'statsd', None)
    with pytest.raises(ConfigurationError, match=r'pip install consumer-guard.statsd'):
        deploy(options={'statsd_host': '127.0.0.1'})
