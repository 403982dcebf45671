# SPDX-License-Identifier: Apache-2.0
"""THREATS: what the documents of writes say."""

import io
import json
import uuid
from typing import Any

import pytest

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment, make_request
from tests.fuzz.bodies import Pairs, Raw
from tests.scenery import Scene, write


def bend(claim: dict[str, Any], *more: tuple[Any, Any], first: bool = False) -> Pairs:
    """A claim with more pairs before or behind its own; the last one counts."""
    return Pairs([*more, *claim.items()] if first else [*claim.items(), *more])


# Row, path, status, whether it writes without the guard, and the document.
# It is a value, or made of the scene.
WRITES: tuple[tuple[str, str, int, bool, Any], ...] = (
    ('B01', '{CA}', 403, True, lambda scene: scene.claim(scene.bob)),
    ('B02', '{CB}', 403, True, lambda scene: scene.claim()),
    ('B03', '{CB}', 403, True, lambda scene: scene.claim(scene.bob)),
    (
        'B04',
        '{CA}',
        403,
        True,
        lambda s: bend(s.claim(), ('project_id', s.bob.project_id)),
    ),
    (
        'B04',
        '{CB}',
        403,
        True,
        lambda s: bend(s.claim(), ('project_id', s.bob.project_id), first=True),
    ),
    (
        'B06',
        '{CA}',
        403,
        True,
        lambda s: bend(s.claim(), (Raw('"\\u0070roject_id"'), s.bob.project_id)),
    ),
    (
        'B20',
        '',
        403,
        True,
        lambda s: {s.own: s.claim(), s.foreign: s.claim(s.bob)},
    ),
    ('B20', '', 403, True, lambda s: {s.foreign: s.claim(), s.own: s.claim()}),
    (
        'B20',
        '',
        403,
        True,
        lambda s: {s.own: s.claim(), s.unknown: s.claim(generation=None)},
    ),
    (
        'B20',
        '',
        403,
        True,
        lambda s: Pairs([(s.own, s.claim()), (s.foreign, {}), (s.foreign, s.claim())]),
    ),
    ('B20', '', 400, True, lambda s: {s.foreign.upper(): s.claim(generation=None)}),
    (
        'B20',
        '',
        400,
        True,
        lambda s: {s.own: s.claim(), s.own.upper(): s.claim(generation=None)},
    ),
    ('B20', '', 400, True, lambda s: {s.own + '\n': s.claim(generation=None)}),
    ('B21', '', 403, True, lambda s: {s.foreign: s.claim(amount=0)}),
    ('B21', '{CB}', 403, True, lambda s: s.claim(amount=0)),
    ('B25', 'reshaper', 403, True, lambda s: reshape(s, {s.foreign: s.claim()})),
    ('B25', 'reshaper', 403, True, lambda s: reshape(s, {s.own: s.claim()})),
    ('B26', 'reshaper', 403, True, lambda s: reshape(s, {})),
    (
        'B27',
        'reshaper',
        403,
        True,
        lambda s: bend(
            reshape(s, {s.own: s.claim()}), ('allocations', {s.foreign: s.claim()})
        ),
    ),
    ('B27', 'reshaper', 403, False, {'inventories': {}}),
    ('B27', 'reshaper', 403, False, lambda s: reshape(s, [])),
    ('G12', '{CA}', 409, False, lambda s: _with_provider_generation(s, 1, 2)),
    ('B12', '{CA}', 400, False, []),
    ('B12', '{CA}', 400, False, 'text'),
    ('B12', '{CA}', 400, False, None),
    ('B12', '{CA}', 400, False, {'x': 5}),
    ('B12', '{CA}', 400, False, lambda s: s.claim() | {'allocations': None}),
    ('B12', '{CA}', 400, False, b''),
    ('B12', '{CA}', 400, False, b'{'),
    ('B12', '', 400, False, {}),
    ('B12', '', 400, False, []),
    ('B12', '', 400, False, lambda s: {s.own: None}),
    ('B12', '', 400, False, lambda s: {s.own: []}),
    ('B12', '', 400, False, lambda s: {s.own: s.claim(), s.foreign: 5}),
    ('B12', '', 400, False, lambda s: {'': s.claim()}),
    *[
        ('B13', '{CA}', 400, False, lambda s, v=value: s.claim() | {'project_id': v})
        for value in (5, True, None, ['A'], {'a': 1}, '', 'x' * 256)
    ],
    *[
        ('B13', '{CA}', 400, True, lambda s, v=value: s.claim() | {'user_id': v})
        for value in ('x\n', ' ', 'x\x00', '\u2028')
    ],
    *[
        ('G06', '{CA}', 409, False, lambda s, v=value: s.claim(generation=v))
        for value in (2**31, 2**63, Raw('1' + '0' * 400), -1, Raw('1e300'))
    ],
    *[
        ('G06', '{CA}', 400, False, lambda s, v=value: s.claim(generation=v))
        for value in (Raw('1' * 5000), Raw('1e400'), Raw('NaN'), Raw('-Infinity'))
    ],
)


