# SPDX-License-Identifier: Apache-2.0
"""THREATS: what placement's answers tell an owner of others on the same provider."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.configuration import OPEN_RULES, OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.between import step_into
from tests.fuzz.alone import CONSUMER, REQUESTS, Recorder, ask_for, make_guard
from tests.fuzz.wire import send
from tests.scenery import Scene

OPEN_TO_PASSAGE = OPEN_RULES | {
    'placement:usages': OPEN_RULES['placement:allocations:list']
}
VERSIONS = ('1.0', '1.11', '1.12', '1.14', '1.15', '1.27', '1.28', '1.38', '1.39')


def read(scene: Scene, version: str = '1.38', **more: Any) -> Any:
    path = f'/allocations/{scene.own}'
    return scene.deployed.request('GET', path, scene.alice, version=version, **more)


@pytest.mark.parametrize('version', VERSIONS)
def test_a_foreign_write_on_the_provider_shows_in_no_read_of_ones_own(
    deploy: Deploy, version: str
) -> None:
    """X15: co-residence; only the time of the answer differs."""
    scene = Scene(deploy(rules=OWNER_RULES, placement_rules=OPEN_TO_PASSAGE))
    before = read(scene, version)
    assert before.status_int == 200
    for _ in range(3):
        assert scene.put(scene.admin, scene.foreign, owner=scene.bob).status_int == 204
    after = read(scene, version)
    assert after.body == before.body
    assert after.json['allocations'][scene.provider]['generation'] is None
    assert after.headers['Content-Length'] == str(len(after.body))
    names = [[name for name, _ in each.headerlist] for each in (before, after)]
    assert names[0] == names[1]
    assert ('Last-Modified' in after.headers) is (float(version[2:]) >= 15)


@pytest.mark.parametrize('version', VERSIONS)
def test_nothing_but_the_generation_of_the_provider_is_hidden(
    deploy: Deploy, version: str
) -> None:
    scene = Scene(deploy(rules=OWNER_RULES))
    theirs = scene.deployed.request(
        'GET', f'/allocations/{scene.own}', scene.admin, version=version
    )
    generation = theirs.json['allocations'][scene.provider]['generation']
    assert generation >= 1
    shown = f'"generation": {generation}'.encode()
    mine = read(scene, version)
    assert mine.body == theirs.body.replace(shown, b'"generation": null')
    changing = ('content-length', 'last-modified', 'x-openstack-request-id')
    assert [
        header for header in mine.headerlist if header[0].lower() not in changing
    ] == [header for header in theirs.headerlist if header[0].lower() not in changing]


def test_the_option_shows_owners_what_placement_shows(deploy: Deploy) -> None:
    options = {'hide_provider_generation': False}
    scene = Scene(deploy(rules=OWNER_RULES, options=options))
    theirs = scene.get(scene.admin)
    assert read(scene).body == theirs.body


def test_an_owner_writes_what_was_read_without_the_generation(
    guarded: Deployment,
) -> None:
    scene = Scene(guarded)
    body = read(scene).json
    assert (
        guarded.request(
            'PUT', f'/allocations/{scene.own}', scene.alice, body=body
        ).status_int
        == 400
    )
    del body['allocations'][scene.provider]['generation']
    body['consumer_generation'] = read(scene).json['consumer_generation']
    answer = guarded.request('PUT', f'/allocations/{scene.own}', scene.alice, body=body)
    assert answer.status_int == 204, answer.text


@pytest.mark.parametrize(
    ('method', 'accept', 'status'),
    [('HEAD', '*/*', 405), ('GET', 'text/plain', 406), ('GET', 'text/html', 406)],
)
def test_other_answers_are_placements(
    guarded: Deployment, method: str, accept: str, status: int
) -> None:
    scene = Scene(guarded)
    path, headers = f'/allocations/{scene.own}', {'Accept': accept}
    mine, theirs = (
        guarded.request(method, path, caller, headers=headers)
        for caller in (scene.alice, scene.admin)
    )
    assert mine.status_int == theirs.status_int == status
    assert len(mine.body) == len(theirs.body)


OWN = {'allocations': {'rp': {'generation': 5, 'resources': {'VCPU': 1}}}}


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(
    ('body', 'headers', 'status'),
    [
        (json.dumps(OWN).encode(), [], '200 OK'),
        (json.dumps(OWN).encode(), [('ETag', '"secret"')], '200 OK'),
        (json.dumps(OWN).encode(), [('Content-MD5', 'secret')], '200 OK'),
        (_gzip(json.dumps(OWN).encode()), [('Content-Encoding', 'gzip')], '200 OK'),
        (json.dumps(OWN).encode()[:-1], [], '200 OK'),
        (b'[' * 100_000, [], '200 OK'),
        (b'null', [], '200 OK'),
        (b'{"allocations": [5]}', [], '200 OK'),
        (b'{"allocations": {"rp": 5}}', [], '200 OK'),
        (json.dumps(OWN).encode(), [], '206 Partial Content'),
        (json.dumps(OWN).encode(), [], '203 Non-Authoritative Information'),
    ],
    ids=str,
)
def test_an_answer_that_is_not_understood_shows_nothing(
    body: bytes, headers: list[tuple[str, str]], status: str
) -> None:
    """X15 F05: compressed, cut, partial: 502; digests of the whole are dropped."""
    behind = Recorder([body], status=status)
    behind.headers += headers
    answer = send(make_guard(behind), ask_for())
    assert [chunks.closed for chunks in behind.answers] == [1]
    assert 'secret' not in answer.everything
    if answer.status == 200:
        assert json.loads(answer.body)['allocations']['rp']['generation'] is None
    else:
        assert answer.status == 502
        assert b'"generation"' not in answer.body


@pytest.mark.parametrize('status', ['404 Not Found', '503 Service Unavailable'])
def test_errors_of_the_application_pass(status: str) -> None:
    behind = Recorder([b'error'], status=status)
    answer = send(make_guard(behind), ask_for())
    assert (answer.status, answer.body) == (int(status[:3]), b'error')


def re_own(scene: Scene) -> None:
    answer = scene.put(scene.admin, owner=scene.bob, amount=3)
    assert answer.status_int == 204, answer.text


def delete(scene: Scene) -> None:
    assert scene.delete(scene.admin).status_int == 204


@pytest.mark.parametrize('move', [re_own, delete])
@pytest.mark.parametrize('version', ['1.28', '1.38'])
@pytest.mark.parametrize('accept', ['application/json', 'text/html', '*/*'])
@pytest.mark.parametrize('method', ['PUT', 'POST'])
def test_a_409_names_no_generation(
    deploy: Deploy,
    move: Callable[[Scene], None],
    version: str,
    accept: str,
    method: str,
) -> None:
    """X16: of a consumer that changed hands or went between seal and write."""
    deployed = deploy(rules=OWNER_RULES, options={'lookup_pool_size': 2})
    steps = step_into(deployed)
    scene = Scene(deployed)
    claim: Any = scene.claim(generation=1, version=version)
    path = f'/allocations/{scene.own}'
    if method == 'POST':
        path, claim = '/allocations', {scene.own: claim}
    steps.before_the_next(lambda: move(scene))
    answer = deployed.request(
        method,
        path,
        scene.alice,
        version=version,
        body=claim,
        headers={'Accept': accept},
    )
    assert steps.taken
    assert answer.status_int == 409
    error = answer.json['errors'][0]
    assert error['code'] == 'placement.concurrent_update'
    assert error['request_id'] == answer.headers['x-openstack-request-id']
    last = error['detail'].strip().splitlines()[-1].strip()
    assert last == (
        'consumer generation conflict - another write came first; read the consumer '
        'again'
    )


def test_a_409_about_the_provider_is_placements(guarded: Deployment) -> None:
    scene = Scene(guarded)
    details = []
    for caller in (scene.admin, scene.alice):
        answer = scene.put(caller, amount=10**6)
        assert answer.status_int == 409
        details.append(answer.json['errors'][0]['detail'])
    assert 'exceed the capacity' in details[0]
    assert details[0] == details[1]


@pytest.mark.parametrize('method', ['PUT', 'POST'])
@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        (b'Unable to allocate inventory: full', True),
        (b'Inventory and/or allocations changed while attempting to allocate: x', True),
        (b'consumer generation conflict - expected 5 but got 3', False),
        (b'any other words, 5', False),
        (gzip.compress(b'expected 5', mtime=0), False),
    ],
)
def test_a_409_that_is_not_known_is_replaced(
    method: str, text: bytes, shown: bool
) -> None:
    """X16: texts of another release of placement, too."""
    behind = Recorder([text], status='409 Conflict')
    answer = send(make_guard(behind), REQUESTS[method]())
    assert answer.status == 409
    assert (answer.body == text) is shown
    assert [chunks.closed for chunks in behind.answers] == [1]
    if not shown:
        assert b'another write came first' in answer.body
        assert b'5' not in answer.body.replace(CONSUMER.encode(), b'').split(b'req-')[0]


def test_role_holders_get_every_byte(guarded: Deployment) -> None:
    scene = Scene(guarded)
    shown = scene.get(scene.admin).json['allocations'][scene.provider]
    assert shown['generation'] >= 1
    answer = scene.put(scene.admin, generation=77)
    assert 'expected 1 but got 77' in answer.text


def test_shadow_hides_nothing(deploy: Deploy) -> None:
    options = {'enforcement': 'shadow'}
    scene = Scene(deploy(rules=OWNER_RULES, options=options))
    assert read(scene).body == scene.get(scene.admin).body
