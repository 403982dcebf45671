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
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from tests.administrator import VERSION
from tests.deployment import Deploy
from tests.functional.conftest import Records
from tests.rows import LIMIT, LOWEST
from tests.scenery import Scene

#: The smallest reserve that there can be.
RESERVE = 1000
SMALL = {
    'generation_warning': RESERVE + 100,
    'generation_alarm': RESERVE + 40,
    'generation_reserve': RESERVE,
}


def put(
    scene: Scene,
    consumer: str,
    generation: object,
    version: str = VERSION,
    amount: int = 2,
) -> webtest.TestResponse:
    """Write a consumer of Alice's as the administrator."""
    return scene.put(
        scene.admin,
        consumer,
        generation=generation,
        version=version,
        amount=amount,
    )


def post(
    scene: Scene, generations: dict[str, int], version: str = VERSION
) -> webtest.TestResponse:
    """Write several of them at once."""
    claims = {
        consumer: scene.claim(generation=generation, version=version)
        for consumer, generation in generations.items()
    }
    return scene.post(scene.admin, claims, version)


@pytest.fixture
def refusing(deploy: Deploy) -> Scene:
    return Scene(deploy(options=SMALL))


@pytest.fixture
def rolling(deploy: Deploy) -> Scene:
    return Scene(deploy(options=SMALL | {'generation_strategy': 'roll'}))


def _assert_spent(answer: webtest.TestResponse) -> None:
    assert answer.status_int == 409
    error = answer.json['errors'][0]
    assert error['code'] == 'placement.concurrent_update'
    assert 'consumer generation conflict' in error['detail']
    assert 'generation roll' in error['detail'].strip().splitlines()[-1]


