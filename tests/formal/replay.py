# SPDX-License-Identifier: Apache-2.0
"""Takes runs of the model through the guard and placement, step by step."""

import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
import webob

from tests.administrator import User, make_claim
from tests.deployment import Deployment
from tests.formal.stepping import Naming, Request
from tests.formal.traces import Row, Step

#: What PUT below 1.8 makes of an owner; placement's default.
NOBODY = '00000000-0000-0000-0000-000000000000'

#: The model's generations of the guard's own, and how far they are apart.
_FIRST_OWN, _SPACING = -1000, 50
#: The model's generations of its own are all at or below this one.
_OWN = _FIRST_OWN + _SPACING - 1

#: The latest microversion without consumer types, which the model leaves out;
#: and what the others are sent with.
_VERSIONS = {'put_old': '1.27', 'put_oldest': '1.7', 'post_old_empty': '1.27'}
_VERSION = '1.37'

_EMPTY = ('put_empty', 'post_old_empty')
_OWNERS_READ = ('owner_read', 'role_read')

_ROW = sa.text(
    'SELECT c.id, c.generation, p.external_id FROM consumers c'
    ' JOIN projects p ON p.id = c.project_id WHERE c.uuid = :uuid'
)
_USED = sa.text('SELECT SUM(used) FROM allocations WHERE consumer_id = :uuid')


class Differs(Exception):
    """The code does not do what the model says; names the step."""


class Stored(NamedTuple):
    """What is in the database.

    :ivar row: with real numbers, and keystone's id of the project
    :ivar used: the sum of the allocations
    """

    row: Row | None
    used: int


