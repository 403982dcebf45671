# SPDX-License-Identifier: Apache-2.0
"""Takes runs of the model through the guard and placement, step by step."""

import collections
import itertools
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import webob

from tests.administrator import User, make_claim
from tests.deployment import Deployment, make_request
from tests.formal.stepping import Naming, Request
from tests.formal.traces import Row, Step, Trace
from tests.rows import NOBODY, Tables

#: The model's generations of the guard's own, and how far they are apart.
_FIRST_OWN, _SPACING = -1000, 50
#: The model's generations of its own are all at or below this one.
_OWN = _FIRST_OWN + _SPACING - 1

#: The latest microversion without consumer types, which the model leaves out;
#: and what the others are sent with.
_VERSIONS = {'put_old': '1.27', 'put_oldest': '1.7', 'post_old_empty': '1.27'}
_VERSION = '1.37'

_EMPTY = ('put_empty', 'post_old_empty')

#: What a provider holds, and what is asked of one that is to be full.
_TOTAL, _TOO_MUCH = 1_000_000, 2_000_000

#: A generation far from all of the model's.
_UNUSED = 1_000_000

#: Where a step has another name in the model than its first statement.
_DUE = {'placement_full': 'placement_commit'}

#: The consumer that takes an id of another's, and that which keeps ids away.
NEIGHBOUR, _OTHER = str(uuid.uuid4()), str(uuid.uuid4())


class Differs(Exception):
    """The code does not do what the model says; names the step."""


class Stored(NamedTuple):
    """What is in the database.

    :ivar row: with real numbers, and keystone's id of the project
    :ivar used: the sum of the allocations
    """

    row: Row | None
    used: int


class ReplayScene:
    """Placement with an empty database, an owner, and who else there is.

    :ivar deployed: the guard in front of placement
    """

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.provider = deployed.add_provider(_TOTAL)
        self.users: Mapping[str, User] = {
            'alice': deployed.add_user('member', 'reader'),
            'bob': deployed.add_user('member', 'reader'),
        }
        self.tables = Tables(deployed.database)
        # So that no step has to record them first.
        for user in self.users.values():
            deployed.add_consumer(self.provider, user)
        deployed.put(
            str(uuid.uuid4()),
            self.provider,
            self.users['alice'],
            deployed.admin,
            generation=None,
            version='1.7',
        )

    def clear(self, start: int) -> str:
        """Leave one consumer of Alice's, and nothing else; returns its uuid.

        :param start: its generation
        """
        self.tables.clear('allocations', 'consumers')
        consumer = str(uuid.uuid4())
        written = self.deployed.put(
            consumer,
            self.provider,
            self.users['alice'],
            self.deployed.admin,
            generation=None,
            version=_VERSION,
        )
        assert written.status_int == 204, written.text
        self.tables.set_generation(consumer, start)
        return consumer

    def read(self, consumer: str) -> Stored:
        """What is stored of a consumer."""
        row = self.tables.read(consumer)
        return Stored(
            row and Row(row.row_id, row.generation, str(row.project_id)),
            self.tables.read_used(consumer),
        )

    def give_row_id(self, number: int) -> None:
        """Let the next consumer have this id, where ids are given again."""
        if self.reuses_ids:
            self.tables.run(f"DELETE FROM consumers WHERE uuid = '{_OTHER}'")
            if number > 1:
                # At a generation that no request of the run carries: placement
                # increments by row id and generation, whichever consumer it hits.
                self._add_row(_OTHER, number - 1, _UNUSED)

    def give_allocation_id(self, number: int) -> None:
        """Let the next allocation have this id, where ids are given again."""
        if self.reuses_ids:
            self.tables.run(f"DELETE FROM allocations WHERE consumer_id = '{_OTHER}'")
            self.tables.run(
                'INSERT INTO allocations (id, resource_provider_id, resource_class_id,'
                f" consumer_id, used) VALUES (:id, 0, 0, '{_OTHER}', 1)",
                id=number - 1,
            )

    def add_neighbour(self, row_id: int) -> None:
        """Another consumer of Alice's, at generation 1."""
        self._add_row(NEIGHBOUR, row_id, 1)

    def _add_row(self, consumer: str, row_id: int, generation: int) -> None:
        alice = self.users['alice']
        self.tables.run(
            'INSERT INTO consumers (id, uuid, project_id, user_id, generation)'
            ' VALUES (:id, :uuid, :project, :user, :generation)',
            id=row_id,
            uuid=consumer,
            project=self.tables.name('projects', 'external_id', alice.project_id),
            user=self.tables.name('users', 'external_id', alice.user_id),
            generation=generation,
        )

    @property
    def reuses_ids(self) -> bool:
        """Whether the id of the last row is given once more."""
        return self.tables.engine.dialect.name == 'sqlite'


