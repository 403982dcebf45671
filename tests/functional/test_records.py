# SPDX-License-Identifier: Apache-2.0
"""Decision records: what they say, of whom, and what they never say."""

import json
import os
import pathlib
import re
import stat
import uuid
from typing import Any

import pytest
import yaml

from consumer_guard.guard import model
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from consumer_guard.telemetry.rendering import SCHEMA
from tests.administrator import SUMS_VERSION
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.conftest import Records
from tests.fuzz.wire import send
from tests.scenery import Scene

CALLER = ('user_id', 'project_id', 'domain_id', 'scope')
#: Fields of every record, and of decisions; lists stand at the end of the line.
ALWAYS = {
    *('event', 'schema', 'timestamp', 'host', 'process', 'guard_version', 'status'),
    *('operation', 'mode', 'client_address', 'user_agent', 'microversion'),
    *('request_id', 'global_request_id'),
}
DECISION = {
    *(*ALWAYS, *CALLER, 'outcome', 'rule', 'by', 'reason', 'rules_digest'),
    *('roles', 'role_count', 'rulings', 'consumers', 'consumer_count'),
    *('targets', 'target_count', 'microseconds'),
}
OWNERSHIP = {*ALWAYS, *CALLER, 'roles', 'role_count', 'changes', 'change_count'}


def take(records: Records, event: str = 'decision') -> list[dict[str, Any]]:
    """The records of an event since the last time."""
    lines = [line.partition(' ')[2] for line in records.lines]
    del records.lines[:]
    found = [json.loads(line) for line in lines if line.startswith('{')]
    return [record for record in found if record['event'] == event]


def _read(scene: Scene, consumer: str, **more: Any) -> int:
    environ = scene.environ('GET', '/allocations/{CB}', consumer, **more)
    return send(scene.deployed.application, environ).status


def _put(scene: Scene, consumer: str, *, generation: object = 1, **more: Any) -> int:
    version = more.setdefault('version', '1.38')
    amount = more.pop('amount', 2)
    owner = more.pop('owner', None)
    claim = scene.claim(owner, generation=generation, version=version, amount=amount)
    environ = scene.environ(
        'PUT',
        '/allocations/{CB}',
        consumer,
        body=json.dumps(claim).encode(),
        token=scene.deployed.admin.token,
        **more,
    )
    return send(scene.deployed.application, environ).status


def test_the_documentation_lists_every_field_of_each_event() -> None:
    page = pathlib.Path(__file__).parents[2] / 'doc' / 'source' / 'operations.rst'
    _, _, table = page.read_text().partition(f'Fields, schema {SCHEMA}\n')
    table, _, _ = table.partition('\n\nRequests ')
    fields: dict[str, set[str]] = {
        event: set() for event in ('decision', 'ownership', 'candidate')
    }
    for names, event in re.findall(r'\* - (``.*)\n +- (\w+)', table):
        for about in ('decision', 'ownership') if event == 'both' else [event]:
            fields[about] |= set(re.findall(r'``(\w+)``', names))
    assert fields == {
        'decision': DECISION,
        'ownership': OWNERSHIP,
        'candidate': {'would_change', 'candidate_digest'},
    }


