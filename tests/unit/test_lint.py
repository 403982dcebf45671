# SPDX-License-Identifier: Apache-2.0
"""The lints of policy files: each finds what it is for, and nothing in order."""

import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import opts, policy
from placement import policies as placement_policies

from consumer_guard.analysis.findings import Finding, Severity, find_worst
from consumer_guard.analysis.lint.callers import placement_allows
from consumer_guard.analysis.lint.linter import Policies, lint, make_rule_sets
from consumer_guard.analysis.lint.rulesets import find_registered
from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.rulebook import Rulebook
from tests.profiles import budget

ETC = pathlib.Path(__file__).parent.parent.parent / 'etc' / 'consumer-guard'
PASSAGE = 'consumer_guard_passage'
LIST = model.ALLOCATIONS_LIST.rule
USAGES = model.USAGES.rule
THEIRS = 'placement:allocations:list'

NOTE, WARNING, FAILURE = Severity.NOTE, Severity.WARNING, Severity.FAILURE


def find(ours: str = '', placements: str = '', **more: Any) -> list[Finding]:
    """What is found in two files."""
    files = [PolicyText('ours.yaml', ours)], [PolicyText('theirs.yaml', placements)]
    return find_in(*files, **more)


def find_in(
    ours: Sequence[PolicyText], placements: Sequence[PolicyText] = (), **more: Any
) -> list[Finding]:
    """What is found in some files."""
    given = {'registered': find_registered(), 'passage_role': PASSAGE, **more}
    return lint(Policies(ours=ours, placements=placements, **given))


def has(findings: Sequence[Finding], severity: Severity, words: str) -> bool:
    """Whether one of them is this bad and has the words in it."""
    return any(one.severity is severity and words in one.text for one in findings)


def test_the_samples_are_clean() -> None:
    ours = (ETC / 'policy.yaml').read_text()
    placements = (ETC / 'placement-policy.yaml').read_text()
    assert find(ours, placements) == []


def test_the_samples_are_clean_with_everything_in_them_switched_on() -> None:
    ours = '\n'.join(
        line.removeprefix('#')
        for line in (ETC / 'policy.yaml').read_text().splitlines()
        if line.startswith('#"')
    )
    placements = '\n'.join(
        line.removeprefix('# ')
        for line in (ETC / 'placement-policy.yaml').read_text().splitlines()
        if '": "' in line
    )
    assert len(ours.splitlines()) == 11
    assert find(ours, placements) == []


def test_the_defaults_are_noted_alone() -> None:
    (one,) = find()
    assert (one.severity, one.subject) == (NOTE, THEIRS)
    assert one.fix == f'open "{THEIRS}" to role:{PASSAGE}'


#: A rule text for reads of ours, and what is found in it.
TEXTS: list[tuple[str, Severity, str]] = [
    ('[]', FAILURE, 'the value [] is not text; the guard refuses'),
    ('', FAILURE, 'the value None is not text'),
    ('""', FAILURE, 'the value is empty; the guard refuses'),
    ('true', FAILURE, 'the value True is not text'),
    ('"admin_or_service"', FAILURE, 'write rule:consumer_guard:admin_or_service'),
    ('"role:admin or"', FAILURE, 'cannot be parsed'),
    ('"rule:nope"', FAILURE, 'refers to the unknown rule "nope"'),
    (
        '"rule:consumer_guard:owner_raeder"',
        FAILURE,
        'did you mean "consumer_guard:owner_reader"',
    ),
    (f'"rule:{LIST} or role:admin"', FAILURE, 'refers to itself'),
    ('"@"', WARNING, 'allows every caller with a token'),
    ('"not !"', WARNING, 'allows every caller with a token'),
    ('"role:a or not role:a"', WARNING, 'allows every caller with a token'),
    ('"not role:blocked"', WARNING, 'allows callers without any role'),
    ('"role:reader"', WARNING, 'allows callers with role:reader of any project'),
    (
        '"role:reader and consumer_guard:owner_reader"',
        WARNING,
        'is the name of a rule, but is read as the credential',
    ),
    ('"role:a and not role:a"', WARNING, 'can never be true: it refuses everybody'),
    ('"role:admin,service"', WARNING, 'no role has such a name'),
    ('"role:\'admin\'"', WARNING, 'no role has such a name'),
    ('"role:"', WARNING, 'contains no role name'),
    ('"Role:admin"', WARNING, 'did you mean "role"'),
    ('"tenant_id:%(project_id)s"', WARNING, 'did you mean "project_id"'),
    ('"token.user:x"', WARNING, 'callers have no credential'),
    ('"system_scope:all"', WARNING, 'have no system_scope'),
    ('"domain_id:%(project_id)s"', WARNING, 'have no domain_id'),
    ('"roles:admin"', WARNING, 'is case-sensitive'),
    ('"is_admin_project:true"', WARNING, 'the value is "True" or "False"'),
    ('"project_id.x:1"', WARNING, 'project_id has no parts'),
    ('"\'a\':b"', WARNING, 'compares two texts and is never true'),
    ('"1.0:1"', WARNING, 'compares two texts and is never true'),
    ('"0x10:16"', WARNING, 'compares two texts and is always true'),
    ('"None:%(user_id)s"', WARNING, 'None is compared as the text "None"'),
    ('"1a:x"', WARNING, 'cannot be evaluated'),
    ('"project_id:100%"', WARNING, 'cannot be evaluated'),
    ('"a-b:x"', WARNING, 'cannot be evaluated'),
    ('"project_id:%(tenant)s"', WARNING, 'targets have no "tenant"'),
    ('"user_id:%(project_id)s"', WARNING, 'ids of different things'),
    ('"not https://d/x"', WARNING, 'allows when the decision point fails'),
    ('"http://d/x"', NOTE, 'is sent unencrypted'),
    (f'"role:{PASSAGE}"', WARNING, 'names the passage role'),
    (f'"role:{PASSAGE.upper()}"', WARNING, 'names the passage role'),
    (
        '"role:reader and not project_id:%(project_id)s"',
        WARNING,
        "for another project's consumers",
    ),
]


