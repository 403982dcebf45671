# SPDX-License-Identifier: Apache-2.0
"""The contracts of look-ups: of each consumer, and of a list's owners."""

import os
import threading
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from consumer_guard.owners.api import (
    Owner,
    OwnerGroups,
    OwnerLookup,
    OwnerStatus,
    OwnersUnavailable,
)
from consumer_guard.testing.sources import (
    LOOKALIKES,
    NOBODY,
    OTHER_IDS,
    Consumer,
    OwnerSource,
    Rename,
    make_id,
)

#: Adds a consumer with the given fields, and perhaps a given id; returns its id.
AddConsumer = Callable[..., str]

#: Looks up one id.
Find = Callable[[str], Owner]


class Contract:
    """The fixtures; a subclass overrides ``source``."""

    @pytest.fixture
    def source(self) -> OwnerSource:
        """What the driver reads."""
        raise NotImplementedError('a subclass overrides this fixture')

    @pytest.fixture
    def record(self, source: OwnerSource) -> AddConsumer:
        """Add a consumer with these fields; its id."""

        def add(id_: str | None = None, **fields: Any) -> str:
            consumer = Consumer(id_ or make_id(), **fields)
            source.add(consumer)
            return consumer.uuid

        return add

    @pytest.fixture
    def driver(self, source: OwnerSource) -> Iterator[Any]:
        """The driver under test."""
        made = source.make_driver()
        yield made
        made.close()

    @pytest.fixture(params=['alone', 'in a batch'])
    def find(self, request: pytest.FixtureRequest, driver: OwnerLookup) -> Find:
        """Look up one id; what else is looked up makes no difference."""
        others = [make_id() for _ in range(3)] if request.param != 'alone' else []
        return lambda id_: driver.find({id_, *others})[id_]


