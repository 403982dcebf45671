# SPDX-License-Identifier: Apache-2.0
"""``can-i --list``: the same answers as one request after the other gets."""

import json
import pathlib

import pytest

from consumer_guard.guard import model
from tests.commands import Cli
from tests.hermetic import hide_placement

CONSUMER = '10000000-0000-4000-8000-000000000001'
READER = ('--user', 'u', '--project', 'p', '--role', 'reader')
RULES = {
    model.ALLOCATIONS_LIST.rule: 'role:x or user_id:%(user_id)s',
    model.USAGES.rule: 'role:reader and project_id:p and project_id:%(project_id)s',
    model.PROVIDER_ALLOCATIONS_LIST.rule: 'project_id:%(project_id)s',
}


@pytest.fixture
def cli(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    hide_placement(monkeypatch, tmp_path)
    made = Cli(tmp_path)
    policy = made.write('policy.yaml', json.dumps(RULES))
    made.write(
        'guard.conf',
        '[consumer_guard]\nconnection = sqlite://\n'
        f'[oslo_policy]\npolicy_file = {policy}\n',
    )
    return made


def can_i(cli: Cli, *arguments: str) -> tuple[str, ...]:
    return ('--config-file', str(cli.folder / 'guard.conf'), 'can-i', *arguments)


def ask(cli: Cli, path: str, project: str, *who: str) -> tuple[bool, str, str]:
    """One request about a consumer of a project, and of the caller or another user."""
    user = who[1] if project == 'p' else 'other'
    owner = ('--owner-project', project, '--owner-user', user)
    _, out, _ = cli.run(*can_i(cli, 'GET', path, *who, *owner, '-f', 'json'))
    shown = json.loads(out)
    return shown['allowed'], shown['reason'], shown['answer']


@pytest.mark.parametrize(
    'who', [READER, ('--user', 'v', '--project', 'p', '--role', 'x')]
)
def test_a_list_has_the_answers_of_single_requests(
    cli: Cli, who: tuple[str, ...]
) -> None:
    status, out, _ = cli.run(*can_i(cli, '--list', *who, '-f', 'json'))
    assert status == 0
    listed = json.loads(out)
    assert list(listed) == [operation.name for operation in model.OPERATIONS]
    for operation, path in (
        (model.ALLOCATIONS_LIST, f'/allocations/{CONSUMER}'),
        (model.USAGES, '/usages?project_id={}'),
    ):
        for relation, project in (('owned', 'p'), ('foreign', 'q')):
            cell = listed[operation.name][relation]
            shown = cell['allowed'], cell['reason'], cell['answer']
            assert shown == ask(cli, path.format(project), project, *who)


def test_own_consumers_are_those_of_the_callers_project_and_user(
    cli: Cli,
) -> None:
    _, out, _ = cli.run(*can_i(cli, '--list', *READER, '-f', 'json'))
    listed = json.loads(out)
    allowed = {
        name: [relation for relation, cell in cells.items() if cell['allowed']]
        for name, cells in listed.items()
    }
    assert allowed == {
        **{name: [] for name in allowed},
        'allocations:list': ['owned'],
        'usages': ['owned'],
        'resource_providers:allocations:list': ['owned'],
    }


def test_a_caller_without_a_project_owns_nothing(cli: Cli) -> None:
    arguments = ('--list', '--scope', 'system', '--role', 'x', '-f', 'json')
    _, out, _ = cli.run(*can_i(cli, *arguments))
    assert 'owned' not in json.loads(out)['allocations:list']


def test_a_token_body_says_who_asks(cli: Cli) -> None:
    token = {'user': {'id': 'u'}, 'project': {'id': 'p'}, 'roles': [{'name': 'x'}]}
    path = cli.write('token.json', json.dumps({'token': token}))
    status, out, _ = cli.run(*can_i(cli, '--list', '--token-body', path))
    assert status == 0
    assert 'all: yes: forwarded untouched' in out
    assert 'owned: yes: ' not in out.split('allocations:update')[0]


@pytest.mark.parametrize('form', ['table', 'json', 'yaml', 'shell', 'value'])
def test_every_format_shows_every_operation(cli: Cli, form: str) -> None:
    status, out, err = cli.run(*can_i(cli, '--list', *READER, '-f', form))
    assert status == 0
    assert err.startswith('consumer_guard alone; ')
    assert len(out.splitlines()) >= len(model.OPERATIONS)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (('--list', 'GET', '/usages', *READER), 'METHOD and --list exclude each other'),
        (('--list', '--body', 'x', *READER), '--body and --list exclude each other'),
        (
            ('--list', '--owner-project', 'p', *READER),
            '--owner-project and --list exclude each other',
        ),
        (('--list', '--microversion', '1.2', *READER), '--microversion and --list'),
        (('--list', '--project', 'p', '--scope', 'system'), 'has no --project'),
        (('GET', *READER), 'METHOD and PATH are missing; or give --list'),
        ((), 'METHOD and PATH are missing; or give --list'),
    ],
)
def test_what_contradicts_a_list_is_refused_in_one_line(
    cli: Cli, arguments: tuple[str, ...], words: str
) -> None:
    assert words in cli.run(*can_i(cli, *arguments)).assert_stopped()
