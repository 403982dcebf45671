# SPDX-License-Identifier: Apache-2.0
"""``policy test``: cases and statements, as an operator writes them."""

import pathlib
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import pytest
import yaml

from tests.commands import Cli, Run
from tests.configuration import ETC
from tests.hermetic import hide_placement

DEFAULT_FILE = ETC / 'policy-assertions.yaml'
SAMPLE = ETC / 'placement-policy.yaml'
LIST, UPDATE = 'allocations:list', 'allocations:update'
ROLES = 'rule:consumer_guard:admin_or_service'

FOREIGN = "only operators and services read or change other projects' consumers"
OWNERLESS = 'only operators and services touch consumers without an owner'
DELETE = 'only operators and services delete allocations or reshape'
ROLELESS = 'without a role nothing is allowed'
SERVICES = 'services do what they do without the guard'
OPERATORS = 'operators read and correct everything'
USAGES = 'readers see the usages of their own project'
READERS = 'the guard lets readers see consumers of their own project'


class AssertionCli(Cli):
    """Policy files and assertions in a folder."""

    def test(self, *arguments: str) -> Run:
        return self.run('policy', 'test', *arguments, '-f', 'json')

    def show(self, *arguments: str) -> Run:
        """As a table."""
        return self.run('policy', 'test', *arguments)

    def check(
        self,
        assertions: object,
        rules: Mapping[str, str] | None = None,
        placement: Mapping[str, str] | None = None,
    ) -> Run:
        named = {f'consumer_guard:{key}': text for key, text in (rules or {}).items()}
        theirs = {f'placement:{key}': text for key, text in (placement or {}).items()}
        return self.test(
            self.write('assertions.yaml', assertions),
            *('--policy', self.write('guard.yaml', named)),
            *('--placement-policy', self.write('placement.yaml', theirs)),
        )

    def state(self, **statement: object) -> dict[str, object]:
        """One statement, of which some keys are usual."""
        return {'consumer': 'foreign', 'operations': [LIST], **statement}