class TestRefuse:
    """generation_strategy = refuse, the default."""

    @pytest.mark.parametrize('version', ['1.28', '1.38'])
    @pytest.mark.parametrize('left', [0, 1, RESERVE])
    def test_at_the_reserve_and_at_the_limit(
        self, refusing: Scene, left: int, version: str
    ) -> None:
        """G01"""
        consumer = refusing.add(LIMIT - left)
        _assert_spent(put(refusing, consumer, LIMIT - left, version))
        _assert_spent(post(refusing, {consumer: LIMIT - left}, version))
        assert refusing.tables.read_generation(consumer) == LIMIT - left

    @pytest.mark.parametrize('version', ['1.0', '1.8', '1.12', '1.27'])
    def test_a_write_below_1_28_is_refused_at_the_limit(
        self, refusing: Scene, version: str
    ) -> None:
        consumer = refusing.add(LIMIT)
        answer = put(refusing, consumer, None, version)
        assert answer.status_int == 409
        assert refusing.tables.read_generation(consumer) == LIMIT

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
        self, refusing: Scene, odd: dict[str, str], beside: bool
    ) -> None:
        """G01 G10: placement takes any text; the generation is watched all the same."""
        consumer = refusing.add(LIMIT)
        claim = refusing.claim(generation=LIMIT)
        body: dict[str, Any] = claim | odd
        method, path = 'PUT', f'/allocations/{consumer}'
        if beside:
            new = refusing.claim(generation=None) | odd
            body = {consumer: claim, str(uuid.uuid4()): new}
            method, path = 'POST', '/allocations'
        admin = refusing.admin
        _assert_spent(refusing.deployed.request(method, path, admin, body=body))
        assert refusing.tables.read_generation(consumer) == LIMIT

    def test_one_before_the_reserve(self, refusing: Scene) -> None:
        """G02"""
        last = LIMIT - RESERVE - 1
        consumer = refusing.add(last)
        assert put(refusing, consumer, last).status_int == 204
        _assert_spent(put(refusing, consumer, last + 1))

    @pytest.mark.parametrize('reserve', [-1, 0, 3, 999])
    def test_a_reserve_that_writers_can_pass_stops_the_start(
        self, deploy: Deploy, reserve: int
    ) -> None:
        """G02: fewer steps than writes that may be on their way."""
        with pytest.raises(ConfigurationError) as caught:
            deploy(options={'generation_reserve': reserve})
        message = str(caught.value)
        assert 'generation_reserve' in message
        assert '1000' in message
        assert 'consumer-guard.conf' in message
        assert '\n' not in message

    def test_an_owners_write_takes_a_spent_counter_from_its_end(
        self, deploy: Deploy
    ) -> None:
        """G01"""
        opened = (
            'rule:consumer_guard:admin_or_service or rule:consumer_guard:owner_member'
        )
        scene = Scene(
            deploy(options=SMALL, rules={'consumer_guard:allocations:update': opened})
        )
        consumer = scene.add(LIMIT)
        assert scene.put(scene.alice, consumer).status_int == 204
        assert (scene.tables.read_generation(consumer) or 0) < 0

    def test_emptying_goes_on_in_the_reserve(self, refusing: Scene) -> None:
        consumer = refusing.add(LIMIT - 1)
        assert put(refusing, consumer, LIMIT - 1, amount=0).status_int == 204
        assert refusing.tables.read_generation(consumer) is None

    def test_at_the_limit_only_delete_goes_on(self, refusing: Scene) -> None:
        """G04"""
        consumer = refusing.add(LIMIT)
        path = f'/allocations/{consumer}'
        _assert_spent(put(refusing, consumer, LIMIT, amount=0))
        shown = refusing.deployed.request('GET', path, refusing.admin)
        assert shown.json['consumer_generation'] == LIMIT
        deleted = refusing.deployed.request('DELETE', path, refusing.admin)
        assert deleted.status_int == 204

    def test_one_of_sixteen(self, refusing: Scene) -> None:
        """G10"""
        generations = {refusing.add(1): 1 for _ in range(15)}
        generations[refusing.add(LIMIT)] = LIMIT
        _assert_spent(post(refusing, generations))
        for consumer, generation in generations.items():
            assert refusing.tables.read_generation(consumer) == generation

    def test_a_made_up_number_is_placements_conflict(self, refusing: Scene) -> None:
        """The stored value is confirmed before anything is refused."""
        consumer = refusing.add(7)
        answer = put(refusing, consumer, LIMIT)
        assert answer.status_int == 409
        assert 'expected 7' in answer.json['errors'][0]['detail']

    def test_a_new_consumer_has_no_counter_and_is_written(
        self, refusing: Scene
    ) -> None:
        assert put(refusing, str(uuid.uuid4()), None).status_int == 204

    @pytest.mark.parametrize(
        'spelling', [str.upper, lambda text: text.replace('-', ''), '{{{}}}'.format]
    )
    def test_an_odd_spelling_of_the_path(
        self, refusing: Scene, spelling: Callable[[str], str]
    ) -> None:
        """Placement's PUT canonicalises the id, and so does the watch."""
        consumer = refusing.add(LIMIT)
        _assert_spent(put(refusing, spelling(consumer), LIMIT))

    def test_a_spent_generation_is_refused_as_a_float_too(
        self, refusing: Scene
    ) -> None:
        consumer = refusing.add(LIMIT)
        _assert_spent(put(refusing, consumer, float(LIMIT)))

    @pytest.mark.parametrize(
        'generation', [2**31, 2**63, 10**400, -1, -(2**40), True, '1', 1.5, [1]]
    )
    def test_odd_numbers_get_placements_answer(
        self, refusing: Scene, generation: object
    ) -> None:
        """G06"""
        consumer = refusing.add(1)
        answer = put(refusing, consumer, generation)
        assert answer.status_int in (400, 409)
        assert refusing.tables.read_generation(consumer) == 1

    def test_provider_generations_are_something_else(self, refusing: Scene) -> None:
        """G12"""
        consumer = refusing.add(1)
        claim = refusing.claim(generation=1)
        claim['allocations'][refusing.provider]['generation'] = LIMIT
        answer = refusing.deployed.request(
            'PUT', f'/allocations/{consumer}', refusing.admin, body=claim
        )
        assert answer.status_int == 204