@pytest.mark.parametrize(('text', 'severity', 'words'), TEXTS)
def test_a_rule_of_ours(text: str, severity: Severity, words: str) -> None:
    line = f'# a comment\n"{LIST}": {text}\n'
    findings = find(line)
    assert has(findings, severity, words)
    found = next(one for one in findings if words in one.text)
    assert (found.where, found.line, found.subject) == ('ours.yaml', 2, LIST)
    assert found.fix
    # Whatever the guard does not take is an error, and nothing else is.
    try:
        Rulebook.build([PolicyText('ours.yaml', line)])
    except PolicyFileError:
        assert find_worst(findings) is FAILURE
    else:
        assert find_worst(findings) is not FAILURE


def test_rules_of_other_operations() -> None:
    owner = 'rule:consumer_guard:owner_member'
    found = find(f'"{model.ALLOCATIONS_DELETE.rule}": "{owner}"')
    assert has(found, WARNING, 'is never allowed by ownership')
    found = find(f'"{USAGES}": "role:admin or project_id:%(consumer_uuid)s"')
    assert has(found, WARNING, 'uses consumer_uuid')
    found = find(f'"{model.ALLOCATIONS_UPDATE.rule}": "role:admin or {owner}"')
    assert has(found, NOTE, 'is open to owners')


def test_a_base_rule_is_looked_at_where_it_is_used() -> None:
    found = find('"consumer_guard:admin_or_service": "@"')
    openings = [one for one in found if 'every caller with a token' in one.text]
    assert {one.subject for one in openings} == {
        operation.rule for operation in model.OPERATIONS
    }
    assert {(one.where, one.line) for one in openings} == {('ours.yaml', 1)}


def test_misspelt_names_of_rules_are_found_in_either_file() -> None:
    found = find('"consumer_guard:alocations:list": "role:a"')
    assert has(found, FAILURE, f'did you mean "{LIST}"')
    found = find('"consumer_gaurd:allocations:list": "role:a"')
    assert has(found, WARNING, 'has no effect: rules of the guard begin with')
    found = find('', '"placement:allocation:list": "role:admin"')
    assert has(found, WARNING, f'did you mean "{THEIRS}"')
    found = find('', '"placment:allocations:list": "role:admin"')
    assert has(found, WARNING, 'has no effect')


def test_names_of_others_are_passed_over() -> None:
    extra = '"os_compute_api:servers": []\n'
    assert find(extra, extra) == find()


def test_the_first_rule_of_a_name_that_stands_twice_is_warned_of() -> None:
    found = find(f'"{LIST}": "@"\n"{LIST}": "rule:consumer_guard:admin_or_service"\n')
    (one,) = [one for one in found if one.severity is WARNING]
    assert (one.line, one.subject) == (1, LIST)
    assert (
        one.text
        == 'the name appears twice in the file; this rule has no effect, the one in line 2 has'
    )


