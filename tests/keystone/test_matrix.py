# SPDX-License-Identifier: Apache-2.0
"""Who may do what, with tokens that keystone issued."""

import uuid
from collections.abc import Callable, Mapping

import pytest

from tests.cloud.placement import Client
from tests.keystone.scenery import RULE, Scene, last_line


def _in_two_projects(scene: Scene) -> str:
    user = scene.add_user('reader')
    scene.identities.grant(user, 'admin', f'projects/{scene.beta.id}')
    return scene.identities.log_in(user, project_id=scene.alpha.id)


def _somewhere(where: str, *roles: str, **scope: str | bool) -> Callable[[Scene], str]:
    def log_in(scene: Scene) -> str:
        user = scene.add_user('member')
        for role in roles:
            scene.identities.grant(user, role, where)
        return scene.identities.log_in(user, None, **scope)

    return log_in


def _with_credential(scene: Scene) -> str:
    user = scene.add_user('member')
    token = scene.identities.log_in(user, project_id=scene.alpha.id)
    return scene.add_application_credential(token, user)


def _by_trust(*roles: str, impersonation: bool) -> Callable[[Scene], str]:
    def log_in(scene: Scene) -> str:
        trustor = scene.add_user('member')
        return scene.add_trust(trustor, *roles, impersonation=impersonation)

    return log_in


_IN_DOMAIN = {'domain_id': 'default'}

#: How each token is made, and whom it makes.
CALLERS: Mapping[str, tuple[str, Callable[[Scene], str]]] = {
    'reader': ('reader', lambda scene: scene.add_token('reader')),
    'admin elsewhere': ('reader', _in_two_projects),
    'trustee': ('reader', _by_trust('reader', impersonation=False)),
    'impersonator': ('member', _by_trust('member', 'reader', impersonation=True)),
    'member': ('member', lambda scene: scene.add_token('member')),
    'manager': ('member', lambda scene: scene.add_token('manager')),
    'application credential': ('member', _with_credential),
    'admin': ('admin', lambda scene: scene.add_token('admin')),
    'service': ('service', lambda scene: scene.add_token('service')),
    'no known role': ('nobody', lambda scene: scene.add_token('passer-by')),
    'unscoped': ('nobody', _somewhere('', unscoped=True)),
    'domain admin': ('nobody', _somewhere('domains/default', 'admin', **_IN_DOMAIN)),
    'domain reader': ('nobody', _somewhere('domains/default', 'reader', **_IN_DOMAIN)),
    'system admin': ('nobody', _somewhere('system', 'admin', system_scope='all')),
    'system reader': ('nobody', _somewhere('system', 'reader', system_scope='all')),
}

#: The columns: reader, member, admin and service of alpha, and nobody.
_KINDS = ('reader', 'member', 'admin', 'service', 'nobody')

_SHIPPED = {
    'GET own': (200, 200, 200, 200, 403),
    'GET foreign': (403, 403, 200, 200, 403),
    'GET unknown': (403, 403, 200, 200, 403),
    'usages own': (200, 200, 200, 200, 403),
    'usages foreign': (403, 403, 200, 200, 403),
    'list': (403, 403, 200, 200, 403),
    'PUT own': (403, 403, 204, 204, 403),
    'PUT stale': (403, 403, 409, 409, 403),
    'PUT foreign': (403, 403, 204, 204, 403),
    'PUT new': (403, 403, 204, 204, 403),
    'take over': (403, 403, 204, 204, 403),
    'give away': (403, 403, 204, 204, 403),
    'POST own': (403, 403, 204, 204, 403),
    'POST both': (403, 403, 204, 204, 403),
    'DELETE own': (403, 403, 204, 204, 403),
    'DELETE foreign': (403, 403, 204, 204, 403),
    # Placement's own rule: service only.
    'reshape': (403, 403, 403, 204, 403),
    'root': (200, 200, 200, 200, 200),
}

EXPECTED: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    'RegionOne': _SHIPPED,
    'conceal': _SHIPPED
    | {
        'GET foreign': (200, 200, 200, 200, 403),
        'GET unknown': (200, 200, 200, 200, 403),
    },
    'open': _SHIPPED
    | {
        'list': (200, 200, 200, 200, 403),
        'PUT own': (403, 204, 204, 204, 403),
        'PUT stale': (403, 409, 409, 409, 403),
        'POST own': (403, 204, 204, 204, 403),
    },
}


