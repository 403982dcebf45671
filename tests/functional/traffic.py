# SPDX-License-Identifier: Apache-2.0
"""Traffic that can be played again: the same requests over the same rows."""

import dataclasses
import itertools
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tests.deployment import Deployment, User, make_claim
from tests.fuzz.wire import Answer, Scene, make_environ, send

BAD_VERSIONS = ('1.99', 'nonsense')
VERSIONS = (None, '1.0', '1.7', '1.12', '1.28', '1.38', 'latest', *BAD_VERSIONS)

#: Of what the traffic is made; each owned, another's, unknown or nobody's.
READS = ('/allocations/{c}', '/allocations/{c}%0A', '/allocations/{C}')


@dataclasses.dataclass(frozen=True)
class Request:
    """One request, as it can be sent again and again."""

    method: str
    path: str
    caller: User
    query: str = ''
    version: str | None = '1.38'
    body: bytes | None = None
    content_type: str = 'application/json'
    headers: tuple[tuple[str, str], ...] = ()

    def send(self, application: Any) -> Answer:
        """Send it with the caller's token."""
        environ = make_environ(
            self.method,
            self.path,
            query=self.query,
            token=self.caller.token,
            version=self.version,
            body=self.body,
            content_type=self.content_type,
            headers=dict(self.headers),
        )
        return send(application, environ)


class Rows:
    """All the rows of a database, to be put back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept: list[tuple[sa.Table, list[dict[str, Any]]]] = []
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        metadata = sa.MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            for table in metadata.sorted_tables:
                rows = connection.execute(sa.select(table)).mappings()
                self._kept.append((table, [dict(row) for row in rows]))
        engine.dispose()

    def put_back(self) -> None:
        """Make the database what it was."""
        engine = sa.create_engine(self._url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for table, _ in reversed(self._kept):
                connection.execute(sa.delete(table))
            for table, rows in self._kept:
                if rows:
                    connection.execute(sa.insert(table), rows)
        engine.dispose()


def play(application: Any, traffic: Sequence[Request]) -> list[Answer]:
    """Send the requests one after the other."""
    return [request.send(application) for request in traffic]


class Cast:
    """Who asks in the traffic, and what for."""

    def __init__(self, deployed: Deployment) -> None:
        self.scene = Scene(deployed)
        scene = self.scene
        self.reader = deployed.add_user('reader', project_id=scene.attacker.project_id)
        self.service = deployed.add_user('service')
        self.callers = (scene.attacker, self.reader, self.service, deployed.admin)
        # Written below 1.8: it belongs to the incomplete project.
        self.nobodys = str(uuid.uuid4())
        made = deployed.put(
            self.nobodys,
            scene.provider,
            scene.attacker,
            deployed.admin,
            generation=None,
            version='1.7',
        )
        assert made.status_int == 204, made.text
        self.consumers: Mapping[str, str] = {
            'owned': scene.own,
            'foreign': scene.foreign,
            'unknown': scene.unknown,
            'nobodys': self.nobodys,
        }

    def traffic(self) -> list[Request]:
        """Reads and writes of everybody on everything."""
        return [*self.reads(), *self._oddities(), *self._writes(), *self._deletes()]

    def reads(self) -> Iterator[Request]:
        scene = self.scene
        for caller in self.callers:
            for consumer, version in itertools.product(
                self.consumers.values(), VERSIONS
            ):
                yield Request('GET', f'/allocations/{consumer}', caller, '', version)
            for project in (scene.attacker.project_id, scene.victim.project_id, ''):
                for version in ('1.9', '1.38'):
                    query = f'project_id={project}'
                    yield Request('GET', '/usages', caller, query, version)
            for provider in (scene.provider, str(uuid.uuid4())):
                path = f'/resource_providers/{provider}/allocations'
                yield Request('GET', path, caller)

    def _oddities(self) -> Iterator[Request]:
        scene = self.scene
        for caller in (scene.attacker, scene.deployed.admin):
            for path in (
                f'/allocations/{scene.foreign}\n',
                f'/allocations/{scene.own.upper()}',
                f'/allocations/{scene.own}/',
                '/allocations',
                '/',
                '',
                '/no-such-route',
                '/resource_providers',
            ):
                yield Request('GET', path, caller)
            path = f'/allocations/{scene.own}'
            yield Request('GET', path, caller, headers=(('Accept', 'text/plain'),))
            yield Request('PATCH', path, caller, body=b'{}')
            for body in (b'', b'[]', b'{', b'null', b'x' * 9000):
                yield Request('PUT', path, caller, body=body)
                yield Request('POST', '/allocations', caller, body=body)
            yield Request('PUT', path, caller, body=b'{}', content_type='text/plain')

    def _writes(self) -> Iterator[Request]:
        scene = self.scene
        for caller, (consumer, version, generation) in itertools.product(
            self.callers,
            itertools.product(
                self.consumers.values(), ('1.7', '1.12', '1.38'), (1, None)
            ),
        ):
            claim = make_claim(
                scene.provider, scene.attacker, generation, version or '1.38'
            )
            yield Request(
                'PUT',
                f'/allocations/{consumer}',
                caller,
                version=version,
                body=json.dumps(claim).encode(),
            )
        for caller in self.callers:
            claims = {
                consumer: make_claim(scene.provider, scene.attacker, 2)
                for consumer in (scene.own, scene.foreign)
            }
            body = json.dumps(claims).encode()
            yield Request('POST', '/allocations', caller, body=body)
            reshape = {'inventories': {}, 'allocations': claims}
            body = json.dumps(reshape).encode()
            yield Request('POST', '/reshaper', caller, body=body)

    def _deletes(self) -> Iterator[Request]:
        for caller in self.callers:
            for consumer in self.consumers.values():
                yield Request('DELETE', f'/allocations/{consumer}', caller)
