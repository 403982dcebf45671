# SPDX-License-Identifier: Apache-2.0
"""The look after an owner's write: what is stored is what was written, or an alarm."""

from typing import Any

import pytest

from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.guard.model import Owner
from consumer_guard.guard.obligations import Fulfilment
from tests.fuzz.alone import CONSUMER, SealingOwners
from tests.unit.test_watch import OTHER, judge_owners, make_owners, make_watch, put


class TestConfirmation:
    """The look after an owner's write that succeeded."""

    def write(self, recorded: dict[str, Owner]) -> tuple[SealingOwners, Fulfilment]:
        """A sealed write, as far as placement; `recorded` changes what it leaves."""
        owners = SealingOwners(recorded)
        fulfilment = make_watch(owners).fulfil(put(7), judge_owners(dict(recorded)))
        for swap in owners.swapped:
            moved = recorded[swap.uuid]._replace(generation=swap.new + 1)
            recorded[swap.uuid] = moved
        return owners, fulfilment

    def test_what_is_stored_as_written_is_no_alarm(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        owners, fulfilment = self.write(make_owners(one=7, other=9))
        assert owners.asked == []
        assert fulfilment.afterwards is not None
        fulfilment.afterwards()
        assert owners.asked == [frozenset({CONSUMER, OTHER})]
        assert caplog.records == []

    @pytest.mark.parametrize(
        ('change', 'differing'),
        [
            ({'row_id': 6}, 'another row.'),
            ({'generation': 1}, 'another generation.'),
            ({'project_id': 'd7' * 16}, 'another project.'),
            ({'user_id': 'd7' * 16}, 'another user.'),
            ({'row_id': None, 'generation': None}, 'another row, generation.'),
        ],
    )
    def test_each_difference_alarms_without_the_other_owner(
        self,
        change: dict[str, Any],
        differing: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        recorded = make_owners(one=7)
        _, fulfilment = self.write(recorded)
        recorded[CONSUMER] = recorded[CONSUMER]._replace(**change)
        assert fulfilment.afterwards is not None
        fulfilment.afterwards()
        [record] = caplog.records
        assert record.levelname == 'ERROR'
        assert CONSUMER in record.getMessage()
        assert differing in record.getMessage()
        assert 'd7' * 16 not in record.getMessage()

    @pytest.mark.parametrize(
        'fault', [OwnersUnavailable('away'), RuntimeError('a driver')], ids=repr
    )
    def test_a_look_up_that_fails_is_logged_and_raises_nothing(
        self, caplog: pytest.LogCaptureFixture, fault: Exception
    ) -> None:
        owners, fulfilment = self.write(make_owners(one=7))
        owners.fault = fault
        assert fulfilment.afterwards is not None
        fulfilment.afterwards()
        assert "The check after an owner's write failed" in caplog.text