class TestRoll:
    """generation_strategy = roll: compare-and-swap, then continuity."""

    @pytest.mark.parametrize('left', [0, 1, 3])
    def test_the_write_goes_on_in_one_go(self, rolling: Scene, left: int) -> None:
        consumer = rolling.add(LIMIT - left)
        assert put(rolling, consumer, LIMIT - left).status_int == 204
        assert rolling.tables.read_generation(consumer) == LOWEST + 1
        shown = rolling.deployed.show(consumer)
        assert shown['consumer_generation'] == LOWEST + 1
        assert shown['allocations'][rolling.provider]['resources'] == {'VCPU': 2}

    @pytest.mark.parametrize('depth', [1, 100, 600, 4_000])
    def test_a_body_that_placement_refuses(self, rolling: Scene, depth: int) -> None:
        """However deep: the answer is placement's own, as without the guard."""
        spent, fine = rolling.add(LIMIT), rolling.add(1)

        def put(consumer: str, generation: int) -> webtest.TestResponse:
            claim = rolling.claim(generation=generation)
            deep = '[' * depth + ']' * depth
            return rolling.deployed.client.request(
                f'/allocations/{consumer}',
                method='PUT',
                body=f'{json.dumps(claim)[:-1]}, "mappings": {deep}}}'.encode(),
                headers={
                    'Content-Type': 'application/json',
                    'X-Auth-Token': rolling.admin.token,
                    'OpenStack-API-Version': 'placement 1.38',
                },
                expect_errors=True,
            )

        answer = put(spent, LIMIT)
        assert answer.status_int == put(fine, 1).status_int >= 400
        assert rolling.deployed.show(spent)['allocations']

    def test_a_stale_client_re_reads_and_goes_on(self, rolling: Scene) -> None:
        consumer = rolling.add(LIMIT)
        assert put(rolling, consumer, LIMIT).status_int == 204
        stale = put(rolling, consumer, LIMIT)
        assert stale.status_int == 409
        assert 'consumer generation conflict' in stale.text
        current = rolling.deployed.show(consumer)['consumer_generation']
        assert put(rolling, consumer, current).status_int == 204

    def test_a_counter_below_zero_goes_on_across_zero(self, rolling: Scene) -> None:
        consumer = rolling.add(-1)
        assert put(rolling, consumer, -1).status_int == 204
        assert put(rolling, consumer, 0).status_int == 204
        assert rolling.tables.read_generation(consumer) == 1

    @pytest.mark.parametrize('version', ['1.0', '1.12', '1.27'])
    def test_a_write_below_1_28_rolls_a_spent_counter(
        self, rolling: Scene, version: str
    ) -> None:
        consumer = rolling.add(LIMIT)
        assert put(rolling, consumer, None, version).status_int == 204
        assert rolling.tables.read_generation(consumer) == LOWEST + 1

    def test_a_post_of_several_rolls_only_the_spent_counters(
        self, rolling: Scene
    ) -> None:
        generations = {rolling.add(LIMIT): LIMIT for _ in range(4)}
        generations |= {rolling.add(5): 5 for _ in range(4)}
        assert post(rolling, generations).status_int == 204
        for consumer, generation in generations.items():
            expected = LOWEST if generation == LIMIT else generation
            assert rolling.tables.read_generation(consumer) == expected + 1

    def test_one_stale_among_several_rolls_the_others_and_is_refused(
        self, rolling: Scene
    ) -> None:
        """What a request leaves that rolled and then failed: a rolled counter,
        nothing else; the next read shows it."""
        spent, stale = rolling.add(LIMIT), rolling.add(5)
        answer = post(rolling, {spent: LIMIT, stale: 4})
        assert answer.status_int == 409
        assert rolling.tables.read_generation(spent) == LOWEST
        assert rolling.tables.read_generation(stale) == 5
        assert rolling.deployed.show(spent)['consumer_generation'] == LOWEST
        assert post(rolling, {spent: LOWEST, stale: 5}).status_int == 204

    def test_a_reshape_rolls_a_spent_counter_and_succeeds(self, rolling: Scene) -> None:
        consumer = rolling.add(LIMIT)
        service = rolling.deployed.add_user('service')
        body = rolling.deployed.make_reshape(
            rolling.provider, {consumer: rolling.claim(generation=LIMIT)}
        )
        answer = rolling.deployed.request('POST', '/reshaper', service, body=body)
        assert answer.status_int == 204, answer.text
        assert rolling.tables.read_generation(consumer) == LOWEST + 1

    def test_a_made_up_number_rolls_nothing(self, rolling: Scene) -> None:
        consumer = rolling.add(7)
        assert put(rolling, consumer, LIMIT).status_int == 409
        assert rolling.tables.read_generation(consumer) == 7

    def test_32_writers(self, rolling: Scene) -> None:
        """G09: exactly one success, accounted for."""
        consumer = rolling.add(LIMIT)

        def write(amount: int) -> int:
            client = webtest.TestApp(rolling.deployed.application)
            answer = client.put_json(
                f'/allocations/{consumer}',
                rolling.claim(generation=LIMIT, amount=amount),
                headers={
                    'X-Auth-Token': rolling.admin.token,
                    'OpenStack-API-Version': 'placement 1.38',
                },
                expect_errors=True,
            )
            return int(answer.status_int)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(write, range(1, 33)))
        assert statuses.count(204) == 1
        assert set(statuses) <= {204, 409, 503}
        assert rolling.tables.read_generation(consumer) == LOWEST + 1

    def test_racing_swaps_have_one_winner(self, rolling: Scene) -> None:
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
        assert {rolling.tables.read_generation(consumer) for consumer in consumers} == {
            LOWEST
        }

    def test_a_swap_of_several_is_all_or_nothing(self, rolling: Scene) -> None:
        spent, moved = rolling.add(LIMIT), rolling.add(5)
        lookup = DatabaseOwners(
            OwnerLookupSettings(rolling.deployed.database, 10.0, 1, 'n', 'n')
        )
        swaps = [Swap(spent, LIMIT, LOWEST), Swap(moved, LIMIT, LOWEST)]
        assert lookup.swap_generations(swaps) is False
        assert rolling.tables.read_generation(spent) == LIMIT
        # The connection went back to autocommit: the next look-up sees writes.
        rolling.tables.set_generation(spent, 7)
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
        scene = Scene(deploy())
        scene.deployed.reload_with('authtoken consumer_guard', 'authtoken')
        consumer = scene.add(LIMIT)
        statuses = [put(scene, consumer, LIMIT).status_int for _ in range(2)]
        assert statuses == ([500, 500] if mode else [204, 204])
        assert scene.tables.read_generation(consumer) == LIMIT

    def test_a_refused_write_leaves_a_spent_counter_as_it_is(
        self, refusing: Scene
    ) -> None:
        consumer = refusing.add(LIMIT)
        _assert_spent(put(refusing, consumer, LIMIT))
        assert refusing.tables.read_generation(consumer) == LIMIT

    def test_a_rolled_counter_lets_the_write_succeed_only_once(
        self, rolling: Scene
    ) -> None:
        consumer = rolling.add(LIMIT)
        assert put(rolling, consumer, LIMIT).status_int == 204
        assert put(rolling, consumer, LIMIT).status_int == 409
        assert rolling.tables.read_generation(consumer) == LOWEST + 1


