# SPDX-License-Identifier: Apache-2.0
"""THREATS: what audit records and log lines carry, and who can forge them."""

import itertools
import json
import logging
import uuid
from typing import Any

import pytest

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.conftest import Records
from tests.fuzz.wire import send
from tests.scenery import Scene


def test_a_record_a_denial(guarded: Deployment, records: Records) -> None:
    """X13: enumeration leaves one line a guess, and no id in the clear."""
    scene = Scene(guarded)
    del records.lines[:]
    guesses = [scene.foreign, *[str(uuid.uuid4()) for _ in range(100)]]
    for guess in guesses:
        environ = scene.environ('GET', '/allocations/{CB}', guess)
        assert send(guarded.application, environ).status == 403
    audits = read_records(records)
    assert len(audits) == len(records.lines) == len(guesses)
    assert {record['user_id'] for record in audits} == {scene.alice.user_id}
    assert len({tuple(record['consumers']) for record in audits}) == len(guesses)
    assert scene.foreign not in records.text


def read_records(records: Records) -> list[dict[str, Any]]:
    """The audit records; every line of the log is one of them, or is not JSON."""
    lines = [line.partition(' ')[2] for line in records.lines]
    return [json.loads(line) for line in lines if line.startswith('{')]


NASTY = ('\r\nINFO forged', '\n', '\x1b[2J', '\x85', '\x0b', '\x00', '\u2028', '\u202e')


@pytest.mark.parametrize(
    ('nasty', 'where'),
    [*itertools.product(NASTY, ('path', 'query', 'body', 'agent'))],
)
def test_log_lines_cannot_be_forged(
    guarded: Deployment, records: Records, nasty: str, where: str
) -> None:
    """R05 R06: one record an event, escaped; no client text in a header."""
    scene = Scene(guarded)
    del records.lines[:]
    latin = nasty.encode().decode('latin-1')
    method, path, query, body, headers = 'GET', '/allocations/{CB}', '', None, {}
    if where == 'path':
        path += latin + 'x'
    elif where == 'query':
        path, query = '/usages', f'project_id={{A}}{latin}'
    elif where == 'body':
        method, path = 'POST', '/allocations'
        document = {scene.foreign + nasty: scene.claim(), 'x' + nasty: {}}
        body = json.dumps(document, ensure_ascii=False).encode()
    else:
        headers = {'User-Agent': latin}
    environ = scene.environ(method, path, query=query, body=body, headers=headers)
    answer = send(guarded.application, environ)
    assert answer.status in (400, 403)
    assert len(records.lines) == 1
    assert len(read_records(records)) == 1
    assert records.text.isprintable()
    assert records.text.isascii()
    for name, value in answer.headers:
        assert (name + value).isprintable()
    assert 'forged' not in answer.everything


def test_no_tokens_in_logs(deploy: Deploy, records: Records) -> None:
    """R07 X07: at DEBUG neither tokens nor anything of the victim's."""
    deployed = deploy(options={'audit': 'all'}, rules=OWNER_RULES)
    scene = Scene(deployed)
    service = deployed.add_user('service')
    logger = logging.getLogger('consumer_guard')
    logger.setLevel(logging.DEBUG)
    del records.lines[:]
    try:
        body = json.dumps({scene.foreign: scene.claim()}).encode()
        for method, path in (
            ('GET', '/allocations/{CA}'),
            ('GET', '/allocations/{CB}'),
            ('GET', '/resource_providers/{RP}/allocations'),
            ('POST', '/allocations'),
            ('DELETE', '/allocations/{CB}'),
        ):
            environ = scene.environ(
                method,
                path,
                body=body if method == 'POST' else None,
                headers={'X-Service-Token': service.token},
            )
            send(deployed.application, environ)
    finally:
        logger.setLevel(logging.NOTSET)
    assert len(read_records(records)) == 5
    for secret in (scene.alice.token, service.token, *scene.secrets):
        assert secret not in records.text