class OwnerLookupContract(Contract):
    """What every driver keeps to."""

    def test_a_recorded_consumer_has_an_owner(
        self, record: AddConsumer, find: Find
    ) -> None:
        id_ = record(project_id='project-b', user_id='user-b', consumer_type='INSTANCE')
        owner = find(id_)
        assert owner.status is OwnerStatus.RECORDED
        assert owner.target() == {
            'consumer_uuid': id_,
            'project_id': 'project-b',
            'user_id': 'user-b',
            'consumer_type': 'INSTANCE',
        }

    def test_a_record_without_allocations_and_type_has_an_owner(
        self, record: AddConsumer, find: Find
    ) -> None:
        owner = find(record(allocations=0))
        assert owner.status is OwnerStatus.RECORDED
        assert (owner.project_id, owner.consumer_type) == ('project-a', None)

    @pytest.mark.parametrize('project', [None, '', NOBODY])
    def test_a_record_without_a_project_is_unowned(
        self, record: AddConsumer, find: Find, project: str | None
    ) -> None:
        owner = find(record(project_id=project))
        assert (owner.status, owner.project_id) == (OwnerStatus.UNOWNED, None)
        assert owner.user_id == 'user-a'
        assert 'project_id' not in owner.target()

    @pytest.mark.parametrize('user', [None, '', NOBODY])
    def test_a_record_without_a_user_is_recorded(
        self, record: AddConsumer, find: Find, user: str | None
    ) -> None:
        owner = find(record(user_id=user))
        assert (owner.status, owner.user_id) == (OwnerStatus.RECORDED, None)
        assert owner.project_id == 'project-a'
        assert 'user_id' not in owner.target()

    def test_allocations_without_a_record_are_unowned(
        self, record: AddConsumer, find: Find
    ) -> None:
        id_ = record(recorded=False, allocations=2)
        owner = find(id_)
        assert owner.status is OwnerStatus.UNOWNED
        assert owner.target() == {'consumer_uuid': id_}

    def test_an_unknown_id_is_absent(self, find: Find) -> None:
        id_ = make_id()
        assert find(id_) == Owner(id_, OwnerStatus.ABSENT)

    def test_every_id_has_an_answer_and_no_other(
        self, record: AddConsumer, driver: OwnerLookup
    ) -> None:
        recorded, unknown, odd = record(), make_id(), 'odd\0'
        record(project_id='project-b')
        found = driver.find([recorded, unknown, odd, recorded])
        assert {id_: owner.status for id_, owner in found.items()} == {
            recorded: OwnerStatus.RECORDED,
            unknown: OwnerStatus.ABSENT,
            odd: OwnerStatus.ABSENT,
        }

    def test_no_ids_have_no_answer(self, driver: OwnerLookup) -> None:
        assert driver.find([]) == {}

    def test_a_change_is_seen_at_once(
        self, source: OwnerSource, record: AddConsumer, find: Find
    ) -> None:
        id_ = record()
        for project in ('project-a', 'project-b', 'project-c', 'project-a'):
            source.change(Consumer(id_, project))
            assert find(id_).project_id == project

    @pytest.mark.parametrize(
        'rename', OTHER_IDS, ids=[ascii(rename('ce-'))[:30] for rename in OTHER_IDS]
    )
    def test_another_id_is_another_consumer(
        self, record: AddConsumer, find: Find, rename: Rename
    ) -> None:
        id_ = record()
        other = rename(id_)
        assert find(other) == Owner(other, OwnerStatus.ABSENT)
        assert find(id_).status is OwnerStatus.RECORDED

    @pytest.mark.parametrize('rename', LOOKALIKES)
    def test_the_record_of_a_lookalike_is_not_taken(
        self, record: AddConsumer, find: Find, rename: Rename
    ) -> None:
        id_ = make_id()[:30]
        record(rename(id_))
        assert find(id_) == Owner(id_, OwnerStatus.ABSENT)

    def test_lookalikes_in_one_batch_are_kept_apart(
        self, record: AddConsumer, driver: OwnerLookup
    ) -> None:
        id_ = record()
        first, *others = [rename(id_) for rename in LOOKALIKES]
        found = driver.find([first, id_, *others])
        assert found[id_].status is OwnerStatus.RECORDED
        for other in (first, *others):
            assert found[other] == Owner(other, OwnerStatus.ABSENT)

    @pytest.mark.parametrize('end', ['\n', "a'b", '"c\\d', '%s:id', '\x01\x7f', '"]'])
    def test_an_id_that_is_no_uuid_is_found(
        self, record: AddConsumer, find: Find, end: str
    ) -> None:
        id_ = record(make_id()[:20] + end)
        assert find(id_).status is OwnerStatus.RECORDED

    def test_a_large_batch_is_answered_in_full(
        self, record: AddConsumer, driver: OwnerLookup
    ) -> None:
        recorded = {record() for _ in range(20)}
        ids = sorted([*recorded, *[make_id() for _ in range(2000)]])
        found = driver.find(ids)
        assert {*found} == {*ids}
        assert recorded == {
            id_
            for id_, owner in found.items()
            if owner.status is not OwnerStatus.ABSENT
        }

    def test_threads_get_their_own_answers(
        self, record: AddConsumer, driver: OwnerLookup
    ) -> None:
        ids = _record_projects(record, 12)
        barrier = threading.Barrier(6)

        def work(first: int) -> bool:
            barrier.wait(30)
            return _find_projects(driver, (ids[first:] + ids[:first]) * 20)

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(6)))

    @pytest.mark.skipif(not hasattr(os, 'fork'), reason='there are no forks here')
    def test_forked_children_get_their_own_answers(
        self, record: AddConsumer, driver: OwnerLookup
    ) -> None:
        ids = _record_projects(record, 4)
        driver.find(ids[:1])
        children = [fork_to_find(driver, id_) for id_ in ids[1:]]
        try:
            assert _find_projects(driver, ids[:1] * 200)
        finally:
            statuses = [os.waitpid(child, 0)[1] for child in children]
        assert statuses == [0, 0, 0]
        assert _find_projects(driver, ids)

    def test_no_thread_is_started_before_the_first_look_up(
        self, source: OwnerSource
    ) -> None:
        before = {*threading.enumerate()}
        driver = source.make_driver()
        assert {*threading.enumerate()} <= before
        driver.close()

    def test_owners_are_unavailable_when_the_source_does_not_answer(
        self, source: OwnerSource
    ) -> None:
        driver = source.make_stray_driver()
        ids = [make_id(), make_id()]
        for some in (ids[:1], ids):
            with pytest.raises(OwnersUnavailable) as caught:
                driver.find(some)
            # Clients are shown the text.
            assert not [word for word in (*ids, 'SELECT') if word in str(caught.value)]
        driver.close()


