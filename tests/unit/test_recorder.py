# SPDX-License-Identifier: Apache-2.0
"""Records of any request: bounded, complete, refused consumers first."""

import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.analysis.simulation import KnownOwners
from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.model import (
    Body,
    Caller,
    Claim,
    Owner,
    OwnerStatus,
    Ruling,
    Truth,
    make_target,
)
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.journal import LOG, Journal
from consumer_guard.telemetry.metrics import NONE
from consumer_guard.telemetry.recorder import Recorder
from tests.loglines import LogLines, keep_lines
from tests.profiles import budget
from tests.unit.test_rendering import ANY_TEXT

RULES = Rulebook.build([])
LIMIT = 8_192
TEXT = st.none() | ANY_TEXT
UUIDS = st.lists(st.uuids(version=4).map(str) | ANY_TEXT, max_size=40, unique=True)


class Query(dict[str, str]):
    """The payload of GET /usages."""

    def read_usages_target(self) -> Mapping[str, str]:
        return self

    def read_document(self) -> Any:
        raise Unreadable


def take_records(log: LogLines) -> list[dict[str, Any]]:
    """The records since the last time; each was within the limit."""
    taken = log.take()
    assert all(len(line) < LIMIT and line.isascii() for line in taken)
    return [json.loads(line) for line in taken]


@pytest.fixture(scope='module')
def log() -> Iterator[LogLines]:
    with keep_lines(LOG) as lines:
        yield lines


