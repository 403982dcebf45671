# SPDX-License-Identifier: Apache-2.0
"""Owners and role-holders on a few consumers, at full speed."""

import random
import threading
import time
from typing import Any

import sqlalchemy as sa

from tests.deployment import Deployment
from tests.races.actor import Account, Actor, Scene
from tests.races.meetings import Meetings
from tests.rows import Tables

#: How often a database statement waits before it runs, and for how many seconds at
#: the most, so that requests meet each other at every step of theirs.
_NOISE, _LONGEST = 0.05, 0.02

#: How often the guard's swap waits until others have made the consumer again, and for
#: how many seconds at the most.
_LET_PASS, _PATIENCE = 0.2, 5

#: Every other half minute a few act, so that more writes land; all act in between, so
#: that more requests meet.
_WAVE, _FEW = 30, 6


def make_scene(deployed: Deployment, consumers: int, actors: int) -> Scene:
    """Two owners, their consumers, and a provider for each actor."""
    owners = [deployed.add_user('member', 'reader') for _ in range(2)]
    providers = [deployed.add_provider(10**8) for _ in range(actors + 1)]
    # First, so that SQLite gives the ids of the others once more.
    for user in owners:
        deployed.add_consumer(providers[0], user)
    tables = Tables(deployed.database)
    tables.engine = sa.create_engine(deployed.database, pool_size=actors)
    return Scene(
        deployed,
        tables,
        owners,
        [deployed.add_consumer(providers[0], owners[0]) for _ in range(consumers)],
        providers,
        Meetings(),
    )


def make_noise(scene: Scene, guard: sa.Engine, placement: sa.Engine) -> None:
    """Let statements of placement wait, and swaps until the consumer is another one."""

    def wait(*_statement: object) -> None:
        if random.random() < _NOISE:  # noqa: S311  # not a secret
            time.sleep(random.random() * _LONGEST)  # noqa: S311

    def let_pass(
        _connection: object, _cursor: object, text: str, given: Any, *_: object
    ) -> None:
        if text.startswith('UPDATE') and random.random() < _LET_PASS:  # noqa: S311
            values = given.values() if hasattr(given, 'values') else given
            for consumer in {*scene.consumers}.intersection(values):
                scene.meetings.wait_for_another(consumer, _PATIENCE)

    sa.event.listen(placement, 'before_cursor_execute', wait)
    sa.event.listen(guard, 'before_cursor_execute', let_pass)


def run(scene: Scene, wanted: int, seconds: float, seed: int) -> Account:
    """Let all act until that many interleavings, or for so long.

    :raises BaseException: what one of them raised
    """
    deadline = time.monotonic() + seconds
    over = threading.Event()
    errors: list[BaseException] = []
    actors = [
        Actor(scene, provider, random.Random(f'{seed} {provider}'))  # noqa: S311
        for provider in scene.providers[1:]
    ]

    def act(number: int) -> None:
        try:
            while not over.is_set() and time.monotonic() < deadline:
                if number >= _FEW and time.monotonic() // _WAVE % 2:
                    over.wait(0.5)
                    continue
                actors[number].act()
                if scene.meetings.interleavings >= wanted:
                    over.set()
        except BaseException as error:
            errors.append(error)
            over.set()

    threads = [threading.Thread(target=act, args=(n,)) for n in range(len(actors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum((actor.account for actor in actors), Account())
