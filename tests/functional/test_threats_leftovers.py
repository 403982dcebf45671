# SPDX-License-Identifier: Apache-2.0
"""THREATS: names that a write would leave in placement's tables for ever."""

import uuid
from typing import Any

import pytest

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.scenery import Scene

PUT_AND_POST = pytest.mark.parametrize('method', ['PUT', 'POST'])


def write(scene: Scene, method: str, **changes: Any) -> int:
    """Alice's write of her consumer upon what is stored; its status."""
    claim = scene.claim(generation=scene.generation()) | changes
    version = '1.38' if 'consumer_type' in claim else '1.37'
    path = f'/allocations/{scene.own}'
    if method == 'POST':
        path, claim = '/allocations', {scene.own: claim}
    answer = scene.deployed.request(
        method, path, scene.alice, version=version, body=claim
    )
    return int(answer.status_int)


def invent(name: str) -> str:
    """A name that placement's schema takes and that nobody has."""
    made = uuid.uuid4().hex
    return made.upper() if name == 'consumer_type' else made


@PUT_AND_POST
@pytest.mark.parametrize('name', ['user_id', 'consumer_type', 'project_id'])
def test_an_owner_leaves_no_invented_name_behind(
    deploy: Deploy, naive: Deployment, method: str, name: str
) -> None:
    """B29: by a rule, too, that does not compare what is invented."""
    check = 'rule:consumer_guard:admin_or_service or user_id:%(user_id)s'
    if name == 'user_id':
        check = OWNER_RULES['consumer_guard:allocations:update']
    rules = dict.fromkeys(OWNER_RULES, check)
    scene = Scene(deploy(rules=rules))
    assert write(scene, method) == 204
    before = scene.rows()
    for _ in range(20):
        assert write(scene, method, **{name: invent(name)}) == 403
    assert scene.rows() == before
    naive.activate()
    scene.deployed = naive
    assert write(scene, method, **{name: invent(name)}) == 204
    assert scene.rows() != before


@PUT_AND_POST
def test_an_owner_keeps_what_is_recorded_or_takes_it_over(
    guarded: Deployment, method: str
) -> None:
    """B29: the caller's own user, and a type that somebody else has made."""
    scene = Scene(guarded)
    colleague = guarded.add_user('member', project_id=scene.alice.project_id)
    existing = invent('consumer_type')
    other = guarded.add_consumer(scene.provider, scene.bob)
    body = scene.claim(scene.bob) | {'consumer_type': existing}
    guarded.must('PUT', f'/allocations/{other}', body)
    assert scene.put(scene.admin, owner=colleague).status_int == 204
    for user, status in (
        (colleague, 204),
        (scene.bob, 403),
        (scene.alice, 204),
        (colleague, 403),
    ):
        assert write(scene, method, user_id=user.user_id) == status
    for kind, status in ((existing, 204), (invent('consumer_type'), 403)):
        assert write(scene, method, consumer_type=kind) == status
    shown = guarded.show(scene.own)
    assert shown['user_id'] == scene.alice.user_id
    assert shown['consumer_type'] == existing


@PUT_AND_POST
def test_below_1_38_no_type_is_asked_for(guarded: Deployment, method: str) -> None:
    scene = Scene(guarded)
    claim = scene.claim(generation=1, version='1.37')
    assert 'consumer_type' not in claim
    body: Any = {scene.own: claim} if method == 'POST' else claim
    path = '/allocations' if method == 'POST' else f'/allocations/{scene.own}'
    answer = guarded.request(method, path, scene.alice, version='1.37', body=body)
    assert answer.status_int == 204, answer.text


def test_one_invented_name_refuses_all_of_a_post(guarded: Deployment) -> None:
    """B29 B20"""
    scene = Scene(guarded)
    neighbour = guarded.add_consumer(scene.provider, scene.alice)
    odd = scene.claim() | {'user_id': invent('user_id')}
    before = scene.rows()
    for claims in (
        {scene.own: scene.claim(), neighbour: odd},
        {scene.own: odd, neighbour: scene.claim()},
    ):
        answer = scene.post(scene.alice, claims)
        assert answer.status_int == 403
        assert 'keep the recorded values' in answer.json['errors'][0]['detail']
    assert scene.rows() == before


@pytest.mark.parametrize('method', ['PUT', 'POST'])
def test_an_invented_name_tells_no_foreign_consumer_from_an_unknown_one(
    guarded: Deployment, method: str
) -> None:
    """B29 X10: types of others' consumers are no secret that leaks."""
    scene = Scene(guarded)
    details = set()
    for consumer in (scene.foreign, scene.unknown):
        for kind in ('INSTANCE', invent('consumer_type')):
            claim: Any = scene.claim() | {'consumer_type': kind}
            path = f'/allocations/{consumer}'
            if method == 'POST':
                path, claim = '/allocations', {scene.own: claim, consumer: claim}
            answer = guarded.request(method, path, scene.alice, body=claim)
            assert answer.status_int == 403
            details.add(answer.json['errors'][0]['detail'])
    assert len(details) == 1


def test_role_holders_claim_what_placement_takes(guarded: Deployment) -> None:
    scene = Scene(guarded)
    body = scene.claim() | {
        'user_id': invent('user_id'),
        'consumer_type': invent('consumer_type'),
    }
    guarded.must('PUT', f'/allocations/{scene.own}', body)