def _find_too_much(trace: Trace) -> Iterator[tuple[int, int]]:
    """The requests that find a provider full: their writers and their numbers."""
    turns = collections.Counter[int]()
    for step in trace.steps:
        if step.name == 'placement_full':
            yield step.writer, turns[step.writer]
        turns[step.writer] += bool(step.answer)


class Replay:
    """One run of the model on a scene."""

    def __init__(self, scene: ReplayScene, trace: Trace) -> None:
        self._scene = scene
        self._trace = trace
        self._turns = collections.Counter[int]()
        self._too_much = set(_find_too_much(trace))
        self._owners = trace.get_bound('OWNERS', 1)
        self._consumer = scene.clear(trace.get_bound('START', 1))
        first = scene.read(self._consumer).row
        assert first is not None
        #: Real numbers, by the model's or in their order.
        self._ids = {1: first.row_id}
        self._own: list[int] = []
        self._row: Row | None = first
        self._open: dict[int, Request] = {}
        self._readings: dict[int, int | None] = {}
        self._amounts: dict[int, int] = {}
        self._numbers = itertools.count(2)
        self._held = 1
        #: The highest generation that was stored after a step.
        self.highest = first.generation

    def run(self) -> None:
        """Take all steps.

        :raises Differs: at one of them the code does not do what the model says
        """
        for number, step in enumerate(self._trace.steps, 1):
            try:
                self._take(step)
                self._compare(step)
                self._turns[step.writer] += bool(step.answer)
            except Differs as error:
                raise Differs(f'step {number}, {step.name}: {error}') from None
        self._finish()

    def run_otherwise(self) -> int:
        """Take the steps of a mutant, and those of the code that it leaves out.

        :returns: what the code answers to the request that ends the mutant's run
        """
        answers: dict[tuple[int, int], int] = {}
        last = (0, 0)
        for step in self._trace.steps:
            last = step.writer, self._turns[step.writer]
            if last not in answers and self._take_until(step):
                answers[last] = self._open.pop(step.writer).answer
            # Of the mutant: what the code has answered already is left out.
            self._turns[step.writer] += bool(step.answer)
            self._look()
        request = self._open.get(last[0])
        self._finish()
        self._look()
        return answers[last] if request is None else request.answer

    def _finish(self) -> None:
        for request in self._open.values():
            request.finish()

    def _look(self) -> None:
        self._row = self._scene.read(self._consumer).row
        if self._row is not None:
            self.highest = max(self.highest, self._row.generation)

    def _take(self, step: Step) -> None:
        if self._take_without_request(step):
            return
        request = self._open.get(step.writer) or self._send(step)
        if request.due is not None:
            if step.name == 'delete_whole':
                request.finish()
            elif request.due != _DUE.get(step.name, step.name):
                raise Differs(f'the code is about to {request.due}')
            else:
                self._go_on(request, step)
        elif step.name != 'owner_judge':
            raise Differs(f'the code has answered {request.answer} already')
        if request.due is None:
            del self._open[step.writer]
        if request.answer != step.answer:
            raise Differs(f'{request.answer} instead of {step.answer or "no answer"}')

    def _take_until(self, step: Step) -> bool:
        """Take all steps up to this one; whether the request is answered now."""
        if self._take_without_request(step):
            return False
        request = self._open.get(step.writer) or self._send(step)
        while request.due not in (None, _DUE.get(step.name, step.name)):
            request.go_on()
        if request.due is not None:
            self._go_on(request, step)
        return request.due is None

    def _take_without_request(self, step: Step) -> bool:
        if step.name in ('owner_read', 'role_read'):
            self._readings[step.writer] = self._read_generation(step)
        elif step.name == 'neighbour_create':
            self._scene.add_neighbour(max(self._ids.values()))
        else:
            return False
        return True

    def _read_generation(self, step: Step) -> int | None:
        row = self._scene.read(self._consumer).row
        return None if step.generation is None or row is None else row.generation

    def _send(self, step: Step) -> Request:
        """Send the request that begins with a step."""
        owns = step.writer < self._owners
        generation = self._readings.pop(step.writer, None)
        if owns and generation is None:
            # Guessed, and rightly so.
            generation = self._read_generation(step)
        amount = 0 if step.kind in _EMPTY else next(self._numbers)
        if (step.writer, self._turns[step.writer]) in self._too_much:
            amount += _TOO_MUCH
        self._amounts[step.writer] = amount
        caller = self._scene.users['alice'] if owns else self._scene.deployed.admin
        role: str | None = 'owner'
        if not owns:
            role = 'role' if 'ROLL' in self._trace.defines else None
        naming = Naming(
            role, deletes=step.kind == 'delete', splits='SPLIT' in self._trace.defines
        )
        http = self._make_request(step, caller, generation, amount)
        application = self._scene.deployed.application
        request = Request(lambda: http.get_response(application), naming)
        self._open[step.writer] = request
        return request

    def _make_request(
        self, step: Step, caller: User, generation: int | None, amount: int
    ) -> webob.Request:
        version = _VERSIONS.get(step.kind, _VERSION)
        method, path = 'DELETE', f'/allocations/{self._consumer}'
        body: dict[str, Any] | None = None
        if step.kind != 'delete':
            owner = self._scene.users.get(step.claimed, caller)
            method = 'PUT'
            body = make_claim(self._scene.provider, owner, generation, version, amount)
            # PUT cannot empty below 1.28; else it and POST are the same.
            if step.kind == 'post_old_empty' or (version != '1.7' and amount % 2):
                method, path, body = 'POST', '/allocations', {self._consumer: body}
        return make_request(method, path, caller, version=version, body=body)

    def _go_on(self, request: Request, step: Step) -> None:
        if step.name == 'placement_create' and self._row is None and step.row:
            # The row ids that the model gives, new ones or some that were given.
            wanted = self._ids.get(step.row.row_id, max(self._ids.values()) + 1)
            self._scene.give_row_id(wanted)
        if step.name == 'placement_commit':
            self._scene.give_allocation_id(1000 * next(self._numbers))
        request.go_on()

    def _compare(self, step: Step) -> None:
        stored = self._scene.read(self._consumer)
        if step.name == 'owner_swap' and not step.answer and stored.row:
            self._own.append(stored.row.generation)
        if step.name == 'placement_create' and step.row and stored.row:
            self._ids.setdefault(step.row.row_id, stored.row.row_id)
        if step.name == 'placement_commit' and step.answer == 204:
            self._held = self._amounts[step.writer] or self._held
        self._row = stored.row
        expected = Stored(
            step.row and self._make_real(step.row), self._held if step.held else 0
        )
        if stored != expected:
            raise Differs(f'{stored} instead of {expected}')

    def _make_real(self, row: Row) -> Row:
        project = NOBODY
        if row.owner in self._scene.users:
            project = str(self._scene.users[row.owner].project_id)
        generation = row.generation
        if generation <= _OWN:
            number = (_OWN - generation) // _SPACING
            away = generation - (_FIRST_OWN - _SPACING * number)
            if number >= len(self._own):
                raise Differs(f'no own generation number {number + 1} has been given')
            generation = self._own[number] + away
        return Row(self._ids[row.row_id], generation, project)
