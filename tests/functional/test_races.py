# SPDX-License-Identifier: Apache-2.0
"""What changes between the guard's decision and placement's write.

Stepwise: somebody else's requests run when the guard has let an owner's write
go. And at full speed, with threads. No write may land on a consumer that was
another's when it was judged, and none that placement's compare can tell apart.
"""

import concurrent.futures
import random
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
import webob
import webtest
from placement.handlers import util as placement_util
from placement.objects import allocation as placement_allocation

from tests.deployment import OWNER_RULES, Deployment, User, make_claim
from tests.functional.between import PATIENCE, Steps, step_into
from tests.functional.conftest import Records

Deploy = Callable[..., Deployment]

#: What an operator finds in the log after a write in the window.
ALARM = 'was deleted and re-created after it was judged'

_ROW = sa.text(
    'SELECT c.id, c.generation, p.external_id AS project,'
    ' (SELECT COALESCE(SUM(a.used), 0) FROM allocations a'
    '  WHERE a.consumer_id = c.uuid) AS used'
    ' FROM consumers c JOIN projects p ON p.id = c.project_id WHERE c.uuid = :uuid'
)


class Row(NamedTuple):
    """A consumer as it is stored."""

    row_id: int
    generation: int
    project_id: str
    used: int


class Race:
    """An owner's consumer, and somebody who moves it under his hands."""

    def __init__(self, deployed: Deployment, steps: Steps) -> None:
        self.deployed = deployed
        self.steps = steps
        self.provider = deployed.add_provider(100_000)
        self.owner = deployed.add_user('member', 'reader')
        self.other = deployed.add_user('member', 'reader')
        self.engine = sa.create_engine(deployed.database, poolclass=sa.NullPool)
        self.consumer = deployed.add_consumer(self.provider, self.owner)
        # SQLite gives the id of the last row that was deleted once more.
        self.neighbour = deployed.add_consumer(self.provider, self.owner)

    def row(self, consumer: str | None = None) -> Row | None:
        with self.engine.connect() as connection:
            found = connection.execute(_ROW, {'uuid': consumer or self.consumer})
            row = found.one_or_none()
        return None if row is None else Row(row[0], row[1], row[2], int(row[3]))

    def admin_puts(self, owner: User, generation: int | None, amount: int = 1) -> None:
        answer = self.deployed.put(
            self.consumer,
            self.provider,
            owner,
            self.deployed.admin,
            generation=generation,
            amount=amount,
        )
        assert answer.status_int == 204, answer.text

    def admin_deletes(self) -> None:
        answer = self.deployed.request(
            'DELETE', f'/allocations/{self.consumer}', self.deployed.admin
        )
        assert answer.status_int == 204, answer.text

    def owner_writes(
        self, kind: str, version: str = '1.38', generation: int = 1
    ) -> webtest.TestResponse:
        """The owner's sealed write of seven VCPU, or of nothing."""
        amount = 0 if kind.endswith('empty') else 7
        claim = make_claim(self.provider, self.owner, generation, version, amount)
        if kind.startswith('PUT'):
            return self.deployed.request(
                'PUT',
                f'/allocations/{self.consumer}',
                self.owner,
                version=version,
                body=claim,
            )
        body = {self.consumer: claim}
        if kind == 'POST two':
            neighbour = make_claim(self.provider, self.owner, 1, version, amount)
            body = {self.neighbour: neighbour, self.consumer: claim}
        return self.deployed.request(
            'POST', '/allocations', self.owner, version=version, body=body
        )


@pytest.fixture
def race(deploy: Deploy) -> Race:
    # One connection for look-ups: were it held over the handler, the look-ups of
    # a step would find none.
    deployed = deploy(rules=OWNER_RULES, options={'lookup_pool_size': 1})
    return Race(deployed, step_into(deployed))


def re_own(race: Race) -> None:
    race.admin_puts(race.other, 1)


