# SPDX-License-Identifier: Apache-2.0
"""A guarded placement on SQLite for any WSGI server, and who asks it."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tests import servers
from tests.administrator import VERSION, Administrator, User
from tests.configuration import NAIVE_RULES, OWNER_RULES, Configuration
from tests.wsgi_servers.wire import Answer, Connection, connect, make_head

#: Asks for an owner while it is loaded: what a server forks afterwards finds a
#: connection of the look-up that is not its own.
_MODULE = """\
import webob
from consumer_guard.wsgi.api import application
webob.Request.blank(
    '/allocations/00000000-0000-4000-8000-000000000000',
    headers={'X-Auth-Token': 'first:first', 'X-Roles': 'reader'},
).get_response(application)
"""

ADMIN = User(('admin',), 'admin')
SERVICE = User(('service',), 'service')


def write(folder: pathlib.Path, module: str = _MODULE, **options: object) -> None:
    """The configuration, the module and the database of one site.

    :param module: text of the module that is served
    :param options: of the guard
    """
    database = f'sqlite:///{folder}/placement.db'
    # Placement is wide open: whatever is refused, the guard refused.
    Configuration(
        folder,
        database,
        options=options,
        rules=OWNER_RULES,
        placement_rules=NAIVE_RULES,
    )
    (folder / 'served_app.py').write_text(module)
    servers.create_schema(database)


def make_headers(user: User, version: str = '1.38') -> dict[str, str]:
    """Of a request of this user, as noauth2 reads them."""
    return {
        'X-Auth-Token': f'{user.user_id}:{user.project_id}',
        'X-Roles': ','.join(user.roles),
        'OpenStack-API-Version': f'placement {version}',
        'Content-Type': 'application/json',
    }


@dataclasses.dataclass(frozen=True)
class Site(Administrator):
    """A server that serves.

    :ivar mount: where, without a slash at the end
    :ivar pid: of the process that takes signals
    """

    port: int
    mount: str
    folder: pathlib.Path
    pid: int

    def head(self, method: str, path: str, user: User | None, **headers: str) -> bytes:
        """Request line and headers; names of headers with underscores."""
        sent = {} if user is None else make_headers(user)
        sent |= {name.replace('_', '-'): value for name, value in headers.items()}
        return make_head(method, self.mount + path, sent)

    def ask(
        self,
        method: str,
        path: str,
        user: User | None = None,
        body: object = None,
        on: Connection | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, with a body of JSON or bytes and its length.

        :param on: a connection to use; else one of its own
        :raises tests.wsgi_servers.wire.Closed: there was no answer
        """
        sent = {} if user is None else make_headers(user)
        sent |= headers or {}
        raw = b''
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent['Content-Length'] = str(len(raw))
        data = make_head(method, self.mount + path, sent) + raw
        if on is not None:
            on.send(data)
            return on.receive(to_head=method == 'HEAD')
        with connect(self.port) as connection:
            connection.send(data)
            return connection.receive(to_head=method == 'HEAD')

    def must(
        self, method: str, path: str, body: object = None, version: str = VERSION
    ) -> Any:
        """Send a request of the administrator, which has to succeed."""
        headers = {'OpenStack-API-Version': f'placement {version}'}
        answer = self.ask(method, path, ADMIN, body, headers=headers)
        assert answer.status < 300, answer.body
        return answer.json if answer.body else None
