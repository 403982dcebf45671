# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard can-i`` tells what the deployed guard does."""

import json
import pathlib
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from consumer_guard.analysis import prediction
from tests.administrator import SUMS_VERSION, User, make_claim
from tests.commands import Commands, Run
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment, Tokens
from tests.functional.test_ownership_matrix import KINDS
from tests.hermetic import hide_placement
from tests.scenery import Scene

OPERATIONS = ('list', 'update', 'delete', 'manage', 'reshape', 'provider', 'usages')

#: What rules are made of; some are unknown for some owners.
ATOMS = (
    'role:service',
    'role:reader',
    'role:member and project_id:%(project_id)s',
    'role:reader and user_id:%(user_id)s',
    'not project_id:%(project_id)s',
    "'INSTANCE':%(consumer_type)s",
    'role:reader and not user_id:%(user_id)s',
    'rule:consumer_guard:owner_reader',
    'rule:consumer_guard:admin_or_service',
    'system_scope:all',
    'is_admin_project:True',
    '@',
    '!',
)

ROLES = (
    ('admin', 'member', 'reader'),
    ('service',),
    ('member', 'reader'),
    ('reader',),
    ('consumer_guard_passage', 'reader'),
    (),
)


def make_rules(dice: random.Random) -> dict[str, str]:
    """Rules for all operations, each of one to three atoms."""
    rules = {}
    for name in (
        'allocations:list',
        'allocations:update',
        'allocations:delete',
        'allocations:manage',
        'resource_providers:allocations:list',
        'usages',
        'reshaper:reshape',
    ):
        parts = [f'({one})' for one in dice.sample(ATOMS, dice.randint(1, 3))]
        joined = dice.choice((' or ', ' and ')).join(parts)
        # The scene is set by an admin.
        rules[f'consumer_guard:{name}'] = f'role:admin or ({joined})'
    return rules


class BothAnswers:
    """Asks the command first, then placement behind the guard."""

    def __init__(self, deployment: Deployment, folder: pathlib.Path) -> None:
        self.deployment = deployment
        self.folder = folder
        self.commands = Commands(deployment.directory / 'consumer-guard.conf')

    def save(self, document: object) -> str:
        path = self.folder / f'{uuid.uuid4().hex}.json'
        path.write_text(json.dumps(document))
        return str(path)

    def can_i(
        self, user: User, method: str, path: str, version: str, body: object = None
    ) -> Run:
        token = self.save(Tokens.make_body(user))
        arguments = ['--token-body', token, '--microversion', version, '-f', 'json']
        if body is not None:
            arguments += ['--body', self.save(body)]
        return self.commands.run('can-i', method, path, *arguments)

    def compare(
        self, user: User, method: str, path: str, version: str, body: object = None
    ) -> Mapping[str, Any]:
        """Whether the command's answer is the deployed one's; returns it."""
        run = self.can_i(user, method, path, version, body)
        told: Mapping[str, Any] = run.json
        real = self.deployment.request(method, path, user, version=version, body=body)
        assert run.status == (0 if told['allowed'] else 1), run.err
        if told['document'] is not None:
            expected = dict(told['document']['errors'][0])
            shown = dict(real.json['errors'][0])
            assert expected.pop('request_id') != shown.pop('request_id')
            assert shown == expected
            assert real.status_int == int(told['answer'])
        elif told['answer'] == prediction.CONCEALED:
            assert real.status_int == 200
            assert real.json == {'allocations': {}}
        else:
            assert told['allowed']
            assert 'Policy does not allow consumer_guard' not in real.text
            assert real.status_int in (200, 204, 404, 409, 400), real.text
            # What placement itself refuses is not of the guard's making.
            assert real.status_int < 400 or 'consumer_guard' not in real.text
        return told


