# SPDX-License-Identifier: Apache-2.0
"""The way of a decision: what is read and looked up when, and what ends it."""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pytest

from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Authorizer, Rules
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.guard.errors import (
    OwnersUnavailable,
    PolicyLocked,
    RequestError,
    TooLarge,
    Unreadable,
)
from consumer_guard.guard.model import Caller, Owner, OwnerStatus, Truth
from consumer_guard.guard.request import GuardedRequest
from tests.fuzz.alone import CONSUMER, PROJECT, USER, FixedOwners, FixedRules

OTHER = 'cb000000-0000-4000-8000-0000000000b1'
CALLER = Caller(
    {'project_id': PROJECT, 'user_id': USER}, frozenset(), 'project', 'req-1'
)
WRITES = (model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE)
RECORDED = Owner(
    CONSUMER,
    OwnerStatus.RECORDED,
    PROJECT,
    USER,
    generation=1,
    row_id=1,
    has_allocations=True,
)
CLAIM: dict[str, Any] = {
    'allocations': {'x': {'resources': {'VCPU': 1}}},
    'project_id': PROJECT,
    'user_id': USER,
    'consumer_generation': 1,
    'consumer_type': 'INSTANCE',
}
EMPTY = CLAIM | {'allocations': {}}


class TypedOwners(FixedOwners):
    """Knows that one consumer type exists, besides.

    :ivar types_asked: the names of every look-up
    """

    def __init__(self, owners: Mapping[str, Owner] | None = None) -> None:
        super().__init__(owners)
        self.types_asked: list[set[str]] = []
        self.types_fault: OwnersUnavailable | None = None

    def find_types(self, names: Collection[str]) -> Collection[str]:
        self.types_asked.append({*names})
        if self.types_fault is not None:
            raise self.types_fault
        return {*names} & {'INSTANCE'}


class OpenRules(FixedRules):
    """They allow everything once the owner is known."""

    def judge(self, *_: object, final: bool) -> Truth:
        return Truth.YES if final else Truth.UNKNOWN


class ChangingRules:
    """A RuleSource whose rules can be replaced.

    :ivar rules: those in force
    """

    def __init__(self) -> None:
        self.rules = FixedRules(first=Truth.YES)

    def current(self) -> Rules:
        return self.rules


class Payload:
    """Query and document of a request; counts what is read, and may raise."""

    def __init__(
        self,
        document: object = None,
        target: Mapping[str, str] | None = None,
        fault: RequestError | None = None,
    ) -> None:
        self._document = document
        self._target = target or {}
        self._fault = fault
        self.read = 0

    def read_usages_target(self) -> Mapping[str, str]:
        self.read += 1
        if self._fault is not None:
            raise self._fault
        return self._target

    def read_document(self) -> Any:
        self.read += 1
        if self._fault is not None:
            raise self._fault
        return self._document


def make_request(
    operation: model.Operation,
    payload: Payload | None = None,
    consumer: str | None = None,
    version: tuple[int, int] = (1, 38),
) -> GuardedRequest:
    if consumer is None and '{consumer_uuid}' in operation.path:
        consumer = CONSUMER
    return GuardedRequest(operation, consumer, None, version, payload or Payload())


def make_authorizer(
    rules: FixedRules | None = None, owners: FixedOwners | None = None
) -> Authorizer:
    return Authorizer(rules or FixedRules(), owners or FixedOwners(), patience=10.0)


