# SPDX-License-Identifier: Apache-2.0
"""``policy diff`` with z3, as it is typed: all who gain, all who lose, any service."""

import pathlib
import sys

import pytest

from consumer_guard.guard import model
from tests.commands import Cli, Run

pytest.importorskip('z3')

LIST = model.ALLOCATIONS_LIST.rule
DEFAULT = 'rule:consumer_guard:admin_or_service or rule:consumer_guard:owner_reader'
Row = tuple[str, str, str]


class Policies(Cli):
    """A folder of policy files and installed services."""

    def write_rules(self, name: str, **rules: str) -> str:
        return self.write(name, rules)

    def install(self, name: str, *rules: tuple[str, str, object]) -> str:
        """A service ``toy`` with these rules: name, check, scopes."""
        tree = self.folder / name
        (tree / 'toy-1.dist-info').mkdir(parents=True)
        (tree / 'toy-1.dist-info' / 'METADATA').write_text('Name: toy\nVersion: 1\n')
        (tree / 'toy-1.dist-info' / 'entry_points.txt').write_text(
            '[oslo.policy.policies]\ntoy = toy:list_rules\n'
        )
        made = ', '.join(
            f'policy.RuleDefault({rule!r}, {check!r}, scope_types={scopes!r})'
            for rule, check, scopes in rules
        )
        (tree / 'toy.py').write_text(
            'from oslo_policy import policy\nprint("noise of a service")\n'
            f'def list_rules():\n    return [{made}]\n'
        )
        return str(tree)

    def diff(self, *arguments: str) -> Run:
        return self.run('policy', 'diff', *arguments, '-f', 'json')

    def compare(self, old: str, new: str) -> tuple[int, list[Row]]:
        """Status, and what the proof shows of one rule."""
        run = self.diff(
            self.write_rules('old.yaml', **{LIST: old}),
            self.write_rules('new.yaml', **{LIST: new}),
        )
        return run.status, [
            (row['change'], row['operation'], row['who'])
            for row in run.json
            if row['by'] != 'class'
        ]


@pytest.fixture
def policies(tmp_path: pathlib.Path) -> Policies:
    (tmp_path / 'guard.conf').write_text('')
    return Policies(tmp_path, 'guard.conf')


def test_who_gains_is_named_in_words(policies: Policies) -> None:
    status, rows = policies.compare(
        DEFAULT, f'{DEFAULT} or (role:manager and project_id:%(project_id)s)'
    )
    assert status == 1
    assert rows == [
        (
            'newly allowed',
            'allocations:list',
            'manager of the owning project, without admin, reader or service',
        ),
        (
            'refused differently',
            'allocations:list',
            'manager, without admin, reader or service, whoever owns the consumer',
        ),
    ]


def test_all_who_gain_and_all_who_lose_are_named(policies: Policies) -> None:
    _, rows = policies.compare(
        'role:a or (role:b and user_id:%(user_id)s)',
        'role:c or role:d or (role:b and project_id:%(project_id)s)',
    )
    shown = [(change, who) for change, _, who in rows if change.startswith('newly')]
    ownerless = ', on an ownerless consumer'
    assert sorted(shown) == [
        (
            'newly allowed',
            'b of the owning project who is not the owning user, without a',
        ),
        ('newly allowed', 'c or d who is not the owning user, without a'),
        ('newly allowed', 'c or d, without a or b, whoever owns the consumer'),
        ('newly allowed', f'c or d, without a{ownerless}'),
        ('newly refused', 'a of another project, without c or d'),
        ('newly refused', 'a, without b, c or d, whoever owns the consumer'),
        ('newly refused', f'a, without c or d{ownerless}'),
        (
            'newly refused',
            'b of another project who is the owning user, without c or d',
        ),
    ]


def test_equal_rules_are_proven_however_large(policies: Policies) -> None:
    """Distribution: no order, brackets or names bring one to the other."""
    roles = [f'role:r{number}' for number in range(20)]
    some, others = ' or '.join(roles[:10]), ' or '.join(roles[10:])
    both = ' or '.join(
        f'({one} and {other})' for one in roles[:10] for other in roles[10:]
    )
    run = policies.diff(
        policies.write_rules('old.yaml', **{LIST: f'({some}) and ({others})'}),
        policies.write_rules('new.yaml', **{LIST: both}),
    )
    assert (run.status, run.json) == (0, [])
    assert run.err == 'nobody gains: proven for all operations\n'


