# SPDX-License-Identifier: Apache-2.0
"""Caller class x operation x whose consumer x microversion edge, one table.

Over real placement, whose own rules are open to everybody here: every refusal
is the guard's, and a gap in it is a leak that the test sees.
"""

from collections.abc import Mapping

import pytest
import webtest

from tests.administrator import User
from tests.deployment import Deployment
from tests.scenery import Scene

KINDS = ('owned', 'foreign', 'unknown', 'ownerless')

#: Microversions at which the answers or the bodies change.
EDGES = ('1.0', '1.7', '1.8', '1.11', '1.12', '1.13', '1.14', '1.15', '1.22', '1.23')
SEALED = ('1.28', '1.33', '1.34', '1.37', '1.38', '1.39', 'latest')
UNSEALED = ('1.0', '1.7', '1.8', '1.12', '1.27')


def read_states(scene: Scene) -> Mapping[str, object]:
    """All rows of each of the four consumers."""
    kinds = scene.kinds  # adds those that nobody has asked for yet
    named = scene.tables.read_named()
    return {
        kind: {row for row in named if consumer in row}
        for kind, consumer in kinds.items()
    }


def act(scene: Scene, operation: str, kind: str, version: str) -> webtest.TestResponse:
    """Alice's operation on one consumer; writes claim it for her."""
    consumer = scene.kinds[kind]
    number = version if version != 'latest' else '1.39'
    claimed = User((), scene.alice.project_id or 'x', scene.alice.user_id)
    generation = scene.tables.read_generation(consumer)
    claim = scene.claim(claimed, generation=generation, version=number)
    method, path, body = {
        'list': ('GET', f'/allocations/{consumer}', None),
        'update': ('PUT', f'/allocations/{consumer}', claim),
        'delete': ('DELETE', f'/allocations/{consumer}', None),
        'manage': ('POST', '/allocations', {consumer: claim}),
        'reshape': ('POST', '/reshaper', None),
    }[operation]
    if operation == 'reshape':
        body = scene.deployed.make_reshape(scene.provider, {consumer: claim})
    return scene.deployed.request(method, path, scene.alice, version=version, body=body)


def _all(status: int) -> dict[str, int]:
    return dict.fromkeys(KINDS, status)


_OWN_READ = _all(403) | {'owned': 200}
_OWN_WRITE = _all(403) | {'owned': 204}

#: (roles, scope) of the caller, operation, microversions, status by kind.
MATRIX = (
    ('reader', 'project', 'list', (*EDGES, *SEALED), _OWN_READ),
    ('reader', 'project', 'update', SEALED, _all(403)),
    ('reader', 'project', 'delete', ('1.0', '1.38'), _all(403)),
    ('reader', 'project', 'manage', SEALED[:1], _all(403)),
    ('reader', 'project', 'reshape', ('1.30', '1.38'), _all(403)),
    ('member', 'project', 'list', ('1.38',), _all(403)),
    ('member', 'project', 'update', UNSEALED, _all(403)),
    ('member', 'project', 'update', SEALED, _OWN_WRITE),
    ('member', 'project', 'manage', ('1.13', '1.27'), _all(403)),
    ('member', 'project', 'manage', SEALED, _OWN_WRITE),
    ('member', 'project', 'delete', ('1.0', '1.28', '1.39'), _all(403)),
    ('member', 'project', 'reshape', ('1.30', '1.34', '1.39'), _all(403)),
    ('', 'project', 'list', ('1.0', '1.38'), _all(403)),
    ('', 'project', 'update', ('1.0', '1.38'), _all(403)),
    ('', 'project', 'delete', ('1.38',), _all(403)),
    ('manager', 'project', 'list', ('1.38',), _all(403)),
    ('reader member', 'system', 'list', ('1.0', '1.38'), _all(403)),
    ('reader member', 'system', 'update', ('1.38',), _all(403)),
    ('admin', 'system', 'list', ('1.38',), _all(403)),
    ('admin', 'system', 'delete', ('1.38',), _all(403)),
    ('reader member', 'domain', 'list', ('1.38',), _all(403)),
    ('admin', 'domain', 'list', ('1.38',), _all(403)),
    ('reader member', 'unscoped', 'list', ('1.0', '1.38'), _all(403)),
    ('reader member', 'unscoped', 'update', ('1.38',), _all(403)),
    ('consumer_guard_passage', 'project', 'list', ('1.38',), _all(403)),
    ('admin', 'project', 'list', (*EDGES, *SEALED), _all(200)),
    ('service', 'project', 'list', ('1.0', '1.28', '1.38'), _all(200)),
    ('admin', 'project', 'update', (*UNSEALED, *SEALED), _all(204)),
    ('service', 'project', 'update', ('1.0', '1.28', '1.36'), _all(204)),
    ('admin', 'project', 'manage', ('1.13', '1.28', '1.38'), _all(204)),
    ('service', 'project', 'reshape', ('1.30', '1.38'), _all(204)),
    (
        'admin',
        'project',
        'delete',
        ('1.0', '1.38'),
        _all(204) | {'unknown': 404},
    ),
)


