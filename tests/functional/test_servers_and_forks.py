# SPDX-License-Identifier: Apache-2.0
"""Under gunicorn, forked after a first request: every worker has its own."""

import concurrent.futures
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests.deployment import Deployment, User

Deploy = Callable[..., Deployment]

#: Asks for an owner in the parent, so that a connection is there to inherit.
_MODULE = """\
import webtest
from consumer_guard.wsgi.api import application
client = webtest.TestApp(application)
client.get('/allocations/{consumer}', headers={headers}, expect_errors=True)
"""


def _headers(user: User) -> dict[str, str]:
    return {
        'X-Auth-Token': f'{user.user_id}:{user.project_id}',
        'X-Roles': 'reader',
        'OpenStack-API-Version': 'placement 1.38',
    }


@pytest.fixture
def preloaded(deploy: Deploy, tmp_path: pathlib.Path) -> Iterator[tuple[str, list]]:
    """URL of four workers forked from a parent that has asked already."""
    deployed = deploy()
    provider = deployed.add_provider()
    owned = []
    for _ in range(4):
        user = deployed.add_user('reader')
        owned.append((user, deployed.add_consumer(provider, user)))
    module = _MODULE.format(consumer=owned[0][1], headers=_headers(owned[0][0]))
    (tmp_path / 'preloaded_app.py').write_text(module)
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    root = str(pathlib.Path(__file__).parent.parent.parent)
    log = (tmp_path / 'gunicorn.log').open('wb')
    process = subprocess.Popen(
        [
            *(sys.executable, '-W', 'ignore', '-m', 'gunicorn', '--preload'),
            *('--workers', '4', '--threads', '2', '--chdir', str(tmp_path)),
            *('--bind', f'127.0.0.1:{port}', 'preloaded_app:application'),
        ],
        env=os.environ
        | {
            'OS_PLACEMENT_CONFIG_DIR': str(deployed.directory / 'placement'),
            'CONSUMER_GUARD_PASTE_CONFIG': str(
                deployed.directory / 'api-paste-noauth.ini'
            ),
            'PYTHONPATH': root,
        },
        stdout=log,
        stderr=log,
    )
    url = f'http://127.0.0.1:{port}'
    deadline = time.monotonic() + 60
    while _ask(f'{url}/', {}) != 200:
        assert time.monotonic() < deadline, (tmp_path / 'gunicorn.log').read_text()
        assert process.poll() is None, (tmp_path / 'gunicorn.log').read_text()
        time.sleep(0.2)
    yield url, owned
    process.terminate()
    process.wait(timeout=30)
    log.close()


def _ask(url: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code
    except OSError:
        return 0


def test_no_worker_reads_another_ones_owners(
    preloaded: tuple[str, list[tuple[User, str]]],
) -> None:
    """O18"""
    url, owned = preloaded

    def ask(number: int) -> tuple[bool, int]:
        user, _ = owned[number % 4]
        _, consumer = owned[number // 4 % 4]
        own = number % 4 == number // 4 % 4
        return own, _ask(f'{url}/allocations/{consumer}', _headers(user))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(320)))
    assert {status for own, status in answers if own} == {200}
    assert {status for own, status in answers if not own} == {403}