class TestWatch:
    """What is logged: once a consumer and step, after a success only."""

    def test_a_counter_near_its_end_warns_once_and_then_is_an_error(
        self, refusing: Scene, records: Records
    ) -> None:
        consumer = refusing.add(LIMIT - RESERVE - 101)
        for generation in range(LIMIT - RESERVE - 101, LIMIT - RESERVE - 98):
            assert put(refusing, consumer, generation).status_int == 204
        warned = [line for line in records.lines if consumer in line]
        assert len(warned) == 1
        assert warned[0].startswith('WARNING')
        assert '1100 steps' in warned[0]
        assert f'generation roll --consumer {consumer}' in warned[0]
        refusing.tables.set_generation(consumer, LIMIT - RESERVE - 40)
        assert put(refusing, consumer, LIMIT - RESERVE - 40).status_int == 204
        alarmed = [line for line in records.lines if consumer in line][1:]
        assert [line.partition(' ')[0] for line in alarmed] == ['ERROR']

    def test_a_made_up_number_alarms_nobody(
        self, refusing: Scene, records: Records
    ) -> None:
        consumer = refusing.add(1)
        assert put(refusing, consumer, LIMIT - 50).status_int == 409
        assert consumer not in records.text

    def test_shadow_watches_but_never_acts(
        self, deploy: Deploy, records: Records
    ) -> None:
        options = SMALL | {'enforcement': 'shadow', 'generation_strategy': 'roll'}
        scene = Scene(deploy(options=options))
        consumer = scene.add(LIMIT - 3)
        assert put(scene, consumer, LIMIT - 3).status_int == 204
        assert scene.tables.read_generation(consumer) == LIMIT - 2
        assert consumer in records.text

    def test_shadow_records_what_it_would_refuse(
        self, deploy: Deploy, records: Records
    ) -> None:
        scene = Scene(deploy(options=SMALL | {'enforcement': 'shadow'}))
        consumer = scene.add(LIMIT - 3)
        assert put(scene, consumer, LIMIT - 3).status_int == 204
        assert '"would deny"' in records.text
        assert 'generation of a consumer is spent' in records.text

    def test_a_body_too_large_goes_on_unwatched(self, deploy: Deploy) -> None:
        scene = Scene(deploy(options=SMALL | {'max_body_size': 1024}))
        consumer = scene.add(5)
        claim = scene.claim(generation=5)
        claim['mappings'] = {f'_{n}': [str(uuid.uuid4())] for n in range(40)}
        answer = scene.deployed.request(
            'PUT', f'/allocations/{consumer}', scene.admin, body=claim
        )
        assert answer.status_int == 204