class TestPreliminary:
    """The rule with the owner unknown decides first, and alone where it can."""

    @pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
    @pytest.mark.parametrize(
        ('truth', 'outcome', 'reason'),
        [
            (Truth.YES, Outcome.ROLE, Reason.ROLE),
            (Truth.NO, Outcome.REFUSE, Reason.DENIED),
        ],
    )
    def test_a_rule_that_needs_no_owner_reads_and_looks_up_nothing(
        self,
        operation: model.Operation,
        truth: Truth,
        outcome: Outcome,
        reason: Reason,
    ) -> None:
        owners, payload = FixedOwners(), Payload(fault=Unreadable('x'))
        request = make_request(operation, payload, version=(1, 0))
        authorizer = make_authorizer(FixedRules(first=truth), owners)
        decision = authorizer.authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (outcome, reason)
        assert not decision.depends
        [ruling] = decision.rulings
        assert ruling == model.Ruling(operation.rule, 'caller', truth, {})
        assert (owners.asked, payload.read) == ([], 0)

    def test_without_usable_rules_the_request_is_refused(self) -> None:
        rules = FixedRules()
        rules.fault, rules.faults_in = PolicyLocked('locked'), 'current'
        request = make_request(model.ALLOCATIONS_LIST)
        decision = make_authorizer(rules).authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, Reason.LOCKED)
        assert not decision.depends
        assert decision.error is rules.fault
        assert decision.rulings == ()

    def test_requests_by_role_share_a_decision_until_the_rules_change(self) -> None:
        source = ChangingRules()
        authorizer = Authorizer(source, FixedOwners(), patience=10.0)
        request = make_request(model.ALLOCATIONS_LIST)
        first, second = (authorizer.authorize(request, CALLER) for _ in range(2))
        assert first is second
        assert first.rules is source.rules
        source.rules = FixedRules(first=Truth.YES)
        changed = authorizer.authorize(request, CALLER)
        assert changed.outcome is Outcome.ROLE
        assert changed.rules is source.rules

    @pytest.mark.parametrize(
        ('first', 'request_', 'reason'),
        [
            (Truth.YES, make_request(model.ALLOCATIONS_LIST), Reason.ROLE),
            (Truth.NO, make_request(model.ALLOCATIONS_LIST), Reason.DENIED),
            (Truth.UNKNOWN, make_request(model.RESHAPE), Reason.NEVER),
            (Truth.UNKNOWN, make_request(model.ALLOCATIONS_LIST), Reason.OWNER),
            (
                Truth.UNKNOWN,
                make_request(model.ALLOCATIONS_LIST, consumer='odd'),
                Reason.UNREADABLE,
            ),
        ],
        ids=lambda each: each.name if isinstance(each, Truth | Reason) else '',
    )
    def test_a_decision_names_the_rules_that_it_was_made_by(
        self, first: Truth, request_: GuardedRequest, reason: Reason
    ) -> None:
        rules = FixedRules(first=first)
        decision = make_authorizer(rules).authorize(request_, CALLER)
        assert decision.reason is reason
        assert decision.rules is rules

    @pytest.mark.parametrize('operation', [model.ALLOCATIONS_DELETE, model.RESHAPE])
    def test_an_obstacle_is_found_before_anything_is_read(
        self, operation: model.Operation
    ) -> None:
        owners, payload = FixedOwners(), Payload(EMPTY)
        request = make_request(operation, payload)
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, Reason.NEVER)
        assert decision.depends
        assert (owners.asked, payload.read) == ([], 0)

    @pytest.mark.parametrize(
        ('operation', 'odd'),
        [
            (model.ALLOCATIONS_LIST, {'consumer_uuid': CONSUMER.upper()}),
            (model.PROVIDER_ALLOCATIONS_LIST, {'provider_uuid': CONSUMER.upper()}),
        ],
        ids=['consumer', 'provider'],
    )
    def test_an_odd_id_is_unreadable_before_anything_is_read(
        self, operation: model.Operation, odd: dict[str, Any]
    ) -> None:
        owners = FixedOwners()
        request = make_request(operation)._replace(**odd)
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert decision.reason is Reason.UNREADABLE
        assert isinstance(decision.error, Unreadable)
        assert decision.depends
        assert [ruling.about for ruling in decision.rulings] == ['caller']
        assert owners.asked == []