def _record_projects(record: AddConsumer, count: int) -> list[str]:
    ids = [make_id() for _ in range(count)]
    return [record(id_, project_id=f'project-{id_}') for id_ in ids]


def _find_projects(driver: OwnerLookup, ids: Collection[str]) -> bool:
    return all(driver.find([id_])[id_].project_id == f'project-{id_}' for id_ in ids)


def fork_to_find(
    driver: OwnerLookup, id_: str, fork: Callable[[], int] | None = None
) -> int:
    """Look up ``project-<id>`` 200 times in a child process.

    :param fork: by default :func:`os.fork`
    :returns: the child's pid; its exit status is 0 when all was right
    """
    with warnings.catch_warnings():
        # From Python 3.12, when any thread lives (a runner's may).
        warnings.simplefilter('ignore', DeprecationWarning)
        child = (fork or os.fork)()
    if child == 0:
        status = 2
        try:
            status = 0 if _find_projects(driver, [id_] * 200) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


class OwnerGroupsContract(Contract):
    """What a driver with ``find_groups`` keeps to."""

    @pytest.mark.parametrize(
        'keys',
        [
            (),
            ('project_id',),
            ('user_id',),
            ('consumer_type',),
            ('project_id', 'user_id', 'consumer_type'),
        ],
    )
    def test_groups_agree_with_owners(
        self, record: AddConsumer, driver: Any, keys: Collection[str]
    ) -> None:
        owners = [
            ('project-a', 'user-a', 'INSTANCE'),
            ('project-a', 'user-a', None),
            ('project-a', 'user-b', 'INSTANCE'),
            ('project-b', 'user-a', 'MIGRATION'),
            ('project-b', NOBODY, None),
            ('project-b', None, None),
            (NOBODY, 'user-a', None),
            (None, 'user-a', None),
            ('', 'user-a', None),
        ]
        ids = [
            record(project_id=project, user_id=user, consumer_type=kind)
            for project, user, kind in owners
        ]
        ids += [record(recorded=False), make_id(), 'odd\0']
        ids += [rename(ids[0]) for rename in LOOKALIKES]
        expected = {
            id_: {key: owner.target().get(key) for key in keys}
            for id_, owner in driver.find(ids).items()
            if owner.status is OwnerStatus.RECORDED
        }
        found: dict[str, dict[str, str | None]] = {}
        for target, some in driver.find_groups(ids, keys):
            assert target['project_id']
            for id_ in some:
                assert id_ not in found
                found[id_] = {key: target.get(key) for key in keys}
        assert found == expected
        assert len(found) == 6

    @pytest.mark.parametrize('rename', LOOKALIKES)
    def test_a_lookalike_is_in_no_group(
        self, record: AddConsumer, driver: Any, rename: Rename
    ) -> None:
        id_ = record()
        for ids in ([id_], [id_, rename(id_)]):
            ((_, some),) = driver.find_groups(ids, ['project_id'])
            assert list(some) == [id_]
        groups = driver.find_groups([rename(id_)], ['project_id'])
        assert not [some for _, some in groups if some]

    @pytest.mark.parametrize('ids', [[], ['caf\xe9']])
    def test_nothing_is_in_no_group(self, driver: Any, ids: list[str]) -> None:
        assert list(driver.find_groups(ids, ['project_id'])) == []

    def test_the_guard_recognizes_the_groups(self, driver: Any) -> None:
        assert isinstance(driver, OwnerGroups)
