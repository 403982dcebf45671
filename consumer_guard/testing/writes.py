# SPDX-License-Identifier: Apache-2.0
"""The contracts of what writes by owners need, and of rolls."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from consumer_guard.owners.api import (
    ConsumerTypes,
    GenerationStore,
    Judged,
    Owner,
    OwnerLookup,
    OwnerStatus,
    OwnersUnavailable,
    Swap,
)
from consumer_guard.testing.lookups import AddConsumer, Contract, Find
from consumer_guard.testing.sources import (
    LOOKALIKES,
    OTHER_IDS,
    Consumer,
    OwnerSource,
    Rename,
    make_id,
)


class OwnerWriteContract(Contract):
    """What a driver keeps to that lets owners write."""

    def test_a_recorded_consumer_is_described_in_full(
        self, record: AddConsumer, find: Find
    ) -> None:
        id_ = record(project_id='project-b', generation=7, allocations=3)
        owner = find(id_)
        assert isinstance(owner.row_id, int)
        assert owner == Owner(
            id_,
            OwnerStatus.RECORDED,
            'project-b',
            'user-a',
            generation=7,
            row_id=owner.row_id,
            has_allocations=True,
        )

    def test_a_record_without_a_project_is_described_in_full(
        self, record: AddConsumer, find: Find
    ) -> None:
        owner = find(record(project_id=None, generation=4))
        assert isinstance(owner.row_id, int)
        assert (owner.generation, owner.has_allocations) == (4, True)

    def test_allocations_without_a_record_are_allocations(
        self, record: AddConsumer, find: Find
    ) -> None:
        id_ = record(recorded=False)
        assert find(id_) == Owner(id_, OwnerStatus.UNOWNED, has_allocations=True)

    def test_a_record_without_allocations_has_none(
        self, record: AddConsumer, find: Find
    ) -> None:
        assert find(record(allocations=0)).has_allocations is False

    def test_two_consumers_have_two_row_ids(
        self, record: AddConsumer, driver: OwnerLookup
    ) -> None:
        one, other = driver.find([record(), record()]).values()
        assert one.row_id != other.row_id

    @pytest.mark.parametrize('generation', [-(2**31), -1, 0, 2**31 - 1])
    def test_a_generation_is_returned_as_it_is(
        self, record: AddConsumer, find: Find, generation: int
    ) -> None:
        assert find(record(generation=generation)).generation == generation

    def test_a_generation_that_moves_is_seen_at_once(
        self, source: OwnerSource, record: AddConsumer, find: Find
    ) -> None:
        id_ = record()
        for generation in (1, 9, 8):
            source.change(Consumer(id_, generation=generation))
            assert find(id_).generation == generation

    @pytest.mark.parametrize('rename', LOOKALIKES)
    def test_allocations_of_a_lookalike_are_not_taken(
        self, record: AddConsumer, find: Find, rename: Rename
    ) -> None:
        id_ = record(make_id()[:30], allocations=0)
        record(rename(id_), allocations=3, recorded=False)
        assert find(id_).has_allocations is False

    @pytest.mark.parametrize('rename', LOOKALIKES)
    def test_allocations_of_a_lookalike_hide_no_others(
        self, record: AddConsumer, find: Find, rename: Rename
    ) -> None:
        id_ = make_id()[:30]
        record(rename(id_), allocations=3, recorded=False)
        record(id_, allocations=2)
        record(rename(id_), allocations=3, recorded=False)
        assert find(id_).has_allocations is True


class ConsumerTypesContract(Contract):
    """What a driver with ``find_types`` keeps to."""

    def test_types_that_exist_are_found_and_no_others(
        self, record: AddConsumer, driver: Any
    ) -> None:
        for kind in ('INSTANCE', 'MIGRATION'):
            record(consumer_type=kind)
        for names, found in (
            (['INSTANCE'], {'INSTANCE'}),
            (['NO_SUCH_TYPE'], set()),
            (['INSTANCE', 'NO_SUCH_TYPE', 'MIGRATION'], {'INSTANCE', 'MIGRATION'}),
            ([], set()),
        ):
            assert {*driver.find_types(names)} == found

    @pytest.mark.parametrize('rename', OTHER_IDS)
    def test_a_name_that_looks_like_a_type_is_none(
        self, record: AddConsumer, driver: Any, rename: Rename
    ) -> None:
        record(consumer_type='TYPE-e')
        other = rename('TYPE-e')
        assert other not in driver.find_types([other])
        assert {*driver.find_types([other, 'TYPE-e'])} == {'TYPE-e'}

    def test_a_new_type_is_found_at_once(
        self, record: AddConsumer, driver: Any
    ) -> None:
        name = make_id()
        assert name not in driver.find_types([name])
        record(consumer_type=name)
        assert name in driver.find_types([name])

    def test_types_of_many_names_are_found_in_one_call(
        self, record: AddConsumer, driver: Any
    ) -> None:
        record(consumer_type='INSTANCE')
        names = [f'NAME_{number}' for number in range(2000)]
        assert {*driver.find_types([*names, 'INSTANCE'])} == {'INSTANCE'}

    def test_no_type_is_known_when_the_source_does_not_answer(
        self, source: OwnerSource
    ) -> None:
        driver = source.make_stray_driver()
        with pytest.raises(OwnersUnavailable) as caught:
            driver.find_types(['INSTANCE'])
        assert 'INSTANCE' not in str(caught.value)
        driver.close()

    def test_the_guard_recognizes_the_types(self, driver: Any) -> None:
        assert isinstance(driver, ConsumerTypes)


class GenerationStoreContract(Contract):
    """What a driver with ``swap_generations`` keeps to."""

    def test_expected_generations_are_swapped(
        self, record: AddConsumer, driver: Any
    ) -> None:
        ids = [record(generation=number) for number in range(3)]
        swaps = [Swap(id_, number, -5) for number, id_ in enumerate(ids[:2])]
        assert driver.swap_generations(swaps) is True
        assert _find_generations(driver, ids) == [-5, -5, 2]

    @pytest.mark.parametrize('order', [1, -1])
    def test_a_generation_that_moved_stops_all_swaps(
        self, record: AddConsumer, driver: Any, order: int
    ) -> None:
        ids = [record(generation=5), record(generation=5)][::order]
        assert not driver.swap_generations([Swap(ids[0], 5, 1), Swap(ids[1], 4, 1)])
        assert _find_generations(driver, ids) == [5, 5]

    def test_a_consumer_without_a_record_stops_all_swaps(
        self, record: AddConsumer, driver: Any
    ) -> None:
        id_ = record(generation=5)
        assert not driver.swap_generations([Swap(id_, 5, 1), Swap(make_id(), 5, 1)])
        assert _find_generations(driver, [id_]) == [5]

    def test_racing_swaps_have_one_winner(
        self, record: AddConsumer, driver: Any
    ) -> None:
        ids = [record(generation=5) for _ in range(3)]
        swaps = [Swap(id_, 5, number) for number, id_ in enumerate(ids)]

        def race(number: int) -> bool:
            # Every other one in the other order, to provoke deadlocks.
            won: bool = driver.swap_generations(swaps if number % 2 else swaps[::-1])
            return won

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(race, range(32)))[-2:] == [False, True]
        assert _find_generations(driver, ids) == [0, 1, 2]

    @pytest.mark.parametrize('user_id', ['user-a', None])
    def test_a_row_that_is_as_it_was_judged_is_swapped(
        self, record: AddConsumer, driver: Any, user_id: str | None
    ) -> None:
        id_ = record(generation=5)
        judged = _judge(driver, id_)
        swap = Swap(id_, 5, -9, dataclasses.replace(judged, user_id=user_id))
        assert driver.swap_generations([swap])
        assert _find_generations(driver, [id_]) == [-9]

    @pytest.mark.parametrize(
        'other',
        [{'row_id': 2**31 - 1}, {'project_id': 'project-b'}, {'user_id': 'user-b'}],
        ids=lambda other: next(iter(other)),
    )
    def test_a_row_that_is_not_as_it_was_judged_stops_all_swaps(
        self, record: AddConsumer, driver: Any, other: dict[str, Any]
    ) -> None:
        record(project_id='project-b', user_id='user-b')
        ids = [record(generation=5), record(generation=5)]
        first, second = (_judge(driver, id_) for id_ in ids)
        second = dataclasses.replace(second, **other)
        swaps = [Swap(ids[0], 5, -9, first), Swap(ids[1], 5, -9, second)]
        assert not driver.swap_generations(swaps)
        assert _find_generations(driver, ids) == [5, 5]

    def test_a_row_of_another_project_since_is_not_swapped(
        self, source: OwnerSource, record: AddConsumer, driver: Any
    ) -> None:
        id_ = record(generation=5)
        judged = _judge(driver, id_)
        source.change(Consumer(id_, project_id='project-b', generation=5))
        assert not driver.swap_generations([Swap(id_, 5, -9, judged)])

    def test_a_judged_row_without_allocations_is_not_swapped(
        self, record: AddConsumer, driver: Any
    ) -> None:
        id_ = record(generation=5, allocations=0)
        assert not driver.swap_generations([Swap(id_, 5, -9, _judge(driver, id_))])

    def test_nothing_is_known_when_the_source_does_not_answer(
        self, source: OwnerSource
    ) -> None:
        driver = source.make_stray_driver()
        with pytest.raises(OwnersUnavailable):
            driver.swap_generations([Swap(make_id(), 1, 2)])
        driver.close()

    def test_the_guard_recognizes_the_store(self, driver: Any) -> None:
        assert isinstance(driver, GenerationStore)


def _find_generations(driver: OwnerLookup, ids: list[str]) -> list[int | None]:
    found = driver.find(ids)
    return [found[id_].generation for id_ in ids]


def _judge(driver: OwnerLookup, id_: str) -> Judged:
    owner = driver.find([id_])[id_]
    return Judged(owner.row_id, owner.project_id, owner.user_id)