def make_question(
    scene: Scene, operation: str, kind: str, version: str, dice: random.Random
) -> tuple[str, str, object]:
    """A request about one consumer; writes claim it for the caller or keep it."""
    consumer = scene.kinds[kind]
    claimed = dice.choice((scene.alice, scene.bob))
    claimed = User((), claimed.project_id or 'x', claimed.user_id)
    generation = scene.tables.read_generation(consumer)
    if dice.random() < 0.2:
        generation = 7
    claim = scene.claim(claimed, generation=generation, version=version)
    if operation == 'provider':
        return 'GET', f'/resource_providers/{scene.provider}/allocations', None
    if operation == 'usages':
        asked = {'owned': scene.alice, 'foreign': scene.bob}.get(kind)
        project = (asked and asked.project_id) or uuid.uuid4().hex
        return 'GET', f'/usages?project_id={project}', None
    if operation == 'reshape':
        return (
            'POST',
            '/reshaper',
            scene.deployed.make_reshape(scene.provider, {consumer: claim}),
        )
    method, path, body = {
        'list': ('GET', f'/allocations/{consumer}', None),
        'update': ('PUT', f'/allocations/{consumer}', claim),
        'delete': ('DELETE', f'/allocations/{consumer}', None),
        'manage': ('POST', '/allocations', {consumer: claim}),
    }[operation]
    return method, path, body


@pytest.mark.parametrize('denial', ['forbid', 'conceal'])
@pytest.mark.parametrize('seed', range(4))
def test_as_deployed(
    deploy: Callable[..., Deployment],
    tmp_path: pathlib.Path,
    seed: int,
    denial: str,
) -> None:
    """Random rules, callers, owners and microversions, 14 requests a run."""
    dice = random.Random(f'{seed} {denial}')  # noqa: S311  # no secret
    deployment = deploy(rules=make_rules(dice), options={'denial': denial})
    asker = BothAnswers(deployment, tmp_path)
    told = []
    for operation in OPERATIONS * 2:
        scope = dice.choice(('project', 'project', 'project', 'system', 'domain'))
        user = deployment.add_user(*dice.choice(ROLES), scope=scope)
        version = dice.choice(('1.13', '1.27', '1.28', '1.38'))
        if operation == 'reshape':
            version = '1.38'
        if operation == 'usages':
            version = SUMS_VERSION
        method, path, body = make_question(
            Scene(deployment, alice=user), operation, dice.choice(KINDS), version, dice
        )
        told.append(asker.compare(user, method, path, version, body))
    assert {one['allowed'] for one in told} == {True, False}


@pytest.fixture
def asker(
    guarded: Deployment,
    tmp_path: pathlib.Path,
) -> BothAnswers:
    return BothAnswers(guarded, tmp_path)


@pytest.fixture
def scene(guarded: Deployment) -> Scene:
    return Scene(guarded)


