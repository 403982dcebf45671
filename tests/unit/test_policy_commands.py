# SPDX-License-Identifier: Apache-2.0
"""``policy check`` and ``policy diff`` as they are typed, bad input included."""

import io
import json
import pathlib
import re
import sys
import tracemalloc
from typing import Any

import pytest

from consumer_guard.guard import model
from tests.commands import Cli

LIST = model.ALLOCATIONS_LIST.rule
USAGES = model.USAGES.rule
CLEAN = '"placement:allocations:list": "rule:admin_or_service_api or role:consumer_guard_passage"\n'
P, U = 'p' * 32, 'u' * 32


@pytest.fixture
def cli(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Nothing of this machine's is found."""
    made = Cli(tmp_path)
    made.write('placement/placement.conf', '')
    made.write('placement/policy.yaml', CLEAN)
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(tmp_path / 'placement'))
    return made


def make_record(**changes: Any) -> str:
    """A line as the guard writes one."""
    record = {
        'event': 'decision',
        'outcome': 'deny',
        'operation': 'allocations:list',
        'user_agent': 'osc/1.0 requests',
        'user_id': U,
        'project_id': P,
        'domain_id': None,
        'roles': ['reader'],
        'scope': 'project',
        'microversion': '1.38',
        'request_id': 'req-1',
        'by': None,
        'reason': 'the rule does not allow the caller for this owner',
        'targets': [
            {
                'about': 'recorded owner',
                'standing': 'recorded',
                'consumer_uuid': 'h:aa',
                'project_id': 'h:bb',
                'user_id': 'h:cc',
                'consumer_type': None,
            }
        ],
        'target_count': 1,
        **changes,
    }
    return json.dumps(record) + '\n'


@pytest.mark.parametrize('form', ['table', 'json', 'yaml', 'csv'])
def test_check_in_every_form(cli: Cli, form: str) -> None:
    ours = cli.write('ours.yaml', f'"{LIST}": "role:reader"\n')
    status, out, _ = cli.run('policy', 'check', ours, '-f', form)
    assert status == 1
    for words in ('warning', 'ours.yaml', LIST, 'role:reader of any project', 'fix'):
        assert words in out


def test_check_finds_the_files_as_the_services_do(cli: Cli) -> None:
    cli.write('guard/policy.yaml', f'"{LIST}": "role:admin or role:service"\n')
    cli.write('guard/policy.d/README.txt', f'"{USAGES}": "@"\n')
    conf = cli.write('guard/guard.conf', '')
    status, rows, _ = cli.list('--config-file', conf, 'policy', 'check')
    assert status == 1
    stray, opened = rows[0], rows[1]
    assert 'counts as a policy file' in stray['finding']
    assert (opened['rule'], opened['line'], opened['severity']) == (
        USAGES,
        1,
        'warning',
    )
    assert {row['file'] for row in rows if row['severity'] != 'ok'} == {
        str(cli.folder / 'guard' / 'policy.d' / 'README.txt')
    }


def test_check_takes_the_passage_role_from_the_configuration(
    cli: Cli,
) -> None:
    ours = cli.write(
        'ours.yaml', f'"{LIST}": "role:admin or role:service or role:pass"\n'
    )
    conf = cli.write('guard.conf', '[consumer_guard]\npassage_role = Pass\n')
    _, rows, _ = cli.list('--config-file', conf, 'policy', 'check', ours)
    assert any('names the passage role pass' in row['finding'] for row in rows)


def test_check_of_nothing_wrong_shows_who_gets_what(cli: Cli) -> None:
    ours = cli.write('ours.yaml', '')
    status, rows, err = cli.list('policy', 'check', ours)
    assert (status, err) == (0, '')
    assert {row['severity'] for row in rows} == {'ok'}
    assert [row['rule'] for row in rows] == [one.rule for one in model.OPERATIONS]


