# SPDX-License-Identifier: Apache-2.0
"""The guard by itself: typed stand-ins for rules, owners and application."""

import json
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from consumer_guard import assembly
from consumer_guard.config import loading
from consumer_guard.generations.store import Swap
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Rules
from consumer_guard.guard.model import Owner, OwnerStatus, Truth
from consumer_guard.guard.request import KNOWN_MICROVERSIONS
from consumer_guard.guard.wsgi import ConsumerGuard
from tests.fuzz.wire import Environ, make_environ

#: The project of the caller, and of the consumer that he owns.
PROJECT = 'a0' * 16
USER = 'a1' * 16
CONSUMER = 'ca000000-0000-4000-8000-0000000000a1'


def prove(
    environ: Environ, *roles: str, project_id: str | None = PROJECT, user_id: str = USER
) -> Environ:
    """What auth_token leaves in an environ for a valid token."""
    user = types.SimpleNamespace(
        user_id=user_id, project_id=project_id, role_names=roles, system_scoped=False
    )
    return environ | {
        'keystone.token_info': {'token': {}},
        'keystone.token_auth': types.SimpleNamespace(user=user),
        'HTTP_X_IDENTITY_STATUS': 'Confirmed',
        'HTTP_X_USER_ID': user_id,
        'HTTP_X_PROJECT_ID': project_id,
        'HTTP_X_ROLES': ','.join(roles),
    }


class FixedRules:
    """A RuleSource: allows by the project of the target, or always, or raises."""

    def __init__(self, *, first: Truth = Truth.UNKNOWN) -> None:
        self._first = first
        self.fault: BaseException | None = None
        self.faults_in = ''

    def _step(self, name: str) -> None:
        if self.fault is not None and self.faults_in == name:
            raise self.fault

    def current(self) -> Rules:
        self._step('current')
        return self

    def reads(self, rule: str) -> frozenset[str]:
        self._step('reads')
        return frozenset({'project_id'})

    def judge(
        self,
        rule: str,
        caller: model.Caller,
        target: Mapping[str, str],
        *,
        final: bool,
    ) -> Truth:
        self._step('judge final' if final else 'judge')
        if not final:
            return self._first
        owned = target.get('project_id') == caller.credentials['project_id']
        return Truth.YES if owned else Truth.NO


class FixedOwners:
    """An OwnerLookup over a mapping; counts, and may raise."""

    def __init__(self, owners: Mapping[str, Owner] | None = None) -> None:
        self._owners = owners or {
            CONSUMER: Owner(
                CONSUMER,
                OwnerStatus.RECORDED,
                PROJECT,
                USER,
                generation=1,
                row_id=1,
                has_allocations=True,
            )
        }
        self.fault: BaseException | None = None
        self.asked: list[frozenset[str]] = []

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        self.asked.append(frozenset(consumer_ids))
        if self.fault is not None:
            raise self.fault
        return {
            uuid: self._owners.get(uuid, Owner(uuid, OwnerStatus.ABSENT))
            for uuid in consumer_ids
        }

    def close(self) -> None:
        """Nothing is open."""


class SealingOwners(FixedOwners):
    """The same with a GenerationStore, so that owners can write.

    :ivar swap_fault: raised instead of a swap
    :ivar wins: whether swaps win their races
    """

    def __init__(self, owners: Mapping[str, Owner] | None = None) -> None:
        super().__init__(owners)
        self.swap_fault: BaseException | None = None
        self.wins = True
        self.swapped: list[Swap] = []

    def swap_generations(self, swaps: Iterable[Swap]) -> bool:
        if self.swap_fault is not None:
            raise self.swap_fault
        self.swapped += swaps
        return self.wins

    def find_types(self, names: Collection[str]) -> Collection[str]:
        """One type exists."""
        return {*names} & {'INSTANCE'}


class Chunks:
    """An app_iter that counts how often it was closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.closed = 0

    def __iter__(self) -> 'Chunks':
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self.closed += 1


class Recorder:
    """An application that keeps what it was asked, and reads the body."""

    def __init__(
        self,
        chunks: Iterable[bytes] = (b'{"allocations": {}}',),
        *,
        status: str = '200 OK',
        content_type: str = 'application/json',
    ) -> None:
        self._chunks = tuple(chunks)
        self.status = status
        self.headers = [('Content-Type', content_type)]
        self.asked: list[Environ] = []
        self.bodies: list[bytes] = []
        self.answers: list[Chunks] = []

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        self.asked.append(dict(environ))
        self.bodies.append(environ['wsgi.input'].read())
        start_response(self.status, self.headers)
        self.answers.append(Chunks(self._chunks))
        return self.answers[-1]


def make_guard(
    application: Any,
    rules: Any = None,
    owners: Any = None,
    **options: str,
) -> ConsumerGuard:
    """A guard of stand-ins; options as a paste section has them."""
    local = {'connection': 'sqlite://'} | options
    return assembly.make_guard(
        application,
        settings=loading.load(loading.parse_files({}), local).settings,
        rules=rules or FixedRules(),
        lookup=owners or SealingOwners(),
        versions=KNOWN_MICROVERSIONS,
    )


def ask_for(
    path: str = f'/allocations/{CONSUMER}', method: str = 'GET', **more: Any
) -> Environ:
    """A proven request of the owner's."""
    return prove(make_environ(method, path, **more), 'member', 'reader')


#: What may come out of any library.
FAULTS = (
    RuntimeError('secret'),
    RecursionError('secret'),
    MemoryError('secret'),
    KeyError('secret'),
    AttributeError('secret'),
    UnicodeDecodeError('utf-8', b'secret', 0, 1, 'secret'),
    SyntaxError('secret'),
    StopIteration('secret'),
    AssertionError('secret'),
)

CLAIM = {
    'allocations': {'x': {'resources': {'VCPU': 1}}},
    'project_id': PROJECT,
    'user_id': USER,
    'consumer_generation': 1,
    'consumer_type': 'INSTANCE',
}

#: Requests that the owner is allowed.
REQUESTS: dict[str, Callable[[], Environ]] = {
    'GET': ask_for,
    'PUT': lambda: ask_for(method='PUT', body=json.dumps(CLAIM).encode()),
    'POST': lambda: ask_for(
        '/allocations', 'POST', body=json.dumps({CONSUMER: CLAIM}).encode()
    ),
    'usages': lambda: ask_for('/usages', query=f'project_id={PROJECT}'),
}
