# SPDX-License-Identifier: Apache-2.0
"""Replay reports of a record what the guard does with the request.

Random rules (those in force, OLD and NEW), random callers and owners; the
records are those that the guard's own observer writes, read back from JSON.
"""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.analysis.equivalence import Change, compare_rules
from consumer_guard.analysis.replay import replay
from consumer_guard.analysis.simulation import (
    KnownOwners,
    Subject,
    make_request,
    simulate_caller,
)
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Authorizer, Rules
from consumer_guard.guard.decision import Decision, Outcome
from consumer_guard.guard.model import Owner, OwnerStatus
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from consumer_guard.telemetry.journal import LOG, Journal
from consumer_guard.telemetry.metrics import NONE
from consumer_guard.telemetry.recorder import Recorder
from tests.loglines import keep_lines
from tests.profiles import budget

P, Q = 'p' * 32, 'q' * 32
U, V = 'u' * 32, 'v' * 32
PROVIDER = '50000000-0000-4000-8000-000000000005'
IDS = [f'{number}0000000-0000-4000-8000-00000000000{number}' for number in range(1, 5)]
OPEN = {Outcome.REFUSE: 0, Outcome.FILTER: 1, Outcome.PASSAGE: 2, Outcome.ROLE: 2}

ATOMS = st.sampled_from(
    (
        *('role:admin', 'role:reader', 'role:reader', '@', '!'),
        *('project_id:%(project_id)s', 'project_id:%(project_id)s'),
        *(
            'user_id:%(user_id)s',
            f'project_id:{P}',
            f'"{Q}":%(project_id)s'.replace('"', "'"),
        ),
        *("'VM':%(consumer_type)s", f'consumer_uuid:{IDS[0]}', 'is_admin_project:True'),
        *('service_roles:service', 'user_id:%(project_id)s', 'domain_id:%(user_id)s'),
        *('user_domain_id:%(user_id)s', 'role:%(consumer_type)s', 'x:y'),
        *('project_id:x-%(project_id)s', 'roles:reader', 'https://d/%(project_id)s'),
    )
)
#: By role, by ownership, and both, so that most pairs differ in who may do it.
PLAIN = st.sampled_from(
    (
        *('@', '!', 'role:reader', 'role:admin', 'not role:admin'),
        *('project_id:%(project_id)s', 'not project_id:%(project_id)s'),
        *('role:admin or project_id:%(project_id)s', 'user_domain_id:%(user_id)s'),
        *('not user_domain_id:%(user_id)s', "not 'VM':%(consumer_type)s"),
    )
)
TEXTS = PLAIN | st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map('not ({})'.format),
        st.tuples(inner, inner).map(lambda two: f'({two[0]} and {two[1]})'),
        st.tuples(inner, inner).map(lambda two: f'({two[0]} or {two[1]})'),
    ),
    max_leaves=4,
)
PEOPLE = st.builds(
    Subject,
    user_id=st.sampled_from((U, V)),
    roles=st.sampled_from(((), ('reader',), ('admin', 'reader'), ('VM',))),
    project_id=st.sampled_from((P, Q, None)),
    user_domain_id=st.sampled_from((None, V)),
    system=st.sampled_from((False, False, False, True)),
    is_admin_project=st.booleans(),
    service_roles=st.sampled_from(((), ('service',))),
)
OWNERS = st.fixed_dictionaries(
    {},
    optional={
        id_: st.builds(
            Owner,
            st.just(id_),
            st.sampled_from(
                (OwnerStatus.RECORDED, OwnerStatus.RECORDED, OwnerStatus.UNOWNED)
            ),
            project_id=st.sampled_from((P, Q)),
            user_id=st.sampled_from((U, V, None)),
            consumer_type=st.sampled_from(('VM', None)),
            generation=st.just(1),
            row_id=st.just(1),
            has_allocations=st.sampled_from((True, True, False)),
        )
        for id_ in (*IDS[:3], IDS[0].upper())
    },
)
CLAIMS = st.fixed_dictionaries(
    {
        'allocations': st.sampled_from(
            [{PROVIDER: {'resources': {'VCPU': amount}}} for amount in (1, 2, 3)] + [{}]
        ),
        'project_id': st.sampled_from((P, Q)),
        'user_id': st.sampled_from((U, V)),
        'consumer_generation': st.sampled_from((1, 1, 1, 0)),
        'consumer_type': st.sampled_from(('VM', 'OTHER')),
    }
)


