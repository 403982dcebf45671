# SPDX-License-Identifier: Apache-2.0
"""A rollout, from open traffic to the guard: what was predicted is what comes."""

import collections
import itertools
import json
import pathlib
from collections.abc import Iterator

import pytest
import yaml

from consumer_guard.cmd import main as guard_main
from consumer_guard.guard import model
from tests.administrator import make_claim
from tests.deployment import Deploy, Deployment
from tests.functional.conftest import Records
from tests.functional.traffic import BAD_VERSIONS, Request, Traffic, play
from tests.fuzz.wire import comparable_rows

pytestmark = pytest.mark.usefixtures('no_root_handlers')

#: As placement was opened before there was a guard.
OLD = {operation.rule: '@' for operation in model.OPERATIONS}

#: The guard's defaults: what the samples in etc/ put in force.
NEW: dict[str, str] = {}


def _list_writes(scene: Traffic) -> Iterator[Request]:
    """Each on a consumer of its own, so that no write matters to another."""
    owners = (scene.alice, scene.bob)
    for caller, owner in itertools.product(scene.callers, owners):
        for version in ('1.7', '1.12', '1.38'):
            consumer = scene.deployed.add_consumer(scene.provider, owner)
            claim = make_claim(scene.provider, scene.alice, 1, version)
            yield Request(
                'PUT',
                f'/allocations/{consumer}',
                caller,
                version=version,
                body=json.dumps(claim).encode(),
            )
        consumer = scene.deployed.add_consumer(scene.provider, owner)
        yield Request('DELETE', f'/allocations/{consumer}', caller)
        consumer = scene.deployed.add_consumer(scene.provider, owner)
        claims = {consumer: make_claim(scene.provider, scene.alice, 1)}
        body = json.dumps(claims).encode()
        yield Request('POST', '/allocations', caller, body=body)


def _predict(
    folder: pathlib.Path, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> collections.Counter[tuple[str, str]]:
    """What the command says would be refused: by operation and user."""
    for name, rules in (('old', OLD), ('new', NEW)):
        (folder / f'{name}.yaml').write_text(yaml.safe_dump(rules))
    records = folder / 'records.json'
    records.write_text('\n'.join(lines) + '\n')
    capsys.readouterr()
    command = ['policy', 'diff', str(folder / 'old.yaml'), str(folder / 'new.yaml')]
    status = guard_main.main([*command, '--replay', str(records), '-f', 'json'])
    assert status == 1, 'something changes'
    said = capsys.readouterr()
    assert ' 0 undecided' in said.err
    refused: collections.Counter[tuple[str, str]] = collections.Counter()
    for row in json.loads(said.out):
        if row['by'] != 'record':
            continue
        assert row['change'] == 'newly refused', row
        user = row['who'].partition('(user ')[2].partition(',')[0]
        refused[row['operation'], user] += row['count']
    return refused


def test_shadow_changes_nothing_and_predicts_all_that_enforcing_refuses(
    deploy: Deploy,
    records: Records,
    tmp_path: pathlib.Path,
    naive: Deployment,
    capsys: pytest.CaptureFixture[str],
) -> None:
    naive.activate()
    scene = Traffic(naive)
    # Placement answers a bad microversion alike, whatever was decided.
    reads = [read for read in scene.reads() if read.version not in BAD_VERSIONS]
    traffic = [*reads, *_list_writes(scene)]
    put_back = scene.tables.save()
    bare = play(naive.application, traffic)

    put_back()
    options = {'enforcement': 'shadow', 'audit': 'all'}
    shadowed = deploy(options=options, rules=OLD)
    del records.lines[:]
    shadow = play(shadowed.application, traffic)
    assert list(map(comparable_rows, shadow)) == list(map(comparable_rows, bare))
    lines = [line.partition(' ')[2] for line in records.lines if '{' in line]
    predicted = _predict(tmp_path, lines, capsys)

    put_back()
    # Generations of providers are null behind the guard, which is no refusal.
    options = {'audit': 'all', 'hide_provider_generation': 'false'}
    enforcing = deploy(options=options, rules=NEW)
    enforced = play(enforcing.application, traffic)
    refused: collections.Counter[tuple[str, str]] = collections.Counter()
    for request, one, other in zip(traffic, bare, enforced, strict=True):
        if comparable_rows(one) != comparable_rows(other):
            assert other.status == 403, request
            refused[_name(request), request.caller.user_id] += 1
    assert refused == predicted
    assert refused.total() > 50
    # Nobody who works for the cloud notices anything.
    staff = {scene.service.user_id, naive.admin.user_id}
    assert not staff & {who for _, who in refused}


def _name(request: Request) -> str:
    for operation in model.OPERATIONS:
        pattern = operation.path.partition('{')[0].rstrip('/')
        if operation.method == request.method and request.path.startswith(pattern):
            return operation.name
    raise AssertionError(request)
