# SPDX-License-Identifier: Apache-2.0
"""Traffic that can be played again: the same requests over the same rows."""

import dataclasses
import itertools
import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from tests.administrator import User, make_claim
from tests.deployment import Deployment
from tests.fuzz.wire import Answer, make_environ, send
from tests.scenery import Scene

BAD_VERSIONS = ('1.99', 'nonsense')
VERSIONS = (None, '1.0', '1.7', '1.12', '1.28', '1.38', 'latest', *BAD_VERSIONS)


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


def play(application: Any, traffic: Sequence[Request]) -> list[Answer]:
    """Send the requests one after the other."""
    return [request.send(application) for request in traffic]


class Traffic(Scene):
    """Who asks, by what right, and for what.

    :ivar reader: of Alice's project
    :ivar service: with a role that allows everything
    """

    def __init__(self, deployed: Deployment) -> None:
        super().__init__(deployed)
        self.reader = deployed.add_user('reader', project_id=self.alice.project_id)
        self.service = deployed.add_user('service')
        self.callers = [self.alice, self.reader, self.service, self.admin]

    def requests(self) -> list[Request]:
        """Reads and writes of everybody on everything."""
        return [*self.reads(), *self._oddities(), *self._writes(), *self._deletes()]

    def reads(self) -> Iterator[Request]:
        for caller in self.callers:
            for consumer, version in itertools.product(self.kinds.values(), VERSIONS):
                yield Request('GET', f'/allocations/{consumer}', caller, '', version)
            for project in (self.alice.project_id, self.bob.project_id, ''):
                for version in ('1.9', '1.38'):
                    query = f'project_id={project}'
                    yield Request('GET', '/usages', caller, query, version)
            for provider in (self.provider, str(uuid.uuid4())):
                path = f'/resource_providers/{provider}/allocations'
                yield Request('GET', path, caller)

    def _oddities(self) -> Iterator[Request]:
        for caller in (self.alice, self.admin):
            for path in (
                f'/allocations/{self.foreign}\n',
                f'/allocations/{self.own.upper()}',
                f'/allocations/{self.own}/',
                '/allocations',
                '/',
                '',
                '/no-such-route',
                '/resource_providers',
            ):
                yield Request('GET', path, caller)
            path = f'/allocations/{self.own}'
            yield Request('GET', path, caller, headers=(('Accept', 'text/plain'),))
            yield Request('PATCH', path, caller, body=b'{}')
            for body in (b'', b'[]', b'{', b'null', b'x' * 9000):
                yield Request('PUT', path, caller, body=body)
                yield Request('POST', '/allocations', caller, body=body)
            yield Request('PUT', path, caller, body=b'{}', content_type='text/plain')

    def _writes(self) -> Iterator[Request]:
        for caller, (consumer, version, generation) in itertools.product(
            self.callers,
            itertools.product(self.kinds.values(), ('1.7', '1.12', '1.38'), (1, None)),
        ):
            claim = make_claim(self.provider, self.alice, generation, version or '1.38')
            yield Request(
                'PUT',
                f'/allocations/{consumer}',
                caller,
                version=version,
                body=json.dumps(claim).encode(),
            )
        for caller in self.callers:
            claims = {
                consumer: make_claim(self.provider, self.alice, 2)
                for consumer in (self.own, self.foreign)
            }
            body = json.dumps(claims).encode()
            yield Request('POST', '/allocations', caller, body=body)
            reshape = {'inventories': {}, 'allocations': claims}
            body = json.dumps(reshape).encode()
            yield Request('POST', '/reshaper', caller, body=body)

    def _deletes(self) -> Iterator[Request]:
        for caller in self.callers:
            for consumer in self.kinds.values():
                yield Request('DELETE', f'/allocations/{consumer}', caller)