@pytest.fixture
def cli(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AssertionCli:
    hide_placement(monkeypatch, tmp_path)
    made = AssertionCli(tmp_path, 'guard.conf')
    made.configure()
    return made


def list_names(run: Run, result: str = 'fails') -> set[str]:
    return {row['name'] for row in run.json if row['result'] == result}


# The file in etc/ ----------------------------------------------------------------


def read_default() -> str:
    return DEFAULT_FILE.read_text()


@pytest.mark.parametrize('placement', ['absent', 'defaults', 'sample'])
@pytest.mark.parametrize('library', ['z3', 'none'])
def test_the_default_file_holds_on_the_default_rules(
    cli: AssertionCli,
    monkeypatch: pytest.MonkeyPatch,
    placement: str,
    library: str,
) -> None:
    if library == 'none':
        monkeypatch.setitem(sys.modules, 'z3', None)
    given = {
        'absent': (),
        'defaults': ('--placement-policy', cli.write('placement.yaml', '{}')),
        'sample': ('--placement-policy', str(SAMPLE)),
    }
    run = cli.test(str(DEFAULT_FILE), *given[placement])
    assert run.status == 0, run.out
    assert {row['result'] for row in run.json} == {'holds'}
    assert len(run.json) == 11
    alone = "judged by the guard's rules alone" in run.err
    assert alone is (placement == 'absent')


@pytest.mark.parametrize('library', ['z3', 'none'])
@pytest.mark.parametrize(
    ('name', 'operation', 'rule'),
    [
        (FOREIGN, LIST, f'{ROLES} or role:reader and not project_id:%(project_id)s'),
        (OWNERLESS, UPDATE, f'{ROLES} or role:reader'),
        (DELETE, 'allocations:delete', f'{ROLES} or role:member'),
        (ROLELESS, 'usages', f'{ROLES} or project_id:%(project_id)s'),
        (SERVICES, 'allocations:manage', 'role:admin'),
        (OPERATORS, UPDATE, 'role:service'),
        (USAGES, 'usages', ROLES),
        (READERS, LIST, ROLES),
    ],
    ids=lambda value: value[:40],
)
def test_each_statement_of_the_default_file_can_fail(
    cli: AssertionCli,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    operation: str,
    rule: str,
    library: str,
) -> None:
    if library == 'none':
        monkeypatch.setitem(sys.modules, 'z3', None)
    run = cli.check(read_default(), {operation: rule})
    assert run.status == 1
    assert name in list_names(run)
    failed = [
        row for row in run.json if (row['name'], row['result']) == (name, 'fails')
    ]
    (row,) = [row for row in failed if row['operation'] == operation]
    word = 'refused' if name in (SERVICES, OPERATORS, USAGES, READERS) else 'allowed'
    assert row['detail'].startswith(f'{word}: ')
    assert 'for example roles ' in row['detail']


def test_all_cases_of_the_default_file_can_fail(cli: AssertionCli) -> None:
    operations = [LIST, 'allocations:delete', 'allocations:manage']
    run = cli.check(read_default(), dict.fromkeys(operations, '@'))
    failed = {row['operation'] for row in run.json if row['name'].startswith('a ')}
    assert failed == {*operations}


# Statements ----------------------------------------------------------------------


def test_a_counterexample_names_who_an_example_and_the_answer(
    cli: AssertionCli,
) -> None:
    pytest.importorskip('z3')
    statement = cli.state(without=['admin', 'service'])
    run = cli.check(
        {'never': [statement]},
        {LIST: f'{ROLES} or role:auditor'},
        {LIST: 'role:auditor'},
    )
    assert run.status == 1
    (row,) = run.json
    assert row['detail'] == (
        'allowed: auditor of another project, without admin or service (for example '
        'roles auditor, project caller-project_id, on a consumer of project '
        'owner-project_id): forwarded untouched'
    )
    assert row['decided by'] == 'consumer_guard and placement'
    assert row['place'].endswith('assertions.yaml:2')


def test_placement_counts_unless_the_guard_alone_is_meant(
    cli: AssertionCli,
) -> None:
    own = {'with': ['reader'], 'consumer': 'own', 'operations': [LIST]}
    always = {'always': [own, {**own, 'judge': 'guard', 'name': 'guard'}]}
    closed = cli.check(always)
    assert closed.status == 1
    failed, held = sorted(closed.json, key=lambda row: str(row['result']))
    assert failed['decided by'] == 'placement'
    assert '403 from placement: its rule placement:allocations:list' in failed['detail']
    assert held['name'] == 'guard'
    opened = {LIST: 'rule:admin_or_service_api or role:consumer_guard_passage'}
    assert cli.check(always, placement=opened).status == 0


def test_a_role_holder_gets_no_passage_role(cli: AssertionCli) -> None:
    """Placement is open to the passage role; the guard gives it to owners alone."""
    always = {'always': [cli.state(**{'with': ['auditor'], 'consumer': 'any'})]}
    run = cli.check(
        always,
        {LIST: f'{ROLES} or role:auditor'},
        {LIST: 'role:consumer_guard_passage'},
    )
    assert run.status == 1
    assert {row['decided by'] for row in run.json} == {'placement'}


def test_an_operation_that_ownership_never_allows_is_judged_by_role(
    cli: AssertionCli,
) -> None:
    own = {'name': 'own', 'consumer': 'own', 'operations': ['allocations:delete']}
    rules = {'allocations:delete': 'project_id:%(project_id)s'}
    assert cli.check({'never': [own]}, rules, {'allocations:delete': '@'}).status == 0


def test_users_of_one_project_are_told_apart(cli: AssertionCli) -> None:
    rules = {LIST: 'role:reader and user_id:%(user_id)s'}
    opened = {LIST: 'role:consumer_guard_passage'}
    own = cli.state(consumer='own', **{'with': ['reader']})
    assert cli.check({'always': [{**own, 'user': 'own'}]}, rules, opened).status == 0
    assert cli.check({'never': [{**own, 'user': 'other'}]}, rules, opened).status == 0
    assert cli.check({'never': [{**own, 'user': 'own'}]}, rules, opened).status == 1
    assert cli.check({'never': [own]}, rules, opened).status == 1


def test_what_depends_on_another_server_of_placement_is_undecided(
    cli: AssertionCli,
) -> None:
    statement = cli.state(**{'with': ['reader']})
    rules, asks = {LIST: 'role:reader'}, {LIST: 'http://127.0.0.1:9/'}
    run = cli.check({'never': [statement]}, rules, asks)
    assert run.status == 3
    assert list_names(run, 'undecided')
    assert 'a remote check' in run.json[0]['detail']
    # Whatever placement's server answers, the guard refuses.
    assert cli.check({'never': [statement]}, {LIST: ROLES + ' and role:admin'}).status


def test_rules_that_are_too_large_without_z3_are_undecided(
    cli: AssertionCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'z3', None)
    some = ' or '.join(f'role:r{number}' for number in range(12))
    more = ' or '.join(f'role:s{number}' for number in range(12))
    rule = f'({some}) and ({more}) and role:admin'
    run = cli.check({'never': [cli.state(without=['admin'])]}, {LIST: rule})
    assert run.status == 3
    assert 'too large' in run.json[0]['detail']
    assert '1 undecided (without z3)' in run.err


def test_a_failure_counts_more_than_what_is_undecided(cli: AssertionCli) -> None:
    reader = cli.state(**{'with': ['reader']})
    usages = {**reader, 'operations': ['usages'], 'consumer': 'own'}
    run = cli.check(
        {'never': [reader, usages]}, {LIST: 'role:reader'}, {LIST: 'http://h/'}
    )
    assert run.status == 1
    assert {row['result'] for row in run.json} == {'fails', 'undecided'}


# Cases ---------------------------------------------------------------------------


def make_case(**parts: object) -> dict[str, object]:
    return {
        'caller': {'roles': ['reader'], 'project': 'A'},
        'operation': 'GET /allocations/{consumer_uuid}',
        'consumer': {'project': 'B'},
        'expect': 'refuse',
        **parts,
    }


@pytest.mark.parametrize(
    ('parts', 'decider'),
    [
        ({}, 'consumer_guard'),
        ({'consumer': 'unknown'}, 'consumer_guard'),
        ({'consumer': 'ownerless'}, 'consumer_guard'),
        ({'consumer': {'project': 'A'}}, 'placement'),
        (
            {'consumer': {'project': 'A'}, 'judge': 'guard', 'expect': 'allow'},
            'consumer_guard',
        ),
        (
            {'operation': 'usages', 'consumer': {'project': 'A'}, 'expect': 'allow'},
            'consumer_guard and placement',
        ),
        (
            {
                'operation': 'reshaper:reshape',
                'caller': {'roles': ['admin'], 'project': 'A'},
            },
            'placement',
        ),
        (
            {'caller': {'roles': ['service']}, 'expect': 'allow'},
            'consumer_guard and placement',
        ),
    ],
)
def test_a_case_is_decided_by_the_guard_and_placement(
    cli: AssertionCli, parts: Mapping[str, object], decider: str
) -> None:
    run = cli.check({'cases': [make_case(**parts)]})
    assert run.status == 0, run.out
    assert [row['decided by'] for row in run.json] == [decider]
    other = {'refuse': 'allow', 'allow': 'refuse'}[str(parts.get('expect', 'refuse'))]
    assert cli.check({'cases': [make_case(**{**parts, 'expect': other})]}).status == 1


def test_a_case_that_depends_on_another_server_is_undecided(
    cli: AssertionCli,
) -> None:
    """Whatever is expected; and decided where the server's answer does not matter."""
    rules = {LIST: 'role:admin or http://127.0.0.1:9/'}
    both = [make_case(expect='allow'), make_case()]
    assert cli.check({'cases': both}, rules, {LIST: '@'}).status == 3
    asks = {LIST: 'http://127.0.0.1:9/ or role:admin'}
    assert cli.check({'cases': both}, {LIST: '@'}, asks).status == 3
    admin = make_case(caller={'roles': ['admin'], 'project': 'A'}, expect='allow')
    assert cli.check({'cases': [admin]}, rules, asks).status == 0
    assert cli.check({'cases': [make_case()]}, {LIST: '!'}, asks).status == 0


def test_the_name_of_a_role_is_no_expression(cli: AssertionCli) -> None:
    name = 'nobody or @'
    document = {'roles': [name], 'never': [cli.state(**{'with': [name]})]}
    assert cli.check(document, {LIST: '@'}, {LIST: '@'}).status == 1
    assert cli.check(document, {LIST: 'not role:x and role:admin'}).status == 1
    assert cli.check(document, {LIST: '!'}).status == 0


def test_a_filtered_list_is_allowed_where_it_shows_the_consumer(
    cli: AssertionCli,
) -> None:
    name = 'resource_providers:allocations:list'
    rules = {name: 'project_id:%(project_id)s'}
    opened = {name: 'role:consumer_guard_passage'}
    own = {'operation': name, 'consumer': {'project': 'A'}, 'expect': 'allow'}
    cases = [make_case(**own), make_case(operation=name)]
    assert cli.check({'cases': cases}, rules, opened).status == 0
    run = cli.check({'cases': cases}, rules)
    assert [row['result'] for row in run.json] == ['fails', 'holds']


# Results -------------------------------------------------------------------------


def test_junit_has_a_case_per_line_with_failures_and_errors(
    cli: AssertionCli,
) -> None:
    reader = cli.state(**{'with': ['reader']}, name='a < b \x08')
    path = cli.folder / 'junit.xml'
    text = yaml.safe_dump(
        {
            'never': [reader],
            'cases': [
                make_case(judge='guard'),
                make_case(judge='guard', expect='allow'),
            ],
        }
    )
    run = cli.test(
        cli.write('a.yaml', text),
        *(
            '--policy',
            cli.write('g.yaml', {'consumer_guard:' + LIST: 'role:reader'}),
        ),
        *(
            '--placement-policy',
            cli.write('p.yaml', {'placement:' + LIST: 'http://h/'}),
        ),
        *('--junit', str(path)),
    )
    assert run.status == 1
    (suite,) = ET.fromstring(path.read_bytes())  # noqa: S314 - our own
    assert {**suite.attrib, 'name': ''} == {
        'name': '',
        'tests': '3',
        'failures': '1',
        'errors': '1',
        'skipped': '0',
    }
    assert [[child.tag for child in case] for case in suite] == [
        ['failure'],
        [],
        ['error'],
    ]
    assert suite[2].attrib['name'] == f'a < b \ufffd [{LIST}]'
    assert suite[2].attrib['line'] == run.json[2]['place'].rpartition(':')[2]


def test_only_what_does_not_hold_is_shown_when_asked(cli: AssertionCli) -> None:
    run = cli.test(
        cli.write('a.yaml', {'cases': [make_case(), make_case(expect='allow')]}),
        '--failed',
    )
    assert [row['result'] for row in run.json] == ['fails']


def test_a_narrow_display_gets_three_columns(cli: AssertionCli) -> None:
    run = cli.show(cli.write('a.yaml', CASE), '--max-width', '60')
    assert run.status == 0
    assert 'decided by' not in run.out
    assert '| result | assertion' in run.out


# Bad input -----------------------------------------------------------------------

CASE = yaml.safe_dump({'cases': [make_case()]})


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', ('a.yaml: there is nothing in it',)),
        ('{}', ('no cases and no statements',)),
        ('cases: []', ('no cases and no statements',)),
        ('{[', ('a.yaml:1: not valid YAML',)),
        ('a: b\n\tc', ('a.yaml:2: not valid YAML',)),
        ('[' * 10_000, ('a.yaml: not valid YAML: RecursionError',)),
        ('- a', ('a.yaml:1: a mapping of',)),
        ('5', ('a.yaml:1: a mapping of',)),
        ('case: []', ("a.yaml:1: unknown key 'case'; known: roles, cases",)),
        ('? [a]\n: b', ('a.yaml:1: unknown key',)),
        ('cases: 5', ('a.yaml:1: a list is expected',)),
        ('cases: []\ncases: []', ('a.yaml:2: the key "cases" is there twice',)),
        ('cases:\n- {}', ('a.yaml:2: the key "caller" is missing',)),
        (CASE.replace('reader', 'raeder'), ("unknown role 'raeder'", '"roles"')),
        (
            CASE.replace('reader', 'consumer_guard_passage'),
            ("unknown role 'consumer_guard_passage'",),
        ),
        (CASE.replace('GET /', 'HEAD /'), ("unknown operation 'HEAD /",)),
        (CASE.replace('refuse', 'refused'), ('one of allow, refuse',)),
        (CASE.replace('project: A', 'project: 5'), ('text is expected here',)),
        (CASE.replace('project: A', "project: ''"), ('the text is empty',)),
        (CASE.replace('project: B', 'projct: B'), ("unknown key 'projct'",)),
        (CASE + '  judge: me\n', ('one of client, guard',)),
        (
            'never: [{consumer: foreign, operations: []}]',
            ('a.yaml:1: a list is expected',),
        ),
        ('never: [{consumer: theirs, operations: any}]', ('one of own, foreign',)),
        (
            'never: [{consumer: ownerless, user: own, operations: any}]',
            ('has no user',),
        ),
        (
            'never:\n- {consumer: own, operations: any, with: [reader],'
            ' without: [Reader]}',
            ('a.yaml:2: role \'reader\' is in "with" and "without"',),
        ),
        (
            'never:\n- consumer: own\n  operations: any\n  with: [reader, nobody]',
            ("a.yaml:4: unknown role 'nobody'",),
        ),
    ],
)
def test_a_bad_file_is_one_line_that_names_file_and_place(
    cli: AssertionCli, text: str, words: tuple[str, ...]
) -> None:
    # The note about placement is not about the file.
    placement = ('--placement-policy', cli.write('p.yaml', '{}'))
    run = cli.test(cli.write('a.yaml', text), *placement)
    run.assert_stopped('a.yaml', *words)