def test_a_later_file_overrides() -> None:
    files = [
        PolicyText('a.yaml', f'"{LIST}": "@"'),
        PolicyText('b.yaml', f'"{LIST}": "rule:consumer_guard:admin_or_service"'),
    ]
    found = find_in(files)
    assert [(one.severity, one.where) for one in found if 'no effect' in one.text] == [
        (NOTE, 'a.yaml')
    ]
    assert not has(found, WARNING, 'every caller')


@pytest.mark.parametrize('name', ['README.txt', 'x.yaml~', '10-rules', 'x.yaml.bak'])
def test_a_stray_file_that_counts_as_policy_is_warned_of(name: str) -> None:
    files = [PolicyText(f'/etc/policy.d/{name}', '')]
    found = find_in(files)
    assert has(found, WARNING, f'"{name}" counts as a policy file')
    clean = [PolicyText('/etc/policy.d/10-rules.yml', '')]
    assert find_worst(find_in(clean)) is NOTE


#: A text for placement's rule of reads, and what is found in it.
PLACEMENTS: list[tuple[str, Severity, str]] = [
    ('""', FAILURE, 'the value is empty; it allows everybody'),
    ('[]', FAILURE, 'the value [] is not text; it allows everybody'),
    ('!', FAILURE, 'it allows everybody'),
    ('"@"', FAILURE, 'is open to every caller'),
    ('"not !"', FAILURE, 'is open to every caller'),
    ('5', FAILURE, 'placement cannot read the file'),
    ('[["role:admin"], ["role:service"]]', WARNING, 'lists of checks are deprecated'),
    ('"admin_api"', FAILURE, 'write rule:admin_api for "admin_api"'),
    ('"rule:nope"', FAILURE, 'placement uses its rule "default" instead'),
    (f'"rule:{THEIRS}"', FAILURE, 'refers to itself'),
    ('"role:admin or role:reader"', WARNING, 'is open to callers with role:reader,'),
    (
        '"role:reader and project_id:%(project_id)s"',
        WARNING,
        'is open to callers with role:reader,',
    ),
    (
        '"role:reader and project_id:%(project_id)s"',
        WARNING,
        'placement evaluates it without a target',
    ),
    (
        '"rule:admin_or_project_reader_or_service_api"',
        WARNING,
        'placement evaluates it without a target',
    ),
    (
        '"role:admin and user_id:%(user_id)s"',
        WARNING,
        'placement evaluates it without a target',
    ),
    ('"role:admin or role:consumer_guard_pasage"', WARNING, 'but passage_role is'),
    ('"system_scope:all"', WARNING, 'have no system_scope'),
]


@pytest.mark.parametrize(('text', 'severity', 'words'), PLACEMENTS)
def test_a_rule_of_placements(text: str, severity: Severity, words: str) -> None:
    findings = find('', f'"{THEIRS}": {text}')
    assert has(findings, severity, words)
    found = next(one for one in findings if words in one.text)
    assert (found.where, found.line, found.subject) == ('theirs.yaml', 1, THEIRS)


def test_placements_sums_have_a_target() -> None:
    rule = '"placement:usages": '
    own = 'rule:admin_or_project_reader_or_service_api'
    assert find('', f'{rule}"{own}"') == find()
    found = find('', f'{rule}"role:admin or role:reader"')
    assert has(found, WARNING, 'is open to callers with role:reader')
    found = find('', f'{rule}"{own} or user_id:%(user_id)s"')
    assert has(found, WARNING, 'uses user_id, but the only target')


def test_placements_other_rules_are_noted() -> None:
    text = f'"role:admin or role:{PASSAGE} or project_id:%(project_id)s"'
    found = find('', f'"placement:traits:list": {text}')
    assert has(found, NOTE, 'the guard never adds here')
    assert has(found, NOTE, 'placement evaluates it without a target')
    assert find_worst(found) is NOTE


def test_whom_only_one_of_both_allows() -> None:
    wider = '"consumer_guard:admin_or_service": "role:admin or role:service or role:x"'
    found = find(wider)
    lists = [
        one
        for one in found
        if one.subject.startswith('placement:') or 'role:x' in one.text
    ]
    assert len([one for one in lists if one.severity is WARNING]) == len(
        model.OPERATIONS
    )
    assert has(found, WARNING, f'the guard allows callers with role:x, and "{THEIRS}"')
    found = find('', '"admin_or_service_api": "role:admin or role:service or role:x"')
    assert has(found, WARNING, f'"{THEIRS}" allows callers with role:x, and the guard')
    found = find(f'"{LIST}": "role:admin"')
    assert has(found, WARNING, f'"{THEIRS}" allows callers with role:service, and')