class TestAnswers:
    """What is shown besides yes and no."""

    def test_reading_an_own_consumer_is_allowed_with_passage_and_names_the_owner(
        self, asker: BothAnswers, scene: Scene
    ) -> None:
        path = f'/allocations/{scene.own}'
        told = asker.compare(scene.alice, 'GET', path, '1.38')
        assert told['answer'] == prediction.WITH_PASSAGE
        assert told['rulings'] == ['recorded owner: yes']
        assert told['trace']['value'] == 'yes'
        owner = told['owners'][0]
        assert owner['project_id'] == scene.alice.project_id
        assert owner['generation'] == 1

    def test_foreign_owner_is_masked(self, asker: BothAnswers, scene: Scene) -> None:
        path = f'/allocations/{scene.foreign}'
        run = asker.can_i(scene.alice, 'GET', path, '1.38')
        assert run.status == 1
        assert scene.bob.project_id
        assert scene.bob.project_id not in run.out
        assert scene.bob.user_id not in run.out
        assert run.json['owners'][0]['project_id'].startswith('h:')
        assert 'generation' not in run.json['owners'][0]

    def test_owner_in_the_clear(self, asker: BothAnswers, scene: Scene) -> None:
        """Also for a role-holder, for whom no owner is looked up."""
        path = f'/allocations/{scene.foreign}'
        who = ('--project', 'p', '--role', 'service')
        run = asker.commands.run(
            'can-i', 'GET', path, *who, '--show-owner', '-f', 'json'
        )
        assert run.status == 0
        assert run.json['owners'][0]['project_id'] == scene.bob.project_id
        assert run.json['owners'][0]['user_id'] == scene.bob.user_id
        hidden = asker.commands.run('can-i', 'GET', path, *who, '-f', 'json')
        assert hidden.json['owners'] == []

    def test_key_of_the_records_makes_hashes_comparable(
        self,
        deploy: Callable[..., Deployment],
        tmp_path: pathlib.Path,
    ) -> None:
        deployment = deploy(options={'audit_key': 'a secret of this cloud'})
        asker = BothAnswers(deployment, tmp_path)
        scene = Scene(deployment, 'reader')
        path = f'/allocations/{scene.foreign}'
        first, second = (
            asker.can_i(scene.alice, 'GET', path, '1.38').out for _ in range(2)
        )
        assert first == second
        assert '"h:' in first

    def test_a_refusal_for_people_shows_how_each_check_came_out(
        self, asker: BothAnswers, scene: Scene
    ) -> None:
        path = f'/allocations/{scene.foreign}'
        assert scene.alice.project_id
        run = asker.commands.run(
            'can-i',
            'GET',
            path,
            '--project',
            scene.alice.project_id,
            '--role',
            'reader',
        )
        assert run.status == 1
        assert 'no          project_id:%(project_id)s' in run.out
        assert 'yes         role:reader' in run.out
        assert 'Forbidden: Policy does not allow' in run.out

    def test_a_delete_by_an_owner_is_for_roles_only(
        self, asker: BothAnswers, scene: Scene
    ) -> None:
        path = f'/allocations/{scene.own}'
        told = asker.compare(scene.alice, 'DELETE', path, '1.38')
        assert (
            'requires a role; ownership is not sufficient'
            in told['document']['errors'][0]['detail']
        )

    def test_what_placement_refuses_is_not_allowed_and_placement_is_named(
        self, deploy: Callable[..., Deployment], tmp_path: pathlib.Path
    ) -> None:
        """Placement by its defaults: not open to the passage role, reshape narrower."""
        deployment = deploy(placement_rules={})
        asker = BothAnswers(deployment, tmp_path)
        scene = Scene(deployment, 'reader')
        own = f'/allocations/{scene.own}'
        usages = f'/usages?project_id={scene.alice.project_id}'
        reshape = deployment.make_reshape(scene.provider, {})
        for user, method, path, body, status, decider in (
            (scene.alice, 'GET', own, None, 403, 'placement'),
            (scene.alice, 'GET', usages, None, 200, 'consumer_guard and placement'),
            (deployment.admin, 'GET', own, None, 200, 'consumer_guard and placement'),
            (deployment.admin, 'POST', '/reshaper', reshape, 403, 'placement'),
            (scene.alice, 'POST', '/reshaper', reshape, 403, 'consumer_guard'),
        ):
            run = asker.can_i(user, method, path, SUMS_VERSION, body)
            real = deployment.request(
                method, path, user, version=SUMS_VERSION, body=body
            )
            assert real.status_int == status
            assert (run.status, run.json['allowed']) == (
                (0, True) if status == 200 else (1, False)
            )
            assert run.json['decided_by'] == decider
            by_placement = 'Policy does not allow placement:' in real.text
            assert by_placement is (decider == 'placement')

    def test_filtered_list_of_a_supposed_owner(
        self, asker: BothAnswers, scene: Scene
    ) -> None:
        path = f'/resource_providers/{scene.provider}/allocations'
        assert scene.alice.project_id
        shown = {}
        for owner in (scene.alice.project_id, 'another'):
            run = asker.commands.run(
                *('can-i', 'GET', path, '--project', scene.alice.project_id),
                *('--role', 'reader', '--owner-project', owner, '-f', 'json'),
            )
            assert run.status == 0
            shown[owner] = run.json['answer']
        assert shown[scene.alice.project_id].endswith('are included')
        assert shown['another'].endswith('are not included')

    def test_in_shadow_mode_a_refusal_is_told_as_shadowed(
        self,
        deploy: Callable[..., Deployment],
        tmp_path: pathlib.Path,
    ) -> None:
        deployment = deploy(options={'enforcement': 'shadow'})
        asker = BothAnswers(deployment, tmp_path)
        scene = Scene(deployment, 'reader')
        path = f'/allocations/{scene.foreign}'
        run = asker.can_i(scene.alice, 'GET', path, '1.38')
        assert run.status == 1
        assert run.json['answer'] == f'{prediction.SHADOWED} 403'

    def test_spent_generation(
        self,
        deploy: Callable[..., Deployment],
        tmp_path: pathlib.Path,
    ) -> None:
        """The watch is asked too, and rolls nothing."""
        limits = {
            'generation_limit': 1001,
            'generation_warning': 1000,
            'generation_alarm': 1000,
            'generation_reserve': 1000,
        }
        deployment = deploy(options=limits)
        asker = BothAnswers(deployment, tmp_path)
        scene = Scene(deployment, 'service')
        body = scene.claim(scene.bob)
        path = f'/allocations/{scene.foreign}'
        told = asker.compare(scene.alice, 'PUT', path, '1.38', body)
        assert told['answer'] == '409'
        rolling = deploy(options=limits | {'generation_strategy': 'roll'})
        asker = BothAnswers(rolling, tmp_path)
        run = asker.can_i(scene.alice, 'PUT', path, '1.38', body)
        assert run.status == 0, run.out
        assert rolling.show(scene.foreign)['consumer_generation'] == 1


