# SPDX-License-Identifier: Apache-2.0
"""Under gunicorn, forked after a first request, and spoken to byte by byte."""

import concurrent.futures
import json
import pathlib
import re
import socket
import sys
import uuid
from collections.abc import Iterator

import pytest

from tests import ports, serving
from tests.administrator import User, make_claim
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy

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
def preloaded(
    deploy: Deploy, tmp_path: pathlib.Path
) -> Iterator[tuple[str, list[tuple[User, str]]]]:
    """URL of four workers forked from a parent that has asked already."""
    deployed = deploy(rules=OWNER_RULES)
    provider = deployed.add_provider()
    owned = []
    for _ in range(4):
        user = deployed.add_user('reader')
        owned.append((user, deployed.add_consumer(provider, user)))
    module = _MODULE.format(consumer=owned[0][1], headers=_headers(owned[0][0]))
    (tmp_path / 'preloaded_app.py').write_text(module)
    port = ports.find_free_port()
    url = f'http://127.0.0.1:{port}'
    command = [
        *(sys.executable, '-W', 'ignore', '-m', 'gunicorn', '--preload'),
        *('--workers', '4', '--threads', '2', '--chdir', str(tmp_path)),
        *('--bind', f'127.0.0.1:{port}', 'preloaded_app:application'),
    ]
    environment = {
        'OS_PLACEMENT_CONFIG_DIR': str(deployed.directory / 'placement'),
        'CONSUMER_GUARD_PASTE_CONFIG': str(deployed.directory / 'api-paste-noauth.ini'),
        'PYTHONPATH': str(pathlib.Path(__file__).parent.parent.parent),
    }
    log = tmp_path / 'gunicorn.log'
    with serving.serve(command, f'{url}/', log, environment):
        yield url, owned


def test_no_worker_reads_another_ones_owners(
    preloaded: tuple[str, list[tuple[User, str]]],
) -> None:
    """O18"""
    url, owned = preloaded

    def ask(number: int) -> tuple[bool, int]:
        user, _ = owned[number % 4]
        _, consumer = owned[number // 4 % 4]
        own = number % 4 == number // 4 % 4
        return own, serving.ask(f'{url}/allocations/{consumer}', _headers(user))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(320)))
    assert {status for own, status in answers if own} == {200}
    assert {status for own, status in answers if not own} == {403}


def _talk(url: str, sent: bytes) -> bytes:
    """Send bytes and no more; everything that comes back until the end."""
    host, port = url.removeprefix('http://').split(':')
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        pieces = iter(lambda: connection.recv(65536), b'')
        return b''.join(pieces)


def _compose(user: User, line: str, *more: str, body: bytes = b'') -> bytes:
    headers = _headers(user) | {'X-Roles': 'reader,member', 'Host': 'placement'}
    lines = [line, *(f'{key}: {value}' for key, value in headers.items()), *more]
    return '\r\n'.join([*lines, '', '']).encode('latin-1') + body


def _statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb'HTTP/1.1 (\d{3})', answers)]


def _comparable(answers: bytes) -> bytes:
    times = rb'(?mi:^(?:date|last-modified): .*$)'
    return re.sub(rb'req-[0-9a-f-]{36}|' + times, b'', answers)


def test_bytes_on_the_wire(
    preloaded: tuple[str, list[tuple[User, str]]],
) -> None:
    """S03 P02 P11 P12 P13 B07 B09: as a client without manners sends them."""
    url, owned = preloaded
    (user, own), (victim, foreign) = owned[:2]
    unknown = str(uuid.uuid4())
    claim = json.dumps(make_claim(str(uuid.uuid4()), user, 1)).encode()
    chunked = b'%x\r\n%s\r\n0\r\n\r\n' % (len(claim), claim)
    smuggled = _compose(user, f'GET /allocations/{own} HTTP/1.1', 'Connection: close')
    length, kind = f'Content-Length: {len(claim)}', 'Content-Type: application/json'

    def paths(consumer: str) -> Iterator[tuple[bytes, list[int]]]:
        for path, status in (
            (f'/allocations/{consumer}', 403),
            (f'/allocations/{consumer}%0A', 400),
            (f'/allocations/{consumer}%0a%0a', 400),
            (f'/allocations%2F{consumer}', 403),
            (f'/%61llocations/{consumer}', 403),
            (f'/allocations/{consumer}%00', 400),
            (f'/allocations/{consumer.upper()}', 400),
            (f'/allocations/{consumer}?x=/../../usages', 403),
            (f'/allocations/{consumer}#/traits', 403),
            (f'http://evil/allocations/{consumer}', 403),
            (f'//allocations/{consumer}', 404),
            (f'/./allocations/{consumer}', 404),
            (f'/traits/../allocations/{consumer}', 404),
        ):
            yield _compose(user, f'GET {path} HTTP/1.1', 'Connection: close'), [status]
        put = f'PUT /allocations/{consumer} HTTP/1.1'
        yield _compose(user, put, kind, length, 'Connection: close', body=claim), [403]
        yield (
            _compose(user, put, kind, 'Transfer-Encoding: chunked', body=chunked),
            [403],
        )
        # A client that goes away in the middle of its body, which nobody reads.
        yield _compose(user, put, kind, length, body=claim[:-5]), [403]
        # The body of a refused request is no request of its own.
        refused = f'DELETE /allocations/{consumer} HTTP/1.1'
        behind = f'Content-Length: {len(smuggled)}'
        yield (
            _compose(user, refused, behind, body=smuggled)
            + _compose(user, 'GET / HTTP/1.1', 'Connection: close'),
            [403, 200],
        )

    for (told, wanted), (other, _) in zip(paths(foreign), paths(unknown), strict=True):
        answers = _talk(url, told)
        assert _statuses(answers) == wanted, told
        assert _comparable(answers) == _comparable(_talk(url, other)), told
        for secret in (victim.user_id, victim.project_id, foreign):
            assert secret
            assert secret.encode() not in answers
    for more in (('Transfer-Encoding: chunked', length), (length, f'{length}0')):
        put = _compose(
            user, f'PUT /allocations/{own} HTTP/1.1', kind, *more, body=claim
        )
        assert set(_statuses(_talk(url, put))) <= {400}, 'two lengths'