def re_own_and_back(race: Race) -> None:
    race.admin_puts(race.other, 1)
    race.admin_puts(race.owner, 2)


def other_takes_it_over(race: Race) -> None:
    """By ownership too: the admin gives it away, the new owner writes."""
    race.admin_puts(race.other, 1)
    answer = race.deployed.put(
        race.consumer, race.provider, race.other, race.other, generation=2
    )
    assert answer.status_int == 204


def delete(race: Race) -> None:
    race.admin_deletes()


def re_create_newer(race: Race) -> None:
    race.admin_deletes()
    race.admin_puts(race.other, None)
    race.admin_puts(race.other, 1)


def re_create_without_allocations(race: Race) -> None:
    """A row whose owner moves while its generation stays."""
    race.admin_deletes()
    race.admin_puts(race.owner, None, amount=0)
    race.admin_puts(race.other, 0, amount=0)


def re_create_same(race: Race) -> None:
    race.admin_deletes()
    race.admin_puts(race.other, None)


MOVES = (
    re_own,
    re_own_and_back,
    other_takes_it_over,
    delete,
    re_create_newer,
    re_create_without_allocations,
)
KINDS = ('PUT', 'PUT empty', 'POST', 'POST empty', 'POST two')


def _assert_conflict(answer: webtest.TestResponse) -> None:
    assert answer.status_int == 409, answer.text
    assert answer.json['errors'][0]['code'] == 'placement.concurrent_update'


def _move(race: Race, move: Callable[[Race], None]) -> dict[str, Row | None]:
    """Make the move; returns what is stored after it."""
    before = race.row()
    move(race)
    after = {key: race.row(key) for key in (race.consumer, race.neighbour)}
    assert after[race.consumer] != before, 'the move moved nothing'
    return after


