# SPDX-License-Identifier: Apache-2.0
"""Requests as auth_token leaves them, the guard, and placement behind it.

One placement application a process, over one database: placement's policy and
its database are process globals. Each chapter runs in a process of its own.
"""

import io
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bench import stores
from consumer_guard.backend.application import (
    app_factory,
    authtoken_factory,
    request_log_factory,
)
from consumer_guard.guard.wsgi import ConsumerGuard
from consumer_guard.middleware import filter_factory
from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Tokens

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

#: Placement's rules as the sample opens them to the passage role, all of them.
PASSAGE_RULES = {
    f'placement:{name}': 'rule:admin_or_service_api or role:consumer_guard_passage'
    for name in (
        'allocations:list',
        'allocations:update',
        'allocations:manage',
        'resource_providers:allocations:list',
    )
}
PASSAGE = 'consumer_guard_passage'

ADMIN = User(('admin', 'member', 'reader'), stores.project(1))
SERVICE = User(('service',), stores.project(2))
OWNER = User(('member', 'reader'), stores.project())


class Answer:
    """One answer, for whoever calls an application."""

    def __init__(self) -> None:
        self.status = ''
        self.headers: list[tuple[str, str]] = []

    def start(self, status: str, headers: Any, *_rest: Any) -> None:
        """WSGI's start_response."""
        self.status = status
        self.headers = headers


def call(application: Application, environ: Environ) -> bytes:
    """Call an application as a server does, for its body.

    :raises RuntimeError: it answered with an error
    """
    answer = Answer()
    chunks = application(environ, answer.start)
    body = b''.join(chunks)
    close = getattr(chunks, 'close', None)
    if close is not None:
        close()
    if not answer.status.startswith('2'):
        raise RuntimeError(f'{answer.status}: {body[:300]!r}')
    return body


class Nothing:
    """The application behind that does nothing."""

    def __call__(self, _environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response('204 No Content', [])
        return ()


class NoAllocations:
    """The application behind that answers as placement does for an unknown consumer."""

    def __call__(self, _environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response('200 OK', [('Content-Type', 'application/json')])
        return (b'{"allocations": {}}',)


class NoOperation:
    """A middleware that does nothing: what a call through a class costs."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        return self._application(environ, start_response)


class Scene:
    """A folder with the configuration of guard and placement.

    :param url: the database of both
    """

    def __init__(self, folder: Path, url: str = 'sqlite://') -> None:
        self.folder = folder
        self.url = url
        logging.disable(logging.WARNING)
        placement = folder / 'placement'
        placement.mkdir()
        (placement / 'placement.conf').write_text(
            f'[placement_database]\nconnection = {url}\n'
            f'[oslo_policy]\npolicy_file = {placement / "policy.yaml"}\n'
            '[keystone_authtoken]\nwww_authenticate_uri = http://127.0.0.1:9/\n'
        )
        (placement / 'policy.yaml').write_text(yaml.safe_dump(PASSAGE_RULES))
        os.environ['OS_PLACEMENT_CONFIG_DIR'] = str(placement)
        self.write_rules(OWNER_RULES)

    def write_rules(self, rules: Mapping[str, str]) -> None:
        """Write the guard's policy file."""
        (self.folder / 'policy.yaml').write_text(yaml.safe_dump(dict(rules)))

    def guard(self, application: Application, **options: object) -> ConsumerGuard:
        """The guard over an application, with the sample's configuration."""
        conf = self.folder / 'consumer-guard.conf'
        url = stores.look_up_url(self.url)
        lines = ['[consumer_guard]', f'connection = {url}', 'audit = none']
        lines += [f'{name} = {value}' for name, value in options.items()]
        lines += ['[oslo_policy]', f'policy_file = {self.folder / "policy.yaml"}']
        conf.write_text('\n'.join(lines) + '\n')
        return filter_factory({}, oslo_config_file=str(conf))(application)

    def placement(self) -> Application:
        """Placement's application as etc/ names it; once a process."""
        return app_factory({})


@contextmanager
def make_scene(url: str = 'sqlite://') -> Iterator[Scene]:
    """A scene in a folder that is gone afterwards."""
    with TemporaryDirectory(prefix='cg-bench-') as name:
        yield Scene(Path(name), url)


class Requests:
    """Environs that real auth_token and placement's request log have made."""

    def __init__(self) -> None:
        seen: list[Environ] = []

        def keep(environ: Environ, start_response: Any) -> Iterable[bytes]:
            seen.append(environ)
            start_response('204 No Content', [])
            return ()

        pipeline = request_log_factory({})(authtoken_factory({})(keep))
        tokens = Tokens()
        self._made: dict[User, Environ] = {}
        try:
            for user in (ADMIN, SERVICE, OWNER):
                tokens.issue(user)
                call(pipeline, _arrive(user))
                self._made[user] = seen.pop()
        finally:
            tokens.close()

    @staticmethod
    def believed(path: str) -> Environ:
        """An environ whose headers are believed (noauth2)."""
        return _arrive(SERVICE) | {
            'PATH_INFO': path,
            'HTTP_X_USER_ID': 'u',
            'HTTP_X_PROJECT_ID': 'p',
            'HTTP_X_ROLES': 'anybody',
        }

    def make(
        self,
        user: User,
        path: str,
        *,
        method: str = 'GET',
        roles: str = '',
        version: str = '1.38',
    ) -> Environ:
        """One environ; to be copied before it is used.

        :param roles: added to those of the token
        """
        environ = dict(self._made[user])
        environ['PATH_INFO'] = path
        environ['REQUEST_METHOD'] = method
        environ['HTTP_OPENSTACK_API_VERSION'] = f'placement {version}'
        if roles:
            environ['HTTP_X_ROLES'] += f',{roles}'
        return environ


def with_body(environ: Environ, document: object) -> Environ:
    """A copy of an environ with a JSON body."""
    body = json.dumps(document).encode()
    return environ | {
        'wsgi.input': io.BytesIO(body),
        'CONTENT_LENGTH': str(len(body)),
        'CONTENT_TYPE': 'application/json',
    }


def _arrive(user: User) -> Environ:
    """An environ as gunicorn makes it of a request of nova's."""
    return {
        'wsgi.errors': io.StringIO(),
        'wsgi.version': (1, 0),
        'wsgi.multithread': False,
        'wsgi.multiprocess': True,
        'wsgi.run_once': False,
        'wsgi.input_terminated': True,
        'wsgi.input': io.BytesIO(),
        'wsgi.url_scheme': 'http',
        'SERVER_SOFTWARE': 'gunicorn',
        'REQUEST_METHOD': 'GET',
        'QUERY_STRING': '',
        'RAW_URI': '/',
        'SERVER_PROTOCOL': 'HTTP/1.1',
        'HTTP_HOST': '127.0.0.1:8778',
        'HTTP_ACCEPT': 'application/json',
        'HTTP_ACCEPT_ENCODING': 'gzip, deflate',
        'HTTP_CONNECTION': 'keep-alive',
        'HTTP_USER_AGENT': 'nova-scheduler keystoneauth1/5.9 python-requests/2.32',
        'HTTP_X_AUTH_TOKEN': user.token,
        'HTTP_OPENSTACK_API_VERSION': 'placement 1.38',
        'REMOTE_ADDR': '127.0.0.1',
        'REMOTE_PORT': '50000',
        'SERVER_NAME': '127.0.0.1',
        'SERVER_PORT': '8778',
        'PATH_INFO': '/usages',
        'SCRIPT_NAME': '',
    }
