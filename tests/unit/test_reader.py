# SPDX-License-Identifier: Apache-2.0
"""Records read back: nothing is guessed about what they do not show."""

import json
from typing import Any

import pytest

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
