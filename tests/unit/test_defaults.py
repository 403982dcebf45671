# SPDX-License-Identifier: Apache-2.0
"""The registered rules: one for each operation, and who they allow."""

import pytest
from oslo_policy import policy

from consumer_guard.guard import model
from consumer_guard.rules.defaults import (
    ADMIN_OR_SERVICE,
    DESCRIPTIONS,
    OWNER_MEMBER,
    OWNER_READER,
    SERVICE,
    list_rules,
)

RULES = {rule.name: rule for rule in list_rules()}
OPEN_TO_OWNERS = (model.ALLOCATIONS_LIST, model.USAGES)


def test_there_is_a_rule_for_each_operation_and_for_each_base() -> None:
    assert len(RULES) == len(list_rules())
    assert RULES.keys() == {
        *(ADMIN_OR_SERVICE, SERVICE, OWNER_READER, OWNER_MEMBER),
        *(operation.rule for operation in model.OPERATIONS),
    }


@pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
def test_owners_only_read_their_own_by_default(operation: model.Operation) -> None:
    expected = f'rule:{ADMIN_OR_SERVICE}'
    if operation in OPEN_TO_OWNERS:
        expected += f' or rule:{OWNER_READER}'
    assert RULES[operation.rule].check_str == expected


@pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
def test_a_rule_documents_its_route(operation: model.Operation) -> None:
    rule = RULES[operation.rule]
    assert isinstance(rule, policy.DocumentedRuleDefault)
    assert rule.operations == [{'method': operation.method, 'path': operation.path}]
    assert rule.description == DESCRIPTIONS[operation]


@pytest.mark.parametrize('name', RULES)
def test_only_tokens_of_projects_are_in_scope(name: str) -> None:
    assert RULES[name].scope_types == ['project']


@pytest.mark.parametrize(
    ('name', 'role'), [(OWNER_READER, 'reader'), (OWNER_MEMBER, 'member')]
)
def test_an_owner_needs_the_role_and_the_project(name: str, role: str) -> None:
    assert RULES[name].check_str == f'role:{role} and project_id:%(project_id)s'
