# SPDX-License-Identifier: Apache-2.0
"""THREATS: bodies without measure, and many consumers at once."""

import io
import json
import time
import uuid
from typing import Any

import pytest

from consumer_guard.guard.model import Truth
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.fuzz.alone import (
    CONSUMER,
    FixedOwners,
    FixedRules,
    Recorder,
    ask_for,
    make_guard,
)
from tests.fuzz.wire import send
from tests.scenery import Scene

LIMIT = 2 * 2**20
#: What a reader in pieces may take beyond the limit.
PIECE = 65536


class Measured(io.RawIOBase):
    """A body of so many bytes, or without end, that counts what was read."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        assert size >= 0, 'read to the end'
        if self.size is not None:
            size = min(size, self.size - self.given)
        self.given += size
        return b' ' * size


@pytest.mark.parametrize('method', ['PUT', 'POST'])
class TestSizes:
    """R01"""

    def _ask(self, method: str, stream: Measured, **more: Any) -> dict[str, Any]:
        path = f'/allocations/{CONSUMER}' if method == 'PUT' else '/allocations'
        environ = ask_for(path, method, body=b'', **more)
        return environ | {'wsgi.input': stream}

    @pytest.mark.parametrize('size', [LIMIT + 1, 100 * 2**20, 10**15])
    def test_a_declared_length_over_the_limit_is_refused_unread(
        self, method: str, size: int
    ) -> None:
        stream, recorder, owners = Measured(size), Recorder(), FixedOwners()
        environ = self._ask(method, stream, CONTENT_LENGTH=str(size))
        assert send(make_guard(recorder, owners=owners), environ).status == 413
        assert stream.given == 0
        assert not recorder.asked
        # A PUT names its consumer in the path, and is read for its owner only.
        assert bool(owners.asked) is (method == 'PUT')

    @pytest.mark.parametrize('size', [LIMIT + 1, None])
    def test_a_chunked_body_is_read_no_further_than_the_limit(
        self, method: str, size: int | None
    ) -> None:
        stream, recorder, owners = Measured(size), Recorder(), FixedOwners()
        environ = self._ask(
            method, stream, wsgi__input_terminated=True, CONTENT_LENGTH=None
        )
        assert send(make_guard(recorder, owners=owners), environ).status == 413
        assert stream.given <= LIMIT + PIECE
        assert not recorder.asked
        # A PUT names its consumer in the path, and is read for its owner only.
        assert bool(owners.asked) is (method == 'PUT')

    def test_a_body_that_is_just_small_enough_is_read_whole(self, method: str) -> None:
        stream = Measured(LIMIT)
        environ = self._ask(method, stream, CONTENT_LENGTH=str(LIMIT))
        assert send(make_guard(Recorder()), environ).status == 400
        assert stream.given == LIMIT

    @pytest.mark.parametrize('chunked', [True, False])
    @pytest.mark.parametrize('size', [LIMIT, LIMIT + 1, LIMIT + 10 * PIECE])
    @pytest.mark.parametrize('enforcement', ['enforce', 'shadow'])
    def test_a_role_holders_arrives(
        self, method: str, chunked: bool, size: int, enforcement: str
    ) -> None:
        """Every byte of it, however large; a refusal would be an outage."""
        body = bytes(range(256)) * (size // 256 + 1)
        body = body[:size]
        more: dict[str, Any] = {'CONTENT_LENGTH': str(size)}
        if chunked:
            more = {'wsgi__input_terminated': True, 'CONTENT_LENGTH': None}
        environ = self._ask(method, Measured(0), **more)
        environ['wsgi.input'] = io.BytesIO(body)
        first = Truth.YES if enforcement == 'enforce' else Truth.UNKNOWN
        recorder = Recorder()
        guard = make_guard(recorder, FixedRules(first=first), enforcement=enforcement)
        assert send(guard, environ).status == 200
        assert recorder.bodies == [body]

    def test_shadow_reads_little(self, method: str) -> None:
        """An endless body is begun by the guard, and left to the application."""
        stream = Measured(None)
        environ = self._ask(
            method, stream, wsgi__input_terminated=True, CONTENT_LENGTH=None
        )
        seen: list[int] = []

        def application(environ: Any, start_response: Any) -> list[bytes]:
            seen.append(stream.given)
            assert environ['wsgi.input'].read(LIMIT * 2) == b' ' * (LIMIT * 2)
            start_response('204 No Content', [])
            return []

        assert (
            send(make_guard(application, enforcement='shadow'), environ).status == 204
        )
        assert seen[0] <= LIMIT + PIECE


@pytest.mark.parametrize(
    'document', ['[' * 10**6, '{"a":' * 10**5, '[' * 10**5 + ']' * 10**5]
)
def test_nesting(document: str) -> None:
    """B12 F01: a parser that gives up is a 400, not a fault."""
    recorder = Recorder()
    environ = ask_for('/allocations', 'POST', body=document.encode())
    assert send(make_guard(recorder), environ).status == 400
    assert recorder.asked == []


@pytest.mark.parametrize('many', [20_000, 70_000])
def test_many_consumers(deploy: Deploy, many: int) -> None:
    """R02: one of B's among as many as a body can hold; nothing is written."""
    deployed = deploy(options={'max_body_size': 64 * 2**20}, rules=OWNER_RULES)
    scene = Scene(deployed)
    before = scene.rows()
    claim = scene.claim(amount=0)
    document = {str(uuid.uuid4()): claim for _ in range(many)}
    document |= {scene.own: claim, scene.foreign: claim}
    body = json.dumps(document).encode()
    started = time.process_time()
    environ = scene.environ('POST', '/allocations', body=body)
    answer = send(deployed.application, environ)
    assert time.process_time() - started < 30
    assert answer.status in (403, 413, 503)
    scene.assert_tells_nothing(answer)
    assert scene.rows() == before


def test_many_consumers_by_default(guarded: Deployment) -> None:
    """R02: a body of 20,000 is too large."""
    scene = Scene(guarded)
    document = {str(uuid.uuid4()): scene.claim() for _ in range(20_000)}
    body = json.dumps(document).encode()
    answer = send(guarded.application, scene.environ('POST', '/allocations', body=body))
    assert answer.status == 413


def test_one_look_up_however_many() -> None:
    """R02"""
    owners = FixedOwners()
    uuids = [str(uuid.uuid4()) for _ in range(500)]
    claim = {
        'allocations': {'x': {'resources': {'VCPU': 1}}},
        'project_id': 'x',
        'user_id': 'x',
        'consumer_generation': 1,
        'consumer_type': 'X',
    }
    body = json.dumps(dict.fromkeys(uuids, claim)).encode()
    environ = ask_for('/allocations', 'POST', body=body)
    assert send(make_guard(Recorder(), owners=owners), environ).status == 403
    assert owners.asked == [frozenset(uuids)]


def test_many_roles(guarded: Deployment) -> None:
    """R03: a token of very many roles."""
    roles = [f'role-{number}' for number in range(50_000)]
    caller = guarded.add_user(*roles)
    scene = Scene(guarded)
    environ = scene.environ('GET', '/allocations/{CB}', token=caller.token)
    started = time.process_time()
    assert send(guarded.application, environ).status == 403
    assert time.process_time() - started < 5
