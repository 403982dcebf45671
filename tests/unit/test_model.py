# SPDX-License-Identifier: Apache-2.0
"""Operations, owners and claims as values."""

import pytest
from placement import handler

from consumer_guard.guard import model
from consumer_guard.guard.model import Claim, Owner, OwnerStatus, make_target


def test_a_target_has_no_key_without_a_value() -> None:
    """I11: None and '' never reach a comparison."""
    assert make_target(project_id='p', user_id=None, consumer_type='') == {
        'project_id': 'p'
    }
    assert make_target() == {}


def test_an_owner_and_a_claim_of_the_same_ids_have_the_same_target() -> None:
    owner = Owner('c', OwnerStatus.RECORDED, 'p', 'u', 'VM', 7, 1, True)
    claim = Claim('c', 'p', 'u', 'VM', 8, False)
    expected = {
        'consumer_uuid': 'c',
        'project_id': 'p',
        'user_id': 'u',
        'consumer_type': 'VM',
    }
    assert owner.target() == claim.target() == expected
    assert owner._replace(user_id=None).target().keys() == expected.keys() - {'user_id'}


@pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
def test_an_operation_is_a_route_of_placements(operation: model.Operation) -> None:
    assert operation.method in handler.ROUTE_DECLARATIONS[operation.path]
    assert operation.writes is (operation.method != 'GET')
    assert operation.rule == f'consumer_guard:{operation.name}'


def test_three_values_join_as_kleene_has_them() -> None:
    assert model.Truth.NO < model.Truth.UNKNOWN < model.Truth.YES
    assert [2 - truth for truth in model.Truth] == [*model.Truth][::-1]
