# SPDX-License-Identifier: Apache-2.0
"""Right sides of checks: what is readable, and what they become for a target."""

import pytest

from consumer_guard.rules.templates import Template

TARGET = {'project_id': 'p', 'user_id': 'u'}


@pytest.mark.parametrize(
    ('text', 'keys', 'filled'),
    [
        ('', (), ''),
        ('admin', (), 'admin'),
        ('%(project_id)s', ('project_id',), 'p'),
        ('x-%(project_id)s', ('project_id',), 'x-p'),
        ('%(project_id)s-x', ('project_id',), 'p-x'),
        ('%(project_id)s%(user_id)s', ('project_id', 'user_id'), 'pu'),
        ('%(project_id)s/%(project_id)s', ('project_id',), 'p/p'),
        ('( %(user_id)s )', ('user_id',), '( u )'),
    ],
)
def test_a_readable_text_is_filled_from_the_target(
    text: str, keys: tuple[str, ...], filled: str
) -> None:
    template = Template.parse(text)
    assert template is not None
    assert template.keys == frozenset(keys)
    assert template.fill(TARGET) == filled == text % TARGET


@pytest.mark.parametrize(
    'text',
    [
        '100%',
        '%',
        '%%',
        '%s',
        '%(project_id)d',
        '%(project_id)r',
        '%(project_id)5s',
        '%(project_id)',
        '%()s',
        '%(a(b)c)s',
        '%(project_id)s%',
    ],
)
def test_any_other_use_of_a_percent_sign_is_not_readable(text: str) -> None:
    assert Template.parse(text) is None


@pytest.mark.parametrize('text', ['%(project_id)s', 'x%(project_id)s%(user_id)s'])
@pytest.mark.parametrize('value', [None, '', 5, True, ['p'], {'p': 1}], ids=repr)
def test_a_value_that_is_no_text_or_empty_fills_nothing(
    text: str, value: object
) -> None:
    """I11 B13: 'None' and '5' are never compared with."""
    template = Template.parse(text)
    assert template is not None
    target = {**TARGET, 'project_id': value}
    assert template.fill(target) is None  # type: ignore[arg-type]
    assert template.fill({'user_id': 'u'}) is None
