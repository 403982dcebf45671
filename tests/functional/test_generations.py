# SPDX-License-Identifier: Apache-2.0
"""Generations at their end, over real placement."""

import concurrent.futures
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import webtest
from placement import db_api

from consumer_guard.generations.store import Swap
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from tests.deployment import Deployment, User, make_claim
from tests.functional.conftest import Records

Deploy = Callable[..., Deployment]

LIMIT = 2**31 - 1
LOWEST = -(2**31)

SMALL = {
    'generation_warning': 100,
    'generation_alarm': 40,
    'generation_reserve': 3,
}


class Shelf:
    """A provider, and consumers whose generation is set in the database."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.provider = deployed.add_provider(100_000)
        self.owner = deployed.add_user('member', 'reader')
        self.engine = sa.create_engine(deployed.database)

    def add(self, generation: int) -> str:
        consumer = self.deployed.add_consumer(self.provider, self.owner)
        self.set(consumer, generation)
        return consumer

    def set(self, consumer: str, generation: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                sa.text('UPDATE consumers SET generation = :g WHERE uuid = :u'),
                {'g': generation, 'u': consumer},
            )

    def stored(self, consumer: str) -> int | None:
        with self.engine.connect() as connection:
            return connection.execute(
                sa.text('SELECT generation FROM consumers WHERE uuid = :u'),
                {'u': consumer},
            ).scalar()

    def put(
        self,
        consumer: str,
        generation: object,
        version: str = '1.38',
        amount: int = 2,
        caller: User | None = None,
    ) -> webtest.TestResponse:
        return self.deployed.put(
            consumer,
            self.provider,
            self.owner,
            caller or self.deployed.admin,
            generation=generation,
            version=version,
            amount=amount,
        )

    def post(
        self, generations: dict[str, int], version: str = '1.38', amount: int = 2
    ) -> webtest.TestResponse:
        body = {
            consumer: make_claim(self.provider, self.owner, generation, version, amount)
            for consumer, generation in generations.items()
        }
        return self.deployed.request(
            'POST', '/allocations', self.deployed.admin, version=version, body=body
        )


@pytest.fixture
def refusing(deploy: Deploy) -> Iterator[Shelf]:
    shelf = Shelf(deploy(options=SMALL))
    yield shelf
    shelf.engine.dispose()


@pytest.fixture
def rolling(deploy: Deploy) -> Iterator[Shelf]:
    shelf = Shelf(deploy(options=SMALL | {'generation_strategy': 'roll'}))
    yield shelf
    shelf.engine.dispose()


def _assert_spent(answer: webtest.TestResponse) -> None:
    assert answer.status_int == 409
    error = answer.json['errors'][0]
    assert error['code'] == 'placement.concurrent_update'
    assert 'consumer generation conflict' in error['detail']
    assert 'generation roll' in error['detail'].strip().splitlines()[-1]


class TestRefuse:
    """generation_strategy = refuse, the default."""

    @pytest.mark.parametrize('version', ['1.28', '1.38'])
    @pytest.mark.parametrize('left', [0, 1, 3])
    def test_at_the_reserve_and_at_the_limit(
        self, refusing: Shelf, left: int, version: str
    ) -> None:
        """G01"""
        consumer = refusing.add(LIMIT - left)
        _assert_spent(refusing.put(consumer, LIMIT - left, version))
        _assert_spent(refusing.post({consumer: LIMIT - left}, version))
        assert refusing.stored(consumer) == LIMIT - left

    @pytest.mark.parametrize('version', ['1.0', '1.8', '1.12', '1.27'])
    def test_below_1_28(self, refusing: Shelf, version: str) -> None:
        consumer = refusing.add(LIMIT)
        answer = refusing.put(consumer, None, version)
        assert answer.status_int == 409
        assert refusing.stored(consumer) == LIMIT

    @pytest.mark.parametrize(
        'odd',
        [
            {'user_id': 'someone '},
            {'user_id': 'a\xa0b'},
            {'user_id': 'tab\there'},
            {'project_id': '\tx'},
        ],
        ids=str,
    )
    @pytest.mark.parametrize('beside', [False, True])
    def test_an_odd_owner(
        self, refusing: Shelf, odd: dict[str, str], beside: bool
    ) -> None:
        """G01 G10: placement takes any text; the generation is watched all the same."""
        consumer = refusing.add(LIMIT)
        claim = make_claim(refusing.provider, refusing.owner, LIMIT)
        body: dict[str, Any] = claim | odd
        method, path = 'PUT', f'/allocations/{consumer}'
        if beside:
            new = make_claim(refusing.provider, refusing.owner, None) | odd
            body = {consumer: claim, str(uuid.uuid4()): new}
            method, path = 'POST', '/allocations'
        admin = refusing.deployed.admin
        _assert_spent(refusing.deployed.request(method, path, admin, body=body))
        assert refusing.stored(consumer) == LIMIT

    def test_one_before_the_reserve(self, refusing: Shelf) -> None:
        """G02"""
        consumer = refusing.add(LIMIT - 4)
        assert refusing.put(consumer, LIMIT - 4).status_int == 204
        _assert_spent(refusing.put(consumer, LIMIT - 3))

    def test_without_a_reserve(self, deploy: Deploy) -> None:
        """G02: 2^31-2 is written once, then it is spent."""
        shelf = Shelf(deploy(options={'generation_reserve': 0}))
        consumer = shelf.add(LIMIT - 1)
        assert shelf.put(consumer, LIMIT - 1).status_int == 204
        assert shelf.stored(consumer) == LIMIT
        _assert_spent(shelf.put(consumer, LIMIT))
        shelf.engine.dispose()

    def test_an_owners_write_takes_a_spent_counter_from_its_end(
        self, deploy: Deploy
    ) -> None:
        """G01"""
        opened = (
            'rule:consumer_guard:admin_or_service or rule:consumer_guard:owner_member'
        )
        shelf = Shelf(
            deploy(options=SMALL, rules={'consumer_guard:allocations:update': opened})
        )
        consumer = shelf.add(LIMIT)
        assert shelf.put(consumer, LIMIT, caller=shelf.owner).status_int == 204
        assert (shelf.stored(consumer) or 0) < 0
        shelf.engine.dispose()

    def test_emptying_goes_on_in_the_reserve(self, refusing: Shelf) -> None:
        consumer = refusing.add(LIMIT - 1)
        assert refusing.put(consumer, LIMIT - 1, amount=0).status_int == 204
        assert refusing.stored(consumer) is None

    def test_at_the_limit_only_delete_goes_on(self, refusing: Shelf) -> None:
        """G04"""
        consumer = refusing.add(LIMIT)
        path = f'/allocations/{consumer}'
        _assert_spent(refusing.put(consumer, LIMIT, amount=0))
        shown = refusing.deployed.request('GET', path, refusing.deployed.admin)
        assert shown.json['consumer_generation'] == LIMIT
        deleted = refusing.deployed.request('DELETE', path, refusing.deployed.admin)
        assert deleted.status_int == 204

    def test_one_of_sixteen(self, refusing: Shelf) -> None:
        """G10"""
        generations = {refusing.add(1): 1 for _ in range(15)}
        generations[refusing.add(LIMIT)] = LIMIT
        _assert_spent(refusing.post(generations))
        for consumer, generation in generations.items():
            assert refusing.stored(consumer) == generation

    def test_a_made_up_number_is_placements_conflict(self, refusing: Shelf) -> None:
        """The stored value is confirmed before anything is refused."""
        consumer = refusing.add(7)
        answer = refusing.put(consumer, LIMIT)
        assert answer.status_int == 409
        assert 'expected 7' in answer.json['errors'][0]['detail']

    def test_a_new_consumer(self, refusing: Shelf) -> None:
        assert refusing.put(str(uuid.uuid4()), None).status_int == 204

    @pytest.mark.parametrize(
        'spelling', [str.upper, lambda text: text.replace('-', ''), '{{{}}}'.format]
    )
    def test_an_odd_spelling_of_the_path(
        self, refusing: Shelf, spelling: Callable[[str], str]
    ) -> None:
        """Placement's PUT canonicalises the id, and so does the watch."""
        consumer = refusing.add(LIMIT)
        _assert_spent(refusing.put(spelling(consumer), LIMIT))

    def test_a_float(self, refusing: Shelf) -> None:
        consumer = refusing.add(LIMIT)
        _assert_spent(refusing.put(consumer, float(LIMIT)))

    @pytest.mark.parametrize(
        'generation', [2**31, 2**63, 10**400, -1, -(2**40), True, '1', 1.5, [1]]
    )
    def test_odd_numbers_get_placements_answer(
        self, refusing: Shelf, generation: object
    ) -> None:
        """G06"""
        consumer = refusing.add(1)
        answer = refusing.put(consumer, generation)
        assert answer.status_int in (400, 409)
        assert refusing.stored(consumer) == 1

    def test_provider_generations_are_something_else(self, refusing: Shelf) -> None:
        """G12"""
        consumer = refusing.add(1)
        claim = make_claim(refusing.provider, refusing.owner, 1)
        claim['allocations'][refusing.provider]['generation'] = LIMIT
        answer = refusing.deployed.request(
            'PUT', f'/allocations/{consumer}', refusing.deployed.admin, body=claim
        )
        assert answer.status_int == 204