def perform(scene: Scene, client: Client, operation: str) -> int:
    """One operation of the matrix on consumers of its own; its status."""
    own, foreign = scene.add_consumer(scene.alpha), scene.add_consumer(scene.beta)
    mine, theirs = scene.claim(scene.alpha, amount=2), scene.claim(scene.beta, amount=2)
    method, path, body = {
        'GET own': ('GET', f'/allocations/{own}', None),
        'GET foreign': ('GET', f'/allocations/{foreign}', None),
        'GET unknown': ('GET', f'/allocations/{uuid.uuid4()}', None),
        'usages own': ('GET', f'/usages?project_id={scene.alpha.id}', None),
        'usages foreign': ('GET', f'/usages?project_id={scene.beta.id}', None),
        'list': ('GET', f'/resource_providers/{scene.provider}/allocations', None),
        'PUT own': ('PUT', f'/allocations/{own}', mine),
        'PUT stale': ('PUT', f'/allocations/{own}', scene.claim(scene.alpha, 7)),
        'PUT foreign': ('PUT', f'/allocations/{foreign}', theirs),
        'PUT new': (
            'PUT',
            f'/allocations/{uuid.uuid4()}',
            scene.claim(scene.alpha, None),
        ),
        'take over': ('PUT', f'/allocations/{foreign}', mine),
        'give away': ('PUT', f'/allocations/{own}', theirs),
        'POST own': ('POST', '/allocations', {own: mine}),
        'POST both': ('POST', '/allocations', {own: mine, foreign: theirs}),
        'DELETE own': ('DELETE', f'/allocations/{own}', None),
        'DELETE foreign': ('DELETE', f'/allocations/{foreign}', None),
        'reshape': ('POST', '/reshaper', scene.admin.make_reshape(scene.provider, {})),
        'root': ('GET', '/', None),
    }[operation]
    before = [scene.show(own), scene.show(foreign)]
    answer = client.request(method, path, body)
    after = [scene.show(own), scene.show(foreign)]
    written = answer.status_code == 204 and operation not in ('PUT new', 'reshape')
    assert (before != after) == written, operation
    return answer.status_code


@pytest.mark.parametrize('name', CALLERS)
@pytest.mark.parametrize('variant', EXPECTED)
def test_each_caller_gets_the_expected_answers_to_all_operations(
    scene: Scene, variant: str, name: str
) -> None:
    kind, log_in = CALLERS[name]
    client = scene.client(log_in(scene), variant)
    column = _KINDS.index(kind)
    expected = {key: row[column] for key, row in EXPECTED[variant].items()}
    assert {key: perform(scene, client, key) for key in expected} == expected


def test_refusals_tell_nothing(scene: Scene) -> None:
    """Another project's, an unknown one: the same 403 in placement's own form."""
    client = scene.client(scene.add_token('reader'))
    details = []
    for consumer in (scene.add_consumer(scene.beta), str(uuid.uuid4())):
        answer = client.request('GET', f'/allocations/{consumer}')
        [error] = answer.json()['errors']
        assert answer.status_code == error['status'] == 403
        assert error['request_id'] == answer.headers['x-openstack-request-id']
        assert scene.beta.id not in answer.text
        details.append(error['detail'])
    assert details[0] == details[1]
    assert last_line(details[0]) == f'Policy does not allow {RULE} to be performed.'


def test_concealed_reads_tell_nothing(scene: Scene) -> None:
    client = scene.client(scene.add_token('reader'), 'conceal')
    answers = [
        client.request('GET', f'/allocations/{consumer}')
        for consumer in (scene.add_consumer(scene.beta), str(uuid.uuid4()))
    ]
    assert answers[0].json() == answers[1].json() == {'allocations': {}}
    assert [*answers[0].headers] == [*answers[1].headers]


def test_filtered_list(scene: Scene) -> None:
    """A member sees its own project's consumers, a service sees them all."""
    own, foreign = scene.add_consumer(scene.alpha), scene.add_consumer(scene.beta)
    path = f'/resource_providers/{scene.provider}/allocations'
    for role, expected in (('reader', {own}), ('service', {own, foreign})):
        client = scene.client(scene.add_token(role), 'open')
        shown = client.must('GET', path)['allocations']
        assert {own, foreign} & set(shown) == expected


def test_one_user_two_tokens(scene: Scene) -> None:
    """The project of the token counts, not what the user may elsewhere."""
    user = scene.add_user('reader')
    scene.identities.grant(user, 'reader', f'projects/{scene.beta.id}')
    for project, expected in ((scene.alpha, (200, 403)), (scene.beta, (403, 200))):
        token = scene.identities.log_in(user, project_id=project.id)
        assert scene.read(token) == expected
