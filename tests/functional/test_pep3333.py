# SPDX-License-Identifier: Apache-2.0
"""PEP 3333: the standard library's validator on both sides of the guard."""

from collections.abc import Iterable
from wsgiref.validate import validator

import pytest
import webtest

from consumer_guard import middleware
from consumer_guard.backend.application import (
    app_factory,
    authtoken_factory,
    request_log_factory,
)
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.responses import Application, StartResponse
from tests.administrator import SUMS_VERSION, VERSION, User, make_claim
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment


def _drop_none(application: Application) -> Application:
    """auth_token leaves None where a header is missing; no validator likes it."""

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        for key in [key for key, value in environ.items() if value is None]:
            del environ[key]
        return application(environ, start_response)

    return answer


@pytest.fixture(params=[{}, {'denial': 'conceal'}, {'enforcement': 'shadow'}])
def validated(deploy: Deploy, request: pytest.FixtureRequest) -> Deployment:
    """A deployment whose guard is between validators: each raises what is wrong."""
    deployed = deploy(
        rules=OWNER_RULES, options={'max_body_size': 4096, **request.param}
    )
    guard = middleware.filter_factory(
        {}, oslo_config_file=str(deployed.directory / 'consumer-guard.conf')
    )
    guarded = _drop_none(validator(guard(validator(app_factory({})))))
    authtoken = authtoken_factory({})
    request_log = request_log_factory({})
    deployed.client = webtest.TestApp(validator(request_log(authtoken(guarded))))
    return deployed


def test_requests_of_all_kinds(validated: Deployment) -> None:
    """Allowed, refused, concealed, filtered, unguarded, with bodies and without."""
    service = validated.add_user('service')
    alice, bob = (validated.add_user('member', 'reader') for _ in range(2))
    provider = validated.add_provider()
    hers, his = (validated.add_consumer(provider, user) for user in (alice, bob))
    lists = f'/resource_providers/{provider}/allocations'

    def ask(
        method: str,
        path: str,
        user: User | None,
        body: object = None,
        version: str = VERSION,
    ) -> int:
        answer = validated.request(method, path, user, version=version, body=body)
        return int(answer.status_int)

    for user in (service, alice, validated.add_user('auditor'), None):
        for path in ('/', f'/allocations/{hers}', f'/allocations/{his}', lists):
            assert ask('GET', path, user) in (200, 401, 403)
        sums = f'/usages?project_id={bob.project_id}'
        assert ask('GET', sums, user, version=SUMS_VERSION) < 404
        assert ask('HEAD', f'/allocations/{hers}', user) in (401, 405)
        for consumer, owner in ((hers, alice), (his, bob)):
            claim = make_claim(provider, owner, 7)
            assert ask('PUT', f'/allocations/{consumer}', user, claim) in (
                *(401, 403, 409),
            )
            assert ask('POST', '/allocations', user, {consumer: claim}) in (
                *(401, 403, 409),
            )
        assert ask('POST', '/reshaper', user, {}) in (400, 401, 403)
    for user in (alice, service):
        generation = validated.show(hers)['consumer_generation']
        claim = make_claim(provider, alice, generation)
        assert ask('PUT', f'/allocations/{hers}', user, claim) == 204
    assert ask('DELETE', f'/allocations/{his}', alice) in (204, 403)
    assert ask('DELETE', f'/allocations/{hers}', service) == 204
    large = {'large': ' ' * 5000}
    own = validated.add_consumer(provider, alice)
    assert ask('PUT', f'/allocations/{own}', alice, large) in (400, 413)
    assert ask('PUT', f'/allocations/{his}', alice, large) in (400, 403)
    assert ask('PUT', f'/allocations/{his}', service, large) == 400
