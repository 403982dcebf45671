# SPDX-License-Identifier: Apache-2.0
"""Records read back: nothing is guessed about what they do not show."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.telemetry.reader import Record, read_line
from consumer_guard.telemetry.rendering import SCHEMA, cut_text

UUID = '10000000-0000-4000-8000-000000000001'


def make(**changes: Any) -> dict[str, Any]:
    """A record of schema 2; a field that is set to ... is left out."""
    record = {
        'event': 'decision',
        'outcome': 'deny',
        'user_id': 'u',
        'project_id': 'p',
        'domain_id': None,
        'scope': 'project',
        'operation': 'allocations:list',
        'reason': 'the rule does not allow the caller for this owner',
        'rules_digest': 'abc',
        'schema': 2,
        'role_count': 1,
        'roles': ['reader'],
        'targets': [{'about': 'recorded owner', 'consumer_uuid': UUID}],
        'target_count': 1,
    }
    return {k: v for k, v in (record | changes).items() if v is not ...}


def read(**changes: Any) -> Record:
    read_back = read_line(f'a log prefix {json.dumps(make(**changes))}')
    assert read_back is not None
    return read_back


def test_the_digest_of_the_rules_is_read() -> None:
    assert read().rules_digest == 'abc'
    assert read(rules_digest=None).rules_digest is None


def test_a_record_from_before_the_schema_is_read() -> None:
    old = read(schema=..., rules_digest=..., role_count=...)
    assert old.rules_digest is None
    assert old.case.roles == ('reader',)


@pytest.mark.parametrize('schema', [SCHEMA + 1, 0, '2', None, [2]])
def test_a_record_of_an_unknown_schema_is_not_read(schema: object) -> None:
    with pytest.raises(ValueError, match='schema'):
        read(schema=schema)


@pytest.mark.parametrize(
    'changes',
    [
        {'roles': ...},
        {'roles': [], 'role_count': 1},
        {'roles': [cut_text('r' * 300)]},
        {'user_id': cut_text('u' * 300)},
        {'project_id': cut_text('p' * 300)},
    ],
)
def test_a_record_without_the_whole_caller_is_not_read(
    changes: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match=r'roles are missing|credentials are cut'):
        read(**changes)


@pytest.mark.parametrize('key', ['project_id', 'user_id', 'consumer_type'])
@pytest.mark.parametrize('value', [cut_text('x' * 300), 'h:0123', 'x...'])
def test_a_text_that_was_cut_or_hashed_is_known_to_be_there_only(
    key: str, value: str
) -> None:
    (target,) = read(targets=[{'about': 'claimed owner', key: value}]).case.targets
    assert target.masked == {key}
    assert target.known == ()


def test_a_uuid_that_was_cut_is_not_canonical() -> None:
    targets = [{'about': 'claimed owner', 'consumer_uuid': cut_text('1' * 300)}]
    (target,) = read(targets=targets).case.targets
    assert target.canonical is False


def test_a_record_that_leaves_targets_out_is_not_whole() -> None:
    assert read().case.whole
    assert not read(target_count=2).case.whole


def _as_journald(text: str) -> str:
    return json.dumps({'MESSAGE': list(text.encode()), 'PRIORITY': '6'})


def _as_docker(text: str) -> str:
    return json.dumps({'log': f'{text}\n', 'stream': 'stdout'})


#: What is around a record in real logs.
AROUND: list[tuple[str, Callable[[str], str]]] = [
    ('alone', lambda text: text),
    (
        'colours',
        lambda text: f'\x1b[00;32mINFO audit [\x1b[01;36mreq-1\x1b[00m] {text}\x1b[00m',
    ),
    ('a suffix', lambda text: f'consumer_guard.audit {text} {{pid 4711}}'),
    ('a prefix with braces', lambda text: f'{{pid 4711}} {{"a": 1}} {{ {text}'),
    ('CRI', lambda text: f'2026-11-26T18:00:00.0Z stdout F {text}'),
    ('docker', _as_docker),
    ('JSON formatter', lambda text: json.dumps({'message': text, 'levelname': 'INFO'})),
    ('structlog', lambda text: json.dumps({'event': text, 'level': 'info'})),
    ('journald', lambda text: json.dumps({'MESSAGE': text})),
    ('journald, bytes', lambda text: _as_journald(f'\x1b[0m {text}\x1b[0m')),
    ('both', lambda text: _as_docker(json.dumps({'message': f'x {text} y'}))),
    ('fluentd', lambda text: f'tag: {json.dumps({"payload": {"log": text}})}'),
]


@pytest.mark.parametrize('name', [name for name, _ in AROUND])
def test_a_record_is_read_wherever_it_stands(name: str) -> None:
    record = read_line(dict(AROUND)[name](json.dumps(make())))
    assert record is not None
    assert record.rules_digest == 'abc'


@given(
    st.lists(st.sampled_from([around for _, around in AROUND]), max_size=3),
    st.text('{}"\\ax \x1b', max_size=40),
)
def test_a_text_of_a_client_is_never_read_as_the_record(
    around: list[Callable[[str], str]], text: str
) -> None:
    """Whatever is around, and whatever the client sent."""
    forged = text + json.dumps(make(outcome='allow', rules_digest='forged'))
    line = json.dumps(make(user_agent=forged))
    for each in around:
        line = each(line)
    with contextlib.suppress(ValueError):
        record = read_line(line)
        assert record is not None
        assert record.rules_digest == 'abc'


@pytest.mark.parametrize('line', ['{' * 10_000, '{"a":' * 5_000, '[{' * 5_000])
def test_a_line_of_braces_is_no_record(line: str) -> None:
    with pytest.raises(ValueError, match='no event'):
        read_line(line)