@pytest.mark.parametrize('count', [1, 14, 22, 100, 1000])
def test_one_role_among_many_is_found(policies: Policies, count: int) -> None:
    roles = ' or '.join(f'role:r{number}' for number in range(count))
    own = '(role:reader and project_id:%(project_id)s)'
    _, rows = policies.compare(f'{roles} or {own}', f'{roles} or {own} or role:zz')
    assert {(change, who.partition(',')[0]) for change, _, who in rows} == {
        ('newly allowed', 'zz'),
        ('newly allowed', 'zz of another project'),
    }


def test_many_rules_that_join_many_are_named_in_part_and_say_so(
    policies: Policies,
) -> None:
    """2**12 ways to gain; that somebody does is certain."""
    pairs = ' and '.join(f'(role:a{n} or role:b{n})' for n in range(12))
    status, rows = policies.compare('!', pairs)
    assert status == 1
    assert [who for change, _, who in rows if change == 'undecided'] == [
        'other callers: the rules are too large to compare exhaustively'
    ]


# Any service -------------------------------------------------------------------


def test_defaults_of_two_installed_releases(policies: Policies) -> None:
    old = policies.install(
        'old',
        ('toy:get', 'role:reader and project_id:%(project_id)s', ['project']),
        ('toy:list', 'role:reader', ['project', 'system']),
        ('toy:same', '(role:a and role:b) or role:c', None),
        ('toy:gone', '@', None),
    )
    new = policies.install(
        'new',
        ('toy:get', 'role:reader', ['project']),
        ('toy:list', 'role:reader', ['project']),
        ('toy:same', 'role:c or role:b and role:a', None),
        ('toy:more', '!', None),
    )
    run = policies.diff('--namespace', 'toy', '--defaults', old, new)
    assert (run.status, run.err) == (1, 'toy: 4 rules\n')
    assert [(row['change'], row['rule'], row['who']) for row in run.json] == [
        ('newly allowed', 'toy:get', 'reader of another project'),
        ('newly refused', 'toy:list', 'reader with a system token'),
        ('only in NEW', 'toy:more', ''),
        ('only in OLD', 'toy:gone', ''),
    ]
    same = policies.diff('--namespace', 'toy', '--defaults', old, old)
    assert (same.status, same.json) == (0, [])
    assert same.err == 'toy: 4 rules, nobody gains: proven\n'


def test_files_override_the_defaults_of_an_installed_service(
    policies: Policies,
) -> None:
    """Unknown names refer to ``default``, and what is empty allows everybody."""
    tree = policies.install(
        'tree',
        ('toy:get', 'rule:helper', None),
        ('toy:put', 'rule:nowhere', None),
        ('helper', 'role:a', None),
    )
    old = policies.write_rules('old.yaml', default='role:d')
    new = policies.write_rules('new.yaml', default='role:d', helper='')
    run = policies.diff('--namespace', 'toy', '--installed', tree, old, new)
    assert [(row['change'], row['rule'], row['who']) for row in run.json] == [
        ('newly allowed', 'helper', 'anybody without a'),
        ('newly allowed', 'toy:get', 'anybody without a'),
    ]
    other = policies.write_rules('other.yaml', default='role:e')
    run = policies.diff('--namespace', 'toy', '--installed', tree, old, other)
    assert [(row['change'], row['rule'], row['who']) for row in run.json] == [
        ('newly allowed', 'toy:put', 'e, without d'),
        ('newly refused', 'toy:put', 'd, without e'),
    ]


def test_placement_itself_is_a_service(policies: Policies) -> None:
    new = policies.write_rules('new.yaml', **{'placement:usages': '@'})
    run = policies.diff(
        '--namespace', 'placement', policies.write_rules('old.yaml'), new
    )
    assert run.status == 1
    assert {row['rule'] for row in run.json} == {'placement:usages'}


def test_complete_files_need_no_service(policies: Policies) -> None:
    old = policies.write_rules('old.yaml', a='role:x', b='role:y and')
    new = policies.write_rules('new.yaml', a='role:x or http://h/', b='!')
    run = policies.diff('--namespace', 'any', '--complete', old, new)
    assert [(row['change'], row['rule'], row['who']) for row in run.json] == [
        ('newly allowed', 'a', 'anybody without x, where http://h/ is true')
    ]


@pytest.mark.parametrize(
    ('fallback', 'change'),
    [('@', ('newly allowed', 'a', 'anybody without x')), ('!', None)],
)
def test_a_rule_that_complete_files_leave_out_falls_to_the_default(
    policies: Policies, fallback: str, change: Row | None
) -> None:
    old = policies.write_rules('old.yaml', a='role:x', default=fallback)
    new = policies.write_rules('new.yaml', default=fallback)
    run = policies.diff('--namespace', 'any', '--complete', old, new)
    found = [(row['change'], row['rule'], row['who']) for row in run.json]
    assert found[:1] == [change or ('newly refused', 'a', 'x')]
    assert ('nobody gains: proven' in run.err) is (change is None)