def test_owners_whom_placement_refuses() -> None:
    opened = f'"{THEIRS}": "rule:admin_or_service_api or role:{PASSAGE}"'
    assert find('', opened) == []
    found = find('', opened, passage_role='another_passage')
    assert has(found, NOTE, 'refuses them')
    found = find('', opened, passage_role='consumer_guard_pass')
    assert has(found, WARNING, 'names the role consumer_guard_passage, but')
    rule = model.ALLOCATIONS_UPDATE.rule
    ours = f'"{rule}": "role:admin or role:service or rule:consumer_guard:owner_member"'
    found = find(ours, opened)
    assert has(found, WARNING, 'the guard allows owners, callers with role:member')


def test_two_roles_that_pass_only_together_are_warned_of() -> None:
    ours = f'"{LIST}": "role:admin or role:service or role:a and role:b"'
    found = find(ours, f'"{THEIRS}": "rule:admin_or_service_api"')
    assert has(found, WARNING, 'callers with role:a and role:b, and')


def test_a_rule_in_the_wrong_file() -> None:
    found = find(f'"{THEIRS}": "role:admin"', f'"{LIST}": "role:admin"')
    assert has(found, NOTE, 'is a rule of placement, which does not read this file')
    assert has(found, NOTE, 'is a rule of the guard, which does not read this file')
    shared = [PolicyText('shared.yaml', f'"{THEIRS}": "rule:admin_or_service_api"')]
    found = find_in(shared, shared)
    assert not has(found, NOTE, 'does not read this file')


def test_placement_that_is_not_installed() -> None:
    found = find('', f'"{THEIRS}": "@"', registered=None)
    assert has(found, NOTE, 'placement is not installed here')
    assert has(found, FAILURE, 'is open to every caller')
    assert not has(found, WARNING, 'there is no such rule')


def test_deprecated_rules_that_are_still_set_are_warned_of() -> None:
    old = policy.DeprecatedRule(
        'old:name', 'role:x', deprecated_reason='why', deprecated_since='when'
    )
    registered = [
        *placement_policies.list_rules(),
        policy.RuleDefault('placement:new', 'role:admin', deprecated_rule=old),
        policy.RuleDefault(
            'placement:gone',
            'role:admin',
            deprecated_for_removal=True,
            deprecated_reason='why',
            deprecated_since='when',
        ),
    ]
    text = '"old:name": "role:y"\n"placement:gone": "role:admin"'
    found = find('', text, registered=registered)
    assert has(found, WARNING, 'replaces placement:new')
    assert has(found, WARNING, 'will be ignored')


def test_old_defaults_count_where_they_are_in_force() -> None:
    """role:admin may reshape then, by placement's deprecated check."""
    ours = f'"{model.RESHAPE.rule}": "role:service"'
    assert not has(find(ours), WARNING, '"placement:reshaper:reshape" allows')
    found = find(ours, new_alone=False)
    assert has(
        found, WARNING, '"placement:reshaper:reshape" allows callers with role:admin'
    )
    assert has(found, NOTE, 'enforce_new_defaults is off')


def test_the_worst_come_first() -> None:
    found = find(f'"{USAGES}": "@"\n"{LIST}": []', '"placement:usages": "@"')
    severities = [one.severity for one in found]
    assert severities == sorted(severities, reverse=True)
    assert len({*severities}) > 1


OLD_NAME = 'rule:admin_api'


@pytest.mark.parametrize(
    ('value', 'severity', 'words'),
    [
        ('@', FAILURE, 'is open to every caller'),
        ('role:reader', WARNING, 'is open to callers with role:reader'),
        ('!', WARNING, 'refuses them'),
    ],
)
def test_a_deprecated_name_takes_the_place_of_the_new_rules(
    value: str, severity: Severity, words: str
) -> None:
    findings = find(placements=f'"{OLD_NAME}": "{value}"\n')
    assert has(findings, severity, words)
    named = [one for one in findings if one.subject == OLD_NAME]
    assert [one.severity for one in named] == [WARNING]
    assert f'"{value}"' in named[0].text
    for name in ('service_api', 'admin_or_service_api', 'project_reader_api'):
        assert name in named[0].text
    assert all(one.line == 1 for one in findings)


