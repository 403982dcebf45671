# SPDX-License-Identifier: Apache-2.0
"""What a rule's text becomes, and which texts are refused."""

import dataclasses
from typing import Any

import pytest
from oslo_policy import policy

from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import compiler, nodes
from tests.unit.compiled import compile_text


@pytest.mark.parametrize(
    'text',
    [
        'foo',
        'foo or role:admin',
        'not foo',
        '@ or foo',
        'role:admin and',
        'role:a role:b',
        '! and',
        '! !',
        '(!',
        ') ! (',
        '"quoted"',
        'role:a or not X!',
        'role:a or not !X',
        "domain:'a b'",
        'consumer_guard',
        'not ' * 2000 + 'role:a',
    ],
)
def test_text_that_cannot_be_parsed_is_an_error(text: str) -> None:
    """oslo.policy denies in silence, and ``not`` of that allows."""
    # Some releases of it make a text of some of these, which is no check.
    with pytest.raises(
        PolicyFileError, match=r'policy.yaml: rule "r": (cannot|a plug)'
    ):
        compile_text(text)


@pytest.mark.parametrize(
    'text', ['!', ' ! ', '((!))', 'not !', '! or role:a', '(!) or !']
)
def test_a_written_denial_is_a_rule_like_any_other(text: str) -> None:
    """``!`` is a rule like any other."""
    assert '!' in str(compile_text(text))


@pytest.mark.parametrize('value', [None, True, False, 0, 1, [], {}, [['role:a']], 1.5])
def test_a_value_that_is_not_text_is_an_error(value: object) -> None:
    """Y04: oslo.policy lets everybody in, or raises at the request."""
    with pytest.raises(PolicyFileError, match='not text'):
        compile_text(value)
    with pytest.raises(PolicyFileError, match='rule "helper"'):
        compile_text('rule:helper', helper=value)


@pytest.mark.parametrize('value', ['', ' ', '\t\n'], ids=repr)
def test_an_empty_value_is_an_error(value: str) -> None:
    """Y02: empty allows everybody in oslo.policy."""
    with pytest.raises(PolicyFileError, match='empty'):
        compile_text('rule:helper', helper=value)


@pytest.mark.parametrize(
    'others',
    [{}, {'default': '@'}, {'a': 'rule:%(x)s'}, {'a': 'rule:r'}, {'a': 'rule:a'}],
    ids=repr,
)
def test_a_reference_to_an_unknown_rule_or_to_itself_is_an_error(
    others: dict[str, str],
) -> None:
    """Y19: no fall to the rule ``default``; a cycle is a TypeError there."""
    with pytest.raises(PolicyFileError, match=r'unknown rule|refers to itself'):
        compile_text('rule:a', **others)


def test_a_rule_that_a_file_has_twice_is_an_error() -> None:
    """YAML lets the last one win, which may be the wider one."""
    text = compiler.RuleText('r', 'role:a', 'policy.yaml', repeated=True)
    with pytest.raises(PolicyFileError, match='twice'):
        compiler.compile_rules({'r': text}, ['r'])


def test_a_cycle_is_shown_by_the_rules_that_it_leads_through() -> None:
    with pytest.raises(PolicyFileError, match=r': refers to itself: r -> a -> b -> a$'):
        compile_text('rule:x or rule:a', x='@', a='rule:b', b='rule:a')


@pytest.mark.parametrize(
    ('text', 'remote'), [('role:a and not rule:b', False), ('rule:c', True)]
)
def test_a_check_that_is_answered_elsewhere_is_noticed(text: str, remote: bool) -> None:
    values = {'r': text, 'b': '@', 'c': 'not http://x'}
    texts = {
        name: compiler.RuleText(name, value, 'policy.yaml')
        for name, value in values.items()
    }
    compiled = compiler.compile_rules(texts, ['r'])
    assert compiled.has_remote is remote
    assert {*compiled.parsed} == {*compiled.nodes}
    assert str(compiled.parsed['r']) == str(compiled.nodes['r'])
    for made, field in ((texts['r'], 'value'), (compiled, 'has_remote')):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field, None)
        assert not hasattr(made, '__dict__')


def _make_text(_kind: str, match: str) -> str:
    return match


#: It takes any function.
register: Any = policy.register
register('consumer_guard_text', _make_text)


def test_what_a_plugin_makes_of_a_text_has_to_be_a_check() -> None:
    with pytest.raises(PolicyFileError, match='turned it into str, which is not a'):
        compile_text('role:a or (consumer_guard_text:x and role:b)')


