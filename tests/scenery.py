# SPDX-License-Identifier: Apache-2.0
"""Alice and Bob, their consumers on one provider, and what they ask for."""

import functools
import uuid
from typing import Any

import webtest

from tests.administrator import VERSION, User, make_claim
from tests.deployment import Deployment
from tests.fuzz.bodies import encode
from tests.fuzz.wire import Answer, Environ, make_environ, send
from tests.rows import Row, Tables

#: In :meth:`Scene.put`: the generation that is stored.
STORED = object()


class Scene:
    """A asks, B owns what A may not have; both are members of one project each.

    :ivar alice: A, who may be given other roles
    :ivar own: her consumer, at generation 1
    :ivar foreign: Bob's, at generation 1
    :ivar unknown: an id of no consumer
    :ivar tables: the rows behind placement
    :ivar secrets: what no answer to A may carry
    """

    def __init__(
        self, deployed: Deployment, *roles: str, alice: User | None = None
    ) -> None:
        self.deployed = deployed
        self.admin = deployed.admin
        self.tables = Tables(deployed.database)
        self.provider = deployed.add_provider(100_000)
        self.alice = alice or deployed.add_user(*(roles or ('member', 'reader')))
        self.bob = deployed.add_user('member', 'reader')
        # Nobody owns anything without a project.
        owner = self.alice if self.alice.project_id else self.bob
        self.own = deployed.add_consumer(self.provider, owner)
        self.foreign = deployed.add_consumer(self.provider, self.bob)
        self.unknown = str(uuid.uuid4())
        assert self.bob.project_id
        self.secrets: tuple[str, ...] = (
            self.bob.project_id,
            self.bob.user_id,
            self.foreign,
        )

    @functools.cached_property
    def ownerless(self) -> str:
        """A consumer of the incomplete project; made when first wanted."""
        return self.deployed.add_ownerless(self.provider)

    @property
    def kinds(self) -> dict[str, str]:
        """One consumer of each kind that there is for Alice."""
        return {
            'owned': self.own,
            'foreign': self.foreign,
            'unknown': self.unknown,
            'ownerless': self.ownerless,
        }

    def add(self, generation: int) -> str:
        """Another consumer of Alice's, whose generation is set in the database."""
        consumer = self.deployed.add_consumer(self.provider, self.alice)
        self.tables.set_generation(consumer, generation)
        return consumer

    def stored(self, consumer: str | None = None) -> Row | None:
        """The row of a consumer, Alice's unless it is given."""
        return self.tables.read(consumer or self.own)

    def generation(self, consumer: str | None = None) -> int:
        """The stored generation of a consumer, Alice's unless it is given."""
        row = self.stored(consumer)
        assert row is not None
        return row.generation

    # Requests, whose answers may have any status.

    def claim(
        self,
        owner: User | None = None,
        *,
        generation: object = 1,
        version: str = VERSION,
        amount: int = 2,
    ) -> dict[str, Any]:
        """The body of one consumer, claimed for Alice unless for somebody else."""
        return make_claim(
            self.provider, owner or self.alice, generation, version, amount
        )

    def get(self, caller: User, consumer: str | None = None) -> webtest.TestResponse:
        """Read a consumer, Alice's unless it is given."""
        path = f'/allocations/{consumer or self.own}'
        return self.deployed.request('GET', path, caller)

    def put(
        self,
        caller: User,
        consumer: str | None = None,
        *,
        owner: User | None = None,
        generation: object = STORED,
        version: str = VERSION,
        amount: int = 2,
    ) -> webtest.TestResponse:
        """Write a consumer, by default Alice's for Alice upon what is stored."""
        consumer = consumer or self.own
        if generation is STORED:
            generation = self.tables.read_generation(consumer)
        return self.deployed.put(
            consumer,
            self.provider,
            owner or self.alice,
            caller,
            generation=generation,
            version=version,
            amount=amount,
        )

    def post(
        self, caller: User, claims: dict[str, Any], version: str = VERSION
    ) -> webtest.TestResponse:
        """Write several consumers at once; a claim of each."""
        return self.deployed.request(
            'POST', '/allocations', caller, version=version, body=claims
        )

    def delete(self, caller: User, consumer: str | None = None) -> webtest.TestResponse:
        """Delete a consumer, Alice's unless it is given."""
        path = f'/allocations/{consumer or self.own}'
        return self.deployed.request('DELETE', path, caller)

    # Requests of Alice's as a server hands them over.

    def fill(self, text: str, consumer: str | None = None) -> str:
        """Fill in {CA}, {CB}, {A}, {B} and the like.

        :param consumer: what stands for {CB}, B's consumer unless it is given
        """
        consumer = consumer or self.foreign
        return text.format(
            A=self.alice.project_id,
            B=self.bob.project_id,
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
        more.setdefault('token', self.alice.token)
        more['query'] = self.fill(more.get('query', ''), consumer)
        return make_environ(method, self.fill(path, consumer), **more)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """The database as it is now."""
        return self.tables.read_all()

    def assert_tells_nothing(self, answer: Answer) -> None:
        """Nothing of Bob's is in an answer to A."""
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