def reshape(scene: Scene, allocations: Any) -> dict[str, Any]:
    """A reshape that changes no inventory; the scene's provider is at 3."""
    kept = {
        'resource_provider_generation': 3,
        'inventories': {'VCPU': {'total': 1000}},
    }
    return {'inventories': {scene.provider: kept}, 'allocations': allocations}


def _with_provider_generation(scene: Scene, of_provider: int, own: int) -> Any:
    claim = scene.claim(generation=own)
    claim['allocations'][scene.provider]['generation'] = of_provider
    return claim


@pytest.mark.parametrize(
    ('path', 'status', 'bites', 'document'),
    [pytest.param(*row[1:], id=f'{n}-{row[0]}') for n, row in enumerate(WRITES)],
)
def test_refused(
    guarded: Deployment,
    naive: Deployment,
    path: str,
    status: int,
    bites: bool,
    document: Any,
) -> None:
    """Refused, and nothing written; without the guard it was written."""
    guarded.activate()
    scene = Scene(guarded)
    path = '/reshaper' if path == 'reshaper' else f'/allocations/{path}'.rstrip('/')
    sent = document(scene) if callable(document) else document
    before = scene.rows()
    answer = write(guarded, scene, path, sent)
    assert answer.status == status, answer.body
    scene.assert_tells_nothing(answer)
    assert scene.rows() == before
    naive.activate()
    write(naive, scene, path, sent)
    # A server takes less: no NUL, nothing that is too long for its column.
    if guarded.database.startswith('sqlite'):
        assert (scene.rows() != before) == bites


@pytest.mark.parametrize('version', ['1.0', '1.7', '1.8', '1.12', '1.27'])
@pytest.mark.parametrize('consumer', ['{CA}', '{CB}'])
def test_writes_without_a_seal(
    guarded: Deployment, naive: Deployment, version: str, consumer: str
) -> None:
    """B17: below 1.28 a PUT overwrites freely, below 1.8 to nobody's project."""
    guarded.activate()
    scene = Scene(guarded)
    document = scene.claim(version=version)
    path = f'/allocations/{consumer}'
    before = scene.rows()
    answer = write(guarded, scene, path, document, version=version)
    assert answer.status == 403
    assert scene.rows() == before
    naive.activate()
    assert write(naive, scene, path, document, version=version).status == 204
    assert scene.rows() != before


@pytest.mark.parametrize('version', ['1.13', '1.27'])
def test_posts_without_a_seal(guarded: Deployment, version: str) -> None:
    """B17 B20: at 1.13 a POST overwrites freely, too."""
    scene = Scene(guarded)
    document = {scene.foreign: scene.claim(version=version)}
    before = scene.rows()
    answer = write(guarded, scene, '/allocations', document, version=version)
    assert answer.status == 403
    assert scene.rows() == before


@pytest.mark.parametrize('minor', [12, 27, 28, 37])
@pytest.mark.parametrize('with_generation', [True, False])
def test_a_generation_where_it_does_not_belong(
    deploy: Deploy, minor: int, with_generation: bool
) -> None:
    """G11: the guard neither adds nor strips it; the schema is placement's."""
    deployed = deploy()
    scene = Scene(deployed)
    version = f'1.{minor}'
    document = scene.claim(version=version)
    document.pop('consumer_generation', None)
    if with_generation:
        document['consumer_generation'] = 1
    answer = write(
        deployed,
        scene,
        '/allocations/{CA}',
        document,
        version=version,
        token=deployed.admin.token,
    )
    assert answer.status == (204 if with_generation == (minor >= 28) else 400)


@pytest.mark.parametrize('amount', [1, 300])
@pytest.mark.parametrize('chunked', [True, False])
@pytest.mark.parametrize('path', ['/allocations', '/allocations/{own}'])
def test_a_limit_in_front_that_answers_while_the_body_is_read(
    deploy: Deploy, chunked: bool, amount: int, path: str
) -> None:
    """Its 413 stays 413, for services as without the guard, and for owners."""
    deployment = deploy(rules=OWNER_RULES)
    paste = deployment.directory / 'api-paste.ini'
    text = paste.read_text().replace(
        'request_log authtoken', 'request_log sizelimit authtoken'
    )
    paste.write_text(
        f'{text}\n[filter:sizelimit]\n'
        'paste.filter_factory = oslo_middleware:RequestBodySizeLimiter.factory\n'
        'max_request_body_size = 2000\n'
    )
    deployment.load()
    scene = Scene(deployment)
    claim = scene.claim()
    claim['allocations'] |= {
        str(uuid.UUID(int=number)): {'resources': {'VCPU': 1}}
        for number in range(1, amount)
    }
    body = json.dumps({scene.own: claim} if path == '/allocations' else claim).encode()
    small = len(body) < 2000
    nova = deployment.add_user('service')
    for caller in (scene.alice, nova):
        request = make_request(
            'POST' if path == '/allocations' else 'PUT',
            path.format(own=scene.own),
            caller,
        )
        request.content_type = 'application/json'
        request.body_file = io.BytesIO(body)
        request.environ['wsgi.input_terminated'] = True
        request.content_length = None if chunked else len(body)
        answer = request.get_response(deployment.application)
        assert answer.status_code == (204 if small else 413), answer.text
        if small:
            return
