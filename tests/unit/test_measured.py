# SPDX-License-Identifier: Apache-2.0
"""Look-ups whose time and failures are counted."""

from collections.abc import Collection, Iterable, Mapping

import pytest

from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.guard.model import OwnerGroups
from consumer_guard.owners.measured import MeasuredGroups, MeasuredLookup
from consumer_guard.telemetry.metrics import LOOKUP_FAILED, LOOKUP_TIME
from tests.fuzz.alone import CONSUMER, FixedOwners


class Counters:
    """Metrics that keep what they are given."""

    def __init__(self) -> None:
        self.counted: list[str] = []
        self.timed: list[str] = []

    def count(self, name: str) -> None:
        self.counted.append(name)

    def time(self, name: str, seconds: float) -> None:
        assert seconds > 0
        self.timed.append(name)

    def gauge(self, name: str, value: float) -> None:
        raise AssertionError('there are no gauges')


class Groups(FixedOwners):
    """Knows groups, and is closed."""

    closed = False

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        self.asked.append(frozenset(consumer_ids))
        if self.fault is not None:
            raise self.fault
        return [({'project_id': 'p'}, consumer_ids)]

    def close(self) -> None:
        self.closed = True


def test_a_look_up_is_timed_and_its_answer_goes_through() -> None:
    metrics, owners = Counters(), FixedOwners()
    found = MeasuredLookup(owners, metrics).find([CONSUMER])
    assert found == FixedOwners().find([CONSUMER])
    assert (metrics.timed, metrics.counted) == ([LOOKUP_TIME], [])


@pytest.mark.parametrize('fault', [OwnersUnavailable(), KeyboardInterrupt()], ids=repr)
def test_a_failure_is_counted_timed_and_raised(fault: BaseException) -> None:
    metrics, owners = Counters(), Groups()
    owners.fault = fault
    measured = MeasuredGroups(owners, metrics)
    for look_up in (
        lambda: measured.find([CONSUMER]),
        lambda: [*measured.find_groups([CONSUMER], ['project_id'])],
    ):
        with pytest.raises(type(fault)):
            look_up()
    assert metrics.counted == [LOOKUP_FAILED] * 2
    assert metrics.timed == [LOOKUP_TIME] * 2


def test_groups_are_timed_and_go_through() -> None:
    metrics = Counters()
    measured = MeasuredGroups(Groups(), metrics)
    assert [*measured.find_groups([CONSUMER], ['project_id'])] == [
        ({'project_id': 'p'}, [CONSUMER])
    ]
    assert metrics.timed == [LOOKUP_TIME]


class Types(Groups):
    """Knows consumer types, too."""

    def find_types(self, names: Collection[str]) -> Collection[str]:
        return {*names} & {'INSTANCE'}


def test_types_are_timed_and_go_through() -> None:
    metrics = Counters()
    found = MeasuredLookup(Types(), metrics).find_types(['INSTANCE', 'other'])
    assert found == {'INSTANCE'}
    assert metrics.timed == [LOOKUP_TIME]


def test_a_driver_that_knows_no_types_finds_none() -> None:
    metrics = Counters()
    assert MeasuredLookup(Groups(), metrics).find_types(['INSTANCE']) == ()
    assert metrics.timed == []


def test_only_a_driver_with_groups_is_measured_as_one() -> None:
    """The guard asks the measured one what it can do."""
    assert isinstance(MeasuredGroups(Groups(), Counters()), OwnerGroups)
    assert not isinstance(MeasuredLookup(FixedOwners(), Counters()), OwnerGroups)


def test_closing_closes_the_driver() -> None:
    owners = Groups()
    MeasuredLookup(owners, Counters()).close()
    assert owners.closed
