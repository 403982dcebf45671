# SPDX-License-Identifier: Apache-2.0
"""Requests as a server hands them over, byte for byte, and their answers.

WebTest encodes paths and completes headers; an attacker does not.
"""

import dataclasses
import functools
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Environ = dict[str, Any]
Application = Callable[..., Iterable[bytes]]


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


def comparable(answer: Answer) -> tuple[int, object, bytes]:
    """An answer without times and request ids, byte for byte."""
    headers = tuple(
        (name, '' if name.lower() in _PASSING_HEADERS else value)
        for name, value in answer.headers
    )
    return answer.status, headers, _PASSING.sub(b'', answer.body)


def comparable_rows(answer: Answer) -> object:
    """The same, without the order of rows.

    Placement orders neither consumers nor providers: PostgreSQL shows those that were
    changed last in another place.
    """
    status, headers, body = comparable(answer)
    try:
        document = _forget_order(json.loads(body))
    except ValueError:
        return status, headers, body
    return status, headers, json.dumps(document, sort_keys=True)


def _forget_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _forget_order(inner) for key, inner in value.items()}
    if isinstance(value, list):
        write = functools.partial(json.dumps, sort_keys=True)
        return sorted(map(_forget_order, value), key=write)
    return value
