# SPDX-License-Identifier: Apache-2.0
"""Load on a service, and the account of every answer."""

import collections
import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.administrator import VERSION, Administrator, User, make_claim
from tests.faults.http import Answer, Client, ask
from tests.faults.service import Service
from tests.races import evidence
from tests.races.evidence import Write
from tests.rows import Tables

#: How many requests one thread sends at the most in one test.
MOST = 20_000

Headers = Mapping[str, str]


def headers_of(user: User) -> Headers:
    """Who asks, as the filter ``noauth`` takes it."""
    return {
        'X-Auth-Token': f'{user.user_id}:{user.project_id}',
        'X-Roles': ','.join(user.roles),
    }


@dataclass
class Account:
    """All answers: how many of which status a kind of request got.

    :ivar wrong: answers that nobody may ever get, in words
    :ivar slowest: seconds
    """

    answers: collections.Counter[tuple[str, int]] = field(
        default_factory=collections.Counter
    )
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def statuses(self, kind: str) -> dict[int, int]:
        """How many of each status."""
        return {
            status: count
            for (of, status), count in sorted(self.answers.items())
            if of == kind
        }

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.answers.values())

    def __str__(self) -> str:
        kinds = sorted({kind for kind, _ in self.answers})
        lines = [f'{kind}: {self.statuses(kind)}' for kind in kinds]
        return '; '.join([*lines, f'slowest {self.slowest:.2f} s', *self.wrong[:5]])