@pytest.mark.parametrize(
    ('roles', 'scope', 'operation', 'version', 'expected'),
    [
        pytest.param(
            tuple(roles.split()),
            scope,
            operation,
            version,
            expected,
            id=f'{roles or "nobody"}-{scope}-{operation}-{version}',
        )
        for roles, scope, operation, versions, expected in MATRIX
        for version in versions
    ],
)
def test_every_row_of_the_matrix_gets_its_statuses_and_refusals_tell_nothing(
    guarded: Deployment,
    roles: tuple[str, ...],
    scope: str,
    operation: str,
    version: str,
    expected: dict[str, int],
) -> None:
    scene = Scene(guarded, alice=guarded.add_user(*roles, scope=scope))
    before = read_states(scene)
    answers = {kind: act(scene, operation, kind, version) for kind in KINDS}
    assert {kind: answer.status_int for kind, answer in answers.items()} == expected
    after = read_states(scene)
    for kind, status in expected.items():
        if status == 403:
            assert after[kind] == before[kind]
            assert_tells_nothing(answers[kind], scene)
    refused = [k for k in KINDS if k != 'owned' and expected[k] == 403]
    bodies = {_without_ids(answers[kind]) for kind in refused}
    assert len(bodies) <= 1, 'the answers tell the consumers apart'


def assert_tells_nothing(answer: webtest.TestResponse, scene: Scene) -> None:
    """No id of the victim in a refusal."""
    for secret in (scene.bob.project_id, scene.bob.user_id, scene.provider):
        assert secret
        assert secret not in answer.text


def _without_ids(answer: webtest.TestResponse) -> str:
    text: str = answer.text
    request_id = answer.headers['x-openstack-request-id']
    assert request_id in text
    headers = sorted(
        (name, value)
        for name, value in answer.headers.items()
        if name.lower() != 'x-openstack-request-id'
    )
    return f'{answer.status} {headers} {text.replace(request_id, "")}'


class TestTakeOver:
    """What the naive rules allow to every member, here refused."""

    def test_claiming_the_right_owner_does_not_help(self, guarded: Deployment) -> None:
        """B03"""
        scene = Scene(guarded)
        answer = scene.put(scene.alice, scene.foreign, owner=scene.bob, generation=1)
        assert answer.status_int == 403

    def test_giving_away(self, guarded: Deployment) -> None:
        """B01"""
        scene = Scene(guarded)
        before = guarded.show(scene.own)
        assert scene.put(scene.alice, owner=scene.bob).status_int == 403
        assert guarded.show(scene.own) == before

    @pytest.mark.parametrize('order', ['own first', 'foreign first'])
    def test_all_or_nothing(self, guarded: Deployment, order: str) -> None:
        """B20"""
        scene = Scene(guarded)
        before = read_states(scene)
        kinds = ['owned', 'foreign']
        if order == 'foreign first':
            kinds.reverse()
        claims = {scene.kinds[kind]: scene.claim() for kind in kinds}
        assert scene.post(scene.alice, claims).status_int == 403
        assert read_states(scene) == before

    def test_nothing_that_empties_a_consumer_is_allowed_by_ownership(
        self, guarded: Deployment
    ) -> None:
        """B21: neither DELETE nor a write of no allocations."""
        scene = Scene(guarded)
        before = read_states(scene)
        for kind in KINDS:
            for answer in (
                scene.delete(scene.alice, scene.kinds[kind]),
                scene.put(scene.alice, scene.kinds[kind], amount=0),
            ):
                assert answer.status_int == 403
        for answer in (scene.delete(scene.alice), scene.put(scene.alice, amount=0)):
            assert 'requires a role' in answer.json['errors'][0]['detail']
        assert read_states(scene) == before

    @pytest.mark.parametrize('generation', [None, 0, 2, 2**31, 10**400, -1])
    def test_seal(self, guarded: Deployment, generation: int | None) -> None:
        """A generation that is not the judged one never reaches placement."""
        scene = Scene(guarded)
        answer = scene.put(scene.alice, generation=generation)
        assert answer.status_int == 409
        error = answer.json['errors'][0]
        assert error['code'] == 'placement.concurrent_update'
        assert 'consumer generation conflict' in error['detail']
        assert 'expected 1' not in error['detail']

    def test_generation_as_float(self, guarded: Deployment) -> None:
        """1.0 is 1 for placement's schema and compare, and so for the seal."""
        scene = Scene(guarded)
        answer = scene.put(scene.alice, generation=1.0)
        assert answer.status_int == 204

    @pytest.mark.parametrize('generation', [True, '1', 1.5, [1], {}])
    def test_generation_of_another_type(
        self, guarded: Deployment, generation: object
    ) -> None:
        scene = Scene(guarded)
        for kind in KINDS:
            answer = scene.put(scene.alice, scene.kinds[kind], generation=generation)
            # The body is read for the owner of the consumer only.
            assert answer.status_int == (400 if kind == 'owned' else 403)
