# SPDX-License-Identifier: Apache-2.0
"""All the rulings of one request together have an end."""

import uuid
from collections.abc import Collection, Mapping

import pytest

from consumer_guard.analysis.simulation import make_request
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.guard.model import Caller, Owner, OwnerStatus, Truth

CALLER = Caller({'project_id': 'p'}, frozenset(), 'project', 'req-1')


class SlowRules:
    """Leaves everything to the owner, and takes its time over each."""

    def __init__(self, clock: list[float]) -> None:
        self._clock = clock
        self.judged = 0

    def current(self) -> 'SlowRules':
        return self

    def judge(
        self, rule: str, caller: Caller, target: Mapping[str, str], *, final: bool
    ) -> Truth:
        if not final:
            return Truth.UNKNOWN
        self.judged += 1
        self._clock[0] += 1.0
        return Truth.YES

    def reads(self, rule: str) -> frozenset[str]:
        return frozenset({'consumer_uuid'})


class Everybodys:
    """Every consumer is recorded."""

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, Owner]:
        return {
            key: Owner(key, OwnerStatus.RECORDED, 'p', 'u', None, 1, 1, True)
            for key in consumer_ids
        }

    def close(self) -> None:
        """Nothing to give back."""


def test_a_list_that_takes_too_long_is_not_shown() -> None:
    """R09: one slow answer a consumer must not add up."""
    clock = [0.0]
    rules = SlowRules(clock)
    authorizer = Authorizer(rules, Everybodys(), patience=10.0, clock=lambda: clock[0])
    request = make_request('GET', f'/resource_providers/{uuid.uuid4()}/allocations')
    assert request is not None
    assert request.operation is model.PROVIDER_ALLOCATIONS_LIST
    few = [str(uuid.uuid4()) for _ in range(10)]
    assert authorizer.find_visible(request, CALLER, few) == frozenset(few)
    rules.judged = 0
    with pytest.raises(OwnersUnavailable):
        authorizer.find_visible(
            request, CALLER, [str(uuid.uuid4()) for _ in range(500)]
        )
    assert rules.judged == 11
