# SPDX-License-Identifier: Apache-2.0
"""THREATS: very many mixed requests at once; each gets the answer of its own."""

import collections
import concurrent.futures
import dataclasses
import json
import logging
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_context import context

from consumer_guard.guard import identity
from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.fuzz.wire import Answer, make_environ, send
from tests.profiles import many
from tests.scenery import Scene

THREADS = 16
#: Seconds that all of it may take; longer is a deadlock.
PATIENCE = 900

#: What placement itself may answer to an allowed write: somebody was faster, or
#: on SQLite and PostgreSQL the database was locked, or a deadlock's victim.
_WRITTEN = {204, 409, 500}


class _Audit(logging.Handler):
    """Which user each request id was recorded for."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        told = json.loads(record.getMessage())
        self.users[told['request_id']] = told['user_id']


@pytest.fixture
def audit() -> Iterator[_Audit]:
    handler = _Audit()
    logger = logging.getLogger('consumer_guard.audit')
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.propagate = True
    logger.setLevel(level)
    logger.removeHandler(handler)


@dataclasses.dataclass
class Tenant:
    """Somebody, what he owns, and the generation that he saw last.

    :ivar consumers: by id
    """

    user: User
    consumers: dict[str, int]


class TenantsScene(Scene):
    """Tenants of one placement, each with consumers on one provider."""

    def __init__(self, deployed: Deployment, denial: str) -> None:
        super().__init__(deployed)
        self.denial = denial
        self.tenants = []
        for _ in range(4):
            user = deployed.add_user('member', 'reader')
            made = [deployed.add_consumer(self.provider, user) for _ in range(3)]
            self.tenants.append(Tenant(user, dict.fromkeys(made, 1)))
        self.tallied: collections.Counter[str] = collections.Counter()
        self.asked_by: dict[str, str] = {}

    def ask(self, user: User, method: str, path: str, **more: Any) -> Answer:
        environ = make_environ(method, path, token=user.token, **more)
        answer = send(self.deployed.application, environ)
        request_id = answer.header('x-openstack-request-id')
        assert request_id is not None
        assert request_id not in self.asked_by, 'one id for two requests'
        self.asked_by[request_id] = user.user_id
        if answer.status >= 400:
            (error,) = json.loads(answer.body)['errors']
            assert error['request_id'] == request_id
        return answer

    def work(self, seed: int, requests: int) -> None:
        """One thread: whatever it may, and whatever it may not."""
        chance = random.Random(seed)  # noqa: S311  # not a secret
        acts = 4 * [
            self.read_own,
            self.read_others,
            self.write_others,
            self.post_mixed,
            self.list_provider,
            self.ask_usages,
            self.administrate,
        ]
        # Once, because on SQLite they wait for each other.
        acts.append(self.write_own)
        for _ in range(requests):
            me, other = chance.sample(self.tenants, 2)
            act = chance.choice(acts)
            act(me, other, chance)
            self.tallied[act.__name__] += 1
        # What stays behind in the thread is placement's own.
        assert not isinstance(context.get_current(), identity.GuardContext)

    def _assert_no_word_of(self, answer: Answer, other: Tenant) -> None:
        for secret in (other.user.project_id, other.user.user_id, *other.consumers):
            assert secret
            assert secret not in answer.everything

    def read_own(self, me: Tenant, other: Tenant, chance: random.Random) -> None:
        consumer = chance.choice([*me.consumers])
        answer = self.ask(me.user, 'GET', f'/allocations/{consumer}')
        assert answer.status == 200
        shown = json.loads(answer.body)
        assert shown['project_id'] == me.user.project_id
        assert shown['user_id'] == me.user.user_id
        self._assert_no_word_of(answer, other)
        me.consumers[consumer] = shown['consumer_generation']

    def read_others(self, me: Tenant, other: Tenant, chance: random.Random) -> None:
        consumer = chance.choice([*other.consumers])
        version = chance.choice([None, '1.12', '1.28', '1.38'])
        answer = self.ask(me.user, 'GET', f'/allocations/{consumer}', version=version)
        self._assert_no_word_of(answer, other)
        if self.denial == 'conceal':
            assert answer.status == 200
            assert json.loads(answer.body) == {'allocations': {}}
        else:
            assert answer.status == 403

    def _claim(self, claimed: User, generation: int) -> dict[str, Any]:
        return self.claim(claimed, generation=generation, amount=1)

    def write_others(self, me: Tenant, other: Tenant, chance: random.Random) -> None:
        consumer, generation = chance.choice([*other.consumers.items()])
        claimed = chance.choice([me.user, other.user])
        body = json.dumps(self._claim(claimed, generation)).encode()
        method = chance.choice(['PUT', 'DELETE'])
        answer = self.ask(me.user, method, f'/allocations/{consumer}', body=body)
        assert answer.status == 403
        self._assert_no_word_of(answer, other)

    def write_own(self, me: Tenant, other: Tenant, chance: random.Random) -> None:
        consumer, generation = chance.choice([*me.consumers.items()])
        body = json.dumps(self._claim(me.user, generation)).encode()
        answer = self.ask(me.user, 'PUT', f'/allocations/{consumer}', body=body)
        assert answer.status in _WRITTEN
        self._assert_no_word_of(answer, other)
        self.tallied[f'own write {answer.status}'] += 1
        if answer.status == 204:
            me.consumers[consumer] = generation + 1

    def post_mixed(self, me: Tenant, other: Tenant, chance: random.Random) -> None:
        mixed = [
            chance.choice([*me.consumers.items()]),
            chance.choice([*other.consumers.items()]),
        ]
        chance.shuffle(mixed)
        document = {key: self._claim(me.user, number) for key, number in mixed}
        body = json.dumps(document).encode()
        answer = self.ask(me.user, 'POST', '/allocations', body=body)
        assert answer.status == 403
        self._assert_no_word_of(answer, other)

    def list_provider(self, me: Tenant, other: Tenant, _chance: random.Random) -> None:
        path = f'/resource_providers/{self.provider}/allocations'
        answer = self.ask(me.user, 'GET', path)
        assert answer.status == 200
        assert json.loads(answer.body)['allocations'].keys() == me.consumers.keys()

    def ask_usages(self, me: Tenant, other: Tenant, chance: random.Random) -> None:
        whose = chance.choice([me, other])
        query = f'project_id={whose.user.project_id}'
        answer = self.ask(me.user, 'GET', '/usages', query=query, version='1.9')
        assert answer.status == (200 if whose is me else 403)

    def administrate(self, _me: Tenant, other: Tenant, chance: random.Random) -> None:
        consumer = chance.choice([*other.consumers])
        answer = self.ask(self.deployed.admin, 'GET', f'/allocations/{consumer}')
        assert answer.status == 200
        assert json.loads(answer.body)['project_id'] == other.user.project_id


@pytest.mark.parametrize('denial', ['forbid', 'conceal'])
def test_mixed_requests(deploy: Deploy, audit: _Audit, denial: str) -> None:
    """O15 I18: no answer of another's, no record of another's, no deadlock."""
    options = {'denial': denial, 'audit': 'all'}
    options['max_filtered_lists'] = str(THREADS)
    scene = TenantsScene(deploy(options=options, rules=OWNER_RULES), denial)
    audit.users.clear()
    each = many(24, 1_000)
    pool = concurrent.futures.ThreadPoolExecutor(THREADS)
    started = threading.Barrier(THREADS)

    def work(seed: int) -> None:
        started.wait(PATIENCE)
        scene.work(seed, each)

    try:
        working = [pool.submit(work, seed) for seed in range(THREADS)]
        for future in working:
            future.result(PATIENCE)
    finally:
        pool.shutdown(cancel_futures=True)
    assert len(scene.asked_by) == each * THREADS
    assert scene.tallied['own write 204']
    assert audit.users == scene.asked_by, 'a record names another caller'
    print(denial, sorted(scene.tallied.items()))