def test_roles_of_this_cloud_can_be_named_in_the_file(cli: AssertionCli) -> None:
    document = yaml.safe_load(CASE.replace('reader', 'auditor'))
    assert cli.test(cli.write('a.yaml', document)).status == 2
    assert cli.test(cli.write('a.yaml', {**document, 'roles': ['auditor']})).status == 0


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('/nowhere.yaml',), ('/nowhere.yaml', 'No such file')),
        (('{folder}',), ('{folder}', 'directory')),
        (('{good}', '--policy', '/nowhere.yaml'), ('/nowhere.yaml',)),
        (('{good}', '--placement-policy', '/nowhere.yaml'), ('/nowhere.yaml',)),
        (('{good}', '--policy', '{bad}'), ('bad.yaml',)),
        (('{good}', '--placement-policy', '{bad}'), ('bad.yaml',)),
    ],
)
def test_files_that_cannot_be_read_stop_the_command(
    cli: AssertionCli, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    names = {
        'folder': str(cli.folder),
        'good': cli.write('good.yaml', CASE),
        'bad': cli.write('bad.yaml', '{['),
    }
    given = [argument.format(**names) for argument in arguments]
    if '--placement-policy' not in given:
        given += ['--placement-policy', cli.write('p.yaml', '{}')]
    run = cli.test(*given)
    run.assert_stopped(*[word.format(**names) for word in words])


def test_a_file_that_is_not_utf_8_stops_the_command(cli: AssertionCli) -> None:
    path = cli.folder / 'a.yaml'
    path.write_bytes(b'cases: \xff')
    run = cli.test(str(path), '--placement-policy', cli.write('p.yaml', '{}'))
    run.assert_stopped('a.yaml', 'not UTF-8')


def test_a_report_that_cannot_be_written_stops_the_command(
    cli: AssertionCli,
) -> None:
    run = cli.test(
        cli.write('a.yaml', CASE),
        *('--placement-policy', cli.write('p.yaml', '{}')),
        *('--junit', '/nowhere/j.xml'),
    )
    run.assert_stopped('--junit /nowhere/j.xml')
