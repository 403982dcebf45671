# SPDX-License-Identifier: Apache-2.0
"""``policy suggest`` as it is typed, bad input included."""

import pathlib

import pytest

from consumer_guard.guard import model
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.rulebook import Rulebook
from tests.commands import Cli
from tests.unit.test_suggestion import make_line

LIST, USAGES = model.ALLOCATIONS_LIST, model.USAGES


@pytest.fixture
def cli(tmp_path: pathlib.Path) -> Cli:
    return Cli(tmp_path)


def write_records(cli: Cli, *lines: str) -> str:
    return cli.write('records.log', '\n'.join(lines))


def test_the_suggestion_is_a_policy_file_that_was_verified(
    cli: Cli,
) -> None:
    policy = cli.write('policy.yaml', f'"{USAGES.rule}": "role:admin or role:x"\n')
    records = write_records(
        cli,
        make_line(LIST, 'nova', 'service', 'admin'),
        'INFO placement.requestlog',
        make_line(USAGES, 'bill', 'x'),
    )
    status, out, err = cli.run('policy', 'suggest', records, '--policy', policy)
    assert (status, err) == (0, '1 lines are no records\n')
    rules = Rulebook.build([PolicyText('x', out)])
    assert rules.text(LIST.rule) == 'role:service'
    assert rules.text(USAGES.rule) == 'role:x'
    assert '# Verified: a replay of the records refuses none' in out
    assert 'Nobody gains, ' in out


def test_what_is_suggested_is_suggested_again(cli: Cli) -> None:
    records = write_records(cli, make_line(LIST, 'nova', 'service', 'admin'))
    policy = cli.write('policy.yaml', '')
    command = ('policy', 'suggest', records, '--close-unseen', '--policy')
    _, first, _ = cli.run(*command, policy)
    _, second, _ = cli.run(*command, cli.write('first.yaml', first))
    texts = [Rulebook.build([PolicyText('x', out)]).digest for out in (first, second)]
    assert texts[0] == texts[1]


def test_the_guards_own_files_are_narrowed_by_default(cli: Cli) -> None:
    policy = cli.write('policy.yaml', f'"{LIST.rule}": "role:x or role:service"\n')
    conf = cli.write('guard.conf', f'[oslo_policy]\npolicy_file = {policy}\n')
    records = write_records(cli, make_line(LIST, 'u', 'x'))
    status, out, _ = cli.run('--config-file', conf, 'policy', 'suggest', records)
    assert status == 0
    assert f'"{LIST.rule}": "role:x"\n' in out


def test_unused_grants_are_listed_by_operation(cli: Cli) -> None:
    records = write_records(cli, make_line(LIST, 'nova', 'service'))
    policy = cli.write('policy.yaml', '')
    status, out, _ = cli.run(
        'policy', 'suggest', records, '--policy', policy, '--unused'
    )
    assert status == 0
    lines = [line for line in out.splitlines() if line.startswith('allocations:list')]
    assert lines == [
        'allocations:list: role:admin (used in 0 of 1 decisions)',
        'allocations:list: (project_id:%(project_id)s and role:reader) '
        '(used in 0 of 1 decisions)',
    ]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('', 'no line holds a decision record'),
        ('{"event": "decision"}\n[[[[\n\x00\ufeff', 'no line holds a decision record'),
        (
            make_line(LIST, 'u', 'member', outcome='deny', by=None),
            'no request in it is allowed by the present rules',
        ),
    ],
)
@pytest.mark.parametrize('options', [(), ('--close-unseen',)])
def test_records_that_show_nothing_are_bad_input(
    cli: Cli, content: str, words: str, options: tuple[str, ...]
) -> None:
    records, policy = write_records(cli, content), cli.write('policy.yaml', '')
    line = cli.run(
        'policy', 'suggest', records, '--policy', policy, *options
    ).assert_stopped()
    assert records in line
    assert words in line


def test_files_that_cannot_be_used_are_named_in_one_line(cli: Cli) -> None:
    records = write_records(cli, make_line(LIST, 'u', 'x'))
    broken = cli.write('broken.yaml', f'"{LIST.rule}": 5\n')
    line = cli.run('policy', 'suggest', records, '--policy', broken).assert_stopped()
    assert f'broken.yaml: rule "{LIST.rule}"' in line
    line = cli.run(
        'policy', 'suggest', '/nope.log', '--policy', records
    ).assert_stopped()
    assert line
    good = cli.write('policy.yaml', '')
    for path in ('/nope.log', str(cli.folder)):
        line = cli.run('policy', 'suggest', path, '--policy', good).assert_stopped()
        assert f'{path} (argument RECORDS): cannot be read' in line
