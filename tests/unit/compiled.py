# SPDX-License-Identifier: Apache-2.0
"""Rules compiled from their text, and evaluated for one caller."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from consumer_guard.guard import model
from consumer_guard.rules import compiler, nodes

#: A caller with the roles reader and member, and odd credentials beside.
CREDENTIALS: Mapping[str, Any] = MappingProxyType(
    {
        'project_id': 'A',
        'user_id': 'u',
        'domain_id': None,
        'nothing': '',
        'count': 5,
        'is_admin_project': True,
        'roles': ['Reader', 'member'],
        'service_roles': ['service'],
        'token': {
            'user': {'id': 'u', 'tags': ['x', 'y']},
            'holes': [None, 'z'],
            'roles': ['Reader'],
        },
        'many': [{'id': '1'}, {'id': '2'}, {}],
    }
)
TARGET = MappingProxyType(
    {'project_id': 'A', 'user_id': 'v', 'consumer_type': 'READER'}
)


def compile_text(text: object, **others: object) -> nodes.Node:
    """One rule named ``r``, and others that it may refer to."""
    texts = {
        name: compiler.RuleText(name, value, 'policy.yaml')
        for name, value in {'r': text, **others}.items()
    }
    return compiler.compile_rules(texts, ['r']).nodes['r']


def evaluate(
    text: object,
    target: Mapping[str, Any] = TARGET,
    credentials: Mapping[str, Any] = CREDENTIALS,
    call: nodes.CallRemote | None = None,
) -> model.Truth:
    """Evaluate a rule for the caller."""
    facts = nodes.Facts(credentials, frozenset({'reader', 'member'}), target, call)
    return compile_text(text).evaluate(facts)
