# SPDX-License-Identifier: Apache-2.0
"""What each kind of check answers, and every trap of oslo.policy's."""

import pytest
from oslo_policy import policy

from consumer_guard.guard import model
from consumer_guard.rules import nodes
from tests.unit.compiled import CREDENTIALS, TARGET, compile_text, evaluate
from tests.unit.parsed import parse_nothing

NO, UNKNOWN, YES = model.Truth


@pytest.mark.parametrize(
    ('text', 'answer'),
    [
        ('@', YES),
        ('!', NO),
        ('( ! )', NO),
        ('not !', YES),
        ('role:reader', YES),
        ('role:READER', YES),
        ('role:admin', NO),
        ('role:%(consumer_type)s', YES),
        ('role:%(user_id)s', NO),
        ('project_id:%(project_id)s', YES),
        ('user_id:%(user_id)s', NO),
        ('project_id:A', YES),
        ('project_id:a', NO),
        ('count:5', YES),
        ('is_admin_project:True', YES),
        ('absent:x', NO),
        ('absent:None', NO),
        ('token.user.id:u', YES),
        ('token.user.tags:y', YES),
        ('token.user.tags:z', NO),
        ('token.user.absent:x', NO),
        ('token.holes:z', YES),
        ('token.roles:Reader', YES),
        ('many.id:2', YES),
        ('many.id:3', NO),
        ('service_roles:service', YES),
        ('service_roles:SERVICE', NO),
        ("'A':%(project_id)s", YES),
        ('"A":%(project_id)s', YES),
        ('True:True', YES),
        ('1.0:1', NO),
        ('0x10:16', YES),
        ('None:None', YES),
        ('project_id:%(project_id)s%(user_id)s', NO),
        ("'A-v':%(project_id)s-%(user_id)s", YES),
        ('role:admin or role:reader and project_id:A', YES),
        ('not role:admin and role:reader', YES),
        ('not (role:admin or role:reader)', NO),
    ],
)
def test_a_check_answers_as_oslo_policy_does(text: str, answer: model.Truth) -> None:
    """The table, and oslo.policy's own answer beside it."""
    rules = policy.Rules.from_dict({'r': text})
    enforcer = policy.Enforcer(parse_nothing(), rules=rules, use_conf=False)
    assert bool(enforcer.enforce('r', TARGET, dict(CREDENTIALS))) is (answer is YES)
    assert evaluate(text) is answer


@pytest.mark.parametrize('value', [None, '', 5, True, ['A'], {'A': 1}], ids=repr)
@pytest.mark.parametrize(
    'text',
    [
        'project_id:%(project_id)s',
        'not project_id:%(project_id)s',
        'absent:%(project_id)s',
        'not absent:%(project_id)s',
        'domain_id:%(project_id)s',
        'nothing:%(project_id)s',
        'count:%(project_id)s',
        'is_admin_project:%(project_id)s',
        'None:%(project_id)s',
        "'':%(project_id)s",
        'role:%(project_id)s',
        'not role:%(project_id)s',
        'project_id:A%(project_id)s',
    ],
)
def test_a_target_key_without_a_value_is_unknown(text: str, value: object) -> None:
    """I11, B13: None, '' and what is not text never reach a comparison."""
    assert evaluate(text, {**TARGET, 'project_id': value}) is UNKNOWN
    assert evaluate(text, {'user_id': 'v'}) is UNKNOWN


@pytest.mark.parametrize(
    'text',
    [
        'domain_id:None',
        'not domain_id:None',
        'nothing:',
        'not nothing:',
        'token.holes:None',
    ],
)
def test_a_credential_without_a_value_that_would_be_equal_is_unknown(text: str) -> None:
    """I10, I11: a token without a project is not of the project 'None'."""
    assert evaluate(text) is UNKNOWN


def test_an_owner_called_none_is_not_a_token_without_project() -> None:
    """I11: str(None) == 'None' in oslo.policy."""
    credentials = {**CREDENTIALS, 'project_id': None}
    text = 'project_id:%(project_id)s'
    assert evaluate(text, {'project_id': 'None'}, credentials) is UNKNOWN
    assert evaluate(text, {'project_id': 'A'}, credentials) is NO


@pytest.mark.parametrize(
    'text',
    [
        '1a:x',
        'class:x',
        'a-b:x',
        'f(x):x',
        'project_id.:A',
        ':x',
        'project_id:100%',
        'project_id:%%',
        'project_id:%(project_id)d',
        'project_id:%(project_id)r',
        'project_id:%(project_id)5s',
        'project_id:%s',
        'project_id:%(project_id)s%',
        'project_id:%(a(b)c)s',
        'role:100%',
        'role:%(user_id)d',
        'project_id.x:A',
        'domain_id.x:A',
        'count.x:5',
        'roles.x:reader',
        f'{"1" * 5000}:x',
        f'{"[" * 300}:x',
    ],
)
@pytest.mark.parametrize('form', ['{}', 'not {}', '{} or !', '{} and @'])
def test_a_check_that_oslo_policy_raises_on_is_always_unknown(
    text: str, form: str
) -> None:
    """Y21 and kin: oslo.policy raises on these, or does odd things."""
    assert evaluate(form.format(text)) is UNKNOWN


@pytest.mark.parametrize('roles', [None, 'service', 'admin', 5], ids=repr)
@pytest.mark.parametrize('name', ['roles', 'service_roles'])
def test_roles_that_are_not_a_list_are_unknown(name: str, roles: object) -> None:
    """Y21: a list of names given as one text, or as None."""
    for text in (f'{name}:service', f'{name}:admin', f'{name}:None', f'{name}:5'):
        assert evaluate(text, credentials={name: roles}) is UNKNOWN


def test_an_empty_role_is_unknown_and_never_allows() -> None:
    """``X-Roles: reader,`` makes a role that is empty."""
    facts = nodes.Facts({}, frozenset({'', 'reader'}), {})
    assert compile_text('role:').evaluate(facts) is UNKNOWN
    facts = nodes.Facts({}, frozenset({'reader'}), {})
    assert compile_text('role:').evaluate(facts) is NO