class TestRead:
    """One consumer, the sums of a project, a list."""

    def test_ones_own_consumer_is_looked_up_once_and_shown(self) -> None:
        owners, payload = FixedOwners(), Payload()
        request = make_request(model.ALLOCATIONS_LIST, payload)
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.PASSAGE, Reason.OWNER)
        assert owners.asked == [frozenset({CONSUMER})]
        assert payload.read == 0
        assert decision.owners is not None
        assert decision.owners.keys() == {CONSUMER}

    def test_an_unknown_consumer_is_refused(self) -> None:
        request = make_request(model.ALLOCATIONS_LIST, consumer=OTHER)
        decision = make_authorizer().authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, Reason.ABSENT)
        assert decision.depends

    def test_a_look_up_that_fails_refuses_and_keeps_its_error(self) -> None:
        owners = FixedOwners()
        owners.fault = OwnersUnavailable('away')
        request = make_request(model.ALLOCATIONS_LIST)
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert decision.outcome is Outcome.REFUSE
        assert decision.reason is Reason.UNAVAILABLE
        assert decision.error is owners.fault
        assert decision.depends

    def test_any_other_exception_goes_through(self) -> None:
        """The shell refuses and logs what no part of the guard has foreseen."""
        owners = FixedOwners()
        owners.fault = KeyError('x')
        with pytest.raises(KeyError):
            make_authorizer(owners=owners).authorize(
                make_request(model.ALLOCATIONS_LIST), CALLER
            )

    @pytest.mark.parametrize(
        ('project', 'reason'),
        [(PROJECT, Reason.OWNER), ('theirs', Reason.NOT_ALLOWED)],
    )
    def test_sums_are_decided_by_the_query_alone(
        self, project: str, reason: Reason
    ) -> None:
        owners = FixedOwners()
        request = make_request(model.USAGES, Payload(target={'project_id': project}))
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert decision.reason is reason
        assert owners.asked == []

    def test_a_list_is_to_be_filtered_and_looks_up_nothing_yet(self) -> None:
        owners = FixedOwners()
        request = make_request(model.PROVIDER_ALLOCATIONS_LIST)
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert decision.outcome is Outcome.FILTER
        assert decision.depends
        assert owners.asked == []


