# SPDX-License-Identifier: Apache-2.0
"""Records on their way to the log and to the unmasked file."""

import json
import os
import pathlib
from typing import Any

import pytest

from consumer_guard.guard.model import Caller
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.masking import Mask
from consumer_guard.telemetry.metrics import RECORDS_DROPPED
from consumer_guard.telemetry.rendering import SCHEMA

ME = Caller({'user_id': 'me', 'project_id': 'mine'}, frozenset(), 'project', 'req-1')


class Counters:
    """Metrics that keep what they count."""

    def __init__(self) -> None:
        self.counted: list[str] = []

    def count(self, name: str) -> None:
        self.counted.append(name)

    def time(self, name: str, seconds: float) -> None:
        """Nothing is timed here."""

    def gauge(self, name: str, value: float) -> None:
        """There are no gauges here."""


def describe(mask: Mask) -> dict[str, Any]:
    return {'mine': mask.hide('mine'), 'theirs': mask.hide('theirs')}


def break_down(_mask: Mask) -> dict[str, Any]:
    raise RuntimeError('theirs')


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level('INFO', 'consumer_guard.audit')


def test_a_line_is_masked_and_says_where_it_was_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Journal('secret', '', Counters()).write(ME, describe, 403)
    [record] = caplog.records
    content = json.loads(record.getMessage())
    assert record.levelname == 'INFO'
    assert content['mine'] == 'mine'
    assert content['theirs'].startswith('h:')
    assert (content['schema'], content['process']) == (SCHEMA, os.getpid())
    assert content['status'] == 403


def test_without_a_caller_nothing_is_anybodys_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Journal('secret', '', Counters()).write(None, describe, 403)
    assert json.loads(caplog.records[0].getMessage())['mine'].startswith('h:')


def test_the_file_has_the_same_record_unmasked(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / 'unmasked.log'
    Journal('secret', str(path), Counters()).write(ME, describe, 403)
    masked = json.loads(caplog.records[0].getMessage())
    [line] = path.read_text().splitlines()
    assert json.loads(line) == masked | {'theirs': 'theirs'}


def test_a_record_that_cannot_be_made_is_dropped_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Counters()
    Journal('secret', '', metrics).write(ME, break_down, 403)
    assert metrics.counted == [RECORDS_DROPPED]
    [record] = caplog.records
    assert record.levelname == 'ERROR'
    assert not record.exc_info
    assert 'theirs' not in caplog.text


def test_a_file_that_cannot_be_written_drops_the_unmasked_record_only(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Counters()
    path = tmp_path / 'nowhere' / 'unmasked.log'
    Journal('secret', str(path), metrics).write(ME, describe, 403)
    assert metrics.counted == [RECORDS_DROPPED]
    assert [record.levelname for record in caplog.records] == ['INFO', 'ERROR']
    assert str(path) in caplog.records[1].getMessage()
    assert '"theirs": "theirs"' not in caplog.text
