# SPDX-License-Identifier: Apache-2.0
"""The cache of auth_token's tokens stops in the middle, and comes back."""

import time
from collections.abc import Iterator

import pytest

from tests.cloud.memcached import Memcached
from tests.cloud.placement import Client, Placement
from tests.cloud.stack import Cloud
from tests.keystone.scenery import Scene

#: Seconds; auth_token waits for each of its calls (memcache_pool_socket_timeout).
LONGEST = 20

#: Seconds to answer as before, without a restart of placement; auth_token asks a
#: server that was gone again after a while (memcache_pool_dead_retry).
BACK = 30


@pytest.fixture(scope='module')
def memcached() -> Iterator[Memcached]:
    made = Memcached()
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope='module')
def placement(cloud: Cloud, memcached: Memcached) -> Placement:
    settings = {
        'memcached_servers': memcached.address,
        'memcache_pool_dead_retry': 2,
        'memcache_pool_socket_timeout': 1,
        'memcache_pool_conn_get_timeout': 2,
    }
    return cloud.serve_placement('memcached', authtoken=settings)


class Reader:
    """A reader of alpha, of its own consumer and of a foreign one."""

    def __init__(self, scene: Scene, placement: Placement) -> None:
        self._client = Client(placement.url, scene.add_token('reader'))
        self._paths = (f'/allocations/{scene.own}', f'/allocations/{scene.foreign}')
        self._hidden = scene.beta.id

    def read(self) -> tuple[int, ...]:
        """The statuses; nothing foreign is shown, and nobody waits for long."""
        statuses = []
        for path in self._paths:
            began = time.monotonic()
            answer = self._client.request('GET', path)
            assert time.monotonic() - began < LONGEST
            assert self._hidden not in answer.text
            statuses.append(answer.status_code)
        return tuple(statuses)


@pytest.mark.parametrize('how', ['stopped', 'frozen'])
def test_away(
    scene: Scene, placement: Placement, memcached: Memcached, how: str
) -> None:
    """Tokens are validated by keystone then; the answers are the same."""
    held = memcached.count_items()
    known = Reader(scene, placement)
    assert known.read() == (200, 403)
    assert memcached.count_items() > held, 'the cache is not used'
    memcached.stop() if how == 'stopped' else memcached.freeze()
    try:
        for reader in (known, Reader(scene, placement), known):
            assert reader.read() == (200, 403)
        forged = Client(placement.url, 'no such token')
        assert forged.request('GET', f'/allocations/{scene.own}').status_code == 401
    finally:
        memcached.start() if how == 'stopped' else memcached.thaw()
    assert known.read() == (200, 403)
    held = memcached.count_items()
    deadline = time.monotonic() + BACK
    while memcached.count_items() == held:
        assert time.monotonic() < deadline, 'the cache is not used again'
        assert Reader(scene, placement).read() == (200, 403)
        time.sleep(0.5)