@pytest.mark.parametrize('value', ['role:admin', ' role:admin '])
def test_a_deprecated_name_with_its_old_default_changes_nothing(value: str) -> None:
    findings = find(placements=f'"{OLD_NAME}": "{value}"\n')
    assert not [one for one in findings if one.severity > NOTE]
    assert OLD_NAME not in {one.subject for one in findings}


@budget(20, 2_000)
@given(
    old=st.sampled_from(['role:admin', '@', '!', 'role:x', 'rule:service_api', None]),
    new=st.sampled_from(['role:y', None]),
    new_alone=st.booleans(),
)
def test_the_rules_in_force_are_those_of_an_enforcer(
    old: str | None, new: str | None, new_alone: bool
) -> None:
    """Deprecated names included; compared by answers to a few callers."""
    rules = {OLD_NAME: old, 'service_api': new}
    text = yaml.safe_dump({name: rule for name, rule in rules.items() if rule})
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, 'policy.yaml')
        path.write_text(text)
        conf = cfg.ConfigOpts()
        conf([], project='placement', default_config_files=[])
        opts.set_defaults(conf)
        conf.set_override('enforce_new_defaults', new_alone, 'oslo_policy')
        enforcer = policy.Enforcer(conf, policy_file=str(path))
        enforcer.suppress_deprecation_warnings = True
        enforcer.suppress_default_change_warnings = True
        enforcer.register_defaults(placement_policies.list_rules())
        enforcer.load_rules()
        _, placements = make_rule_sets(
            Policies(
                [],
                [PolicyText('theirs.yaml', text)],
                find_registered(),
                PASSAGE,
                new_alone=new_alone,
            )
        )
        for name in (
            'service_api',
            'admin_or_service_api',
            'placement:reshaper:reshape',
        ):
            node = placements.compile(name)
            assert node is not None
            for role in ('admin', 'service', 'reader', 'x', 'y'):
                wanted = enforcer.enforce(
                    name, {}, {'roles': [role], 'project_id': 'p'}
                )
                assert placement_allows(node, (role,), {}) == wanted, (name, role)


MERGED = """\
common: &common
  "consumer_guard:allocations:list": "@"
<<: *common
"""


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        (MERGED, 3),
        (MERGED.replace('*common', '[*common, *common]'), 3),
        (f'all: &rule "@"\n"{LIST}": *rule\n', 2),
    ],
)
def test_rules_of_merges_and_anchors_are_linted(text: str, line: int) -> None:
    findings = find(text)
    found = [one for one in findings if 'allows every caller' in one.text]
    assert [(one.subject, one.severity, one.line) for one in found] == [
        (LIST, WARNING, line)
    ]


def test_a_rule_of_its_own_wins_over_a_merge() -> None:
    findings = find(f'{MERGED}"{LIST}": "role:admin or role:service"\n')
    assert not has(findings, WARNING, 'allows every caller')


@pytest.mark.parametrize(
    'name', ['system_admin_api', 'system_reader_api', 'context_is_cloud_admin']
)
def test_a_base_rule_that_nothing_refers_to_is_noted(name: str) -> None:
    text = f'"{name}": "role:admin"\n'
    for findings in (find(placements=text), find(text)):
        assert has(findings, NOTE, 'no rule refers to it')
    used = f'{text}"{THEIRS}": "rule:{name} or role:service or role:{PASSAGE}"\n'
    assert not has(find(placements=used), NOTE, 'no rule refers to it')
    # One file for both services.
    assert not has(find(used, used), NOTE, 'no rule refers to it')


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        ([['role:admin'], ['role:x', 'rule:y']], 'role:admin or (role:x and rule:y)'),
        (['role:admin', 'role:x'], 'role:admin or role:x'),
        ([['role:a', 'role:b']], 'role:a and role:b'),
    ],
)
def test_an_old_list_gets_the_text_that_means_the_same(value: Any, text: str) -> None:
    rules = {LIST: value, 'y': '!'}
    (found,) = [one for one in find(yaml.safe_dump(rules)) if one.subject == LIST]
    assert found.fix == f'write "{text}"'
    assert str(policy.RuleDefault('rule', value).check).strip('()') == str(
        policy.RuleDefault('rule', text).check
    ).strip('()')


@pytest.mark.parametrize(
    ('check', 'fix'),
    [('is_admin:1', 'write role:admin'), ('project_name:service', 'not get names')],
)
def test_no_misleading_name_is_suggested(check: str, fix: str) -> None:
    (found,) = [
        one
        for one in find(f'"{LIST}": "role:admin or {check}"')
        if 'no credential' in one.text
    ]
    assert 'did you mean' not in found.text
    assert fix in found.fix
