# SPDX-License-Identifier: Apache-2.0
"""THREATS: microversion headers that two readers could read differently.

What is at stake: below 1.28 placement compares no generation, and below 1.8 a PUT
moves the consumer to nobody. A guard that reads a newer microversion than
placement does takes a write for sealed that is not.
"""

import pytest

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.fuzz.wire import comparable, send
from tests.scenery import Scene, write

HEADERS = (
    'placement 1.38, placement 1.12',
    'placement 1.12, placement 1.38',
    'placement 1.38,placement 1.0',
    'placement 1.0,placement latest',
    'placement latest, placement 1.27',
    'compute 2.1, placement 1.38',
    'placement 1.38, compute 2.1',
    'placement 1.12, compute 1.38',
    'placement 1.38,',
    ',placement 1.38',
    'placement 1.38, placement',
    'placement 1.38, placement ',
    'placement  1.38',
    ' placement 1.38 ',
    'placement\t1.38',
    'placement 1.38\t',
    'placement 1.38 1.12',
    'placement 1.38; placement 1.12',
    'PLACEMENT 1.38',
    'Placement 1.12, placement 1.38',
    'placement LATEST',
    'placement latest ',
    'placement 1.038',
    'placement 01.38',
    'placement +1.38',
    'placement 1.3_8',
    'placement 1.-38',
    'placement 1.38.0',
    'placement 1.\xb2',
    'placement 1.\xd9\xa3\xd9\xa8',
    'placement 1',
    'placement 1.',
    'placement .38',
    'placement 1.40',
    'placement 2.0',
    'placement 0.38',
    'placement nan',
    'placement',
    'placement=1.38',
    '1.38',
    '',
)


@pytest.fixture(params=['forbid', 'conceal'])
def denying(deploy: Deploy, request: pytest.FixtureRequest) -> Deployment:
    return deploy(options={'denial': request.param}, rules=OWNER_RULES)


#: Writes without the stored generation, which is 1.
UNSEALED = (
    ('1.0', None),
    ('1.8', None),
    ('1.12', None),
    ('1.27', None),
    ('1.28', None),
    ('1.28', 7),
    ('1.38', None),
    ('1.38', 7),
)


def test_no_header_breaks_the_seal(denying: Deployment) -> None:
    """M01: an owner's write without the stored generation never lands."""
    scene = Scene(denying)
    before = scene.rows()
    for header in HEADERS:
        more = {'version': None, 'HTTP_OPENSTACK_API_VERSION': header}
        for version, generation in UNSEALED:
            claim = scene.claim(version=version, generation=generation)
            for path, document in (
                ('/allocations/{CA}', claim),
                ('/allocations', {scene.own: claim}),
            ):
                answer = write(denying, scene, path, document, **more)
                assert 400 <= answer.status < 500, header
        assert scene.rows() == before, header


def test_no_header_tells(denying: Deployment) -> None:
    """M02 X01: another owner's and an unknown consumer, read, written, removed."""
    scene = Scene(denying)
    before = scene.rows()
    for header in HEADERS:
        told = []
        for consumer in (scene.foreign, scene.unknown):
            answers = [
                send(
                    denying.application,
                    scene.environ(
                        method,
                        f'/allocations/{consumer}',
                        version=None,
                        HTTP_OPENSTACK_API_VERSION=header,
                    ),
                )
                for method in ('GET', 'PUT', 'DELETE')
            ]
            for answer in answers:
                scene.assert_tells_nothing(answer)
                assert answer.status != 204, header
            told.append([comparable(answer) for answer in answers])
        assert told[0] == told[1], header
    assert scene.rows() == before


def test_a_good_write_goes_as_without_the_guard(
    deploy: Deploy, naive: Deployment
) -> None:
    """M01: a sealed write lands where placement reads 1.38 or later, nowhere else."""
    guarded = deploy(rules=OWNER_RULES)
    scene = Scene(guarded)
    twin = guarded.add_consumer(scene.provider, scene.alice)
    landed = 0
    for header in HEADERS:
        more = {'version': None, 'HTTP_OPENSTACK_API_VERSION': header}
        guarded.activate()
        claims = [
            scene.claim(generation=guarded.show(consumer)['consumer_generation'])
            for consumer in (scene.own, twin)
        ]
        with_guard = write(guarded, scene, '/allocations/{CA}', claims[0], **more)
        naive.activate()
        without = write(naive, scene, f'/allocations/{twin}', claims[1], **more)
        # Below 1.28 the body is placement's 400, and the guard's 403.
        assert (with_guard.status == 204) == (without.status == 204), header
        if without.status == 406:
            assert with_guard.status == 406, header
        said = with_guard.header('openstack-api-version')
        assert said == without.header('openstack-api-version'), header
        landed += without.status == 204
    assert 0 < landed < len(HEADERS) / 2