def _nest(levels: int) -> str:
    """A check below so many joined ones."""
    text = '@'
    for level in range(levels):
        text = f'(role:a {("and", "or")[level % 2]} {text})'
    return text


def test_a_hundred_levels_are_allowed_and_no_more() -> None:
    for text in ('not ' * 100 + '@', _nest(100)):
        compile_text(text)
    for text in ('not ' * 101 + '@', _nest(101)):
        with pytest.raises(PolicyFileError, match='nested deeper than 100'):
            compile_text(text)


@pytest.mark.parametrize(
    'others',
    [
        {'a': 'not ' * 60 + '@'},
        {'a': 'rule:deep or rule:flat', 'deep': 'not ' * 60 + '@', 'flat': '@'},
    ],
    ids=['deep', 'deep beside flat'],
)
def test_a_shared_rule_counts_with_all_of_its_depth(others: dict[str, str]) -> None:
    compile_text('rule:a or ' + 'not ' * 30 + 'rule:a', **others)
    with pytest.raises(PolicyFileError, match='nested deeper'):
        compile_text('rule:a or ' + 'not ' * 50 + 'rule:a', **others)


def _repeat(levels: int, shape: str = 'rule:{0} or rule:{0}') -> dict[str, str]:
    """Rules that refer to the next one twice each; the last one is a role."""
    rules = {f'n{i}': shape.format(f'n{i + 1}') for i in range(levels)}
    return rules | {f'n{levels}': 'role:a'}


@pytest.mark.parametrize(
    'shape',
    [
        'rule:{0} or rule:{0}',
        'rule:{0} and not rule:{0}',
        '(role:x and rule:{0}) or (role:y and rule:{0})',
        'not (rule:{0} and @) or not rule:{0}',
    ],
)
def test_rules_that_refer_to_each_other_twice_are_bounded(shape: str) -> None:
    """Whoever walks the tree, to judge, trace or prove it, would never end."""
    with pytest.raises(PolicyFileError, match='more than 10000 checks'):
        compile_text('rule:n0', **_repeat(20, shape))


def test_as_many_checks_as_the_limit_are_allowed_and_no_more() -> None:
    """Twelve doublings are 2 to the 12th roles, and nearly three times as many joins."""
    compile_text('rule:n0', **_repeat(11))
    with pytest.raises(PolicyFileError, match='rule "n0": has more'):
        compile_text('rule:n0', **_repeat(12))
    compile_text(' or '.join(['role:a'] * (compiler.MAX_CHECKS - 1)))
    with pytest.raises(PolicyFileError, match='rule "r": has more'):
        compile_text(' or '.join(['role:a'] * compiler.MAX_CHECKS))


def test_each_rule_is_counted_for_itself() -> None:
    texts = {
        name: compiler.RuleText(name, value, 'policy.yaml')
        for name, value in {
            **_repeat(11),
            **{f'r{i}': 'rule:n0' for i in range(7)},
        }.items()
    }
    names = [f'r{i}' for i in range(7)]
    assert {*names} <= {*compiler.compile_rules(texts, names).nodes}


def test_nesting_deeper_than_the_limit_is_an_error() -> None:
    """By references, by ``not``, and by both where a part is shared."""
    chain = {f'n{i}': f'rule:n{i + 1}' for i in range(compiler.MAX_DEPTH - 1)}
    chain[f'n{compiler.MAX_DEPTH - 1}'] = '@'
    assert compile_text('rule:n0', **chain).evaluate(nodes.Facts({}, frozenset(), {}))
    with pytest.raises(PolicyFileError, match='nested deeper'):
        compile_text('not rule:n0', **chain)
    compile_text('rule:n50 or ' + 'not ' * 40 + 'rule:n50', **chain)
    with pytest.raises(PolicyFileError, match='nested deeper'):
        compile_text('rule:n50 or ' + 'not ' * 60 + 'rule:n50', **chain)
    with pytest.raises(PolicyFileError, match='nested deeper'):
        compile_text('not ' * 101 + '@')


@pytest.mark.parametrize(
    'text',
    [
        '@',
        '!',
        'role:Admin',
        'not role:%(x)s',
        'role:a and role:b and not (role:c or project_id:%(project_id)s)',
        "'A':%(x)s or 1a:100%",
        'http://x/%(user_id)s or https://y',
    ],
)
def test_the_text_of_a_node_is_that_of_oslo_policys_tree(text: str) -> None:
    """``str`` of a node is ``str`` of oslo.policy's tree."""
    assert str(compile_text(text)) == str(policy.RuleDefault('r', text).check)
