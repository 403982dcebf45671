# SPDX-License-Identifier: Apache-2.0
"""The requests of each kind, and which answers are right."""

import contextlib
import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from bench.morning.cloud import Cloud
from bench.morning.ledger import NOWHERE, Ledger, Places
from bench.morning.model import ADMIN, READER, SERVICE, Arrival, Caller

_RESOURCES = {'VCPU': 1, 'MEMORY_MB': 1, 'DISK_GB': 1}


class Answer(NamedTuple):
    """An answer; status 0 where the connection broke."""

    status: int
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON; {} where there is none."""
        with contextlib.suppress(ValueError):
            return json.loads(self.body)
        return {}


class Send(Protocol):
    """Sends one request and takes its time."""

    def __call__(
        self,
        name: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: object = None,
    ) -> Answer:
        """Send it.

        :param name: under which its latency is counted
        """


class Wrong(Exception):
    """An answer that nobody may ever get."""


class Instance(NamedTuple):
    """A consumer that this load has made.

    :ivar providers: their numbers
    """

    consumer: str
    owner: tuple[str, str]
    providers: tuple[int, ...]


class Actions:
    """What the clients of one process do; safe for threads.

    :param guarded: whether readers are judged by consumer_guard, its list opened to
        them; otherwise they bring the role that placement's rule opens it to
    """

    def __init__(self, cloud: Cloud, prefix: str, *, guarded: bool) -> None:
        self._cloud = cloud
        self._prefix = prefix
        self._guarded = guarded
        self._lock = threading.Lock()
        self._alive: list[Instance] = []
        self._made = 0
        self.ledger = Ledger()
        self._by_kind: Mapping[str, Callable[[Send, Arrival], None]] = {
            'compute': self._update_compute,
            'boot': self._boot,
            'resize': self._resize,
            'delete': self._delete,
            'evacuate': self._evacuate,
            'quota': self._read_quota,
            'exporter': lambda send, one: self._list(send, one, ADMIN, '1.20'),
            'audit': lambda send, one: self._list(send, one, ADMIN, '1.0'),
            'own consumer': self._read_own,
            'own usages': self._read_own_usages,
            "another's consumer": self._read_another,
            'opened list': self._read_opened_list,
        }

    def perform(self, send: Send, arrival: Arrival) -> None:
        """Do what is due.

        :raises Wrong: an answer is wrong
        """
        self._by_kind[arrival.kind](send, arrival)

    def _headers(
        self, caller: Caller, version: str, owner: tuple[str, str] | None = None
    ) -> dict[str, str]:
        project, user = owner or ('0' * 32, caller.name.replace(' ', '-'))
        roles = caller.role
        if caller is READER and not self._guarded:
            roles += ',consumer_guard_passage'
        headers = {
            'X-Auth-Token': f'{user}:{project}',
            'X-Roles': roles,
            'Accept': 'application/json',
            'User-Agent': f'{caller.name} keystoneauth1 python-requests',
        }
        if version != '1.0':
            headers['OpenStack-API-Version'] = f'placement {version}'
        return headers

    def _update_compute(self, send: Send, arrival: Arrival) -> None:
        self._list(send, arrival, SERVICE, '1.0')
        provider = self._cloud.provider(arrival.number % self._cloud.providers)
        answer = send(
            'compute tree',
            'GET',
            f'/resource_providers?in_tree={provider}',
            self._headers(SERVICE, '1.14'),
        )
        if answer.status == 200:
            shown = answer.document['resource_providers']
            _demand([each['uuid'] for each in shown] == [provider], 'a tree', answer)

    def _list(self, send: Send, arrival: Arrival, caller: Caller, version: str) -> None:
        """A list by role: all that were there before the load are in it."""
        number = arrival.number % self._cloud.providers
        name = 'compute list' if arrival.kind == 'compute' else arrival.kind
        answer = send(
            name,
            'GET',
            f'/resource_providers/{self._cloud.provider(number)}/allocations',
            self._headers(caller, version),
        )
        if answer.status == 200:
            shown = answer.document['allocations']
            there = map(self._cloud.consumer, self._cloud.residents(number))
            _demand(all(each in shown for each in there), 'a list by role', answer)

    def _read_quota(self, send: Send, arrival: Arrival) -> None:
        project, user = self._cloud.owner(arrival.number % self._cloud.consumers)
        answer = send(
            'quota',
            'GET',
            f'/usages?project_id={project}&user_id={user}',
            self._headers(SERVICE, '1.9'),
        )
        if answer.status == 200:
            _demand(answer.document['usages']['VCPU'] >= 1, 'a quota', answer)

    def _read_own(self, send: Send, arrival: Arrival) -> None:
        number = arrival.number % self._cloud.consumers
        owner = self._cloud.owner(number)
        path = f'/allocations/{self._cloud.consumer(number)}'
        answer = send('own consumer', 'GET', path, self._headers(READER, '1.38', owner))
        if answer.status == 200:
            shown = answer.document
            right = shown.get('project_id') == owner[0] and shown['allocations']
            _demand(right, 'an own consumer', answer)
        else:
            _demand(answer.status != 403, 'an own consumer', answer)

    def _read_own_usages(self, send: Send, arrival: Arrival) -> None:
        owner = self._cloud.owner(arrival.number % self._cloud.consumers)
        path = f'/usages?project_id={owner[0]}&consumer_type=all'
        answer = send('own usages', 'GET', path, self._headers(READER, '1.38', owner))
        if answer.status == 200:
            shown = answer.document['usages'].get('all', {})
            _demand(shown.get('consumer_count', 0) >= 1, 'own usages', answer)
        else:
            _demand(answer.status != 403, 'own usages', answer)

    def _read_another(self, send: Send, arrival: Arrival) -> None:
        number = arrival.number % self._cloud.consumers
        owner, other = self._cloud.owner(number), self._cloud.owner(number + 1)
        path = f'/allocations/{self._cloud.consumer(number)}'
        headers = self._headers(READER, '1.38', other)
        answer = send("another's consumer", 'GET', path, headers)
        if self._guarded:
            hidden = answer.status != 200 and owner[0].encode() not in answer.body
            _demand(hidden, "another's consumer", answer)

    def _read_opened_list(self, send: Send, arrival: Arrival) -> None:
        consumer = arrival.number % self._cloud.consumers
        owner = self._cloud.owner(consumer)
        number = consumer % self._cloud.providers
        path = f'/resource_providers/{self._cloud.provider(number)}/allocations'
        answer = send('opened list', 'GET', path, self._headers(READER, '1.38', owner))
        if answer.status == 200:
            there = self._cloud.residents(number)
            mine = {
                self._cloud.consumer(each)
                for each in there
                if self._cloud.owner(each)[0] == owner[0]
            }
            shown = answer.document['allocations'].keys()
            right = shown == mine if self._guarded else shown >= mine
            _demand(right, 'a filtered list', answer)
        else:
            _demand(answer.status != 403, 'a filtered list', answer)

    # Writes: whoever has taken an instance out of the living is the only one to
    # write it, so what the ledger notes is in order.

    def _boot(self, send: Send, arrival: Arrival) -> None:
        consumer = self._make_uuid()
        owner = self._cloud.project(self._cloud.projects), self._cloud.user(0)
        instance = Instance(consumer, owner, ())
        places = (arrival.number % self._cloud.providers,)
        if self._read(send, 'boot GET', consumer) is None:
            return
        if arrival.number % 10:
            self._put(send, 'boot PUT', instance, places, None)
        else:
            self._post(send, 'boot POST', {instance: (places, None)}, '1.36')

    def _resize(self, send: Send, arrival: Arrival) -> None:
        """The migration takes the old place, the instance the new one."""
        instance = self._take(arrival)
        if instance is None:
            return
        migration = self._make_uuid()
        read = self._read(send, 'resize GET', instance.consumer)
        if read is None or self._read(send, 'resize GET', migration) is None:
            self._put_back(instance)
            return
        new = ((arrival.number // 7) % self._cloud.providers,)
        moved = Instance(migration, instance.owner, ())
        self._post(
            send,
            'resize POST',
            {
                moved: (instance.providers, None),
                instance: (new, read.get('consumer_generation')),
            },
            '1.28',
        )

    def _delete(self, send: Send, arrival: Arrival) -> None:
        instance = self._take(arrival)
        if instance is None:
            return
        path = f'/allocations/{instance.consumer}'
        if arrival.number % 10 == 0:
            headers = self._headers(SERVICE, '1.0')
            answer = send('delete DELETE', 'DELETE', path, headers)
            self.ledger.note(instance.consumer, NOWHERE, answer.status)
            return
        read = self._read(send, 'delete GET', instance.consumer)
        if read is None:
            self._put_back(instance)
            return
        generation = read.get('consumer_generation')
        self._put(send, 'delete PUT', instance, (), generation, version='1.28')

    def _evacuate(self, send: Send, arrival: Arrival) -> None:
        instance = self._take(arrival)
        if instance is None:
            return
        read = self._read(send, 'evacuate GET', instance.consumer)
        if read is None:
            self._put_back(instance)
            return
        target = (arrival.number * 31 + 17) % self._cloud.providers
        places = tuple(dict.fromkeys((*instance.providers, target)))
        generation = read.get('consumer_generation')
        self._put(send, 'evacuate PUT', instance, places, generation)

    def _make_uuid(self) -> str:
        with self._lock:
            self._made += 1
            # Spread as random ones are, and of no other process.
            spread = self._cloud.consumer(-self._made)
        return f'{spread[:24]}{self._prefix}'

    def _take(self, arrival: Arrival) -> Instance | None:
        with self._lock:
            if not self._alive:
                return None
            # Not for secrets: the same for the same load.
            chance = random.Random(arrival.number)  # noqa: S311
            return self._alive.pop(chance.randrange(len(self._alive)))

    def _put_back(self, instance: Instance) -> None:
        with self._lock:
            self._alive.append(instance)

    def _read(self, send: Send, name: str, consumer: str) -> dict[str, Any] | None:
        path = f'/allocations/{consumer}'
        answer = send(name, 'GET', path, self._headers(SERVICE, '1.28'))
        if answer.status != 200:
            return None
        found: dict[str, Any] = answer.document
        possible = self.ledger.possible.get(consumer, {NOWHERE})
        _demand(frozenset(found['allocations']) in possible, name, answer)
        return found

    def _claim(self, instance: Instance, places: Sequence[int], generation: Any) -> Any:
        return {
            'allocations': {
                self._cloud.provider(number): {'resources': _RESOURCES}
                for number in places
            },
            'project_id': instance.owner[0],
            'user_id': instance.owner[1],
            'consumer_generation': generation,
        }

    def _places(self, numbers: Sequence[int]) -> Places:
        return frozenset(map(self._cloud.provider, numbers))

    def _put(
        self,
        send: Send,
        name: str,
        instance: Instance,
        places: tuple[int, ...],
        generation: Any,
        version: str = '1.36',
    ) -> None:
        path = f'/allocations/{instance.consumer}'
        claim = self._claim(instance, places, generation)
        answer = send(name, 'PUT', path, self._headers(SERVICE, version), claim)
        self._settle(instance, places, answer)

    def _post(
        self,
        send: Send,
        name: str,
        wanted: Mapping[Instance, tuple[tuple[int, ...], Any]],
        version: str,
    ) -> None:
        claims = {
            instance.consumer: self._claim(instance, places, generation)
            for instance, (places, generation) in wanted.items()
        }
        headers = self._headers(SERVICE, version)
        answer = send(name, 'POST', '/allocations', headers, claims)
        for instance, (places, _) in wanted.items():
            self._settle(instance, places, answer)

    def _settle(
        self, instance: Instance, places: tuple[int, ...], answer: Answer
    ) -> None:
        """Note a write; whoever holds something for certain lives on."""
        written = self._places(places)
        noted = self.ledger.note(instance.consumer, written, answer.status)
        certain = answer.status != 0 and answer.status < 500
        left = instance._replace(providers=places) if noted else instance
        if certain and left.providers:
            self._put_back(left)


def _demand(right: object, what: str, answer: Answer) -> None:
    if not right:
        raise Wrong(f'{what}: {answer.status} {answer.body[:200]!r}')