class TestRoll:
    """generation_strategy = roll: compare-and-swap, then continuity."""

    @pytest.mark.parametrize('left', [0, 1, 3])
    def test_the_write_goes_on_in_one_go(self, rolling: Shelf, left: int) -> None:
        consumer = rolling.add(LIMIT - left)
        assert rolling.put(consumer, LIMIT - left).status_int == 204
        assert rolling.stored(consumer) == LOWEST + 1
        shown = rolling.deployed.show(consumer)
        assert shown['consumer_generation'] == LOWEST + 1
        assert shown['allocations'][rolling.provider]['resources'] == {'VCPU': 2}

    @pytest.mark.parametrize('depth', [1, 100, 600, 4_000])
    def test_a_body_that_placement_refuses(self, rolling: Shelf, depth: int) -> None:
        """However deep: the answer is placement's own, as without the guard."""
        spent, fine = rolling.add(LIMIT), rolling.add(1)

        def put(consumer: str, generation: int) -> webtest.TestResponse:
            claim = make_claim(rolling.provider, rolling.owner, generation)
            deep = '[' * depth + ']' * depth
            return rolling.deployed.client.request(
                f'/allocations/{consumer}',
                method='PUT',
                body=f'{json.dumps(claim)[:-1]}, "mappings": {deep}}}'.encode(),
                headers={
                    'Content-Type': 'application/json',
                    'X-Auth-Token': rolling.deployed.admin.token,
                    'OpenStack-API-Version': 'placement 1.38',
                },
                expect_errors=True,
            )

        answer = put(spent, LIMIT)
        assert answer.status_int == put(fine, 1).status_int >= 400
        assert rolling.deployed.show(spent)['allocations']

    def test_a_stale_client_re_reads_and_goes_on(self, rolling: Shelf) -> None:
        consumer = rolling.add(LIMIT)
        assert rolling.put(consumer, LIMIT).status_int == 204
        stale = rolling.put(consumer, LIMIT)
        assert stale.status_int == 409
        assert 'consumer generation conflict' in stale.text
        current = rolling.deployed.show(consumer)['consumer_generation']
        assert rolling.put(consumer, current).status_int == 204

    def test_crossing_zero(self, rolling: Shelf) -> None:
        consumer = rolling.add(-1)
        assert rolling.put(consumer, -1).status_int == 204
        assert rolling.put(consumer, 0).status_int == 204
        assert rolling.stored(consumer) == 1

    @pytest.mark.parametrize('version', ['1.0', '1.12', '1.27'])
    def test_below_1_28(self, rolling: Shelf, version: str) -> None:
        consumer = rolling.add(LIMIT)
        assert rolling.put(consumer, None, version).status_int == 204
        assert rolling.stored(consumer) == LOWEST + 1

    def test_several_at_once(self, rolling: Shelf) -> None:
        generations = {rolling.add(LIMIT): LIMIT for _ in range(4)}
        generations |= {rolling.add(5): 5 for _ in range(4)}
        assert rolling.post(generations).status_int == 204
        for consumer, generation in generations.items():
            expected = LOWEST if generation == LIMIT else generation
            assert rolling.stored(consumer) == expected + 1

    def test_one_stale_among_several_rolls_the_others_and_is_refused(
        self, rolling: Shelf
    ) -> None:
        """What a request leaves that rolled and then failed: a rolled counter,
        nothing else; the next read shows it."""
        spent, stale = rolling.add(LIMIT), rolling.add(5)
        answer = rolling.post({spent: LIMIT, stale: 4})
        assert answer.status_int == 409
        assert rolling.stored(spent) == LOWEST
        assert rolling.stored(stale) == 5
        assert rolling.deployed.show(spent)['consumer_generation'] == LOWEST
        assert rolling.post({spent: LOWEST, stale: 5}).status_int == 204

    def test_a_reshape(self, rolling: Shelf) -> None:
        consumer = rolling.add(LIMIT)
        provider = rolling.deployed.request(
            'GET', f'/resource_providers/{rolling.provider}', rolling.deployed.admin
        ).json
        service = rolling.deployed.add_user('service')
        answer = rolling.deployed.request(
            'POST',
            '/reshaper',
            service,
            body={
                'inventories': {
                    rolling.provider: {
                        'resource_provider_generation': provider['generation'],
                        'inventories': {'VCPU': {'total': 1000}},
                    }
                },
                'allocations': {
                    consumer: make_claim(rolling.provider, rolling.owner, LIMIT)
                },
            },
        )
        assert answer.status_int == 204, answer.text
        assert rolling.stored(consumer) == LOWEST + 1

    def test_a_made_up_number_rolls_nothing(self, rolling: Shelf) -> None:
        consumer = rolling.add(7)
        assert rolling.put(consumer, LIMIT).status_int == 409
        assert rolling.stored(consumer) == 7

    def test_32_writers(self, rolling: Shelf) -> None:
        """G09: exactly one success, accounted for."""
        consumer = rolling.add(LIMIT)

        def write(amount: int) -> int:
            client = webtest.TestApp(rolling.deployed.application)
            answer = client.put_json(
                f'/allocations/{consumer}',
                make_claim(rolling.provider, rolling.owner, LIMIT, amount=amount),
                headers={
                    'X-Auth-Token': rolling.deployed.admin.token,
                    'OpenStack-API-Version': 'placement 1.38',
                },
                expect_errors=True,
            )
            return int(answer.status_int)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(write, range(1, 33)))
        assert statuses.count(204) == 1
        assert set(statuses) <= {204, 409, 503}
        assert rolling.stored(consumer) == LOWEST + 1

    def test_racing_swaps_have_one_winner(self, rolling: Shelf) -> None:
        consumers = [rolling.add(LIMIT) for _ in range(3)]
        lookup = DatabaseOwners(
            OwnerLookupSettings(rolling.deployed.database, 10.0, 8, 'n', 'n')
        )
        swaps = [Swap(consumer, LIMIT, LOWEST) for consumer in consumers]

        def race(number: int) -> bool:
            # Every other one asks in the other order, to provoke deadlocks.
            return lookup.swap_generations(swaps if number % 2 else swaps[::-1])

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            won = list(pool.map(race, range(32)))
        lookup.close()
        assert won.count(True) == 1
        assert {rolling.stored(consumer) for consumer in consumers} == {LOWEST}

    def test_a_swap_of_several_is_all_or_nothing(self, rolling: Shelf) -> None:
        spent, moved = rolling.add(LIMIT), rolling.add(5)
        lookup = DatabaseOwners(
            OwnerLookupSettings(rolling.deployed.database, 10.0, 1, 'n', 'n')
        )
        swaps = [Swap(spent, LIMIT, LOWEST), Swap(moved, LIMIT, LOWEST)]
        assert lookup.swap_generations(swaps) is False
        assert rolling.stored(spent) == LIMIT
        # The connection went back to autocommit: the next look-up sees writes.
        rolling.set(spent, 7)
        assert lookup.find([spent])[spent].generation == 7
        lookup.close()