class TestBetween:
    """The step is between the guard's decision and placement's handler."""

    def test_without_a_move_it_lands(self, race: Race, records: Records) -> None:
        """The tests below refuse for the move, and for nothing else."""
        for number, kind in enumerate(('PUT', 'POST', 'POST two'), 1):
            answer = race.owner_writes(kind, generation=number)
            assert answer.status_int == 204, answer.text
        neighbour = race.row(race.neighbour)
        assert neighbour is not None
        assert (neighbour.generation, neighbour.used) == (2, 7)
        assert race.owner_writes('PUT empty', generation=4).status_int == 204
        assert race.row() is None
        assert ALARM not in records.text

    @pytest.mark.parametrize('version', ['1.28', '1.38'])
    @pytest.mark.parametrize('kind', KINDS)
    @pytest.mark.parametrize('move', MOVES, ids=lambda move: move.__name__)
    def test_placement_compares(
        self, race: Race, move: Callable[[Race], None], kind: str, version: str
    ) -> None:
        """O09"""
        moved: dict[str, Row | None] = {}
        race.steps.before_the_next(lambda: moved.update(_move(race, move)))
        answer = race.owner_writes(kind, version)
        assert moved, 'the guard let nothing through'
        _assert_conflict(answer)
        assert {key: race.row(key) for key in moved} == moved

    def test_re_created_before_an_older_generation(self, race: Race) -> None:
        race.admin_puts(race.owner, 1)
        race.admin_puts(race.owner, 2)
        race.steps.before_the_next(lambda: re_create_same(race))
        _assert_conflict(race.owner_writes('PUT', generation=3))
        assert race.steps.taken
        stored = race.row()
        assert stored is not None
        assert stored[1:] == (1, race.other.project_id, 1)

    def test_the_neighbour_is_moved(self, race: Race) -> None:
        """All or nothing: one of two that moved stops both."""
        race.steps.before_the_next(
            lambda: race.deployed.put(
                race.neighbour,
                race.provider,
                race.other,
                race.deployed.admin,
                generation=1,
            )
        )
        before = race.row()
        _assert_conflict(race.owner_writes('POST two'))
        assert race.row() == before
        stored = race.row(race.neighbour)
        assert stored is not None
        assert stored.project_id == race.other.project_id

    @pytest.mark.parametrize('kind', KINDS)
    def test_a_guessed_generation(self, race: Race, kind: str) -> None:
        """One that will be the other's in a moment does not even get on its way."""
        race.steps.before_the_next(lambda: re_own(race))
        before = race.row()
        _assert_conflict(race.owner_writes(kind, generation=2))
        assert not race.steps.taken
        assert race.row() == before

    @pytest.mark.parametrize('kind', ['PUT', 'POST'])
    def test_created_by_another(self, race: Race, kind: str) -> None:
        """What does not exist when judged never reaches placement."""
        race.admin_deletes()
        race.steps.before_the_next(lambda: race.admin_puts(race.other, None))
        for generation in (None, 0, 1):
            body = make_claim(race.provider, race.owner, generation)
            put = ('PUT', f'/allocations/{race.consumer}', body)
            post = ('POST', '/allocations', {race.consumer: body})
            method, path, sent = put if kind == 'PUT' else post
            answer = race.deployed.request(method, path, race.owner, body=sent)
            assert answer.status_int == 403
        assert not race.steps.taken
        assert race.row() is None

    def test_without_allocations(self, race: Race) -> None:
        """O19: nothing seals such a row, so that its owner cannot write it."""
        race.admin_deletes()
        race.admin_puts(race.owner, None, amount=0)
        race.steps.before_the_next(lambda: race.admin_puts(race.other, 0, amount=0))
        for kind in KINDS:
            answer = race.owner_writes(kind, generation=0)
            assert answer.status_int == 403
        assert not race.steps.taken
        stored = race.row()
        assert stored is not None
        assert stored[1:] == (0, race.owner.project_id, 0)

    @pytest.mark.parametrize('kind', ['PUT', 'POST', 'POST two'])
    def test_the_window_re_created_up_to_the_same_generation(
        self, race: Race, records: Records, kind: str
    ) -> None:
        """The one that no compare can tell: id and generation are the same.

        It lands; the row's id tells, and the operator is told which one.
        """
        judged = race.row()
        assert judged is not None
        moved: dict[str, Row | None] = {}
        race.steps.before_the_next(lambda: moved.update(_move(race, re_create_same)))
        answer = race.owner_writes(kind)
        between = moved[race.consumer]
        assert between is not None
        assert between.project_id == race.other.project_id
        assert between.generation == judged.generation
        assert answer.status_int == 204
        stored = race.row()
        assert stored is not None
        assert stored[1:] == (2, race.owner.project_id, 7)
        assert stored.row_id == between.row_id != judged.row_id
        alarms = [line for line in records.lines if ALARM in line]
        assert len(alarms) == 1
        assert alarms[0].startswith('ERROR')
        assert race.consumer in alarms[0]
        assert answer.headers['x-openstack-request-id'] in alarms[0]

    def test_no_lock_is_held(self, race: Race) -> None:
        """Everybody else goes on while an owner's write is on its way."""
        done = []

        def others() -> None:
            # The guard looks this up on the only connection that it has.
            foreign = race.deployed.add_consumer(race.provider, race.other)
            for caller, status in ((race.other, 200), (race.owner, 403)):
                answer = race.deployed.request('GET', f'/allocations/{foreign}', caller)
                assert answer.status_int == status
            put = race.deployed.put(
                foreign, race.provider, race.other, race.other, generation=1
            )
            assert put.status_int == 204
            done.append(foreign)

        race.steps.before_the_next(others)
        assert race.owner_writes('PUT').status_int == 204
        assert done