def test_a_rule_that_cannot_be_read_is_undecided(policies: Policies) -> None:
    old = policies.write_rules('old.yaml', a='rule:b', b='rule:a')
    new = policies.write_rules('new.yaml', a='role:x', b='rule:a')
    run = policies.diff('--namespace', 'any', '--complete', old, new)
    assert run.status == 3
    assert {(row['change'], row['rule']) for row in run.json} == {
        ('undecided', 'a'),
        ('undecided', 'b'),
    }
    assert 'refers to itself' in run.json[0]['old']


def test_suspicious_rules_are_named_and_those_that_are_fixed(
    policies: Policies,
) -> None:
    blind = 'role:reader and domain_id:%(target.group.domain_id)s'
    fixed = f'({blind}) and not None:%(target.group.domain_id)s'
    old = policies.write_rules('old.yaml', blind=blind, fixed=blind, shut='!', none='!')
    new = policies.write_rules(
        'new.yaml',
        blind=blind,
        fixed=fixed,
        shut='role:a',
        none='role:a and not role:a',
        open='role:a or not role:a',
        plain='role:reader and project_id:%(project_id)s',
    )
    arguments = ('--namespace', 'any', '--complete', '--suspicious', old, new)
    run = policies.diff(*arguments)
    shown = [
        (row['finding'], row['rule'], row['who'], row['in NEW']) for row in run.json
    ]
    by = 'reader, by domain_id:%(target.group.domain_id)s'
    assert shown == [
        ('None equals None', 'blind', by, 'yes'),
        ('None equals None', 'fixed', by, 'no'),
        ('allows everybody', 'open', '', 'yes'),
        ('allows nobody', 'none', '', 'yes'),
        ('allows nobody', 'shut', '', 'no'),
    ]
    assert (run.status, run.err) == (1, 'any: 6 rules, 3 of them suspicious\n')
    plain = policies.write_rules('plain.yaml', plain='role:reader')
    quiet = policies.diff(*arguments[:-2], plain, plain)
    assert (quiet.status, quiet.json) == (0, [])


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--complete'], 'option --complete needs --namespace'),
        (['--suspicious'], 'option --suspicious needs --namespace'),
        (
            ['--namespace', 'toy', '--defaults', '--complete'],
            'options --defaults and --complete cannot be combined',
        ),
        (
            ['--namespace', 'toy', '--replay', '-'],
            "option --replay works only with the guard's own rules",
        ),
        (['--namespace', 'toy', '--defaults'], 'good.yaml: directory not found'),
        (['--namespace', 'toy'], 'this Python: no installed service'),
        (
            ['--namespace', 'toy', '--installed', '/nope'],
            '/nope: directory not found',
        ),
    ],
)
def test_bad_options_are_one_line(
    policies: Policies, arguments: list[str], words: str
) -> None:
    good = policies.write_rules('good.yaml')
    policies.diff(*arguments, good, good).assert_stopped(words)


def test_bad_files_and_services_are_one_line(policies: Policies) -> None:
    good = policies.write_rules('good.yaml')
    arguments = ('--namespace', 'toy', '--complete')
    policies.diff(*arguments, good, '/nope').assert_stopped('/nope: file not found')
    (policies.folder / 'bad.yaml').write_text('{[')
    bad = str(policies.folder / 'bad.yaml')
    policies.diff(*arguments, bad, good).assert_stopped('bad.yaml: not valid YAML')
    tree = policies.install('tree', ('a', '!', None))
    for source in ('raise OSError("one\\ntwo\\x1b[2J")', 'import os; os._exit(0)'):
        (policies.folder / 'tree' / 'toy.py').write_text(source)
        run = policies.diff('--namespace', 'toy', '--defaults', tree, tree)
        run.assert_stopped('the policies of toy cannot be loaded')
        assert '\x1b' not in run.err
    (policies.folder / 'old.yaml').write_text('"a": 5\n')
    five = str(policies.folder / 'old.yaml')
    policies.diff(*arguments, five, good).assert_stopped(
        'old.yaml: rule "a": cannot be parsed'
    )


def test_without_z3_only_the_guards_rules_are_compared(
    policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'z3', None)
    good = policies.write_rules('good.yaml')
    run = policies.diff('--namespace', 'any', '--complete', good, good)
    run.assert_stopped('option --namespace needs z3: pip install')
    assert policies.diff(good, good).status == 0
