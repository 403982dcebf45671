# SPDX-License-Identifier: Apache-2.0
"""Users, what they claim, and the administrator who makes providers and consumers."""

import abc
import dataclasses
import uuid
from typing import Any

#: The microversion of requests that do not choose one.
VERSION = '1.38'

#: For GET /usages: on PostgreSQL placement's later sums are a 500.
SUMS_VERSION = '1.37'


@dataclasses.dataclass(frozen=True)
class User:
    """Somebody with a token.

    :ivar project_id: None for tokens that are not of a project
    """

    roles: tuple[str, ...]
    project_id: str | None
    user_id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    token: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    scope: str = 'project'


def make_claim(
    provider: str,
    owner: User,
    generation: object,
    version: str = VERSION,
    amount: int = 1,
) -> dict[str, Any]:
    """The body of a consumer as a microversion wants it.

    :param amount: of VCPU; 0 is a consumer without allocations
    """
    minor = int(version.partition('.')[2])
    claim: dict[str, Any] = {
        'allocations': {provider: {'resources': {'VCPU': amount}}} if amount else {}
    }
    if minor < 12:
        claim['allocations'] = [
            {'resource_provider': {'uuid': provider}, 'resources': {'VCPU': amount}}
        ]
    if minor >= 8:
        claim |= {'project_id': owner.project_id, 'user_id': owner.user_id}
    if minor >= 28:
        claim['consumer_generation'] = generation
    if minor >= 38:
        claim['consumer_type'] = 'INSTANCE'
    return claim


class Administrator(abc.ABC):
    """Makes what tests need, over any transport."""

    @abc.abstractmethod
    def must(
        self, method: str, path: str, body: object = None, version: str = VERSION
    ) -> Any:
        """Send a request of somebody with the role admin, which has to succeed.

        :returns: the JSON of the answer, or None
        """

    def add_provider(
        self, total: int = 1000, name: str | None = None, provider: str | None = None
    ) -> str:
        """A resource provider with VCPU; returns its uuid.

        :param name: its uuid, unless it is given
        :param provider: its uuid, a new one unless it is given
        """
        provider = provider or str(uuid.uuid4())
        made = {'name': name or provider, 'uuid': provider}
        self.must('POST', '/resource_providers', made)
        stock = {
            'resource_provider_generation': 0,
            'inventories': {'VCPU': {'total': total}},
        }
        self.must('PUT', f'/resource_providers/{provider}/inventories', stock)
        return provider

    def add_consumer(
        self,
        provider: str,
        owner: User,
        consumer: str | None = None,
        *,
        version: str = VERSION,
        amount: int = 1,
    ) -> str:
        """A consumer that belongs to the owner, at generation 1; returns its uuid."""
        consumer = consumer or str(uuid.uuid4())
        claim = make_claim(provider, owner, None, version, amount)
        self.must('PUT', f'/allocations/{consumer}', claim, version)
        return consumer

    def add_ownerless(self, provider: str) -> str:
        """A consumer as clients below 1.8 make them, of the incomplete project."""
        return self.add_consumer(provider, User((), None), version='1.7')

    def show(self, consumer: str) -> dict[str, Any]:
        """The consumer as the administrator sees it; {} when there is none."""
        shown: dict[str, Any] = self.must('GET', f'/allocations/{consumer}')
        return shown if shown['allocations'] else {}

    def make_reshape(
        self, provider: str, allocations: dict[str, Any]
    ) -> dict[str, Any]:
        """The body of a reshape that leaves the inventory as it is."""
        stock = self.read_inventories(provider)
        return {'inventories': {provider: stock}, 'allocations': allocations}

    def read_inventories(self, provider: str) -> dict[str, Any]:
        """The inventories of a provider as the API shows them."""
        shown: dict[str, Any] = self.must(
            'GET', f'/resource_providers/{provider}/inventories'
        )
        return shown


def without_provider_generations(shown: dict[str, Any]) -> dict[str, Any]:
    """A shown consumer without what moves with everybody's writes."""
    held = {
        provider: {name: value for name, value in one.items() if name != 'generation'}
        for provider, one in shown.get('allocations', {}).items()
    }
    return shown | {'allocations': held} if shown else {}