def test_check_shows_whom_placement_refuses(cli: Cli) -> None:
    pytest.importorskip('z3')
    ours = cli.write('ours.yaml', f'"{LIST}": "role:auditor or role:service"\n')
    _, rows, _ = cli.list('policy', 'check', ours)
    (row,) = (one for one in rows if one['severity'] == 'ok' and one['rule'] == LIST)
    assert (row['file'], row['line']) == (ours, 1)
    assert row['finding'] == (
        'both services allow: service; admin and auditor. '
        'placement alone refuses: auditor, without admin or service. '
        'consumer_guard refuses all others'
    )


def test_check_says_what_is_written_for_a_terminal(cli: Cli) -> None:
    ours = cli.write('ours.yaml', '"consumer_guard:\\e[2J": "@"\n')
    status, out, _ = cli.run('policy', 'check', ours)
    assert status == 1
    assert '\x1b' not in out


def test_check_notes_alone_are_no_failure(cli: Cli) -> None:
    theirs = cli.write('theirs.yaml', '')
    status, rows, _ = cli.list(
        'policy', 'check', cli.write('o.yaml', ''), '--placement-policy', theirs
    )
    assert status == 0
    assert {row['severity'] for row in rows} == {'note', 'ok'}


def test_check_that_cannot_be_done(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = cli.write('ours.yaml', '')
    broken = cli.write('broken.yaml', '{[')
    assert (
        'nope.yaml: file not found'
        in cli.run('policy', 'check', 'nope.yaml').assert_stopped()
    )
    assert (
        'broken.yaml: not valid YAML'
        in cli.run('policy', 'check', broken).assert_stopped()
    )
    listed = cli.write('list.yaml', '- a\n')
    assert (
        'list.yaml: not a mapping'
        in cli.run('policy', 'check', listed).assert_stopped()
    )
    binary = cli.folder / 'binary.yaml'
    binary.write_bytes(b'\xff\xfe')
    assert (
        'binary.yaml: not UTF-8'
        in cli.run('policy', 'check', str(binary)).assert_stopped()
    )
    for option in ('nope.yaml', broken):
        line = cli.run(
            'policy', 'check', ours, '--placement-policy', option
        ).assert_stopped()
        assert option in line
    line = cli.run('--config-file', '/nope.conf', 'policy', 'check').assert_stopped()
    assert '/nope.conf' in line
    conf = cli.write('g.conf', '[oslo_policy]\npolicy_file = /nope/policy.yaml\n')
    line = cli.run('--config-file', conf, 'policy', 'check').assert_stopped()
    assert '/nope/policy.yaml: file not found' in line
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', '/nope')
    assert '/nope/placement.conf' in cli.run('policy', 'check', ours).assert_stopped()


@pytest.fixture
def enumerating(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if z3 were not installed."""
    monkeypatch.setitem(sys.modules, 'z3', None)


def test_diff_of_the_same(cli: Cli, enumerating: None) -> None:
    old = cli.write('old.yaml', f'"{LIST}": "role:a or role:b and role:c"\n')
    new = cli.write('new.yaml', f'"{LIST}": "(role:c and role:b) or role:a"\n')
    assert cli.list('policy', 'diff', old, new) == (0, [], '')


@pytest.mark.parametrize('form', ['table', 'json', 'yaml', 'csv'])
def test_diff_in_every_form(cli: Cli, form: str, enumerating: None) -> None:
    old, new = (
        cli.write('old.yaml', ''),
        cli.write('new.yaml', f'"{LIST}": "role:x"\n'),
    )
    status, out, _ = cli.run('policy', 'diff', old, new, '-f', form)
    assert status == 1
    for words in ('newly allowed', 'newly refused', 'a caller with role:x'):
        assert words in out


def test_diff_newly_allowed_first(cli: Cli, enumerating: None) -> None:
    old = cli.write('old.yaml', '')
    text = (
        f'"{USAGES}": "rule:consumer_guard:admin_or_service"\n'
        f'"{LIST}": "rule:consumer_guard:admin_or_service or '
        'rule:consumer_guard:owner_reader or rule:consumer_guard:owner_member"\n'
        f'"{model.ALLOCATIONS_UPDATE.rule}": "role:admin or role:service or role:x"\n'
    )
    status, rows, _ = cli.list('policy', 'diff', old, cli.write('new.yaml', text))
    assert status == 1
    changes = [row['change'] for row in rows]
    order = ['newly allowed', 'newly refused', 'refused differently']
    assert changes == sorted(changes, key=order.index)
    first = [row for row in rows if row['by'] == 'rule' and row['change'] == order[0]]
    assert [(row['operation'], row['who']) for row in first] == [
        (
            'allocations:list',
            'a caller with role:member, without role:admin or role:reader or '
            "role:service, of the owner's project",
        ),
        (
            'allocations:update',
            'a caller with role:x, without role:admin or role:service, whoever owns it',
        ),
    ]
    classes = [row for row in rows if row['by'] == 'class']
    assert ('newly refused', 'usages', 'reader of the project', 'owned') in [
        (row['change'], row['operation'], row['who'], row['whose']) for row in classes
    ]


def write_products(cli: Cli) -> tuple[str, str]:
    """More roles than can be tried, said in two ways."""
    roles = [f'role:r{number}' for number in range(20)]
    some, others = ' or '.join(roles[:10]), ' or '.join(roles[10:])
    both = ' or '.join(
        f'({one} and {other})' for one in roles[:10] for other in roles[10:]
    )
    old = cli.write('old.yaml', f'"{LIST}": "({some}) and ({others})"\n')
    return old, cli.write('new.yaml', f'"{LIST}": "{both}"\n')


def test_diff_that_is_undecided_is_no_equality(cli: Cli, enumerating: None) -> None:
    status, rows, _ = cli.list('policy', 'diff', *write_products(cli))
    assert status == 3
    assert [(row['change'], row['operation']) for row in rows] == [
        ('undecided', 'allocations:list')
    ]


@pytest.mark.parametrize('count', [22, 1000])
def test_enumeration_finds_one_added_role_among_many(
    cli: Cli, enumerating: None, count: int
) -> None:
    """Bounded, and a gain is never left out for another refusal."""
    roles = ' or '.join(f'role:r{number}' for number in range(count))
    own = '(role:reader and project_id:%(project_id)s)'
    old = cli.write('old.yaml', f'"{LIST}": "{roles} or {own}"\n')
    new = cli.write('new.yaml', f'"{LIST}": "{roles} or {own} or role:zz"\n')
    tracemalloc.start()
    status, rows, _ = cli.list('policy', 'diff', old, new)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert status == 1
    found = [row['who'] for row in rows if row['change'] == 'newly allowed']
    assert any('with role:zz' in who for who in found)
    assert not [row for row in rows if row['change'] == 'refused differently']
    assert peak < 50 * 2**20


def test_diff_of_directories_reads_only_the_policy_files_in_them(
    cli: Cli,
) -> None:
    cli.write('old/10.yaml', f'"{LIST}": "role:a"\n')
    cli.write('old/20.yaml', f'"{LIST}": "role:b"\n')
    cli.write('old/.hidden', '{[')
    cli.write('new/policy.yaml', f'"{LIST}": "role:a"\n')
    cli.write('new/policy.d/x.yaml', f'"{LIST}": "role:b"\n')
    cli.write('new/guard.conf', '{[')
    old, new = str(cli.folder / 'old'), str(cli.folder / 'new')
    assert cli.list('policy', 'diff', old, new)[:2] == (0, [])


def test_diff_that_cannot_be_done(cli: Cli) -> None:
    good = cli.write('good.yaml', '')
    broken = cli.write('broken.yaml', '{[')
    wrong = cli.write('wrong.yaml', '"consumer_guard:nope": "role:a"\n')
    for other, words in (
        ('/nope/x.yaml', '/nope/x.yaml: file not found'),
        (broken, 'broken.yaml: not valid YAML'),
        (wrong, 'wrong.yaml: rule "consumer_guard:nope": there is no such rule'),
    ):
        assert words in cli.run('policy', 'diff', good, other).assert_stopped()
        assert words in cli.run('policy', 'diff', other, good).assert_stopped()
    line = cli.run(
        'policy', 'diff', good, good, '--replay', '/nope.log'
    ).assert_stopped()
    assert '/nope.log (option --replay): cannot be read' in line
    line = cli.run(
        'policy', 'diff', good, good, '--replay', str(cli.folder)
    ).assert_stopped()
    assert 'cannot be read' in line


@pytest.mark.parametrize('text', ['', 'INFO placement.requestlog GET /\n' * 45])
def test_replay_of_no_record_at_all_is_an_error(cli: Cli, text: str) -> None:
    """Not "nothing changes": a pipeline would go on."""
    good = cli.write('good.yaml', f'"{LIST}": "role:x"\n')
    log = cli.write('service.log', text)
    line = cli.run('policy', 'diff', good, good, '--replay', log).assert_stopped()
    assert 'no line holds a decision record' in line


def test_replay_counts_the_recorded_decisions_that_would_change(
    cli: Cli,
) -> None:
    owner = 'rule:consumer_guard:admin_or_service or rule:consumer_guard:owner_reader'
    old = cli.write('old.yaml', '')
    new = cli.write(
        'new.yaml',
        f'"{LIST}": "role:reader or role:service"\n"{USAGES}": "{owner} and role:x"\n',
    )
    asked = [{'about': 'asked owner', 'project_id': P}]
    lines = [
        make_record(),
        '2026-01-01 INFO consumer_guard.audit [-] ' + make_record(request_id='req-2'),
        make_record(
            user_agent='nova\x1b[2J', roles=['admin'], by='role', outcome='allow'
        ),
        make_record(operation='usages', targets=asked, by='ownership', outcome='allow'),
        make_record(operation='usages', targets=[], roles=['reader', 'x']),
        make_record(operation='reshaper:reshape', roles=['service']),
        '{"event": "ownership", "change": "claim"}\n',
        '\n',
        'nonsense\n',
        '{"event": "decision"}\n',
        make_record(roles='reader'),
        make_record(targets=['x']),
    ]
    records = cli.write('records', ''.join(lines))
    status, rows, err = cli.list('policy', 'diff', old, new, '--replay', records)
    assert status == 1
    seen = [
        (row['change'], row['operation'], row['who'], row['count'], row['example'])
        for row in rows
        if row['by'] == 'record'
    ]
    of = f'(user {U}, project {P})'
    assert seen == [
        ('newly allowed', 'allocations:list', f'osc/1.0 {of}', 2, 'req-1'),
        ('newly refused', 'allocations:list', f'nova?[2J {of}', 1, 'req-1'),
        ('newly refused', 'usages', f'osc/1.0 {of}', 1, 'req-1'),
        ('undecided', 'usages', f'osc/1.0 {of}', 1, 'req-1'),
    ]
    assert (
        '6 decisions: 2 newly allowed, 2 newly refused, 1 undecided, 1 unchanged' in err
    )
    assert '4 lines are not records (line 9, 10, 11, 12)' in err
    assert '1 decisions differ from those of OLD' in err


def test_replay_never_guesses(cli: Cli) -> None:
    """A literal id against a hash, and an owner that was not looked up."""
    old = cli.write('old.yaml', f'"{LIST}": "role:admin"\n')
    new = cli.write(
        'new.yaml', f"""'{LIST}': "role:admin or '{'a' * 32}':%(project_id)s"\n"""
    )
    lines = make_record() + make_record(targets=[], target_count=0)
    records = cli.write('records', lines)
    _, rows, err = cli.list('policy', 'diff', old, new, '--replay', records)
    assert '0 newly allowed, 0 newly refused, 2 undecided, 0 unchanged' in err
    assert [(row['change'], row['count']) for row in rows if row['by'] == 'record'] == [
        ('undecided', 2)
    ]


def test_replay_from_the_standard_input(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = cli.write('same.yaml', '')
    monkeypatch.setattr('sys.stdin', io.StringIO(make_record() + 'bad\n' * 12))
    status, rows, err = cli.list('policy', 'diff', same, same, '--replay', '-')
    assert (status, rows) == (0, [])
    assert '12 lines are not records (line 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...)' in err


def test_the_program_alone_shows_the_commands_and_asks_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('sys.stdin', io.StringIO('generation list\n'))
    status, out, _ = cli.run()
    assert status == 0
    assert 'generation list' in out


def test_bash_completion_knows_every_command_and_its_options(
    cli: Cli,
) -> None:
    status, out, _ = cli.run('complete', '--name', 'consumer-guard')
    assert status == 0
    for words in (
        "cmds='can-i complete doctor generation help matrix policy'",
        "cmds_generation='list roll'",
        '--near-end',
    ):
        assert words in out


def test_a_difference_in_eighty_columns_keeps_every_word(cli: Cli) -> None:
    old = cli.write('old.yaml', '{}')
    new = cli.write('new.yaml', f'"{USAGES}": "role:reader"')
    _, rows, _ = cli.list('policy', 'diff', old, new)
    status, out, _ = cli.run('policy', 'diff', old, new, '--max-width', '80')
    assert status == 1
    assert max(map(len, out.splitlines())) <= 80
    shown = ' '.join(re.sub(r'[|+-]', ' ', out).split())
    for row in rows:
        for name in ('change', 'operation', 'who', 'whose'):
            for word in row[name].split():
                assert word in shown
    assert 'None' not in out


@pytest.mark.parametrize('form', ['table', 'csv', 'value'])
def test_no_cell_shows_none_for_what_is_missing(cli: Cli, form: str) -> None:
    old = cli.write('old.yaml', '{}')
    new = cli.write('new.yaml', f'"{USAGES}": "role:reader"')
    _, out, _ = cli.run('policy', 'diff', old, new, '-f', form)
    assert 'newly allowed' in out
    assert 'None' not in out
    _, rows, _ = cli.list('policy', 'diff', old, new)
    assert rows[0]['count'] is None


@pytest.mark.parametrize(
    'command',
    [
        ('policy', 'check', '{bad}'),
        ('policy', 'diff', '{bad}', '{good}'),
        ('policy', 'diff', '{good}', '{bad}'),
        ('policy', 'diff', '--namespace', 'x', '--complete', '{good}', '{bad}'),
        ('--config-file', '{conf}', 'matrix'),
        ('--config-file', '{conf}', 'can-i', '--list', '--role', 'reader'),
    ],
    ids=' '.join,
)
def test_rules_that_refer_to_each_other_twice_are_refused_by_every_command(
    cli: Cli, command: tuple[str, ...]
) -> None:
    """40 levels would be 2 to the 40th checks."""
    rules = {f'n{i}': f'rule:n{i + 1} or rule:n{i + 1}' for i in range(40)}
    rules |= {'n40': 'role:reader', LIST: 'rule:n0'}
    bad = cli.write('bad.yaml', json.dumps(rules))
    good = cli.write('good.yaml', json.dumps({LIST: 'role:reader'}))
    conf = cli.write(
        'guard.conf',
        '[consumer_guard]\nconnection = sqlite:////nowhere.db\n'
        f'[oslo_policy]\npolicy_file = {bad}\n',
    )
    argv = [part.format(bad=bad, good=good, conf=conf) for part in command]
    run = cli.run(*argv)
    assert 'more than 10000 checks' in run.out + run.err
    assert 'Traceback' not in run.out + run.err
    assert run.status