class TestInside:
    """The step is inside of placement's handler, behind its first compare."""

    @pytest.fixture
    def step_at(
        self, race: Race, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[Any, str, Callable[[], object]], None]:
        """Take a step before the next call of a function of placement's."""

        def arm(module: Any, name: str, step: Callable[[], object]) -> None:
            function = getattr(module, name)

            def stepping(*args: Any, **kwargs: Any) -> Any:
                race.steps.take()
                return function(*args, **kwargs)

            # Armed by the request itself, behind the guard.
            def step_in_between() -> None:
                monkeypatch.setattr(module, name, stepping)
                race.steps.before_the_next(step)

            race.steps.before_the_next(step_in_between)

        return arm

    @pytest.mark.parametrize('kind', KINDS)
    @pytest.mark.parametrize('move', [*MOVES, re_create_same], ids=lambda m: m.__name__)
    def test_placement_compares_again(
        self,
        race: Race,
        step_at: Callable[..., None],
        move: Callable[[Race], None],
        kind: str,
    ) -> None:
        """Right before the transaction that writes; by the row's id, too."""
        moved: dict[str, Row | None] = {}
        step_at(
            placement_util,
            'update_consumers',
            lambda: moved.update(_move(race, move)),
        )
        answer = race.owner_writes(kind)
        assert moved, 'the step was not taken'
        _assert_conflict(answer)
        assert {key: race.row(key) for key in moved} == moved

    @pytest.mark.parametrize('kind', ['PUT empty', 'POST empty'])
    def test_the_window_of_writes_that_empty(
        self, race: Race, step_at: Callable[..., None], kind: str
    ) -> None:
        """Placement reads what it is to remove after it has compared.

        The generation that it compares again is that of the second reading, so
        that whatever is there by then goes, whoever owns it. No row is left to
        tell of it afterwards.
        """
        moved: dict[str, Row | None] = {}
        step_at(
            placement_allocation,
            'get_all_by_consumer_id',
            lambda: moved.update(_move(race, re_own)),
        )
        answer = race.owner_writes(kind)
        between = moved[race.consumer]
        assert between is not None
        assert between.project_id == race.other.project_id
        assert answer.status_int == 204
        assert race.row() is None


class Ledger:
    """Who owned the consumer at each generation, and who wrote upon it.

    A generation is made by one write, which says whose the consumer is from then
    on. A life (between creation and removal) has generations of its own, far
    from those of the others, so that none comes twice.
    """

    #: Generations of a life; more than the writes of a whole test.
    LIFE = 1_000_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.owner_at: dict[int, str | None] = {}
        self.writes: list[tuple[int, str | None]] = []
        self.statuses: list[int] = []

    def written(self, writer: User, generation: int, claimed: User) -> None:
        """A write upon this generation succeeded."""
        with self._lock:
            self.writes.append((generation, writer.project_id))
            self.owner_at[generation + 1] = claimed.project_id

    def born(self, generation: int, project_id: str) -> None:
        """A life starts with this generation."""
        with self._lock:
            self.owner_at[generation] = project_id


