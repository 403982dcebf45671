# SPDX-License-Identifier: Apache-2.0
"""THREATS: what servers do differently with the environ that they make.

PEP 3333 leaves room: a key may be missing or empty, the input of a chunked body
may be marked or not, a server may add keys of its own that say other things.
"""

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.fuzz.wire import Answer, Environ, comparable, send
from tests.scenery import Scene


class OneWay(io.RawIOBase):
    """An input as servers have it: no seek, no tell, read once."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def read(self, size: int = -1, /) -> bytes:
        return self._body.read(size)


def gunicorn(environ: Environ) -> None:
    environ['RAW_URI'] = '/traits'
    environ['wsgi.input_terminated'] = True
    environ['gunicorn.socket'] = object()
    if 'CONTENT_LENGTH' in environ:
        environ['wsgi.input'] = OneWay(environ['wsgi.input'].read())


def uwsgi(environ: Environ) -> None:
    """Keys that are not in the request are there, and empty."""
    for key in ('CONTENT_LENGTH', 'CONTENT_TYPE', 'QUERY_STRING', 'REMOTE_USER'):
        environ.setdefault(key, '')
    environ['REQUEST_URI'] = '/traits?project_id=x'
    environ['uwsgi.node'] = b'placement'
    environ['wsgi.input'] = OneWay(environ['wsgi.input'].read())


def mod_wsgi(environ: Environ) -> None:
    """Its own idea of scripts and paths; the query may be missing."""
    if not environ['QUERY_STRING']:
        del environ['QUERY_STRING']
    environ['SCRIPT_NAME'] = '/placement'
    environ['REQUEST_URI'] = environ['SCRIPT_URI'] = '/traits'
    environ['SCRIPT_URL'] = environ['PATH_TRANSLATED'] = '/traits'
    environ['REDIRECT_URL'] = environ['REDIRECT_STATUS'] = '/traits'
    environ['mod_wsgi.path_info'] = '/traits'
    environ['mod_wsgi.script_name'] = '/allocations'
    environ['mod_wsgi.input_chunked'] = '0'
    environ['wsgi.input_terminated'] = True
    environ['wsgi.input'] = OneWay(environ['wsgi.input'].read())


def werkzeug(environ: Environ) -> None:
    """A parsed request, left by an application in front, that is another one."""
    environ['REQUEST_URI'] = environ['RAW_URI'] = '//h/allocations'
    environ['werkzeug.request'] = object()
    environ['webob.adhoc_attrs'] = {'path_info': '/traits', 'method': 'HEAD'}


def outer_routes(environ: Environ) -> None:
    """An outer router has matched it already, as something else."""
    environ['wsgiorg.routing_args'] = ((), {'uuid': 'x', 'consumer_uuid': 'x'})
    environ['routes.url'] = environ['routes.route'] = None
    environ['selector.vars'] = environ['paste.urlvars'] = {}
    environ['webob._parsed_query_vars'] = (None, 'project_id=x')
    environ['placement.microversion'] = environ['placement.context'] = None
    environ['openstack.context'] = {'roles': ['admin'], 'is_admin': True}


SERVERS = (gunicorn, uwsgi, mod_wsgi, werkzeug, outer_routes)


@pytest.fixture(params=['forbid', 'conceal'])
def denying(deploy: Deploy, request: pytest.FixtureRequest) -> Deployment:
    return deploy(options={'denial': request.param}, rules=OWNER_RULES)


def asked(scene: Scene, consumer: str) -> list[dict[str, Any]]:
    """Every operation on a consumer, one of each."""
    claim = scene.claim()
    reshape = {'inventories': {}, 'allocations': {consumer: claim}}
    return [
        {'method': 'GET', 'path': f'/allocations/{consumer}'},
        {'method': 'DELETE', 'path': f'/allocations/{consumer}'},
        {'method': 'PUT', 'path': f'/allocations/{consumer}', 'body': claim},
        {'method': 'POST', 'path': '/allocations', 'body': {consumer: claim}},
        {'method': 'POST', 'path': '/reshaper', 'body': reshape},
    ]


def ask(
    deployed: Deployment, scene: Scene, server: Callable[..., None], **one: Any
) -> Answer:
    if 'body' in one:
        one['body'] = json.dumps(one['body']).encode()
    environ = scene.environ(**one)
    server(environ)
    return send(deployed.application, environ)


@pytest.mark.parametrize('server', SERVERS, ids=lambda server: server.__name__)
class TestEnviron:
    """S01: the same request by each server."""

    def test_every_server_gets_the_same_refusal_for_foreign_and_unknown(
        self, denying: Deployment, server: Callable[..., None]
    ) -> None:
        scene = Scene(denying)
        before = scene.rows()
        told = []
        for consumer in (scene.foreign, scene.unknown):
            answers = [
                ask(denying, scene, server, **one) for one in asked(scene, consumer)
            ]
            answers.append(
                ask(
                    denying,
                    scene,
                    server,
                    method='GET',
                    path='/usages',
                    query='project_id={B}',
                )
            )
            for answer in answers:
                scene.assert_tells_nothing(answer)
            concealed = 'VCPU' not in answers[0].everything
            assert concealed
            assert {answer.status for answer in answers[1:]} == {403}
            told.append([comparable(answer) for answer in answers])
        assert told[0] == told[1]
        assert scene.rows() == before

    def test_allowed(
        self, deploy: Deploy, naive: Deployment, server: Callable[..., None]
    ) -> None:
        """S01: and the owner's is allowed, with the same answer as without."""
        guarded = deploy(rules=OWNER_RULES)
        scene = Scene(guarded)
        twin = guarded.add_consumer(scene.provider, scene.alice)
        for method, path in (
            ('GET', '/allocations/{CA}'),
            ('PUT', '/allocations/{CA}'),
            ('POST', '/allocations'),
            ('GET', '/usages'),
        ):
            told = []
            for deployed, own in ((guarded, scene.own), (naive, twin)):
                one: dict[str, Any] = {
                    'method': method,
                    'path': path.replace('{CA}', own),
                }
                generation = guarded.show(own)['consumer_generation']
                claim = scene.claim(generation=generation)
                if method != 'GET':
                    one['body'] = claim if method == 'PUT' else {own: claim}
                if path == '/usages':
                    one |= {'query': 'project_id={A}&consumer_type=all'}
                deployed.activate()
                answer = ask(deployed, scene, server, **one)
                assert answer.status in (200, 204), answer.body
                # Providers' generations count everybody's writes.
                told.append((answer.status, [name for name, _ in answer.headers]))
            assert told[0] == told[1]
        # Sealed, and moved by each write.
        assert guarded.show(scene.own)['consumer_generation'] < 0
        assert guarded.show(twin)['consumer_generation'] == 3