class TestWrite:
    """PUT reads the body for the owner only; POST before it knows the owners."""

    def test_an_owners_put_passes_with_its_body(self) -> None:
        owners, payload = TypedOwners(), Payload(CLAIM)
        request = make_request(model.ALLOCATIONS_UPDATE, payload)
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.PASSAGE, Reason.OWNER)
        assert decision.body is not None
        assert decision.body.document is CLAIM
        assert owners.asked == [frozenset({CONSUMER})]
        assert payload.read == 1

    @pytest.mark.parametrize('fault', [None, Unreadable('x'), TooLarge('x')])
    def test_the_body_of_a_put_is_not_read_for_whoever_does_not_own_it(
        self, fault: RequestError | None
    ) -> None:
        payload = Payload(CLAIM, fault=fault)
        request = make_request(model.ALLOCATIONS_UPDATE, payload, OTHER)
        decision = make_authorizer().authorize(request, CALLER)
        assert decision.reason is Reason.ABSENT
        assert payload.read == 0

    def test_an_owners_put_that_empties_is_refused(self) -> None:
        request = make_request(model.ALLOCATIONS_UPDATE, Payload(EMPTY))
        decision = make_authorizer().authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, Reason.EMPTIES)
        assert decision.owners is not None

    def test_a_post_looks_all_its_consumers_up_at_once(self) -> None:
        owners = FixedOwners()
        payload = Payload({CONSUMER: CLAIM, OTHER: CLAIM})
        request = make_request(model.ALLOCATIONS_MANAGE, payload)
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert decision.reason is Reason.ABSENT
        assert owners.asked == [frozenset({CONSUMER, OTHER})]

    def test_an_owners_post_passes(self) -> None:
        payload = Payload({CONSUMER: CLAIM})
        request = make_request(model.ALLOCATIONS_MANAGE, payload)
        decision = make_authorizer(owners=TypedOwners()).authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.PASSAGE, Reason.OWNER)

    @pytest.mark.parametrize('key', ['project_id', 'user_id'])
    def test_a_caller_may_claim_for_itself(self, key: str) -> None:
        other: dict[str, Any] = {key: 'other'}
        owners = TypedOwners({CONSUMER: RECORDED._replace(**other)})
        request = make_request(model.ALLOCATIONS_UPDATE, Payload(CLAIM))
        decision = make_authorizer(OpenRules(), owners).authorize(request, CALLER)
        assert decision.reason is Reason.OWNER

    @pytest.mark.parametrize(
        ('name', 'looked_up'),
        [('INSTANCE', True), ('NEW', True), ('RECORDED', False), (None, False)],
    )
    @pytest.mark.parametrize('operation', WRITES, ids=lambda one: one.name)
    def test_a_type_that_is_not_recorded_is_looked_up(
        self, operation: model.Operation, name: str | None, looked_up: bool
    ) -> None:
        owner = RECORDED._replace(consumer_type='RECORDED')
        owners = TypedOwners({CONSUMER: owner})
        claim = CLAIM | {'consumer_type': name}
        document = claim if operation is WRITES[0] else {CONSUMER: claim}
        request = make_request(operation, Payload(document))
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        reason = Reason.NEW_NAMES if name == 'NEW' else Reason.OWNER
        assert decision.reason is reason
        assert owners.types_asked == ([{name}] if looked_up else [])

    @pytest.mark.parametrize('operation', WRITES, ids=lambda one: one.name)
    def test_without_types_an_owner_keeps_the_recorded_one(
        self, operation: model.Operation
    ) -> None:
        for recorded, reason in (
            (None, Reason.NEW_NAMES),
            ('INSTANCE', Reason.OWNER),
        ):
            owners = FixedOwners({CONSUMER: RECORDED._replace(consumer_type=recorded)})
            document = CLAIM if operation is WRITES[0] else {CONSUMER: CLAIM}
            request = make_request(operation, Payload(document))
            decision = make_authorizer(owners=owners).authorize(request, CALLER)
            assert decision.reason is reason

    @pytest.mark.parametrize(
        'other',
        [None, RECORDED._replace(project_id='theirs', consumer_type='INSTANCE')],
        ids=['unknown', 'foreign'],
    )
    def test_no_type_is_looked_up_for_others_consumers(
        self, other: Owner | None
    ) -> None:
        """The time of a look-up would tell their types."""
        known = {CONSUMER: RECORDED, OTHER: other} if other else {CONSUMER: RECORDED}
        owners = TypedOwners(
            {uuid: each._replace(consumer_uuid=uuid) for uuid, each in known.items()}
        )
        for name in ('INSTANCE', 'NEW'):
            claim = CLAIM | {'consumer_type': name}
            payload = Payload({CONSUMER: claim, OTHER: claim})
            request = make_request(model.ALLOCATIONS_MANAGE, payload)
            decision = make_authorizer(owners=owners).authorize(request, CALLER)
            assert decision.outcome is Outcome.REFUSE
        assert owners.types_asked == []

    def test_types_that_cannot_be_looked_up_refuse_the_write(self) -> None:
        owners = TypedOwners()
        owners.types_fault = OwnersUnavailable('away')
        request = make_request(model.ALLOCATIONS_UPDATE, Payload(CLAIM))
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert decision.reason is Reason.UNAVAILABLE

    @pytest.mark.parametrize(
        ('document', 'reason'),
        [
            ({CONSUMER: EMPTY}, Reason.EMPTIES),
            ({CONSUMER: CLAIM, OTHER: EMPTY}, Reason.EMPTIES),
            ({CONSUMER.upper(): CLAIM}, Reason.UNREADABLE),
            ({CONSUMER: CLAIM | {'project_id': f'{PROJECT} '}}, Reason.UNREADABLE),
            ({CONSUMER: None}, Reason.UNREADABLE),
            ({}, Reason.UNREADABLE),
        ],
        ids=['empties', 'one empties', 'odd id', 'odd owner', 'no claim', 'nobody'],
    )
    def test_a_post_that_no_owner_may_send_looks_up_nothing(
        self, document: object, reason: Reason
    ) -> None:
        owners = FixedOwners()
        request = make_request(model.ALLOCATIONS_MANAGE, Payload(document))
        decision = make_authorizer(owners=owners).authorize(request, CALLER)
        assert (decision.outcome, decision.reason) == (Outcome.REFUSE, reason)
        assert decision.depends
        assert owners.asked == []

    def test_a_body_that_is_too_large_is_refused_with_its_error(self) -> None:
        payload = Payload(fault=TooLarge('too large'))
        request = make_request(model.ALLOCATIONS_MANAGE, payload)
        decision = make_authorizer().authorize(request, CALLER)
        assert decision.reason is Reason.TOO_LARGE
        assert str(decision.error) == 'too large'