@pytest.fixture(scope='module')
def unmasked(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp('records') / 'unmasked.log'


def make_recorder(
    unmasked: pathlib.Path | str = '', *, which: str = 'all', mode: str = 'enforce'
) -> Recorder:
    journal = Journal('secret', str(unmasked), NONE)
    return Recorder(which, mode, journal, NONE, KnownOwners({}))


@st.composite
def make_cases(draw: st.DrawFn) -> tuple[GuardedRequest, Caller, Any, Fulfilment]:
    """Any request with any decision on it; not only those that can happen."""
    operation = draw(st.sampled_from(model.OPERATIONS))
    uuids = draw(UUIDS)
    owners = {
        uuid: Owner(
            uuid, draw(st.sampled_from(OwnerStatus)), draw(TEXT), draw(TEXT), draw(TEXT)
        )
        for uuid in uuids
    }
    claims = [Claim(u, draw(TEXT), draw(TEXT), draw(TEXT), 1, False) for u in uuids]
    rulings = [
        Ruling(operation.rule, about, draw(st.sampled_from(Truth)), owner.target())
        for about in ('recorded owner', 'claimed owner')
        for owner in owners.values()
    ]
    texts = {name: draw(TEXT) for name in ('user_id', 'project_id', 'domain_id')}
    caller = Caller(
        texts | {'roles': draw(st.lists(ANY_TEXT, max_size=40))},
        frozenset(),
        draw(st.sampled_from(('project', 'domain', 'system'))),
        'req-1',
    )
    environ = {
        name: draw(TEXT)
        for name in (
            'HTTP_USER_AGENT',
            'REMOTE_ADDR',
            'openstack.request_id',
            'openstack.global_request_id',
        )
    }
    decision = Decision(
        draw(st.sampled_from(Outcome)),
        draw(st.sampled_from(Reason)),
        rulings=tuple(rulings),
        owners=draw(st.sampled_from((None, owners))),
        rules=RULES,
    )
    body = draw(st.sampled_from((None, Body({}, tuple(claims)))))
    request = GuardedRequest(
        operation, draw(TEXT), draw(TEXT), (1, 38), Query(draw(st.just({'x': 'y'})))
    )
    return request, caller, environ, Fulfilment(decision, body)


@budget(80, 5_000)
@given(case=make_cases(), mode=st.sampled_from(('enforce', 'shadow')))
def test_no_record_exceeds_the_limit_whatever_is_sent(
    log: LogLines,
    unmasked: pathlib.Path,
    case: tuple[GuardedRequest, Caller, Any, Fulfilment],
    mode: str,
) -> None:
    request, caller, environ, fulfilment = case
    recorder = make_recorder(unmasked, mode=mode)
    unmasked.unlink(missing_ok=True)
    write = recorder.record_decision(request, caller, environ, fulfilment, 0.001)
    assert write is not None
    write(204)
    records = take_records(log)
    lines = unmasked.read_text().splitlines()
    assert [record['event'] for record in records][:1] == ['decision']
    assert len(lines) == len(records) <= 2
    for record in (*records, *map(json.loads, lines)):
        assert record['status'] == 204
        assert record['schema'] == 2
    assert all(len(line) < LIMIT for line in lines)
    assert list(records[0])[:4] == ['event', 'outcome', 'user_id', 'project_id']
    decision = fulfilment.decision
    if decision.owners:
        assert records[0]['consumers']
        assert records[0]['targets']


@budget(100, 2_000)
@given(
    allowed=st.integers(0, 60),
    refused=st.integers(1, 60),
    status=st.sampled_from(OwnerStatus),
    shuffled=st.randoms(use_true_random=False),
)
def test_refused_consumers_are_named_before_allowed_ones(
    log: LogLines, allowed: int, refused: int, status: OwnerStatus, shuffled: Any
) -> None:
    """Wherever in the request they stand, and however many there are."""
    rule = model.ALLOCATIONS_MANAGE.rule
    mine = [f'{number:08x}-0000-4000-8000-000000000000' for number in range(allowed)]
    theirs = [f'{number:08x}-1111-4000-8000-000000000000' for number in range(refused)]
    uuids = mine + theirs
    shuffled.shuffle(uuids)
    owners, rulings = {}, []
    for uuid in uuids:
        is_mine = uuid in mine
        owner = Owner(
            uuid,
            OwnerStatus.RECORDED if is_mine else status,
            'p' if is_mine else 'q',
            has_allocations=True,
        )
        owners[uuid] = owner
        if owner.status is OwnerStatus.RECORDED:
            truth = Truth.YES if is_mine else Truth.NO
            rulings.append(Ruling(rule, 'recorded owner', truth, owner.target()))
        claim = make_target(consumer_uuid=uuid, project_id='p')
        rulings.append(Ruling(rule, 'claimed owner', Truth.YES, claim))
    decision = Decision(
        Outcome.REFUSE,
        Reason.NOT_ALLOWED,
        depends=True,
        rulings=tuple(rulings),
        owners=owners,
    )
    caller = Caller({'project_id': 'p', 'user_id': 'u'}, frozenset(), 'project', 'r')
    request = GuardedRequest(model.ALLOCATIONS_MANAGE, None, None, (1, 38), Query())
    write = make_recorder().record_decision(
        request, caller, {}, Fulfilment(decision), 0.0
    )
    assert write is not None
    write(403)
    (record,) = take_records(log)
    shown = min(refused, 16)
    # Ids of others are hashes, one's own are not.
    assert all(uuid.startswith('h:') for uuid in record['consumers'][:shown])
    assert all(not uuid.startswith('h:') for uuid in record['consumers'][shown:])
    hidden = [target['consumer_uuid'].startswith('h:') for target in record['targets']]
    assert hidden == sorted(hidden, reverse=True)
    assert hidden.count(True) == 2 * shown
    assert record['consumer_count'] == allowed + refused
    assert record['target_count'] == 2 * (allowed + refused)


def test_a_record_says_when_where_and_under_which_rules(log: LogLines) -> None:
    request = GuardedRequest(model.ALLOCATIONS_LIST, 'x', None, (1, 38), Query())
    caller = Caller({'project_id': 'p', 'user_id': 'u'}, frozenset(), 'project', 'r')
    environ = {'REMOTE_ADDR': '192.0.2.7'}
    decision = Decision(Outcome.REFUSE, Reason.DENIED, rules=RULES)
    write = make_recorder().record_decision(
        request, caller, environ, Fulfilment(decision), 0.0
    )
    assert write is not None
    write(None)
    (record,) = take_records(log)
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00', record['timestamp']
    )
    assert record['client_address'] == '192.0.2.7'
    assert record['status'] is None
    assert record['rules_digest'] == RULES.digest
    assert record['process'] > 0
    assert record['host']
    assert record['guard_version']
