# SPDX-License-Identifier: Apache-2.0
"""A guarded placement on SQLite for any WSGI server, and who asks it."""

import dataclasses
import json
import pathlib
import shutil
import uuid
from collections.abc import Mapping

import yaml

from tests import servers
from tests.deployment import NAIVE_RULES, OWNER_RULES, User, make_claim
from tests.wsgi_servers.wire import Answer, Connection, connect, make_head

_ETC = pathlib.Path(__file__).parent.parent.parent / 'etc' / 'consumer-guard'

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

SERVICE = User(('service',), 'service')


def write(folder: pathlib.Path) -> None:
    """The configuration, the module and the database of one site."""
    shutil.copytree(_ETC, folder, dirs_exist_ok=True)
    write_options(folder)
    (folder / 'policy.yaml').write_text(yaml.safe_dump(OWNER_RULES))
    # Placement is wide open: whatever is refused, the guard refused.
    (folder / 'placement-policy.yaml').write_text(yaml.safe_dump(NAIVE_RULES))
    database = f'sqlite:///{folder}/placement.db'
    (folder / 'placement.conf').write_text(
        '[placement_database]\n'
        f'connection = {database}\n'
        '[oslo_policy]\n'
        f'policy_file = {folder / "placement-policy.yaml"}\n'
    )
    (folder / 'served_app.py').write_text(_MODULE)
    servers.create_schema(database)


def write_options(folder: pathlib.Path, **options: object) -> None:
    """Options of ``[consumer_guard]``; read when the application is loaded."""
    lines = [
        '[consumer_guard]',
        *(f'{key} = {value}' for key, value in options.items()),
    ]
    (folder / 'consumer-guard.conf').write_text('\n'.join([*lines, '']))


def make_environment(folder: pathlib.Path) -> dict[str, str]:
    """What tells the application where its configuration is."""
    return {
        'OS_PLACEMENT_CONFIG_DIR': str(folder),
        'CONSUMER_GUARD_PASTE_CONFIG': str(folder / 'api-paste-noauth.ini'),
    }


def make_headers(user: User, version: str = '1.38') -> dict[str, str]:
    """Of a request of this user, as noauth2 reads them."""
    return {
        'X-Auth-Token': f'{user.user_id}:{user.project_id}',
        'X-Roles': ','.join(user.roles),
        'OpenStack-API-Version': f'placement {version}',
        'Content-Type': 'application/json',
    }


@dataclasses.dataclass(frozen=True)
class Site:
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

    def add_provider(self) -> str:
        """A provider with VCPU; returns its uuid."""
        provider = str(uuid.uuid4())
        admin = User(('admin',), 'admin')
        made = self.ask(
            'POST', '/resource_providers', admin, {'name': provider, 'uuid': provider}
        )
        assert made.status == 200, made.body
        stocked = self.ask(
            'PUT',
            f'/resource_providers/{provider}/inventories',
            admin,
            {
                'resource_provider_generation': 0,
                'inventories': {'VCPU': {'total': 10_000}},
            },
        )
        assert stocked.status == 200, stocked.body
        return provider

    def add_consumer(self, provider: str, owner: User) -> str:
        """A consumer of one VCPU, at generation 1."""
        consumer = str(uuid.uuid4())
        claim = make_claim(provider, owner, None)
        written = self.ask('PUT', f'/allocations/{consumer}', SERVICE, claim)
        assert written.status == 204, written.body
        return consumer

    def show(self, consumer: str) -> dict[str, object]:
        """A consumer as a role-holder sees it."""
        answer = self.ask('GET', f'/allocations/{consumer}', SERVICE)
        assert answer.status == 200, answer.body
        shown: dict[str, object] = answer.json
        return shown