class TestDecisions:
    def test_an_allowed_read_records_the_caller_and_his_consumer_in_the_clear(
        self, deploy: Deploy, records: Records
    ) -> None:
        scene = Scene(deploy(options={'audit': 'all'}))
        take(records)
        headers = {'User-Agent': 'nova/34', 'X-Openstack-Request-Id': 'x'}
        assert _read(scene, scene.own, headers=headers) == 200
        (record,) = take(records)
        assert set(record) == DECISION
        assert list(record)[:6] == ['event', 'outcome', *CALLER]
        assert record['outcome'] == 'allow'
        assert record['status'] == 200
        assert record['by'] == 'ownership'
        assert record['operation'] == 'allocations:list'
        assert record['user_agent'] == 'nova/34'
        assert record['microversion'] == '1.38'
        assert record['request_id'].startswith('req-')
        assert record['project_id'] == scene.alice.project_id
        assert record['consumers'] == [scene.own]
        assert record['targets'] == [
            {
                'about': 'recorded owner',
                'standing': 'recorded',
                'consumer_uuid': scene.own,
                'project_id': scene.alice.project_id,
                'user_id': scene.alice.user_id,
                'consumer_type': 'INSTANCE',
            }
        ]

    def test_foreign(self, guarded: Deployment, records: Records) -> None:
        """Another's ids are hashes, everywhere in the line."""
        scene = Scene(guarded)
        take(records)
        assert _read(scene, scene.foreign) == 403
        line = records.text
        (record,) = take(records)
        assert set(record) == DECISION
        assert record['outcome'] == 'deny'
        assert record['by'] is None
        (target,) = record['targets']
        for name in ('consumer_uuid', 'project_id', 'user_id'):
            assert target[name].startswith('h:')
        assert record['consumers'] == [target['consumer_uuid']]
        for secret in (*scene.secrets, scene.alice.token):
            assert secret not in line

    def test_an_unknown_consumer_is_recorded_as_absent_without_an_owner(
        self, guarded: Deployment, records: Records
    ) -> None:
        scene = Scene(guarded)
        take(records)
        assert _read(scene, scene.unknown) == 403
        (record,) = take(records)
        (target,) = record['targets']
        assert target['standing'] == 'absent'
        assert target['project_id'] is None

    @pytest.mark.parametrize('key', ['a key of all hosts', None])
    def test_hashes_compare(
        self, deploy: Deploy, records: Records, key: str | None
    ) -> None:
        """With one key on all hosts, and else within a process only."""
        options = {'audit_key': key} if key else {}
        seen = []
        scene = Scene(deploy(options=options))
        consumer = scene.foreign
        take(records)
        for _ in range(2):
            again = deploy(options=options)
            assert (
                send(
                    again.application,
                    scene.environ('GET', '/allocations/{CB}', consumer),
                ).status
                == 403
            )
            seen += [record['consumers'] for record in take(records)]
        assert len(seen) == 2
        assert (seen[0] == seen[1]) is bool(key)

    def test_many_consumers(self, guarded: Deployment, records: Records) -> None:
        """The first sixteen are named, all are counted."""
        scene = Scene(guarded)
        claims = {str(uuid.uuid4()): scene.claim() for _ in range(40)}
        body = json.dumps(claims).encode()
        take(records)
        environ = scene.environ('POST', '/allocations', body=body)
        assert send(guarded.application, environ).status == 403
        (record,) = take(records)
        assert record['consumer_count'] == 40
        assert record['target_count'] in (40, 80)
        assert len(record['consumers']) == 16
        assert len(record['targets']) <= 32

    def test_sums_record_the_asked_owner_and_mask_a_foreign_one(
        self, deploy: Deploy, records: Records
    ) -> None:
        scene = Scene(deploy(options={'audit': 'all'}))
        take(records)
        for project, status in (('{A}', 200), ('{B}', 403)):
            environ = scene.environ(
                'GET', '/usages', query=f'project_id={project}', version=SUMS_VERSION
            )
            assert send(scene.deployed.application, environ).status == status
        own, foreign = take(records)
        assert own['targets'] == [
            {'about': 'asked owner', 'project_id': scene.alice.project_id}
        ]
        assert foreign['targets'][0]['project_id'].startswith('h:')

    def test_a_refused_write_names_the_claimed_owners_too(
        self, guarded: Deployment, records: Records
    ) -> None:
        """And calls no consumer the caller's own because he claims it."""
        scene = Scene(guarded)
        claims = {consumer: scene.claim() for consumer in (scene.own, scene.foreign)}
        environ = scene.environ(
            'POST', '/allocations', body=json.dumps(claims).encode()
        )
        take(records)
        assert send(guarded.application, environ).status == 403
        assert scene.foreign not in records.text
        (record,) = take(records)
        found = [(t['about'], t['consumer_uuid']) for t in record['targets']]
        hidden = record['consumers'][0]
        assert hidden.startswith('h:')
        assert record['consumers'] == [hidden, scene.own]
        assert found == [
            ('recorded owner', hidden),
            ('claimed owner', hidden),
            ('recorded owner', scene.own),
            ('claimed owner', scene.own),
        ]

    def test_the_option_audit_says_which_decisions_are_recorded(
        self, deploy: Deploy, records: Records
    ) -> None:
        for which, expected in (('all', 2), ('denied', 1), ('none', 0)):
            scene = Scene(deploy(options={'audit': which}))
            take(records)
            assert _read(scene, scene.own) == 200
            assert _read(scene, scene.foreign) == 403
            assert len(take(records)) == expected, which

    def test_a_request_without_an_identity_is_recorded_as_denied(
        self, guarded: Deployment, records: Records
    ) -> None:
        scene = Scene(guarded)
        take(records)
        environ = scene.environ('GET', '/allocations/{CB}')
        del environ['HTTP_X_AUTH_TOKEN']
        # Behind auth_token that leaves requests without a token to us.
        guard = guarded.application
        for _ in range(9):
            if type(guard).__name__ == 'ConsumerGuard':
                break
            guard = getattr(guard, '_app', None) or guard.application
        assert send(guard, environ).status == 401
        (record,) = take(records)
        assert record['outcome'] == 'deny'
        assert record['reason'] == 'there is no proven identity'
        assert set(record) == {*ALWAYS, 'outcome', 'reason'}
        assert record['status'] == 401

    def test_a_record_that_cannot_be_made(
        self, guarded: Deployment, records: Records
    ) -> None:
        """It is dropped, the answer is not, and nothing of it is told."""
        scene = Scene(guarded)
        take(records)
        environ = scene.environ('GET', '/allocations/{CB}', HTTP_USER_AGENT=b'bytes')
        assert send(guarded.application, environ).status == 403
        assert records.lines == ['ERROR A decision record could not be written']