class Stage:
    """Placement with an empty database, an owner, and who else there is.

    :ivar deployed: the guard in front of placement
    :param owners: whose writes the guard judges; the rest are role-holders
    """

    def __init__(self, deployed: Deployment, owners: int = 1) -> None:
        self.deployed = deployed
        self.owners = owners
        self.provider = deployed.add_provider(1_000_000)
        self.users: Mapping[str, User] = {
            'alice': deployed.add_user('member', 'reader'),
            'bob': deployed.add_user('member', 'reader'),
        }
        self.engine = sa.create_engine(deployed.database, poolclass=sa.NullPool)
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
        with self.engine.begin() as connection:
            connection.execute(sa.text('DELETE FROM allocations'))
            connection.execute(sa.text('DELETE FROM consumers'))
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
        self.run('UPDATE consumers SET generation = :start', start=start)
        return consumer

    def run(self, statement: str, **parameters: object) -> None:
        """Run a statement of the test's own."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), parameters)

    def read(self, consumer: str) -> Stored:
        """What is stored of a consumer."""
        with self.engine.connect() as connection:
            row = connection.execute(_ROW, {'uuid': consumer}).one_or_none()
            used = connection.execute(_USED, {'uuid': consumer}).scalar()
        return Stored(None if row is None else Row(*row), int(used or 0))

    @property
    def reuses_ids(self) -> bool:
        """Whether the id of the last row is given once more."""
        return self.engine.dialect.name == 'sqlite'


class Replay:
    """One run of the model on a stage.

    :param defines: the model's switches of the run
    :param start: the generation in the beginning
    """

    def __init__(self, stage: Stage, defines: Sequence[str], start: int = 1) -> None:
        self._stage = stage
        self._defines = frozenset(defines)
        self._consumer = stage.clear(start)
        first = stage.read(self._consumer).row
        assert first is not None
        #: Real numbers of the model's.
        self._ids = {1: first.row_id}
        self._own: list[int] = []
        self._open: dict[int, Request] = {}
        self._readings: dict[int, int | None] = {}
        self._amounts: dict[int, int] = {}
        self._numbers = itertools.count(2)
        self._held_amount = 1
        self._exists = True

    def run(self, steps: Sequence[Step]) -> None:
        """Take all steps.

        :raises Differs: at one of them the code does not do what the model says
        """
        for number, step in enumerate(steps, 1):
            try:
                self._take(step)
                self._compare(step)
            except Differs as error:
                raise Differs(f'step {number}, {step.name}: {error}') from None
        self.finish()

    def finish(self) -> None:
        """Let what is on its way come to its end."""
        for request in self._open.values():
            request.finish()

    def _take(self, step: Step) -> None:
        if step.name in _OWNERS_READ:
            self._readings[step.writer] = self._read_generation(step)
            return
        request = self._open.get(step.writer)
        if request is None:
            request = self._open[step.writer] = self._send(step)
        if request.due is not None:
            if request.due != step.name:
                raise Differs(f'the code is about to {request.due}')
            self._prepare(step)
            request.go_on()
        elif step.name != 'owner_judge':
            raise Differs(f'the code has answered {request.answer} already')
        if request.due is None:
            del self._open[step.writer]
        if request.answer != step.answer:
            raise Differs(f'{request.answer} instead of {step.answer or "no answer"}')

    def _read_generation(self, step: Step) -> int | None:
        row = self._stage.read(self._consumer).row
        if step.generation is None or row is None:
            return None
        return row.generation

    def _send(self, step: Step) -> Request:
        """Send the request that begins with a step."""
        owns = step.writer < self._stage.owners
        generation = self._readings.pop(step.writer, None)
        if owns and generation is None:
            # Guessed, and rightly so.
            generation = self._read_generation(step)
        amount = 0 if step.kind in _EMPTY else next(self._numbers)
        self._amounts[step.writer] = amount
        caller = self._stage.users['alice'] if owns else self._stage.deployed.admin
        role: str | None = 'owner'
        if not owns:
            role = 'role' if 'ROLL' in self._defines else None
        naming = Naming(
            role, deletes=step.kind == 'delete', splits='SPLIT' in self._defines
        )
        http = self._make_request(step, caller, generation, amount)
        application = self._stage.deployed.application
        return Request(lambda: http.get_response(application), naming)

    def _make_request(
        self, step: Step, caller: User, generation: int | None, amount: int
    ) -> webob.Request:
        version = _VERSIONS.get(step.kind, _VERSION)
        path = f'/allocations/{self._consumer}'
        method = 'DELETE' if step.kind == 'delete' else 'PUT'
        body: dict[str, Any] | None = None
        if step.kind != 'delete':
            owner = self._stage.users.get(step.claimed, caller)
            body = make_claim(self._stage.provider, owner, generation, version, amount)
            # PUT cannot empty below 1.28, and POST says the same as PUT else.
            if step.kind == 'post_old_empty' or (version != '1.7' and amount % 2):
                method, path, body = 'POST', '/allocations', {self._consumer: body}
        request = webob.Request.blank(
            path,
            method=method,
            headers={
                'X-Auth-Token': caller.token,
                'OpenStack-API-Version': f'placement {version}',
                'Accept': 'application/json',
            },
        )
        if body is not None:
            request.content_type = 'application/json'
            request.json = body
        return request

    def _prepare(self, step: Step) -> None:
        """Let SQLite give the row ids that the model gives, and its new ones."""
        if not self._stage.reuses_ids:
            return
        if step.name == 'placement_create' and not self._exists and step.row:
            wanted = self._ids.get(step.row.row_id, max(self._ids.values()) + 1)
            self._occupy('consumers', 'uuid', wanted - 1)
        if step.name == 'placement_commit':
            self._occupy('allocations', 'consumer_id', 10 * next(self._numbers))

    def _occupy(self, table: str, column: str, number: int) -> None:
        """Let a row of another consumer have an id, and none a higher one."""
        values = {'number': number, 'other': f'other of {table}'}
        self._stage.run(f'DELETE FROM {table} WHERE {column} = :other', **values)
        columns, given = f'id, {column}', ':number, :other'
        if table == 'consumers':
            columns, given = (
                f'{columns}, project_id, user_id, generation',
                (f'{given}, 0, 0, 0'),
            )
        else:
            columns, given = (
                f'{columns}, resource_provider_id, resource_class_id, used',
                f'{given}, 0, 0, 1',
            )
        if number:
            self._stage.run(
                f'INSERT INTO {table} ({columns}) VALUES ({given})', **values
            )

    def _compare(self, step: Step) -> None:
        stored = self._stage.read(self._consumer)
        if step.name == 'owner_swap' and not step.answer and stored.row:
            self._own.append(stored.row.generation)
        if step.name == 'placement_create' and step.row and stored.row:
            self._ids.setdefault(step.row.row_id, stored.row.row_id)
        if step.name == 'placement_commit' and step.answer == 204:
            self._held_amount = self._amounts[step.writer] or self._held_amount
        self._exists = step.row is not None
        expected = Stored(
            step.row and self._make_real(step.row),
            self._held_amount if step.held else 0,
        )
        if stored != expected:
            raise Differs(f'{stored} instead of {expected}')

    def _make_real(self, row: Row) -> Row:
        project = NOBODY
        if row.owner in self._stage.users:
            project = str(self._stage.users[row.owner].project_id)
        generation = row.generation
        if generation <= _OWN:
            number = (_OWN - generation) // _SPACING
            away = generation - (_FIRST_OWN - _SPACING * number)
            if number >= len(self._own):
                raise Differs(f'no own generation number {number + 1} has been given')
            generation = self._own[number] + away
        return Row(self._ids[row.row_id], generation, project)
