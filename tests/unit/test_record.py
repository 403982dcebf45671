# SPDX-License-Identifier: Apache-2.0
"""What a record contains, of values and masked."""

import pytest

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.model import Body, Caller, Claim, Owner, OwnerStatus, Ruling
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.masking import Mask, make_key, make_mask
from consumer_guard.telemetry.record import (
    MAX_CONSUMERS,
    describe_caller,
    describe_changes,
    describe_decision,
    describe_request,
    may_change_owner,
    name_outcome,
)

MASK = make_mask({'user_id': 'me', 'project_id': 'mine'}, make_key('secret'))
OPEN = Mask(None)
MINE = Owner('a', OwnerStatus.RECORDED, 'mine', 'me', None, 1, 1, True)
THEIRS = Owner('b', OwnerStatus.RECORDED, 'theirs', 'them', None, 1, 2, True)
NOBODYS = Owner('c', OwnerStatus.UNOWNED, has_allocations=True)


def make_request(
    operation: model.Operation = model.ALLOCATIONS_LIST,
    consumer: str | None = None,
    query: str = '',
) -> GuardedRequest:
    return GuardedRequest(operation, consumer, None, (1, 38), GivenPayload(query))


def make_claim(
    uuid: str = 'a', project: str | None = 'mine', user: str | None = 'me'
) -> Claim:
    return Claim(uuid, project, user, None, 1, False)


@pytest.mark.parametrize(
    ('outcome', 'mode', 'name'),
    [
        (Outcome.ROLE, 'enforce', 'allow'),
        (Outcome.PASSAGE, 'enforce', 'allow'),
        (Outcome.FILTER, 'shadow', 'would allow'),
        (Outcome.REFUSE, 'enforce', 'deny'),
        (Outcome.REFUSE, 'shadow', 'would deny'),
    ],
)
def test_an_outcome_is_named_for_its_mode(
    outcome: Outcome, mode: str, name: str
) -> None:
    assert name_outcome(outcome, mode) == name


def test_without_an_identity_nothing_is_said_of_a_caller() -> None:
    assert describe_caller(None) == {}


def test_of_a_caller_only_some_credentials_are_recorded() -> None:
    credentials = {'user_id': 'me', 'roles': ['reader'], 'token': 'secret'}
    described = describe_caller(Caller(credentials, frozenset(), 'project', 'req-1'))
    assert described == {
        'user_id': 'me',
        'project_id': None,
        'domain_id': None,
        'scope': 'project',
        'roles': ['reader'],
        'role_count': 1,
    }


def test_a_request_is_described_without_its_headers() -> None:
    environ = {'HTTP_X_AUTH_TOKEN': 'secret', 'HTTP_USER_AGENT': 'nova'}
    described = describe_request(model.USAGES, environ, 'enforce', (1, 9))
    assert described['microversion'] == '1.9'
    assert described['user_agent'] == 'nova'
    assert 'secret' not in str(described)


