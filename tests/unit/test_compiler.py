# SPDX-License-Identifier: Apache-2.0
"""What a rule's text becomes, and which texts are refused."""

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
