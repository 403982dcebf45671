# SPDX-License-Identifier: Apache-2.0
"""P3, P4 and P7 in front of real placement, and the look-up by itself."""

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from bench import results, scene, stores, timing
from bench.results import Chapter, Finding, Table
from bench.stores import Store
from bench.straightforward import StraightforwardGuard
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from tests.administrator import make_claim

BARE = 'bare placement'
STRAIGHT = 'a straightforward guard'
GUARD = 'the guard, owner'
PRIVILEGED = 'the guard, service'
#: Percent of GET /allocations/{c} that the owner path may cost.
LIMITS = {'SQLite': 5.0, 'PostgreSQL': 6.0}

_NOBODY = '00000000-0000-0000-0000-000000000000'


def _reader(application: Any, environs: list[scene.Environ]) -> timing.Call:
    several = itertools.cycle(environs)

    def once() -> object:
        return scene.call(application, next(several).copy())

    return once


def read_one(store: Store, effort: timing.Effort) -> Table:
    """GET /allocations/{c} through bare placement, the guard, and another."""
    uuids = stores.read_consumers(store, 1000)
    with scene.make_scene(store.url) as place:
        requests = scene.Requests()
        placement = place.placement()

        def make(user: Any, roles: str = '') -> list[scene.Environ]:
            return [
                requests.make(user, f'/allocations/{uuid}', roles=roles)
                for uuid in uuids
            ]

        guard = place.guard(placement)
        # Placement does the same work for all: the same role lets them pass.
        passing = make(scene.OWNER, scene.PASSAGE)
        straight = StraightforwardGuard(placement, store.url)
        samples = timing.measure(
            {
                BARE: _reader(placement, passing),
                GUARD: _reader(guard, make(scene.OWNER)),
                PRIVILEGED: _reader(guard, make(scene.SERVICE)),
                STRAIGHT: _reader(straight, passing),
            },
            # Many calls in a row: after another variant the first ones run colder
            # than in any worker.
            effort.scaled(rounds=0.5, batch=8),
            control=BARE,
        )
    return results.make_table(
        f'GET /allocations/{{c}}, {store.words}',
        samples,
        ours=[GUARD, PRIVILEGED],
        base=BARE,
        conditions='placement without auth_token; CPU of the process only',
    )


def write_one(store: Store, effort: timing.Effort) -> Table:
    """PUT /allocations/{c} of a service, the generation growing."""
    uuids = stores.read_consumers(store, 40)
    with scene.make_scene(store.url) as place:
        requests = scene.Requests()
        placement = place.placement()
        environs = {
            uuid: requests.make(scene.SERVICE, f'/allocations/{uuid}', method='PUT')
            for uuid in uuids
        }
        generations = dict.fromkeys(uuids, 1)
        several = itertools.cycle(uuids)

        def writer(application: Any) -> timing.Call:
            def once() -> object:
                uuid = next(several)
                claim = make_claim(
                    stores.provider(stores.WRITABLE), scene.OWNER, generations[uuid]
                )
                generations[uuid] += 1
                return scene.call(application, scene.with_body(environs[uuid], claim))

            return once

        samples = timing.measure(
            {BARE: writer(placement), PRIVILEGED: writer(place.guard(placement))},
            effort.scaled(batch=4),
            control=BARE,
        )
    return results.make_table(
        f'PUT /allocations/{{c}}, {store.words}',
        samples,
        ours=[PRIVILEGED],
        base=BARE,
        conditions='placement without auth_token; CPU of the process only',
    )


_RAW = (
    'SELECT c.uuid, c.id, c.generation, p.external_id, u.external_id, t.name,'
    ' (SELECT a.consumer_id FROM allocations a WHERE a.consumer_id = {0} LIMIT 1)'
    ' FROM (SELECT 1) one LEFT JOIN consumers c ON c.uuid = {0}'
    ' LEFT JOIN projects p ON p.id = c.project_id'
    ' LEFT JOIN users u ON u.id = c.user_id'
    ' LEFT JOIN consumer_types t ON t.id = c.consumer_type_id'
)

LOOK_UP = 'the guard'
RAW = 'the raw driver'
CORE = 'SQLAlchemy Core, autocommit'


def make_lookup(store: Store) -> DatabaseOwners:
    """The guard's driver on a database, with the options' defaults."""
    url = stores.look_up_url(store.url)
    return DatabaseOwners(OwnerLookupSettings(url, 2.0, 5, _NOBODY, _NOBODY))


def look_up(store: Store, effort: timing.Effort) -> Table:
    """One owner: the guard's driver beside what else there is."""
    uuids = stores.read_consumers(store, 1000)
    lookup = make_lookup(store)
    engine = sa.create_engine(
        store.url,
        isolation_level='AUTOCOMMIT',
        pool_reset_on_return=None,
        poolclass=sa.QueuePool,
    )
    statement = sa.text(_RAW.format(':id'))
    straight = StraightforwardGuard(None, store.url)
    several = itertools.cycle(uuids)

    def core() -> object:
        with engine.connect() as connection:
            return connection.execute(statement, {'id': next(several)}).one()

    with raw_cursor(store) as raw:
        samples = timing.measure(
            {
                RAW: lambda: raw(next(several)),
                LOOK_UP: lambda: lookup.find((next(several),)),
                CORE: core,
                'enginefacade': lambda: straight.find([next(several)]),
            },
            effort,
            control=RAW,
        )
    lookup.close()
    engine.dispose()
    return results.make_table(
        f'One owner is looked up, {store.words}',
        samples,
        ours=[LOOK_UP],
        base=RAW,
        conditions='CPU of the client',
    )


@contextlib.contextmanager
def raw_cursor(store: Store, prepared: bool = False) -> Iterator[Any]:
    """A look-up by the driver alone: takes an id, returns the rows.

    :param prepared: planned once, for PostgreSQL
    """
    url = sa.make_url(store.url)
    ask: Callable[[str], Any]
    if store.engine == 'SQLite':
        connection: Any = sqlite3.connect(url.database or '', isolation_level=None)
        text, ask = _RAW.format('?1'), lambda uuid: (uuid,)
    else:
        import psycopg2

        connection = psycopg2.connect(
            host=url.host, port=url.port, user=url.username, dbname=url.database
        )
        connection.autocommit = True
        text, ask = _RAW.format('%(id)s'), lambda uuid: {'id': uuid}
        if prepared:
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute(f'PREPARE one (varchar) AS {_RAW.format("$1")}')
            text = 'EXECUTE one (%(id)s)'

    def once(uuid: str) -> object:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(text, ask(uuid))
            return cursor.fetchall()

    try:
        yield once
    finally:
        connection.close()


def owner_path(
    reads: list[tuple[Store, Table]], inside: list[Table], lookups: list[Table]
) -> Chapter:
    """P4 of the tables of all databases.

    :param inside: in the order of the reads
    """
    findings = []
    for (store, read), clocked in zip(reads, inside, strict=True):
        limit = LIMITS[store.engine]
        findings += [
            Finding(
                f'owner path over {BARE}, {store.words}',
                results.share(read, GUARD),
                limit,
                '%',
            ),
            results.noise(read),
            Finding(
                f'owner path, clocked inside the request, {store.words}',
                results.share(clocked, GUARD),
                limit,
                '%',
            ),
        ]
    return Chapter(
        'P4',
        'Owner path',
        tuple(findings),
        (*(table for _, table in reads), *inside, *lookups),
    )