@pytest.mark.placement_on('mysql')
@pytest.mark.parametrize('mode', ['', 'TRADITIONAL'])
class TestSessionsOfMariaDB:
    """Placement's own sessions, strict and not strict, at the limit."""

    @pytest.fixture(autouse=True)
    def _set_mode(self, mode: str, deploy: Deploy) -> Iterator[None]:
        deploy()
        engine = db_api.get_placement_engine()

        def set_mode(connection: Any, _record: Any, _proxy: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION sql_mode = '{mode}'")

        sa.event.listen(engine, 'checkout', set_mode)
        yield
        sa.event.remove(engine, 'checkout', set_mode)

    def test_without_the_guard(self, deploy: Deploy, mode: str) -> None:
        """What it is there for: 500 for ever, or a lock that is dead."""
        shelf = Shelf(deploy())
        shelf.deployed.reload_with('authtoken consumer_guard', 'authtoken')
        consumer = shelf.add(LIMIT)
        statuses = [shelf.put(consumer, LIMIT).status_int for _ in range(2)]
        assert statuses == ([500, 500] if mode else [204, 204])
        assert shelf.stored(consumer) == LIMIT
        shelf.engine.dispose()

    def test_refuse(self, refusing: Shelf) -> None:
        consumer = refusing.add(LIMIT)
        _assert_spent(refusing.put(consumer, LIMIT))
        assert refusing.stored(consumer) == LIMIT

    def test_roll(self, rolling: Shelf) -> None:
        consumer = rolling.add(LIMIT)
        assert rolling.put(consumer, LIMIT).status_int == 204
        assert rolling.put(consumer, LIMIT).status_int == 409
        assert rolling.stored(consumer) == LOWEST + 1


class TestWatch:
    """What is logged: once a consumer and step, after a success only."""

    def test_steps(self, refusing: Shelf, records: Records) -> None:
        consumer = refusing.add(LIMIT - 101)
        for generation in range(LIMIT - 101, LIMIT - 98):
            assert refusing.put(consumer, generation).status_int == 204
        warned = [line for line in records.lines if consumer in line]
        assert len(warned) == 1
        assert warned[0].startswith('WARNING')
        assert '100 steps' in warned[0]
        assert f'generation roll --consumer {consumer}' in warned[0]
        refusing.set(consumer, LIMIT - 40)
        assert refusing.put(consumer, LIMIT - 40).status_int == 204
        alarmed = [line for line in records.lines if consumer in line][1:]
        assert [line.partition(' ')[0] for line in alarmed] == ['ERROR']

    def test_a_made_up_number_alarms_nobody(
        self, refusing: Shelf, records: Records
    ) -> None:
        consumer = refusing.add(1)
        assert refusing.put(consumer, LIMIT - 50).status_int == 409
        assert consumer not in records.text

    def test_shadow_watches_but_never_acts(
        self, deploy: Deploy, records: Records
    ) -> None:
        options = SMALL | {'enforcement': 'shadow', 'generation_strategy': 'roll'}
        shelf = Shelf(deploy(options=options))
        consumer = shelf.add(LIMIT - 3)
        assert shelf.put(consumer, LIMIT - 3).status_int == 204
        assert shelf.stored(consumer) == LIMIT - 2
        assert consumer in records.text
        shelf.engine.dispose()

    def test_shadow_records_what_it_would_refuse(
        self, deploy: Deploy, records: Records
    ) -> None:
        shelf = Shelf(deploy(options=SMALL | {'enforcement': 'shadow'}))
        consumer = shelf.add(LIMIT - 3)
        assert shelf.put(consumer, LIMIT - 3).status_int == 204
        assert '"would deny"' in records.text
        assert 'generation of a consumer is spent' in records.text
        shelf.engine.dispose()

    def test_a_body_too_large_goes_on_unwatched(self, deploy: Deploy) -> None:
        shelf = Shelf(deploy(options=SMALL | {'max_body_size': 1024}))
        consumer = shelf.add(5)
        claim = make_claim(shelf.provider, shelf.owner, 5)
        claim['mappings'] = {f'_{n}': [str(uuid.uuid4())] for n in range(40)}
        answer = shelf.deployed.request(
            'PUT', f'/allocations/{consumer}', shelf.deployed.admin, body=claim
        )
        assert answer.status_int == 204
        shelf.engine.dispose()
