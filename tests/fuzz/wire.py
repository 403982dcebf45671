# SPDX-License-Identifier: Apache-2.0
"""Requests as a server hands them over, byte for byte, and what they did.

WebTest encodes paths and completes headers; an attacker does not.
"""

import dataclasses
import io
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from tests.deployment import Deployment, Tokens, User, make_claim
from tests.fuzz.bodies import encode

Environ = dict[str, Any]
Application = Callable[..., Iterable[bytes]]

#: Everything that a request about consumers can change.
TABLES = (
    'consumers',
    'allocations',
    'projects',
    'users',
    'consumer_types',
    'inventories',
    'resource_providers',
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the client gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def everything(self) -> str:
        """Headers and body as one text, to look for secrets in."""
        lines = [f'{name}: {value}' for name, value in self.headers]
        return '\n'.join([*lines, self.body.decode('latin-1')])

    def header(self, name: str) -> str | None:
        """The value of a header, if it is there once."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if len(found) == 1 else None


def make_environ(
    method: str,
    path: str,
    *,
    query: str = '',
    token: str | None = None,
    version: str | None = '1.38',
    body: bytes | None = None,
    content_type: str | None = 'application/json',
    headers: Mapping[str, str] | None = None,
    **environ: Any,
) -> Environ:
    """An environ as gunicorn would make it.

    :param path: PATH_INFO: decoded once, each character a byte
    :param body: with its length, unless CONTENT_LENGTH is given
    :param environ: keys to set in the end; None removes one
    """
    made: Environ = {
        'REQUEST_METHOD': method,
        'SCRIPT_NAME': '',
        'PATH_INFO': path,
        'QUERY_STRING': query,
        'SERVER_NAME': 'placement',
        'SERVER_PORT': '80',
        'SERVER_PROTOCOL': 'HTTP/1.1',
        'REMOTE_ADDR': '127.0.0.1',
        'HTTP_HOST': 'placement',
        'wsgi.version': (1, 0),
        'wsgi.url_scheme': 'http',
        'wsgi.input': io.BytesIO(body or b''),
        'wsgi.errors': io.StringIO(),
        'wsgi.multithread': False,
        'wsgi.multiprocess': False,
        'wsgi.run_once': False,
    }
    if body is not None:
        made['CONTENT_LENGTH'] = str(len(body))
        if content_type is not None:
            made['CONTENT_TYPE'] = content_type
    if token is not None:
        made['HTTP_X_AUTH_TOKEN'] = token
    if version is not None:
        made['HTTP_OPENSTACK_API_VERSION'] = f'placement {version}'
    for name, value in (headers or {}).items():
        made['HTTP_' + name.upper().replace('-', '_')] = value
    for key, value in environ.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key.replace('__', '.')] = value
    return made


def send(application: Application, environ: Environ) -> Answer:
    """Call a WSGI application as a server does, to the end."""
    begun: list[Any] = []
    written: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        begun[:] = [status, headers]
        return written.append

    chunks = application(environ, start_response)
    try:
        body = b''.join([*written, *chunks])
    finally:
        close = getattr(chunks, 'close', None)
        if close is not None:
            close()
    status, headers = begun
    return Answer(int(status.split()[0]), tuple(headers), body)


#: What differs from answer to answer.
_PASSING = re.compile(rb'req-[0-9a-f-]{36}')
_PASSING_HEADERS = ('x-openstack-request-id', 'last-modified')


def comparable(answer: Answer) -> object:
    """An answer without times and request ids."""
    headers = tuple(
        (name, '' if name.lower() in _PASSING_HEADERS else value)
        for name, value in answer.headers
    )
    return answer.status, headers, _PASSING.sub(b'', answer.body)


def read_rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of all the tables that matter, by a connection of our own."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = {
            # Some columns hold NULL in some rows, which has no order.
            table: sorted(
                map(tuple, connection.execute(sa.text(f'SELECT * FROM {table}'))),
                key=repr,
            )
            for table in TABLES
        }
    engine.dispose()
    return rows


def change_rows(url: str, statement: str, **values: Any) -> None:
    """Change what placement's API cannot."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)
    engine.dispose()


class Scene:
    """A attacks, B is the victim; both have a consumer on one provider.

    :ivar secrets: what no answer to A may carry
    """

    def __init__(self, deployed: Deployment, *roles: str) -> None:
        self.deployed = deployed
        self.provider = deployed.add_provider()
        self.attacker = deployed.add_user(*(roles or ('member', 'reader')))
        self.victim = deployed.add_user('member', 'reader')
        self.own = deployed.add_consumer(self.provider, self.attacker)
        self.foreign = deployed.add_consumer(self.provider, self.victim)
        assert self.attacker.project_id
        assert self.victim.project_id
        self.unknown = str(uuid.uuid4())
        self.secrets: tuple[str, ...] = (
            self.victim.project_id,
            self.victim.user_id,
            self.foreign,
        )

    def claim(
        self,
        owner: User | None = None,
        *,
        generation: object = 1,
        version: str = '1.38',
        amount: int = 2,
    ) -> dict[str, Any]:
        """The body of one consumer, claimed for A unless said otherwise."""
        return make_claim(
            self.provider, owner or self.attacker, generation, version, amount
        )

    def fill(self, text: str, consumer: str | None = None) -> str:
        """Fill in {CA}, {CB}, {A}, {B} and the like.

        :param consumer: what stands for {CB}, B's consumer unless said
        """
        consumer = consumer or self.foreign
        return text.format(
            A=self.attacker.project_id,
            B=self.victim.project_id,
            CA=self.own,
            CB=consumer,
            RP=self.provider,
            hex=consumer.replace('-', ''),
            upper=consumer.upper(),
            title=consumer.title(),
        )

    def environ(
        self, method: str, path: str, consumer: str | None = None, **more: Any
    ) -> Environ:
        """A request of A's; see :meth:`fill`."""
        more.setdefault('token', self.attacker.token)
        more['query'] = self.fill(more.get('query', ''), consumer)
        return make_environ(method, self.fill(path, consumer), **more)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """The database as it is now."""
        return read_rows(self.deployed.database)

    def assert_tells_nothing(self, answer: Answer) -> None:
        """Nothing of the victim in an answer to A."""
        for secret in self.secrets:
            assert secret not in answer.everything


def write(
    deployed: Deployment, scene: Scene, path: str, document: Any, **more: Any
) -> Answer:
    """PUT to a consumer, POST to anything else; a document, or bytes."""
    method = 'PUT' if path.startswith('/allocations/') else 'POST'
    body = document if isinstance(document, bytes) else encode(document).encode()
    environ = scene.environ(method, path, body=body, **more)
    return send(deployed.application, environ)


def make_naive(
    tmp_path_factory: pytest.TempPathFactory, tokens: Tokens, database: str
) -> Deployment:
    """The same pipeline without the guard: what every attack would do there."""
    naive = Deployment(tmp_path_factory.mktemp('naive'), tokens, database)
    naive.reload_with('authtoken consumer_guard placement', 'authtoken placement')
    return naive
