# SPDX-License-Identifier: Apache-2.0
"""Owners and role-holders on a few consumers, each in threads of their own."""

import contextlib
import functools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
import webob

from consumer_guard.generations.store import Kind, Swap, swap
from tests.administrator import User, make_claim
from tests.deployment import Deployment, make_request
from tests.races.evidence import Swapped, Told
from tests.rows import Tables


class Crowd:
    """Everybody, and what they were told.

    :ivar interleavings: pairs of an owner's write and another operation on the
        same consumer, whose times overlapped
    """

    CONSUMERS = 2
    OWNERS = 4
    ROLE_HOLDERS = 5

    def __init__(self, deployed: Deployment, driver: Any, seed: int) -> None:
        self._deployed = deployed
        self._seed = seed
        self._driver = driver
        self.tables = Tables(deployed.database, sa.QueuePool)
        self.engine = self.tables.engine
        self._provider = deployed.add_provider(10**8)
        self._owners = [deployed.add_user('member', 'reader') for _ in range(2)]
        self._keeper = deployed.add_user('member', 'reader')
        self._consumers = [
            deployed.add_consumer(self._provider, self._owners[0])
            for _ in range(self.CONSUMERS)
        ]
        for user in (self._owners[1], self._keeper):
            deployed.add_consumer(self._provider, user)
        self._projects = {
            user: self.tables.name('projects', 'external_id', user.project_id)
            for user in self._owners
        }
        self._lock = threading.Lock()
        self._active: dict[int, tuple[bool, frozenset[str]]] = {}
        self._local = threading.local()
        self.over = threading.Event()
        self.interleavings = 0
        self.statuses: Counter[str] = Counter()
        self.owners_landed: list[Swapped] = []
        self.told: list[Told] = []
        sa.event.listen(driver.engine, 'after_cursor_execute', self._note_swap)

    def _note_swap(
        self, _c: Any, cursor: Any, statement: str, parameters: Any, *_rest: Any
    ) -> None:
        if 'UPDATE consumers' in statement and cursor.rowcount == 1:
            self._local.swaps.append(_name_parameters(statement, parameters))

    def run(self, wanted: int) -> None:
        """Until that many interleavings; raises what a thread raises."""
        actors: list[Callable[[random.Random], None]] = []
        for number in range(self.OWNERS):
            owner = self._owners[number % 2]
            actors.append(functools.partial(self._write_as, owner))
        actors += [self._administrate] * self.ROLE_HOLDERS
        errors: list[BaseException] = []

        def act(actor: Callable[[random.Random], None], seed: int) -> None:
            chance = random.Random(seed)  # noqa: S311  # not a secret
            try:
                while not self.over.is_set():
                    self._local.swaps = []
                    actor(chance)
                    if self.interleavings >= wanted:
                        self.over.set()
            except BaseException as error:
                errors.append(error)
                self.over.set()

        threads = [
            threading.Thread(target=act, args=(actor, self._seed * 1000 + number))
            for number, actor in enumerate(actors)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    @contextlib.contextmanager
    def _overlapping(self, by_owner: bool, *consumers: str) -> Iterator[None]:
        mine = frozenset(consumers)
        key = threading.get_ident()
        with self._lock:
            self.interleavings += sum(
                (by_owner or owners) and bool(mine & theirs)
                for owners, theirs in self._active.values()
            )
            self._active[key] = by_owner, mine
        try:
            yield
        finally:
            with self._lock:
                del self._active[key]

    def _send(
        self,
        method: str,
        path: str,
        caller: User,
        version: str = '1.38',
        body: object = None,
    ) -> webob.Response:
        request = make_request(method, path, caller, version=version, body=body)
        answer = request.get_response(self._deployed.application)
        who = 'role' if caller is self._deployed.admin else 'owner'
        with self._lock:
            self.statuses[f'{who} {method} {answer.status_int}'] += 1
        return answer

    def _write_as(self, owner: User, chance: random.Random) -> None:
        """Read a generation, and write upon it or upon one of before."""
        names = chance.sample(self._consumers, 2)
        if chance.random() < 0.8:
            names = names[:1]
        generations = {}
        for uuid in names:
            shown = self._send('GET', f'/allocations/{uuid}', owner)
            if shown.status_int != 200:
                # Another's by now; let the role-holders go on.
                self.over.wait(0.01)
                return
            generations[uuid] = shown.json.get('consumer_generation')
        claims = {
            uuid: make_claim(self._provider, owner, generation, amount=2)
            for uuid, generation in generations.items()
        }
        with self._overlapping(True, *names):
            if len(names) == 1:
                (uuid,) = names
                answer = self._send(
                    'PUT', f'/allocations/{uuid}', owner, body=claims[uuid]
                )
            else:
                answer = self._send('POST', '/allocations', owner, body=claims)
        if answer.status_int == 204:
            project = self._projects[owner]
            landed = [
                Swapped(s['row_id'], s['uuid'], s['expected'], s['new'], project)
                for s in self._local.swaps
            ]
            assert len(landed) == len(names), 'an acknowledged write was not sealed'
            with self._lock:
                self.owners_landed += landed

    def _administrate(self, chance: random.Random) -> None:
        """One operation of a role-holder."""
        uuid = chance.choice(self._consumers)
        path, admin = f'/allocations/{uuid}', self._deployed.admin
        owner = chance.choice([*self._owners, *self._owners, self._keeper])
        generation = self.tables.read_generation(uuid)
        kind = chance.random()
        if kind < 0.1:
            with self._overlapping(False, uuid):
                self._send('DELETE', path, admin)
        elif kind < 0.2 and generation is not None:
            with self._overlapping(False, uuid), contextlib.suppress(sa.exc.DBAPIError):
                to = -(2**31) + chance.randrange(2**15)
                swap(self.engine, Kind.CONSUMER, [Swap(uuid, generation, to)])
        elif kind < 0.35:
            # Without a generation; at 1.0 it makes the consumer nobody's.
            version = '1.12' if kind < 0.3 else '1.0'
            claim = make_claim(self._provider, owner, None, version)
            with self._overlapping(False, uuid):
                self._send('PUT', path, admin, version, claim)
        else:
            claim = make_claim(self._provider, owner, generation)
            with self._overlapping(False, uuid):
                answer = self._send('PUT', path, admin, body=claim)
            if answer.status_int == 204 and generation is not None:
                with self._lock:
                    self.told.append(Told(uuid, generation))


def _name_parameters(statement: str, parameters: Any) -> dict[str, Any]:
    """The parameters by name, whatever the driver's style."""
    if hasattr(parameters, 'keys'):
        return dict(parameters)
    # As they stand in the statement of consumer_guard.generations.store.
    names = ['new', 'uuid', 'expected']
    if ' AND id = ' in statement:
        names += ['row_id', 'again', 'project_id', 'user_id']
    return dict(zip(names, parameters, strict=False))
