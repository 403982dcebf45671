# SPDX-License-Identifier: Apache-2.0
"""Candidate rules beside the rules in force: records, counters, and no effect."""

import dataclasses
import json
import pathlib
import re
import stat
import time
from collections.abc import Iterator

import pytest
import yaml

from tests.administrator import SUMS_VERSION
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.functional.conftest import Records
from tests.functional.test_metrics import Server
from tests.functional.test_records import DECISION, take
from tests.functional.traffic import Traffic, play
from tests.fuzz.wire import Answer, comparable_rows, send
from tests.scenery import Scene

LIST = 'consumer_guard:allocations:list'
#: Owners are allowed no more, and every reader to read the sums of everybody.
CANDIDATE = {LIST: 'role:admin', 'consumer_guard:usages': 'role:reader'}
FIELDS = {*DECISION, 'would_change', 'candidate_digest'}
#: Where placement shows a generation.
GENERATION = re.compile(rb'(?<=expected )-?\d+|(?<="consumer_generation": )-?\d+')


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def write(folder: pathlib.Path, rules: object = CANDIDATE) -> str:
    path = folder / 'candidate.yaml'
    path.write_text(rules if isinstance(rules, str) else yaml.safe_dump(rules))
    return str(path)


@pytest.mark.parametrize('mode', ['enforce', 'shadow'])
def test_a_difference_makes_a_record_and_a_counter(
    deploy: Deploy, records: Records, server: Server, tmp_path: pathlib.Path, mode: str
) -> None:
    options = {
        'candidate_policy_file': write(tmp_path),
        'enforcement': mode,
        'statsd_host': '127.0.0.1',
        'statsd_port': server.port,
    }
    scene = Scene(deploy(options=options))
    server.take()
    take(records, 'candidate')
    reader = scene.deployed.add_user('reader', project_id=scene.alice.project_id)
    sums = f'/usages?project_id={scene.deployed.admin.project_id}'
    statuses = [
        scene.deployed.request('GET', path, reader, version=SUMS_VERSION).status_int
        for path in (f'/allocations/{scene.own}', sums)
    ]
    assert statuses == [200, 200 if mode == 'shadow' else 403]
    refused, allowed = take(records, 'candidate')
    assert set(refused) == set(allowed) == FIELDS
    shown = [(r['operation'], r['would_change'], r['mode']) for r in (refused, allowed)]
    assert shown == [
        ('allocations:list', 'newly refused', mode),
        ('usages', 'newly allowed', mode),
    ]
    assert refused['outcome'].endswith('allow')
    assert allowed['outcome'].endswith('deny')
    assert refused['candidate_digest'] != refused['rules_digest']
    counted = [name for name in server.take() if '.candidate.' in name]
    assert counted == [
        f'consumer_guard.candidate.allocations_list.newly_refused.{mode}',
        f'consumer_guard.candidate.usages.newly_allowed.{mode}',
    ]


def _show(answer: Answer) -> object:
    """An answer without the generations that seals draw by lot."""
    kept = [pair for pair in answer.headers if pair[0].lower() != 'content-length']
    body = GENERATION.sub(b'N', answer.body)
    return comparable_rows(dataclasses.replace(answer, headers=tuple(kept), body=body))


@pytest.mark.parametrize('enforcement', ['enforce', 'shadow'])
def test_no_answer_changes_whatever_the_candidate_is(
    deploy: Deploy, tmp_path: pathlib.Path, enforcement: str
) -> None:
    """Byte by byte; wide open, or in one of the modes unusable in each way."""
    options = {'enforcement': enforcement, 'audit': 'all', 'max_body_size': 8192}
    without = deploy(options=options, rules=OWNER_RULES)
    scene = Traffic(without)
    # Somebody for whom the owner decides, and somebody for whom a role does.
    scene.callers = [scene.alice, scene.service]
    traffic = scene.requests()
    put_back = scene.tables.save()
    expected = [_show(each) for each in play(without.application, traffic)]
    everything = {f'consumer_guard:{name}': '@' for name in ('usages', LIST[15:])}
    huge = tmp_path / 'huge.yaml'
    with huge.open('wb') as file:
        file.truncate(2**40)  # sparse
    unusable = {
        'enforce': [huge, tmp_path],
        'shadow': [tmp_path / 'missing.yaml'],
    }[enforcement]
    wide_open = write(tmp_path, everything | dict.fromkeys(OWNER_RULES, '@'))
    for path in (wide_open, *map(str, unusable)):
        put_back()
        deployed = deploy(
            options={**options, 'candidate_policy_file': path}, rules=OWNER_RULES
        )
        answers = play(deployed.application, traffic)
        for request, one, other in zip(traffic, expected, answers, strict=True):
            assert _show(other) == one, (path, request)


def test_a_candidate_that_breaks_is_reported_and_reloaded(
    deploy: Deploy,
    records: Records,
    tmp_path: pathlib.Path,
) -> None:
    path = pathlib.Path(write(tmp_path))
    scene = Scene(deploy(options={'candidate_policy_file': str(path)}))
    environ = scene.environ('GET', '/allocations/{CB}', scene.own)

    def read() -> list[str]:
        assert send(scene.deployed.application, dict(environ)).status == 200
        errors.extend(line for line in records.lines if 'Candidate policy' in line)
        return [record['would_change'] for record in take(records, 'candidate')]

    def read_later() -> list[str]:
        for _ in range(4):
            time.sleep(0.06)
            found = read()
        return found

    errors: list[str] = []
    assert read() == ['newly refused']
    path.write_text(f'"{LIST}": 5\n')
    assert read_later() == []
    (line,) = errors
    assert line.startswith('ERROR Candidate policy file: ')
    assert str(path) in line
    assert LIST in line
    path.write_text(f'"{LIST}": "!"\n')
    assert read_later() == ['newly refused']
    assert len(errors) == 1


def test_without_audit_a_candidate_makes_no_record(
    deploy: Deploy, records: Records, tmp_path: pathlib.Path
) -> None:
    options = {'candidate_policy_file': write(tmp_path), 'audit': 'none'}
    scene = Scene(deploy(options=options))
    environ = scene.environ('GET', '/allocations/{CB}', scene.own)
    assert send(scene.deployed.application, environ).status == 200
    assert take(records, 'candidate') == []


def test_a_candidate_record_masks_ids_of_others_and_stands_in_the_unmasked_file(
    deploy: Deploy, records: Records, tmp_path: pathlib.Path
) -> None:
    private = tmp_path / 'private.log'
    options = {
        'candidate_policy_file': write(tmp_path, {LIST: 'role:reader'}),
        'audit_unmasked_file': str(private),
    }
    scene = Scene(deploy(options=options))
    take(records, 'candidate')
    environ = scene.environ('GET', '/allocations/{CB}', scene.foreign)
    assert send(scene.deployed.application, environ).status == 403
    (record,) = take(records, 'candidate')
    assert record['would_change'] == 'newly allowed'
    assert scene.foreign not in json.dumps(record)
    lines = map(json.loads, private.read_text().splitlines())
    (unmasked,) = [line for line in lines if line['event'] == 'candidate']
    assert unmasked['consumers'] == [scene.foreign]
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