class TestDecision:
    def test_another_owners_ids_are_masked_and_the_callers_own_are_not(self) -> None:
        decision = Decision(owners={'a': MINE, 'b': THEIRS})
        described = describe_decision(make_request(), Fulfilment(decision), MASK)
        assert described['consumers'] == ['a', MASK.hide('b')]
        own, other = described['targets']
        assert (own['consumer_uuid'], own['project_id'], own['user_id']) == (
            'a',
            'mine',
            'me',
        )
        assert other['project_id'] == MASK.hide('theirs')
        assert other['user_id'] == MASK.hide('them')

    def test_a_claim_makes_nobody_the_owner(self) -> None:
        """Another owner's consumer stays masked, whatever the body claims."""
        shown = Fulfilment(Decision(owners={'b': THEIRS}), Body({}, (make_claim('b'),)))
        described = describe_decision(make_request(), shown, MASK)
        ids = {target['consumer_uuid'] for target in described['targets']}
        assert ids == {MASK.hide('b')}

    def test_nobodys_consumer_has_no_ids_and_a_standing(self) -> None:
        shown = Fulfilment(Decision(owners={'c': NOBODYS}))
        [target] = describe_decision(make_request(), shown, OPEN)['targets']
        assert target == {
            'about': 'recorded owner',
            'consumer_uuid': 'c',
            'project_id': None,
            'user_id': None,
            'consumer_type': None,
            'standing': 'nobody',
        }

    def test_what_was_not_looked_up_is_named_by_the_path(self) -> None:
        request = make_request(consumer='b')
        described = describe_decision(request, Fulfilment(Decision()), MASK)
        assert described['consumers'] == [MASK.hide('b')]
        assert (described['targets'], described['target_count']) == ([], 0)

    def test_refused_consumers_come_first_and_only_some_are_named(self) -> None:
        owners = {f'a{n}': MINE._replace(consumer_uuid=f'a{n}') for n in range(40)}
        refused = Ruling(
            'r', 'recorded owner', model.Truth.NO, {'consumer_uuid': 'a39'}
        )
        decision = Decision(owners=owners, rulings=(refused,))
        described = describe_decision(make_request(), Fulfilment(decision), OPEN)
        assert described['consumers'][0] == 'a39'
        assert len(described['consumers']) == len(described['targets']) == MAX_CONSUMERS
        assert described['consumer_count'] == described['target_count'] == 40

    def test_the_query_of_usages_is_a_target_where_it_is_readable(self) -> None:
        for query, targets in (
            ('project_id=theirs', [{'about': 'asked owner', 'project_id': 'theirs'}]),
            ('project_id=a&project_id=b', []),
        ):
            request = make_request(model.USAGES, query=query)
            described = describe_decision(request, Fulfilment(Decision()), OPEN)
            assert described['targets'] == targets

    def test_the_same_rulings_are_recorded_once(self) -> None:
        ruling = Ruling('r', 'recorded owner', model.Truth.YES, {})
        decision = Decision(Outcome.PASSAGE, Reason.OWNER, rulings=(ruling, ruling))
        described = describe_decision(make_request(), Fulfilment(decision), OPEN)
        assert described['rulings'] == ['recorded owner: YES']
        assert described['by'] == 'ownership'
        assert described['reason'] == Reason.OWNER.value


@pytest.mark.parametrize(
    ('claim', 'former', 'may'),
    [
        (make_claim(), MINE, False),
        (make_claim(), THEIRS, True),
        (make_claim(user='another'), MINE, True),
        (make_claim(), None, True),
        (make_claim(), NOBODYS, True),
        (make_claim(project=None, user=None), MINE, True),
        (make_claim(project=None, user=None), NOBODYS, False),
        (Claim('a', 'mine', 'me', None, 1, True), None, False),
        (Claim('a', 'mine', 'me', None, 1, True), THEIRS, False),
    ],
)
def test_only_a_claim_of_other_ids_than_the_recorded_ones_changes_the_owner(
    claim: Claim, former: Owner | None, may: bool
) -> None:
    assert may_change_owner(claim, former) is may


def test_changes_are_masked_counted_and_bounded() -> None:
    claims = {make_claim(f'c{n}', 'theirs', 'them'): MINE for n in range(20)}
    described = describe_changes(claims, MASK)
    assert described['change_count'] == 20
    assert len(described['changes']) == MAX_CONSUMERS
    assert described['changes'][0] == {
        'change': 'claim',
        'consumer_uuid': MASK.hide('c0'),
        'project_id': MASK.hide('theirs'),
        'user_id': MASK.hide('them'),
        'former': {'standing': 'recorded', 'project_id': 'mine', 'user_id': 'me'},
    }


def test_a_claim_without_a_project_is_a_loss() -> None:
    [change] = describe_changes({make_claim('b', None, None): None}, MASK)['changes']
    assert change == {
        'change': 'loss',
        'consumer_uuid': MASK.hide('b'),
        'project_id': None,
        'user_id': None,
    }
