# SPDX-License-Identifier: Apache-2.0
"""Keystone stops in the middle, and comes back."""

import time

import pytest

from tests.cloud.placement import Client
from tests.cloud.stack import Cloud
from tests.keystone.scenery import Scene

#: Seconds to be back after keystone, without a restart of placement.
BACK = 30


def is_back(client: Client, path: str) -> bool:
    """Whether a request is answered as it was before, within BACK seconds."""
    deadline = time.monotonic() + BACK
    while client.request('GET', path).status_code != 200:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


@pytest.mark.parametrize('how', ['stopped', 'frozen'])
def test_away(scene: Scene, cloud: Cloud, how: str) -> None:
    """503; known tokens go on; back by itself.

    Where decisions are delayed auth_token says nothing of refused connections.
    """
    own, foreign = f'/allocations/{scene.own}', f'/allocations/{scene.foreign}'
    token = scene.add_token('reader')
    known = scene.client(token)
    away = {'conceal': 503, 'delayed': 401 if how == 'stopped' else 503}
    others = {
        variant: scene.client(scene.add_token('reader'), variant) for variant in away
    }
    assert known.request('GET', own).status_code == 200
    # It was there before: they know the catalog, but not these tokens.
    for variant in away:
        assert scene.read(token, variant)[0] == 200
    server = cloud.keystone.server
    server.stop() if how == 'stopped' else server.freeze()
    try:
        for variant, client in others.items():
            # A keystone that hangs is waited for once.
            for path in (own, foreign) if how == 'stopped' else (foreign,):
                began = time.monotonic()
                answer = client.request('GET', path)
                assert answer.status_code == away[variant], (variant, answer.text)
                assert time.monotonic() - began < 20
                assert scene.beta.id not in answer.text
            assert client.request('GET', '/').status_code == 200
        # auth_token has this one in its cache.
        assert known.request('GET', own).status_code == 200
        assert known.request('GET', foreign).status_code == 403
    finally:
        server.start() if how == 'stopped' else server.thaw()
    for client in (known, *others.values()):
        assert is_back(client, own)
    assert known.request('GET', foreign).status_code == 403
    assert scene.read(scene.add_token('reader')) == (200, 403)
