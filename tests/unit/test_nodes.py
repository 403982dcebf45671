# SPDX-License-Identifier: Apache-2.0
"""How checks are joined: three values, references, and what a rule reads."""

import dataclasses

import pytest

from consumer_guard.guard import model
from consumer_guard.rules import nodes
from tests.unit.compiled import compile_text, evaluate

NO, UNKNOWN, YES = model.Truth


def test_and_or_not_follow_kleenes_tables() -> None:
    texts = {NO: '!', UNKNOWN: 'project_id:%(absent)s', YES: '@'}
    for a, left in texts.items():
        assert evaluate(f'not {left}') == 2 - a
        for b, right in texts.items():
            assert evaluate(f'{left} and {right}') == min(a, b)
            assert evaluate(f'{left} or {right}') == max(a, b)


def test_a_reference_keeps_its_text_and_reads_what_the_other_rule_reads() -> None:
    node = compile_text('rule:a or not rule:b', a='rule:b', b='user_id:%(user_id)s')
    assert str(node) == '(rule:a or not rule:b)'
    assert node.reads == {'user_id'}


def test_reads_is_the_union_of_the_keys_of_all_checks() -> None:
    node = compile_text('role:a and (user_id:%(user_id)s or role:%(x)s-%(y)s)')
    assert node.reads == {'user_id', 'x', 'y'}


def test_a_remote_check_reads_every_key() -> None:
    assert compile_text('http://x').reads == {
        'consumer_uuid',
        'project_id',
        'user_id',
        'consumer_type',
    }


@pytest.mark.parametrize(
    ('text', 'field'),
    [
        ('role:a or role:b', 'nodes'),
        ('role:a and role:b', 'steps'),
        ('not role:a', 'node'),
        ('rule:other', 'node'),
        ('role:a', 'name'),
        ('@', 'text'),
    ],
)
def test_a_node_cannot_be_changed(text: str, field: str) -> None:
    """Threads share it."""
    node = compile_text(text, other='role:b')
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(node, field, ())
    assert not hasattr(node, '__dict__')


def test_a_leaf_has_neither_changes_nor_room_for_more() -> None:
    leaf = nodes.Leaf('x', frozenset())
    with pytest.raises(dataclasses.FrozenInstanceError):
        leaf.text = 'y'  # type: ignore[misc]
    assert not hasattr(leaf, '__dict__')