@pytest.mark.parametrize('missing', ['PATH_INFO', 'QUERY_STRING'])
def test_a_key_that_may_be_missing(denying: Deployment, missing: str) -> None:
    """S01: refused, or the root; never an answer about a consumer."""
    scene = Scene(denying)
    before = scene.rows()
    for one in asked(scene, scene.foreign):
        body = json.dumps(one.pop('body', None)).encode()
        environ = scene.environ(**one, body=body)
        del environ[missing]
        # Placement's request log, in front of all, insists on a path.
        with contextlib.suppress(KeyError):
            answer = send(denying.application, environ)
            scene.assert_tells_nothing(answer)
            assert b'VCPU' not in answer.body
    assert scene.rows() == before


@pytest.mark.parametrize('marked', [True, False])
@pytest.mark.parametrize('length', ['', None])
def test_chunks_that_the_server_does_not_mark(
    denying: Deployment, marked: bool, length: str | None
) -> None:
    """S02 B07: unmarked, placement sees an empty body; so must the guard.

    uwsgi gives a chunked body neither a length nor a mark; its client's write
    comes to nothing, but it must not be judged by a body that nobody reads.
    """
    scene = Scene(denying)
    more: dict[str, Any] = {'CONTENT_LENGTH': length}
    if marked:
        more['wsgi.input_terminated'] = True
    claims = {'own': (scene.own, 204 if marked else 400), 'foreign': (scene.foreign, 0)}
    for kind, (consumer, status) in claims.items():
        before = scene.rows()
        body = json.dumps(scene.claim()).encode()
        environ = scene.environ('PUT', f'/allocations/{consumer}', body=body)
        environ |= {key: value for key, value in more.items() if value is not None}
        if length is None:
            del environ['CONTENT_LENGTH']
        answer = send(denying.application, environ)
        if kind == 'own':
            assert answer.status == status
            assert (scene.rows() != before) == marked
        else:
            assert answer.status == 403
            assert scene.rows() == before
            scene.assert_tells_nothing(answer)
