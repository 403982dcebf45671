# SPDX-License-Identifier: Apache-2.0
"""Log lines about generations near their end: once a consumer and step."""

import pytest

from consumer_guard.generations.alarm import GenerationAlarm
from consumer_guard.generations.thresholds import Thresholds
from consumer_guard.telemetry.metrics import GENERATION_HEADROOM
from tests.rows import LIMIT

THRESHOLDS = Thresholds(limit=LIMIT, warning=100, alarm=40, reserve=3)


class Gauges:
    """Metrics that keep their gauges."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float]] = []

    def count(self, name: str) -> None:
        """Nothing is counted here."""

    def time(self, name: str, seconds: float) -> None:
        """Nothing is timed here."""

    def gauge(self, name: str, value: float) -> None:
        self.values.append((name, value))


def test_once_a_consumer_and_step(caplog: pytest.LogCaptureFixture) -> None:
    alarm = GenerationAlarm(THRESHOLDS)
    for remaining in (90, 80, 30, 20):
        alarm.note([('c', LIMIT - remaining)])
    levels = [record.levelname for record in caplog.records]
    assert levels == ['WARNING', 'ERROR']


def test_where_nothing_is_near_no_headroom_is_reported() -> None:
    gauges = Gauges()
    GenerationAlarm(THRESHOLDS, gauges).note([])
    assert gauges.values == []


def test_memory_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """R04: the oldest of 4,096 is forgotten, so it is told again."""
    alarm = GenerationAlarm(THRESHOLDS)
    alarm.note((f'{number}', LIMIT - 50) for number in range(4096))
    alarm.note([('0', LIMIT - 50)])
    assert len(caplog.records) == 4096
    alarm.note([('another', LIMIT - 50)])
    for key, told in (('0', True), ('another', False), ('2', False), ('1', True)):
        caplog.clear()
        alarm.note([(key, LIMIT - 50)])
        assert bool(caplog.records) is told, key


def test_a_line_names_the_consumer_and_the_command(
    caplog: pytest.LogCaptureFixture,
) -> None:
    GenerationAlarm(THRESHOLDS).note([('c', LIMIT - 50)])
    assert '50 steps' in caplog.text
    assert 'generation roll --consumer c' in caplog.text


def test_only_a_lower_headroom_is_reported_to_the_metrics() -> None:
    gauges = Gauges()
    alarm = GenerationAlarm(THRESHOLDS, gauges)
    near = [('a', LIMIT - 50), ('b', LIMIT - 60), ('c', LIMIT - 50), ('d', LIMIT - 7)]
    alarm.note(near)
    assert gauges.values == [(GENERATION_HEADROOM, 50), (GENERATION_HEADROOM, 7)]


def test_a_lock_that_a_fork_left_locked_costs_no_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alarm = GenerationAlarm(THRESHOLDS)
    alarm._lock.acquire()
    for _ in range(2):
        alarm.note([('c', LIMIT - 50)])
    assert len(caplog.records) == 2
