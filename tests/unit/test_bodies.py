# SPDX-License-Identifier: Apache-2.0
"""Bodies with other generations, and nothing else changed."""

import json
from typing import Any

import pytest

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.generations.bodies import rewrite_body
from consumer_guard.guard import model
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.request import GuardedRequest

UUID = 'ca000000-0000-4000-8000-0000000000a1'
OTHER = 'cb000000-0000-4000-8000-0000000000b1'


def _request(
    operation: model.Operation = model.ALLOCATIONS_UPDATE,
    version: tuple[int, int] = (1, 38),
) -> GuardedRequest:
    uuid = UUID if operation is model.ALLOCATIONS_UPDATE else None
    return GuardedRequest(operation, uuid, None, version, GivenPayload())


CLAIM: dict[str, Any] = {
    'allocations': {'x': {'resources': {'VCPU': 1}}},
    'project_id': 'p',
    'user_id': 'u',
    'consumer_generation': 1,
    'consumer_type': 'INSTANCE',
}


class TestRewrite:
    """The body with other generations, and nothing else changed."""

    @pytest.mark.parametrize(
        ('operation', 'document', 'rewritten'),
        [
            (
                model.ALLOCATIONS_UPDATE,
                CLAIM,
                CLAIM | {'consumer_generation': 5},
            ),
            (
                model.ALLOCATIONS_MANAGE,
                {UUID: CLAIM, OTHER: CLAIM},
                {UUID: CLAIM | {'consumer_generation': 5}, OTHER: CLAIM},
            ),
            (
                model.RESHAPE,
                {'inventories': {'x': {}}, 'allocations': {UUID: CLAIM, OTHER: CLAIM}},
                {
                    'inventories': {'x': {}},
                    'allocations': {
                        UUID: CLAIM | {'consumer_generation': 5},
                        OTHER: CLAIM,
                    },
                },
            ),
        ],
        ids=['put', 'post', 'reshape'],
    )
    def test_only_the_given_generations_differ(
        self,
        operation: model.Operation,
        document: dict[str, Any],
        rewritten: dict[str, Any],
    ) -> None:
        before = json.dumps(document)
        content = rewrite_body(_request(operation), model.Body(document, ()), {UUID: 5})
        assert content is not None
        assert json.loads(content) == rewritten
        assert json.dumps(document) == before, 'the parse was changed'

    def test_below_1_28_a_body_carries_no_generation(self) -> None:
        request = _request(version=(1, 27))
        assert rewrite_body(request, model.Body(CLAIM, ()), {UUID: 5}) is None

    def test_a_body_that_cannot_be_written_again_is_unreadable(self) -> None:
        """It was parsed, with the smaller stack of a parser in C."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        body = model.Body(CLAIM | {'mappings': deep}, ())
        with pytest.raises(Unreadable, match='too deeply'):
            rewrite_body(_request(), body, {UUID: 5})