class Throng:
    """Two owners with two threads each, and an admin, on one consumer."""

    #: What the admin does at most, and after how many owners' writes he stops.
    ROUNDS = 80
    ENOUGH = 40

    def __init__(self, race: Race) -> None:
        self.race = race
        self.ledger = Ledger()
        self.keeper = race.deployed.add_user('member', 'reader')
        self.over = threading.Event()
        self._lives = 0

    def send(
        self, method: str, path: str, caller: User, body: object = None
    ) -> webob.Response:
        """As a client of its own; webtest's is not for threads."""
        request = webob.Request.blank(
            path,
            method=method,
            headers={
                'X-Auth-Token': caller.token,
                'OpenStack-API-Version': 'placement 1.38',
                'Accept': 'application/json',
            },
        )
        if body is not None:
            request.content_type = 'application/json'
            request.json = body
        answer = request.get_response(self.race.deployed.application)
        self.ledger.statuses.append(answer.status_int)
        return answer

    def put(self, caller: User, generation: int | None, owner: User) -> int:
        claim = make_claim(self.race.provider, owner, generation)
        path = f'/allocations/{self.race.consumer}'
        status = self.send('PUT', path, caller, claim).status_int
        if status == 204 and generation is not None:
            self.ledger.written(caller, generation, owner)
        return int(status)

    def seen(self, caller: User) -> int | None:
        """The generation as the caller sees it, None when he sees nothing."""
        path = f'/allocations/{self.race.consumer}'
        answer = self.send('GET', path, caller)
        if answer.status_int != 200:
            return None
        generation: int | None = answer.json.get('consumer_generation')
        return generation

    def write_as(self, owner: User) -> int:
        """An owner's thread; returns how many of his writes landed."""
        landed = 0
        generation = None
        while not self.over.is_set():
            # Once more upon what he saw last, whoever owns it by now.
            if generation is not None:
                landed += self.put(owner, generation, owner) == 204
            generation = self.seen(owner)
            if generation is None:
                self.over.wait(0.02)
            else:
                landed += self.put(owner, generation, owner) == 204
        return landed

    def administrate(self) -> int:
        """Gives the consumer to and fro, removes it and makes it anew."""
        chance = random.Random(1)  # noqa: S311  # not a secret
        admin = self.race.deployed.admin
        moved = 0
        try:
            self.start_a_life()
            for _ in range(self.ROUNDS):
                if chance.random() < 0.2:
                    path = f'/allocations/{self.race.consumer}'
                    self.send('DELETE', path, admin)
                    self.start_a_life()
                row = self.race.row()
                assert row is not None
                owner = chance.choice([self.race.owner, self.race.other, self.keeper])
                moved += self.put(admin, row.generation, owner) == 204
                # Time for the owner to find out, and to write.
                self.over.wait(0.05)
                if len(self.ledger.writes) - moved >= self.ENOUGH:
                    break
        finally:
            self.over.set()
        return moved

    def start_a_life(self) -> None:
        """Make the consumer if there is none, and give it its generations."""
        self._lives += 1
        base = self._lives * Ledger.LIFE
        row = self.race.row()
        while row is None or not row.used:
            # Nobody writes as the keeper, so that none uses the first generations.
            generation = None if row is None else row.generation
            claim = make_claim(self.race.provider, self.keeper, generation)
            path = f'/allocations/{self.race.consumer}'
            self.send('PUT', path, self.race.deployed.admin, claim)
            row = self.race.row()
        with self.race.engine.begin() as connection:
            connection.execute(
                sa.text('UPDATE consumers SET generation = :base WHERE uuid = :uuid'),
                {'base': base, 'uuid': self.race.consumer},
            )
        # The one that could not be removed, for a conflict, is somebody's still.
        self.ledger.born(base, row.project_id)


def test_at_full_speed(race: Race) -> None:
    """Every 204 of an owner was given for a generation at which it was his."""
    race.admin_deletes()
    throng = Throng(race)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        owners = [
            pool.submit(throng.write_as, owner)
            for owner in (race.owner, race.other)
            for _ in range(2)
        ]
        moved = pool.submit(throng.administrate).result(2 * PATIENCE)
        landed = [owner.result(PATIENCE) for owner in owners]
    ledger = throng.ledger
    answered = {200, 204, 403, 404, 409}
    if race.engine.dialect.name in ('sqlite', 'postgresql'):
        # Placement's own: 'database is locked'; and a deadlock that it retries in
        # the transaction that PostgreSQL has ended. Nothing is written then.
        answered.add(500)
    assert set(ledger.statuses) <= answered
    assert moved
    assert sum(landed)
    written = [generation for generation, _ in ledger.writes]
    assert len(written) == len(set(written)), 'two writes upon one generation'
    for generation, project_id in ledger.writes:
        if project_id != race.deployed.admin.project_id:
            assert ledger.owner_at[generation] == project_id
    stored = race.row()
    assert stored is not None
    assert ledger.owner_at[stored.generation] == stored.project_id