class Load(Administrator):
    """Owners and a service at work; each thread has a consumer of its own.

    :param make_headers: how a user proves who it is
    """

    def __init__(
        self,
        service: Service,
        make_headers: Callable[[User], Headers] = headers_of,
        *,
        threads: int = 6,
        admin: User | None = None,
    ) -> None:
        self._port = service.port
        self._tables = Tables(service.database)
        self._make_headers = make_headers
        self._admin = admin or User(('admin',), uuid.uuid4().hex)
        self._users = [
            User(('member', 'reader'), uuid.uuid4().hex) for _ in range(threads)
        ]
        self.account = Account()
        self.acknowledged: list[Write] = []
        self.unsure: list[Write] = []
        self._lock = threading.Lock()
        self._over = threading.Event()

    @property
    def users(self) -> Sequence[User]:
        """The owners."""
        return self._users

    def prepare(self) -> None:
        """Make a provider, and a consumer for every owner."""
        evidence.install(self._tables.engine)
        self.provider = self.add_provider(100_000)
        self.consumers = {
            user: self.add_consumer(self.provider, user) for user in self._users
        }
        self.acknowledged += [
            Write(consumer, user.project_id or '', None)
            for user, consumer in self.consumers.items()
        ]

    def must(
        self, method: str, path: str, body: object = None, version: str = VERSION
    ) -> Any:
        """Send a request of the administrator, which has to succeed."""
        headers = {
            **self._make_headers(self._admin),
            'OpenStack-API-Version': f'placement {version}',
        }
        answer = ask(self._port, method, path, headers=headers, body=body)
        assert 200 <= answer.status < 300, answer
        return answer.json if answer.body else None

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Under load as long as the ``with`` lasts."""
        threads = [
            threading.Thread(target=self._work, args=(number,))
            for number in range(len(self._users))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def run_requests(self, requests: int) -> None:
        """Until about so many answers have come."""
        with self.run():
            while self.account.total < requests:
                time.sleep(0.2)

    def _work(self, number: int) -> None:
        user = self._users[number]
        other = self._users[(number + 1) % len(self._users)]
        client = Client(self._port)
        steps: Iterator[Callable[[], object]] = itertools.cycle(
            [
                lambda: self._read_own(client, user),
                lambda: self._read_foreign(client, user, other),
                lambda: self._write_own(client, user),
                lambda: self._write_foreign(client, user, other),
                lambda: self._read_by_role(client, user),
            ]
        )
        with contextlib.closing(client):
            for step in itertools.islice(steps, MOST):
                if self._over.is_set():
                    return
                step()

    def _ask(
        self,
        client: Client,
        kind: str,
        method: str,
        consumer: str,
        user: User,
        body: object = None,
    ) -> Answer:
        started = time.monotonic()
        answer = client.ask(
            method, f'/allocations/{consumer}', self._make_headers(user), body
        )
        took = time.monotonic() - started
        with self._lock:
            self.account.answers[kind, answer.status] += 1
            self.account.slowest = max(self.account.slowest, took)
            if answer.status == 503 and 'Retry-After' not in answer.headers:
                self.account.wrong.append(f'{kind}: 503 without Retry-After')
        if answer.status == 0:
            time.sleep(0.05)
        return answer

    def _read_own(self, client: Client, user: User) -> int | None:
        consumer = self.consumers[user]
        answer = self._ask(client, 'read own', 'GET', consumer, user)
        if answer.status != 200:
            return None
        shown = answer.json
        if shown.get('project_id') != user.project_id:
            self._blame('an owner was shown something else')
            return None
        generation: int = shown['consumer_generation']
        return generation

    def _read_foreign(self, client: Client, user: User, other: User) -> None:
        consumer = self.consumers[other]
        answer = self._ask(client, 'read foreign', 'GET', consumer, user)
        told = (other.project_id or '').encode()
        if (
            answer.status == 200
            or told in answer.body
            or other.user_id.encode() in (answer.body)
        ):
            self._blame(f'a foreign consumer was shown: {answer}')

    def _write_own(self, client: Client, user: User) -> None:
        generation = self._read_own(client, user)
        if generation is None:
            return
        claim = make_claim(self.provider, user, generation)
        consumer = self.consumers[user]
        answer = self._ask(client, 'write own', 'PUT', consumer, user, claim)
        write = Write(consumer, user.project_id or '', generation, sealed=True)
        if answer.status == 204:
            self.acknowledged.append(write)
        elif answer.status in (0, -1, 500):
            # Cut on its way, or placement failed: done or not. A 503 is the
            # guard's: not done.
            self.unsure.append(write)

    def _write_foreign(self, client: Client, user: User, other: User) -> None:
        claim = make_claim(self.provider, user, 1)
        answer = self._ask(
            client, 'write foreign', 'PUT', self.consumers[other], user, claim
        )
        if 200 <= answer.status < 300:
            self._blame('a foreign consumer was written')

    def _read_by_role(self, client: Client, user: User) -> None:
        self._ask(client, 'by role', 'GET', self.consumers[user], self._admin)

    def _blame(self, what: str) -> None:
        with self._lock:
            self.account.wrong.append(what)

    def check(self) -> None:
        """After it all: every owner has its own, and every write is accounted for."""
        assert not self.account.wrong, self.account
        assert not [kind for kind, status in self.account.answers if status == -1]
        stored = self._tables.read_consumers()
        found = {each: stored[each].project_id for each in self.consumers.values()}
        assert found == {each: user.project_id for user, each in self.consumers.items()}
        log = [
            each for each in evidence.read(self._tables.engine) if each.uuid in found
        ]
        assert not evidence.find_faults(log, self.acknowledged, self.unsure)

    def read_own(self, user: User) -> Answer:
        """One read more, on a connection of its own; the account has it not."""
        path = f'/allocations/{self.consumers[user]}'
        return ask(self._port, 'GET', path, headers=self._make_headers(user))

    def wait_until_well(self, patience: float) -> float:
        """Until every owner reads its own again, from every worker.

        :returns: seconds that it took
        """
        started = time.monotonic()
        well = 0
        while well < 20:
            answer = self.read_own(self._users[well % len(self._users)])
            well = well + 1 if answer.status == 200 else 0
            took = time.monotonic() - started
            assert took < patience, f'not well after {patience} s: {answer}'
        return took