@st.composite
def make_requests(draw: st.DrawFn) -> tuple[model.Operation, dict[str, Any]]:
    """An operation, and how to make the environ of a request for it."""
    operation = draw(st.sampled_from(model.OPERATIONS))
    uuid = draw(st.sampled_from((*IDS, IDS[0].upper(), 'X' + IDS[0][1:])))
    path = operation.path.format(consumer_uuid=uuid, uuid=PROVIDER)
    if operation is model.USAGES:
        path += draw(
            st.sampled_from(
                (
                    '',
                    f'?project_id={P}',
                    f'?project_id={Q}&user_id={U}',
                    '?user_id=' + U,
                )
            )
        )
    body: Any = None
    if operation is model.ALLOCATIONS_UPDATE:
        body = draw(CLAIMS)
    elif operation.method == 'POST':
        body = draw(
            st.dictionaries(
                st.sampled_from((*IDS, IDS[0].upper())), CLAIMS, min_size=1, max_size=2
            )
        )
        if operation is model.RESHAPE:
            body = {'inventories': {}, 'allocations': body}
    version = draw(st.sampled_from(('1.38', '1.38', '1.28', '1.12', '9.9')))
    return operation, {
        'method': operation.method,
        'path': path,
        'microversion': version,
        'body': b'' if body is None else json.dumps(body).encode(),
    }


class Fixed:
    """Rules that stay, and owners that stay."""

    def __init__(self, rules: Rules, owners: Mapping[str, Owner]) -> None:
        self.rules = rules
        self.authorizer = Authorizer(self, KnownOwners(owners), patience=60.0)

    def current(self) -> Rules:
        return self.rules

    def decide(
        self, person: Subject, made: dict[str, Any]
    ) -> tuple[GuardedRequest, Decision, frozenset[str]]:
        """The decision, and what is visible of a list."""
        request = make_request(**made)
        assert request is not None
        decision = self.authorizer.authorize(request, simulate_caller(person))
        visible = frozenset[str]()
        if decision.outcome is Outcome.FILTER:
            find_visible = self.authorizer.make_filter(request, simulate_caller(person))
            visible = frozenset(find_visible(IDS))
        return request, decision, visible


def make_book(operation: model.Operation, text: str) -> Rulebook:
    quoted = text.replace("'", "''")
    return Rulebook.build([PolicyText('x', f"'{operation.rule}': '{quoted}'")])


def write_record(
    person: Subject,
    request: GuardedRequest,
    decision: Decision,
    owners: Mapping[str, Owner],
    mode: str,
) -> list[str]:
    """The lines that the guard's recorder writes of a decision."""
    with keep_lines(LOG) as lines:
        recorder = Recorder(
            'all', mode, Journal('', '', NONE), NONE, KnownOwners(owners)
        )
        shown = recorder.look_up(request, Fulfilment(decision))
        caller = simulate_caller(person)
        write = recorder.record_decision(request, caller, {}, shown, 0.001)
        assert write is not None
        write(None)
    return lines.lines


@budget(75, 20_000)
@given(
    made=make_requests(),
    texts=st.tuples(TEXTS, TEXTS, TEXTS),
    person=PEOPLE,
    owners=OWNERS,
    mode=st.sampled_from(('enforce', 'shadow')),
    same=st.booleans(),
)
def test_an_effect_that_replay_reports_is_what_the_guard_does(
    made: tuple[model.Operation, dict[str, Any]],
    texts: tuple[str, str, str],
    person: Subject,
    owners: dict[str, Owner],
    mode: str,
    same: bool,
) -> None:
    operation, how = made
    then, old, new = (make_book(operation, text) for text in texts)
    request, decision, _ = Fixed(old if same else then, owners).decide(person, how)
    lines = write_record(person, request, decision, owners, mode)
    comparison = compare_rules(
        old.node(operation.rule), new.node(operation.rule), operation
    )
    equal = {operation.name} if comparison.equal else set()
    replayed = replay(lines, old, new, equal)
    assert (replayed.totals.total(), replayed.invalid) == (1, 0)
    (effect,) = [effect for effect, count in replayed.totals.items() if count]
    _, before, seen_before = Fixed(old, owners).decide(person, how)
    _, after, seen_after = Fixed(new, owners).decide(person, how)
    change = OPEN[after.outcome] - OPEN[before.outcome]
    if effect is Change.ALLOWED:
        assert change > 0
    elif effect is Change.REFUSED:
        assert change < 0
    elif effect is Change.UNCHANGED:
        assert change == 0
        assert seen_before == seen_after
    if same:
        assert replayed.unexplained == 0
