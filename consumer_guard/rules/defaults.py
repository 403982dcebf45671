# SPDX-License-Identifier: Apache-2.0
"""The default rules, named after placement's own (oslo.policy namespace).

Source of the defaults: placement's ``admin_or_service_api`` and
``project_reader_api`` (placement/policies/base.py).
"""

import types
from collections.abc import Mapping

from oslo_policy import policy

from consumer_guard.guard import model

ADMIN_OR_SERVICE = model.NAMESPACE + 'admin_or_service'
SERVICE = model.NAMESPACE + 'service'
OWNER_READER = model.NAMESPACE + 'owner_reader'
OWNER_MEMBER = model.NAMESPACE + 'owner_member'

_BASE_RULES = (
    (
        ADMIN_OR_SERVICE,
        'role:admin or role:service',
        "Operators and services, which send nearly all of placement's traffic.",
    ),
    (
        SERVICE,
        'role:service',
        'Services only.',
    ),
    (
        OWNER_READER,
        'role:reader and project_id:%(project_id)s',
        'Readers of the project that owns the consumer.',
    ),
    (
        OWNER_MEMBER,
        'role:member and project_id:%(project_id)s',
        'Members of the project that owns the consumer.',
    ),
)

#: One sentence for each operation, shown in the policy sample and in the matrix.
DESCRIPTIONS: Mapping[model.Operation, str] = types.MappingProxyType(
    {
        model.ALLOCATIONS_LIST: "Show a consumer's allocations, owner and generation.",
        model.ALLOCATIONS_UPDATE: "Replace a consumer's allocations.",
        model.ALLOCATIONS_DELETE: "Delete a consumer's allocations.",
        model.ALLOCATIONS_MANAGE: 'Replace the allocations of several consumers at '
        'once.',
        model.PROVIDER_ALLOCATIONS_LIST: 'List the consumers that have allocations on '
        'a resource provider.',
        model.USAGES: 'Show the total usages of a project.',
        model.RESHAPE: 'Move inventories and the allocations on them between resource '
        'providers.',
    }
)

#: Operations that are open to owners by default.
_OPEN_TO_OWNERS = (model.ALLOCATIONS_LIST, model.USAGES)


def _default_check(operation: model.Operation) -> str:
    check = f'rule:{ADMIN_OR_SERVICE}'
    if operation in _OPEN_TO_OWNERS:
        check += f' or rule:{OWNER_READER}'
    return check


def list_rules() -> list[policy.RuleDefault]:
    """All registered rules, base rules first (entry point of the oslo tools)."""
    return [
        *(
            policy.RuleDefault(name, check, description, scope_types=['project'])
            for name, check, description in _BASE_RULES
        ),
        *(
            policy.DocumentedRuleDefault(
                name=operation.rule,
                check_str=_default_check(operation),
                description=DESCRIPTIONS[operation],
                operations=[{'method': operation.method, 'path': operation.path}],
                scope_types=['project'],
            )
            for operation in model.OPERATIONS
        ),
    ]