class TestUnmasked:
    def test_a_file_of_its_own(
        self, deploy: Deploy, records: Records, tmp_path: pathlib.Path
    ) -> None:
        path = tmp_path / 'unmasked.log'
        scene = Scene(deploy(options={'audit_unmasked_file': path}))
        take(records)
        assert _read(scene, scene.foreign) == 403
        (line,) = path.read_text().splitlines()[-1:]
        assert json.loads(line)['targets'][0] == {
            'about': 'recorded owner',
            'standing': 'recorded',
            'consumer_uuid': scene.foreign,
            'project_id': scene.bob.project_id,
            'user_id': scene.bob.user_id,
            'consumer_type': 'INSTANCE',
        }
        assert scene.alice.token not in line
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert scene.foreign not in records.text

    def test_a_file_that_was_rotated_away_is_made_anew_and_private(
        self, deploy: Deploy, tmp_path: pathlib.Path
    ) -> None:
        path = tmp_path / 'unmasked.log'
        scene = Scene(deploy(options={'audit_unmasked_file': path}))
        _read(scene, scene.foreign)
        path.rename(tmp_path / 'unmasked.log.1')
        _read(scene, scene.unknown)
        assert len(path.read_text().splitlines()) == 1
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_file_that_cannot_be_written(
        self,
        deploy: Deploy,
        records: Records,
        tmp_path: pathlib.Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The answer is the same, and there is a line, not a traceback."""
        path = tmp_path / 'nobody reads this pipe'
        os.mkfifo(path, 0o600)
        scene = Scene(deploy(options={'audit_unmasked_file': path}))
        take(records)
        assert _read(scene, scene.foreign) == 403
        assert records.lines[-1] == (
            f'ERROR A record could not be written to {path}: No such device or address'
        )
        assert len(take(records)) == 1
        assert 'Traceback' not in capsys.readouterr().err

    @pytest.mark.parametrize('what', ['readable', 'link'])
    def test_a_file_that_is_not_private_stops_the_start(
        self, deploy: Deploy, tmp_path: pathlib.Path, what: str
    ) -> None:
        path = tmp_path / 'unmasked.log'
        if what == 'readable':
            path.touch(mode=0o644)
            path.chmod(0o644)
        else:
            path.symlink_to(tmp_path / 'target')
        with pytest.raises(ConfigurationError, match="option 'audit_unmasked_file'"):
            deploy(options={'audit_unmasked_file': path})

    def test_a_folder_that_is_not_there(
        self, deploy: Deploy, records: Records, tmp_path: pathlib.Path
    ) -> None:
        path = tmp_path / 'nowhere' / 'unmasked.log'
        scene = Scene(deploy(options={'audit_unmasked_file': path}))
        assert _read(scene, scene.foreign) == 403
        assert records.lines[-1].endswith(
            'nowhere/unmasked.log: No such file or directory'
        )


class TestStatus:
    """The status is that of the answer, whoever gave it."""

    @pytest.mark.parametrize(
        ('options', 'path', 'version', 'token', 'outcome', 'status'),
        [
            ({}, '/allocations/{CA}', '1.38', None, 'allow', 200),
            ({}, '/allocations/{CB}', '1.38', None, 'deny', 403),
            ({}, '/allocations/{CB}', '9.9', None, 'deny', 406),
            ({}, '/allocations/{CB}', 'nonsense', None, 'deny', 400),
            ({}, '/allocations/{upper}', '1.38', None, 'deny', 400),
            ({'denial': 'conceal'}, '/allocations/{CB}', '1.38', None, 'deny', 200),
            (
                {'enforcement': 'shadow'},
                '/allocations/{CB}',
                '1.38',
                None,
                'would deny',
                200,
            ),
            ({}, '/resource_providers/{CB}/allocations', '1.38', 'admin', 'allow', 404),
            ({}, '/resource_providers/{CB}/allocations', '1.38', None, 'allow', 404),
        ],
    )
    def test_a_record_has_the_status_that_the_client_gets(
        self,
        deploy: Deploy,
        records: Records,
        options: dict[str, str],
        path: str,
        version: str,
        token: str | None,
        outcome: str,
        status: int,
    ) -> None:
        scene = Scene(deploy(options={'audit': 'all', **options}, rules=OWNER_RULES))
        take(records)
        more = {'token': scene.deployed.admin.token} if token else {}
        environ = scene.environ('GET', path, version=version, **more)
        assert send(scene.deployed.application, environ).status == status
        (record,) = take(records)
        assert record['status'] == status
        assert record['outcome'] == outcome

    def test_of_a_database_that_is_away(self, deploy: Deploy, records: Records) -> None:
        scene = Scene(deploy())
        scene.deployed = deploy(
            options={'connection': 'sqlite:////nonexistent/placement.db'}
        )
        take(records)
        assert _read(scene, scene.own) == 503
        (record,) = take(records)
        assert record['status'] == 503

    def test_of_a_list_that_cannot_be_filtered(
        self, deploy: Deploy, records: Records
    ) -> None:
        """Two records: what was decided, and that it could not be carried out."""
        scene = Scene(deploy())
        scene.deployed = deploy(
            options={
                'audit': 'all',
                'connection': 'sqlite:////nonexistent/placement.db',
            },
            rules=OWNER_RULES,
        )
        take(records)
        environ = scene.environ('GET', '/resource_providers/{RP}/allocations')
        assert send(scene.deployed.application, environ).status == 503
        fault, decision = take(records)
        assert fault['reason'] == 'the guard failed'
        assert fault['user_id'] == decision['user_id'] == scene.alice.user_id
        assert fault['status'] == decision['status'] == 503
        assert decision['outcome'] == 'allow'


class TestCircumstances:
    """Where a request came from, and which rules decided it."""

    def test_the_address_is_the_clients_behind_a_trusted_proxy(
        self, deploy: Deploy, records: Records
    ) -> None:
        scene = Scene(deploy())
        headers = {'X-Forwarded-For': '192.0.2.7, 198.51.100.1'}
        path = scene.deployed.directory / 'placement' / 'placement.conf'
        text = path.read_text()
        forwarded = headers['X-Forwarded-For']
        for trusted, address in (('false', '127.0.0.1'), ('true', forwarded)):
            path.write_text(
                f'{text}[oslo_middleware]\nenable_proxy_headers_parsing = {trusted}\n'
            )
            scene.deployed.load()
            take(records)
            assert _read(scene, scene.foreign, headers=headers) == 403
            (record,) = take(records)
            assert record['client_address'] == address

    def test_the_digest_is_that_of_the_rules_that_decided(
        self, deploy: Deploy, records: Records
    ) -> None:
        """Each record, while the rules change under the requests."""
        rules = ['role:reader', '!', 'role:reader', '!']
        texts = [yaml.safe_dump({model.ALLOCATIONS_LIST.rule: rule}) for rule in rules]
        closed = Rulebook.build([PolicyText('x', texts[1])]).digest
        scene = Scene(deploy(options={'audit': 'all'}))
        policy_file = scene.deployed.policy_file
        for text in texts:
            expected = Rulebook.build([PolicyText('x', text)]).digest
            policy_file.write_text(text)
            digest = None
            while digest != expected:
                take(records)
                _read(scene, scene.own)
                (record,) = take(records)
                digest = record['rules_digest']
                assert (record['outcome'] == 'deny') is (digest == closed)

    def test_without_usable_rules_there_is_no_digest(
        self, deploy: Deploy, records: Records
    ) -> None:
        scene = Scene(deploy())
        scene.deployed.policy_file.write_text('"consumer_guard:usages": 1\n')
        scene.deployed.load()
        take(records)
        assert _read(scene, scene.own) == 503
        (record,) = take(records)
        assert record['rules_digest'] is None
        assert record['status'] == 503

    @pytest.mark.parametrize('where', ['agent', 'request id', 'type', 'ids', 'query'])
    def test_nothing_that_a_client_sends_makes_a_record_long(
        self, deploy: Deploy, records: Records, tmp_path: pathlib.Path, where: str
    ) -> None:
        path = tmp_path / 'unmasked.log'
        options = {'audit': 'all', 'audit_unmasked_file': path}
        scene = Scene(deploy(options=options, rules=OWNER_RULES))
        take(records)
        admin, long = scene.deployed.admin.token, '\u00ff' * 1_000
        method, target = 'GET', '/allocations/{CB}'
        more: dict[str, Any] = {}
        if where == 'agent':
            more = {'headers': {'User-Agent': long * 100}}
        elif where == 'request id':
            more = {'headers': {'X-Openstack-Request-Id': f'req-{long}'}}
        elif where == 'query':
            target, more = '/usages', {'query': f'project_id={long}'}
        elif where == 'type':
            claim = scene.claim() | {'consumer_type': long}
            method, target = 'PUT', '/allocations/{CA}'
            more = {'body': json.dumps(claim).encode(), 'token': admin}
        else:
            method, target = 'POST', '/allocations'
            claims = {f'{long}{number}': scene.claim() for number in range(3)}
            body = json.dumps(claims, ensure_ascii=False).encode()
            more = {'body': body, 'token': admin}
        environ = scene.environ(method, target, **more)
        send(scene.deployed.application, environ)
        lines = [*records.lines, *path.read_text().splitlines()]
        assert len(lines) == 2
        assert all(len(line) < 8_192 for line in lines)
        if where not in ('request id', 'query'):
            assert '...' in lines[1]
        assert len(take(records)) == 1


class TestOwnership:
    def test_lost(self, guarded: Deployment, records: Records) -> None:
        """A PUT below 1.8 makes a consumer nobody's, whoever's it was."""
        scene = Scene(guarded)
        take(records)
        assert _put(scene, scene.own, version='1.7') == 204
        (event,) = take(records, 'ownership')
        assert set(event) == OWNERSHIP
        assert event['status'] == 204
        (change,) = event['changes']
        assert change['change'] == 'loss'
        assert change['consumer_uuid'].startswith('h:')
        assert change['project_id'] is None
        assert 'former' not in change
        assert event['user_id'] == guarded.admin.user_id
        assert event['microversion'] == '1.7'

    def test_a_consumer_that_was_foreign_is_recorded_as_claimed_and_masked(
        self, guarded: Deployment, records: Records
    ) -> None:
        scene = Scene(guarded)
        take(records)
        assert _put(scene, scene.foreign) == 204
        (event,) = take(records, 'ownership')
        (change,) = event['changes']
        assert change['change'] == 'claim'
        assert change['project_id'].startswith('h:')
        assert 'former' not in change

    def test_with_the_former_owner(self, deploy: Deploy, records: Records) -> None:
        scene = Scene(deploy(options={'audit': 'all', 'audit_key': 'k'}))
        take(records)
        assert _put(scene, scene.foreign.upper()) == 204
        (event,) = take(records, 'ownership')
        (change,) = event['changes']
        assert change['former']['standing'] == 'recorded'
        assert change['former']['project_id'] != change['project_id']
        assert _put(scene, scene.foreign, generation=2) == 204
        assert take(records, 'ownership') == [], 'it is theirs already'

    def test_a_write_of_several_is_one_event_that_counts_its_changes(
        self, guarded: Deployment, records: Records
    ) -> None:
        scene = Scene(guarded)
        claims = {
            scene.own: scene.claim(amount=0),
            scene.foreign: scene.claim(),
            str(uuid.uuid4()): scene.claim(generation=None),
        }
        environ = scene.environ(
            'POST',
            '/allocations',
            body=json.dumps(claims).encode(),
            token=guarded.admin.token,
        )
        take(records)
        assert send(guarded.application, environ).status == 204
        (event,) = take(records, 'ownership')
        # The one that was emptied is nobody's now because it is no more.
        assert event['change_count'] == 2

    def test_a_write_that_failed(self, guarded: Deployment, records: Records) -> None:
        scene = Scene(guarded)
        take(records)
        assert _put(scene, scene.foreign, generation=7) == 409
        assert take(records, 'ownership') == []

    def test_an_owners_write(self, guarded: Deployment, records: Records) -> None:
        """Judged by whom it belongs to: not an event."""
        scene = Scene(guarded)
        take(records)
        body = json.dumps(scene.claim()).encode()
        environ = scene.environ('PUT', '/allocations/{CA}', body=body)
        assert send(guarded.application, environ).status == 204
        assert take(records, 'ownership') == []

    def test_without_a_database(self, deploy: Deploy, records: Records) -> None:
        """No look-up for it by default, and with ``all`` none that hurts."""
        for which in ('denied', 'all'):
            scene = Scene(deploy())
            blind = deploy(
                options={
                    'audit': which,
                    'connection': 'sqlite:////nonexistent/placement.db',
                }
            )
            scene.deployed = blind
            take(records)
            claim = scene.claim(owner=scene.alice)
            environ = scene.environ(
                'PUT',
                '/allocations/{CB}',
                body=json.dumps(claim).encode(),
                token=blind.admin.token,
            )
            assert send(blind.application, environ).status == 204
            events = take(records, 'ownership')
            assert len(events) == 1
            assert 'former' not in events[0]['changes'][0]


class TestSurvey:
    """In shadow mode, records hold all that rules could ask for."""

    @pytest.fixture
    def scene(self, deploy: Deploy) -> Scene:
        options = {'enforcement': 'shadow', 'audit': 'all'}
        return Scene(deploy(options=options, rules={}))

    def test_a_read_allowed_by_role_records_the_owner_too(
        self, scene: Scene, records: Records
    ) -> None:
        take(records)
        assert _read(scene, scene.foreign, token=scene.deployed.admin.token) == 200
        (record,) = take(records)
        assert record['by'] == 'role'
        (target,) = record['targets']
        assert target['standing'] == 'recorded'

    @pytest.mark.parametrize('method', ['PUT', 'DELETE'])
    def test_of_a_write_that_no_owner_may(
        self, scene: Scene, records: Records, method: str
    ) -> None:
        take(records)
        body = json.dumps(scene.claim()).encode() if method == 'PUT' else None
        environ = scene.environ(method, '/allocations/{CA}', body=body)
        assert send(scene.deployed.application, environ).status == 204
        (record,) = take(records)
        assert record['outcome'] == 'would deny'
        about = [target['about'] for target in record['targets']]
        assert about[0] == 'recorded owner'
        assert ('claimed owner' in about) is (method == 'PUT')

    def test_of_an_unreadable_body(self, scene: Scene, records: Records) -> None:
        take(records)
        environ = scene.environ('PUT', '/allocations/{CA}', body=b'{')
        assert send(scene.deployed.application, environ).status == 400
        (record,) = take(records)
        assert record['targets'] == []