class Groups(FixedOwners):
    """Knows the consumers of each owner at once."""

    def find_groups(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        self.asked.append(frozenset(keys))
        yield {'project_id': PROJECT}, [*consumer_ids][:1]
        yield {'project_id': 'theirs'}, [*consumer_ids][1:]


class CountingRules(FixedRules):
    """Reads these keys, and counts the final rulings."""

    def __init__(self, *keys: str, on_judge: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._keys = frozenset(keys)
        self._on_judge = on_judge
        self.judged = 0

    def reads(self, rule: str) -> frozenset[str]:
        return self._keys

    def judge(
        self, rule: str, caller: Caller, target: Mapping[str, str], *, final: bool
    ) -> Truth:
        self.judged += final
        if final and self._on_judge is not None:
            self._on_judge()
        return super().judge(rule, caller, target, final=final)


def make_owners(project: str, count: int) -> dict[str, Owner]:
    ids = [str(uuid.uuid4()) for _ in range(count)]
    status = OwnerStatus.RECORDED
    return {id_: Owner(id_, status, project, USER, None, 1, 1, True) for id_ in ids}


LIST = make_request(model.PROVIDER_ALLOCATIONS_LIST)


class TestVisible:
    """Which consumers of a list the caller may see."""

    @pytest.mark.parametrize(
        ('keys', 'judged'), [(('project_id',), 2), (('project_id', 'consumer_uuid'), 6)]
    )
    def test_a_rule_is_judged_once_for_each_set_of_values_that_it_reads(
        self, keys: tuple[str, ...], judged: int
    ) -> None:
        mine, theirs = make_owners(PROJECT, 3), make_owners('theirs', 3)
        rules, owners = CountingRules(*keys), FixedOwners(mine | theirs)
        authorizer = Authorizer(rules, owners, patience=10.0)
        visible = authorizer.make_filter(LIST, CALLER)([*mine, *theirs])
        assert visible == frozenset(mine)
        assert rules.judged == judged
        assert owners.asked == [frozenset(mine | theirs)]

    @pytest.mark.parametrize(
        'owner',
        [
            Owner(CONSUMER, OwnerStatus.ABSENT),
            Owner(CONSUMER, OwnerStatus.UNOWNED, PROJECT),
            Owner(CONSUMER, OwnerStatus.RECORDED, None),
            Owner(CONSUMER, OwnerStatus.RECORDED, ''),
        ],
    )
    def test_an_ownerless_consumer_is_not_shown_whatever_the_rule_says(
        self, owner: Owner
    ) -> None:
        rules = CountingRules('project_id')
        authorizer = Authorizer(rules, FixedOwners({CONSUMER: owner}), patience=10.0)
        assert authorizer.make_filter(LIST, CALLER)([CONSUMER]) == frozenset()
        assert rules.judged == 0

    def test_a_driver_that_knows_groups_is_asked_for_them(self) -> None:
        owners = Groups()
        authorizer = Authorizer(CountingRules('project_id'), owners, patience=10.0)
        visible = authorizer.make_filter(LIST, CALLER)([CONSUMER, OTHER])
        assert visible == frozenset({CONSUMER})
        assert owners.asked == [frozenset({'project_id'})]

    def test_a_rule_that_reads_the_id_needs_every_owner(self) -> None:
        """In a group ids are not told apart."""
        owners = Groups()
        authorizer = Authorizer(CountingRules('consumer_uuid'), owners, patience=10.0)
        assert authorizer.make_filter(LIST, CALLER)([CONSUMER]) == {CONSUMER}
        assert owners.asked == [frozenset({CONSUMER})]

    def test_a_list_that_takes_too_long_is_not_shown(self) -> None:
        """R09: one slow answer per consumer must not add up."""
        clock = [0.0]

        def wait() -> None:
            clock[0] += 1.0

        few, many = make_owners(PROJECT, 10), make_owners(PROJECT, 500)
        rules = CountingRules('consumer_uuid', on_judge=wait)
        authorizer = Authorizer(
            rules, FixedOwners(few | many), patience=10.0, clock=lambda: clock[0]
        )
        assert authorizer.make_filter(LIST, CALLER)(few) == frozenset(few)
        rules.judged = 0
        with pytest.raises(OwnersUnavailable):
            authorizer.make_filter(LIST, CALLER)(many)
        assert rules.judged == 11

    def test_a_list_whose_owners_come_too_slowly_is_not_shown(self) -> None:
        """R09: without another ruling, too."""
        clock = [0.0]

        class SlowGroups(Groups):
            def find_groups(
                self, consumer_ids: Collection[str], keys: Collection[str]
            ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
                for uuid_ in consumer_ids:
                    yield {'project_id': PROJECT}, [uuid_]
                    clock[0] += 6.0

        rules = CountingRules('project_id')
        authorizer = Authorizer(
            rules, SlowGroups(), patience=10.0, clock=lambda: clock[0]
        )
        two = authorizer.make_filter(LIST, CALLER)([CONSUMER, OTHER])
        assert two == {CONSUMER, OTHER}
        assert rules.judged == 1
        with pytest.raises(OwnersUnavailable):
            authorizer.make_filter(LIST, CALLER)([CONSUMER, OTHER, CONSUMER])

    def test_the_parts_of_a_list_share_rulings_and_their_time(self) -> None:
        """R09: parts of which each comes in time must not add up."""
        clock = [0.0]
        mine = dict.fromkeys((CONSUMER, OTHER), RECORDED)
        rules = CountingRules('project_id')
        authorizer = Authorizer(
            rules, FixedOwners(mine), patience=10.0, clock=lambda: clock[0]
        )
        find_visible = authorizer.make_filter(LIST, CALLER)
        assert find_visible([CONSUMER]) == {CONSUMER}
        clock[0] += 6.0
        assert find_visible([OTHER]) == {OTHER}
        assert rules.judged == 1
        clock[0] += 6.0
        with pytest.raises(OwnersUnavailable):
            find_visible([CONSUMER])

    def test_parts_without_recorded_owners_have_no_more_time(self) -> None:
        """R09: of orphaned allocations nothing is judged, but each is looked up."""
        clock = [0.0]
        authorizer = Authorizer(
            CountingRules('project_id'),
            FixedOwners({u: Owner(u, OwnerStatus.UNOWNED) for u in (CONSUMER, OTHER)}),
            patience=10.0,
            clock=lambda: clock[0],
        )
        find_visible = authorizer.make_filter(LIST, CALLER)
        assert find_visible([CONSUMER]) == set()
        clock[0] += 11.0
        with pytest.raises(OwnersUnavailable):
            find_visible([OTHER])

    @pytest.mark.parametrize(('projects', 'judged'), [(2048, 2048), (2049, 2050)])
    def test_rulings_are_forgotten_where_there_are_more_than_are_kept(
        self, projects: int, judged: int
    ) -> None:
        """They would take more memory than the list; here the first comes again."""
        names = [f'p{number}' for number in range(projects)]
        owners = {
            f'{place:036}': RECORDED._replace(project_id=name)
            for place, name in enumerate((*names, names[0]))
        }
        rules = CountingRules('project_id')
        authorizer = Authorizer(rules, FixedOwners(owners), patience=10.0)
        authorizer.make_filter(LIST, CALLER)(owners)
        assert rules.judged == judged


def test_a_write_whose_rulings_take_too_long_is_refused() -> None:
    """R09: between the recorded and the claimed owner, too."""
    clock = [0.0]

    def wait() -> None:
        clock[0] += 11.0

    rules = CountingRules('project_id', on_judge=wait)
    authorizer = Authorizer(rules, FixedOwners(), patience=10.0, clock=lambda: clock[0])
    request = make_request(model.ALLOCATIONS_UPDATE, Payload(CLAIM))
    decision = authorizer.authorize(request, CALLER)
    assert decision.outcome is Outcome.REFUSE
    assert decision.reason is Reason.UNAVAILABLE
    assert rules.judged == 1
