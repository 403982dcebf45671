# SPDX-License-Identifier: Apache-2.0
"""THREATS: what placement's answers tell an owner of others on the same provider."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.configuration import OPEN_RULES, OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.between import step_into
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


def test_role_holders_get_every_byte(guarded: Deployment) -> None:
    scene = Scene(guarded)
    shown = scene.get(scene.admin).json['allocations'][scene.provider]
    assert shown['generation'] >= 1
    answer = scene.put(scene.admin, generation=77)
    assert 'expected 1 but got 77' in answer.text


def test_shadow_hides_no_generation_from_an_owner(deploy: Deploy) -> None:
    options = {'enforcement': 'shadow'}
    scene = Scene(deploy(rules=OWNER_RULES, options=options))
    assert read(scene).body == scene.get(scene.admin).body