class TestOwnerWithoutDatabase:
    """``--owner-project``: the driver is not asked."""

    @pytest.fixture
    def commands(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> Commands:
        hide_placement(monkeypatch, tmp_path)
        conf = tmp_path / 'consumer-guard.conf'
        conf.write_text('[consumer_guard]\nconnection = sqlite:////nowhere/p.db\n')
        (tmp_path / 'policy.yaml').write_text(json.dumps(OWNER_RULES))
        return Commands(conf)

    @pytest.mark.parametrize(
        ('owner', 'status', 'reason'),
        [
            ('mine', 0, 'the rule allows the caller for this owner'),
            ('theirs', 1, 'the rule does not allow the caller for this owner'),
            ('00000000-0000-0000-0000-000000000000', 1, 'the consumer has no owner'),
        ],
    )
    def test_a_write_is_decided_for_the_owner_of_the_option(
        self,
        commands: Commands,
        tmp_path: pathlib.Path,
        owner: str,
        status: int,
        reason: str,
    ) -> None:
        body = tmp_path / 'body.json'
        claimed = User((), 'mine', 'me')
        body.write_text(json.dumps(make_claim(str(uuid.uuid4()), claimed, 5)))
        run = commands.run(
            *('can-i', 'put', f'/allocations/{uuid.uuid4()}', '--user', 'me'),
            *('--project', 'mine', '--role', 'member', '--body', str(body)),
            *('--owner-project', owner, '--owner-user', 'me', '-f', 'json'),
        )
        assert run.status == status, run.err
        assert run.json['reason'] == reason

    def test_token_of_a_service_too(
        self,
        commands: Commands,
        tmp_path: pathlib.Path,
    ) -> None:
        rule = {'consumer_guard:usages': 'service_roles:service'}
        (tmp_path / 'policy.yaml').write_text(json.dumps(rule))
        asked = ('can-i', 'GET', '/usages?project_id=p', '--project', 'p')
        assert commands.run(*asked).status == 1
        assert commands.run(*asked, '--service-role', 'service').status == 0

    def test_where_placement_is_not_configured_the_output_says_so(
        self, commands: Commands
    ) -> None:
        asked = ('can-i', 'GET', '/usages?project_id=p', '--project', 'p')
        allowed = commands.run(*asked, '--role', 'reader', '-f', 'json')
        assert allowed.status == 0
        assert allowed.json['decided_by'].startswith(
            "consumer_guard alone; placement's configuration was not found"
        )
        refused = commands.run(*asked, '-f', 'json')
        assert refused.json['decided_by'] == 'consumer_guard'

    def test_passage_role_is_taken_away(
        self,
        commands: Commands,
        tmp_path: pathlib.Path,
    ) -> None:
        rule = {'consumer_guard:usages': 'role:consumer_guard_passage'}
        (tmp_path / 'policy.yaml').write_text(json.dumps(rule))
        asked = ('can-i', 'GET', '/usages', '--role', 'consumer_guard_passage')
        assert commands.run(*asked).status == 1

    def test_a_pasted_url_is_decided_as_its_path_and_standard_error_shows_which(
        self, commands: Commands
    ) -> None:
        path = '/usages?project_id=p'
        asked = ('--project', 'p', '--role', 'reader', '-f', 'json')
        plain = commands.run('can-i', 'GET', path, *asked)
        pasted = commands.run('can-i', 'GET', f'https://h:8778/placement{path}', *asked)
        assert plain.status == pasted.status == 0
        assert plain.json == pasted.json
        assert plain.err == ''
        assert pasted.err == f'decided for the path {path}\n'

    def test_the_former_name_of_the_option_for_a_tokens_body_still_works(
        self, commands: Commands, tmp_path: pathlib.Path
    ) -> None:
        body = tmp_path / 'token.json'
        body.write_text('{"token": {"user": {"id": "u"}}}')
        asked = ('can-i', 'GET', '/usages')
        former = commands.run(*asked, '--token-file', str(body))
        assert former == commands.run(*asked, '--token-body', str(body))
        assert '--token-file' not in commands.run('can-i', '--help').out


CONSUMER = '/allocations/00000000-0000-4000-8000-000000000001'
READER = ('--project', 'p', '--role', 'reader')


class TestBadInput:
    """One clear line, and status 2."""

    @pytest.fixture
    def commands(
        self,
        tmp_path: pathlib.Path,
    ) -> Commands:
        conf = tmp_path / 'consumer-guard.conf'
        conf.write_text('[consumer_guard]\nconnection = sqlite:////nowhere/p.db\n')
        return Commands(conf)

    @pytest.mark.parametrize(
        ('arguments', 'words'),
        [
            (('GET', '/resource_providers', *READER), ('is not guarded',)),
            (('HEAD', CONSUMER, *READER), ('is not guarded',)),
            (
                ('GET', 'https://api/placement/resource_providers/x/usages'),
                ('GET /resource_providers/x/usages is not guarded:',),
            ),
            (('GET', '/placement/x', *READER), ('GET /placement/x is not guarded:',)),
            (
                ('GET', CONSUMER, *READER, '--microversion', '1.99'),
                ('--microversion 1.99', '1.0 to 1.39'),
            ),
            (('GET', CONSUMER, *READER, '--microversion', 'x'), ('--microversion x',)),
            (('GET', CONSUMER, *READER), ('cannot be looked up', '--owner-project')),
            (('GET', CONSUMER, *READER, '--show-owner'), ('cannot be looked up',)),
            (
                (
                    'GET',
                    CONSUMER,
                    '--role',
                    'service',
                    '--project',
                    'p',
                    '--show-owner',
                ),
                ('cannot be looked up',),
            ),
            (('GET', CONSUMER, *READER, '--owner-user', 'u'), ('--owner-project',)),
            (('GET', CONSUMER, *READER, '--owner-type', 'u'), ('--owner-project',)),
            (('GET', CONSUMER, *READER, '--owner-project', ''), ('--owner-project',)),
            (('PUT', CONSUMER, *READER, '--body', '/nowhere'), ('--body /nowhere',)),
            (
                ('GET', CONSUMER, '--token-body', '/nowhere'),
                ('--token-body /nowhere', 'No such file'),
            ),
            (
                ('GET', CONSUMER, '--token-body', '/x', '--user', 'u'),
                ('--user and --token-body',),
            ),
            (('GET', CONSUMER, '--scope', 'project'), ('needs --project',)),
            (('GET', CONSUMER, '--scope', 'domain'), ('needs --domain',)),
            (
                ('GET', CONSUMER, '--scope', 'system', '--project', 'p'),
                ('has no --project',),
            ),
        ],
    )
    def test_bad_options_stop_the_command_with_words_that_say_why(
        self, commands: Commands, arguments: tuple[str, ...], words: tuple[str, ...]
    ) -> None:
        commands.run('can-i', *arguments).assert_stopped(*words)

    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('{', ('not JSON',)),
            ('\udc80', ('not JSON',)),
            ('[' * 100_000, ('not JSON',)),
            ('[]', ('not the body of a keystone token',)),
            ('{}', ('not the body of a keystone token',)),
            ('{"token": 5}', ('not the body of a keystone token',)),
            ('{"token": {"user": {"id": 5}}}', ('5 is not an id',)),
            ('{"token": {"user": {"id": ""}}}', ('is not an id',)),
            ('{"token": {"user": {"id": "u"}, "roles": "x"}}', ('not an object',)),
            ('{"token": {"user": {"id": "u"}, "roles": 5}}', ('not the body',)),
            ('{"token": {"user": {"id": "u"}, "project": []}}', ('token',)),
            ('{"token": {"user": {"id": "u"}, "domain": "d"}}', ('token',)),
        ],
    )
    def test_a_bad_token_body_stops_the_command_and_names_the_option(
        self,
        commands: Commands,
        tmp_path: pathlib.Path,
        text: str,
        words: tuple[str, ...],
    ) -> None:
        path = tmp_path / 'token.json'
        path.write_text(text, errors='surrogateescape')
        run = commands.run('can-i', 'GET', CONSUMER, '--token-body', str(path))
        run.assert_stopped('--token-body', *words)

    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('{', ('not valid YAML',)),
            ('"consumer_guard:usages": 5', ('consumer_guard:usages', 'not text')),
            ('"consumer_guard:usage": "@"', ('there is no such rule',)),
        ],
    )
    def test_a_bad_policy_file_stops_the_command_and_is_named(
        self,
        commands: Commands,
        tmp_path: pathlib.Path,
        text: str,
        words: tuple[str, ...],
    ) -> None:
        (tmp_path / 'policy.yaml').write_text(text)
        run = commands.run('can-i', 'GET', CONSUMER, *READER)
        run.assert_stopped('policy.yaml', *words)

    def test_an_absent_configuration_file_stops_the_command_and_is_named(
        self,
        tmp_path: pathlib.Path,
    ) -> None:
        run = Commands(tmp_path / 'absent.conf').run('can-i', 'GET', CONSUMER, *READER)
        run.assert_stopped('absent.conf')

    def test_write_without_its_body(
        self,
        commands: Commands,
        tmp_path: pathlib.Path,
    ) -> None:
        (tmp_path / 'policy.yaml').write_text(json.dumps(OWNER_RULES))
        asked = ('can-i', 'PUT', CONSUMER, '--project', 'p', '--owner-project', 'p')
        commands.run(*asked, '--role', 'member').assert_stopped('--body FILE')
        # A role-holder's is decided without it.
        assert commands.run(*asked, '--role', 'service').status == 0

    def test_body_that_is_none(
        self,
        commands: Commands,
        tmp_path: pathlib.Path,
    ) -> None:
        (tmp_path / 'policy.yaml').write_text(json.dumps(OWNER_RULES))
        body = tmp_path / 'body'
        body.write_text('{')
        run = commands.run(
            *('can-i', 'PUT', CONSUMER, '--project', 'p', '--role', 'member'),
            *('--body', str(body), '--owner-project', 'p', '-f', 'json'),
        )
        assert run.status == 1
        assert run.json['answer'] == '400'

    def test_id_that_is_not_canonical(self, commands: Commands) -> None:
        """The guard's answer, not an error."""
        run = commands.run('can-i', 'GET', '/allocations/X', *READER, '-f', 'json')
        assert run.status == 1
        assert 'not canonical' in run.json['document']['errors'][0]['detail']
