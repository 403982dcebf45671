# SPDX-License-Identifier: Apache-2.0
"""All the rulings of one request together have an end."""

import uuid
from collections.abc import Collection, Mapping

import pytest

from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Guard
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.guard.model import Caller, Owner, OwnerStatus, Truth
from consumer_guard.guard.request import (
    KNOWN_MICROVERSIONS,
    make_guarded_request,
    match_operation,
)

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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    return now


def test_a_list_that_takes_too_long_is_not_shown(clock: list[float]) -> None:
    """R09: one slow answer a consumer must not add up."""
    rules = SlowRules(clock)
    guard = Guard(rules, Everybodys(), max_body_size=1024, patience=10.0)
    path = f'/resource_providers/{uuid.uuid4()}/allocations'
    environ = {'REQUEST_METHOD': 'GET', 'PATH_INFO': path}
    found = match_operation(environ)
    assert found is not None
    assert found[0] is model.PROVIDER_ALLOCATIONS_LIST
    request = make_guarded_request(environ, *found, KNOWN_MICROVERSIONS)
    few = [str(uuid.uuid4()) for _ in range(10)]
    assert guard.find_visible(request, CALLER, few) == frozenset(few)
    rules.judged = 0
    with pytest.raises(OwnersUnavailable):
        guard.find_visible(request, CALLER, [str(uuid.uuid4()) for _ in range(500)])
    assert rules.judged == 11
