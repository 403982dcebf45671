# SPDX-License-Identifier: Apache-2.0
"""Somebody who is now an owner and now a role-holder."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from consumer_guard.generations.store import Kind, Swap, swap
from tests.administrator import VERSION, User, make_claim
from tests.deployment import Deployment, make_request
from tests.races.evidence import Roll, Write
from tests.races.meetings import Meetings
from tests.rows import LOWEST, NOBODY, Row, Tables

#: Where an operator rolls to: below all values of the guard's own.
_ROLLED_TO = range(LOWEST, LOWEST + 2**15)

#: How often an owner's write is of the other owner, empties, carries an earlier
#: generation, or is for all consumers.
_FOREIGN, _EMPTY, _EARLIER, _SEVERAL = 0.1, 0.05, 0.05, 0.15


@dataclass(frozen=True, slots=True)
class Scene:
    """What all share.

    :ivar consumers: which all of them write
    :ivar providers: one that all claim from now and then, and one of each actor's
        own: else placement's writes would wait for the provider, not the consumer
    """

    deployed: Deployment
    tables: Tables
    owners: Sequence[User]
    consumers: Sequence[str]
    providers: Sequence[str]
    meetings: Meetings


@dataclass(slots=True)
class Account:
    """What was answered.

    :ivar acknowledged: writes that were answered with success
    :ivar unsure: those on which placement failed
    :ivar statuses: how many of each kind of request got which
    """

    acknowledged: list[Write] = field(default_factory=list)
    unsure: list[Write] = field(default_factory=list)
    rolls: list[Roll] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: 'Account') -> 'Account':
        return Account(
            self.acknowledged + other.acknowledged,
            self.unsure + other.unsure,
            self.rolls + other.rolls,
            self.statuses + other.statuses,
        )


class Actor:
    """One thread's part.

    :param provider: that nobody else claims from
    """

    def __init__(self, scene: Scene, provider: str, chance: random.Random) -> None:
        self._scene = scene
        self._provider = provider
        self._chance = chance
        self.account = Account()

    def act(self) -> None:
        """One operation on what is stored now."""
        uuid = self._chance.choice(self._scene.consumers)
        row = self._scene.tables.read(uuid)
        if row is None:
            self._create(uuid)
            return
        owners = {user.project_id: user for user in self._scene.owners}
        owner = owners.get(row.project_id)
        if owner is None or self._chance.random() < 0.4:
            self._administrate(uuid, row)
        else:
            self._write_as(owner, uuid, row)

    def _write_as(self, owner: User, uuid: str, row: Row) -> None:
        """A write that ownership alone may allow."""
        chance = self._chance
        if chance.random() < _FOREIGN:
            owner = chance.choice(self._scene.owners)
        generations = {uuid: row.generation - (chance.random() < _EARLIER)}
        if chance.random() < _SEVERAL:
            for other in {*self._scene.consumers} - {uuid}:
                found = self._scene.tables.read(other)
                if found is not None and found.project_id == owner.project_id:
                    generations[other] = found.generation
        amount = 0 if chance.random() < _EMPTY else 2
        writes = [
            Write(each, owner.project_id or '', generation, sealed=True)
            for each, generation in generations.items()
        ]
        self._write(owner, writes, owner, amount=amount)

    def _create(self, uuid: str) -> None:
        """By a role-holder: ownership never creates."""
        owner = self._chance.choice(self._scene.owners)
        self._administer(uuid, owner, None)

    def _administrate(self, uuid: str, row: Row) -> None:
        """One operation of a role-holder."""
        owner = self._chance.choice(self._scene.owners)
        kind = self._chance.random()
        # Most of all what was just made: made again, it has that generation again.
        if kind < (0.4 if row.generation == 1 else 0.1):
            self._delete(uuid)
            if self._chance.random() < 0.7:
                self._create(uuid)
        elif kind < 0.2 and row.generation != 1:
            self._roll(uuid, row.generation)
        elif kind < 0.3:
            self._administer(uuid, owner, None, '1.12')
        elif kind < 0.33:
            # Below 1.8 it makes the consumer nobody's.
            self._administer(uuid, owner, None, '1.0')
        else:
            self._administer(uuid, owner, row.generation)

    def _administer(
        self, uuid: str, owner: User, generation: int | None, version: str = VERSION
    ) -> None:
        project = NOBODY if version == '1.0' else owner.project_id or ''
        write = Write(uuid, project, generation)
        self._write(self._scene.deployed.admin, [write], owner, version)

    def _write(
        self,
        caller: User,
        writes: Sequence[Write],
        owner: User,
        version: str = VERSION,
        amount: int = 1,
    ) -> None:
        """A PUT, or a POST of several."""
        shared = self._chance.random() < 0.1
        provider = self._scene.providers[0] if shared else self._provider
        claims = {
            write.uuid: make_claim(provider, owner, write.generation, version, amount)
            for write in writes
        }
        method, path, body = 'POST', '/allocations', claims
        if len(writes) == 1:
            method, path = 'PUT', f'/allocations/{writes[0].uuid}'
            body = claims[writes[0].uuid]
        makes = version == VERSION and writes[0].generation is None
        status = self._send(method, path, caller, [*claims], version, body, makes)
        if status == 204:
            self.account.acknowledged += writes
        elif status == 500:
            self.account.unsure += writes

    def _delete(self, uuid: str) -> None:
        self._send('DELETE', f'/allocations/{uuid}', self._scene.deployed.admin, [uuid])

    def _send(
        self,
        method: str,
        path: str,
        caller: User,
        uuids: Sequence[str],
        version: str = VERSION,
        body: object = None,
        makes: bool = False,
    ) -> int:
        by_owner = caller is not self._scene.deployed.admin
        request = make_request(method, path, caller, version=version, body=body)
        with self._scene.meetings.operate(
            *uuids, by_owner=by_owner, makes=makes
        ) as operation:
            answer = request.get_response(self._scene.deployed.application)
            operation.landed = answer.status_int == 204
        who = 'owner' if by_owner else 'role'
        self.account.statuses[f'{who} {method} {answer.status_int}'] += 1
        return int(answer.status_int)

    def _roll(self, uuid: str, generation: int) -> None:
        """As the command does, but for a value that is never the same."""
        roll = Roll(uuid, generation, self._chance.choice(_ROLLED_TO))
        tables, outcome = self._scene.tables, 'failed'
        with self._scene.meetings.operate(uuid, by_owner=False) as operation:
            try:
                operation.landed = swap(tables.engine, Kind.CONSUMER, [Swap(*roll)])
                outcome = 'done' if operation.landed else 'lost'
            except sa.exc.DBAPIError:
                pass
        if operation.landed:
            self.account.rolls.append(roll)
        self.account.statuses[f'role roll {outcome}'] += 1
