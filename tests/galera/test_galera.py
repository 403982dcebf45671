# SPDX-License-Identifier: Apache-2.0
"""Look-ups and seals on three nodes: never stale, one winner, nothing lost."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from consumer_guard.generations.store import Swap
from consumer_guard.guard.errors import OwnersUnavailable
from consumer_guard.owners.breaker import PAUSE
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.testing.sources import make_id
from tests.galera.cluster import Cluster, Node
from tests.galera.ledger import Ledger, Move
from tests.rows import Tables

Make = Callable[..., DatabaseOwners]

#: Look-ups of which none may be stale.
LOOK_UPS = int(os.environ.get('CONSUMER_GUARD_GALERA_LOOKUPS', '6000'))


@pytest.fixture
def consumer(whole: Cluster, database: str) -> str:
    """A recorded consumer, on every node."""
    id_ = make_id()
    Tables(whole.nodes[0].url(database)).consume(id_, 'project-old')
    whole.wait_until(
        lambda: all(read_plainly(node, database, id_) for node in whole.nodes)
    )
    return id_


def read_plainly(node: Node, database: str, id_: str) -> str:
    """The project as a session of the node's defaults reads it; '' for none."""
    rows = node.execute(
        f'SELECT external_id FROM {database}.consumers AS consumers'
        f' JOIN {database}.projects AS projects ON projects.id = project_id'
        f" WHERE consumers.uuid = '{id_}'"
    )
    return str(rows[0][0]) if rows else ''


@contextlib.contextmanager
def lagging(node: Node) -> Iterator[None]:
    """The node applies nothing meanwhile, and takes part all the same."""
    engine = sa.create_engine(node.url('mysql'), poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql('FLUSH TABLES WITH READ LOCK')
        yield


def test_no_look_up_is_stale_on_any_node(
    whole: Cluster, database: str, consumer: str, look_up: Make
) -> None:
    lookups = [look_up(node.url(database), timeout=20.0) for node in whole.nodes]
    engines = [
        sa.create_engine(node.url(database), isolation_level='AUTOCOMMIT')
        for node in whole.nodes
    ]
    update = sa.text('UPDATE consumers SET generation = :new WHERE uuid = :id')
    stale = 0
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(engine.connect()) for engine in engines]
        for number in range(LOOK_UPS):
            writers[number % 3].execute(update, {'new': number, 'id': consumer})
            found = lookups[(number + 1) % 3].find([consumer])[consumer]
            stale += found.generation != number
    assert stale == 0


def test_a_node_that_is_behind_names_no_former_owner(
    whole: Cluster, database: str, consumer: str, look_up: Make
) -> None:
    behind = whole.nodes[2]
    lookup = look_up(behind.url(database))
    lookup.find([consumer])
    with lagging(behind):
        Tables(whole.nodes[0].url(database)).set_project(consumer, 'project-new')
        assert read_plainly(behind, database, consumer) == 'project-old'
        with pytest.raises(OwnersUnavailable):
            lookup.find([consumer])
    time.sleep(PAUSE)
    assert lookup.find([consumer])[consumer].project_id == 'project-new'


def test_owners_who_wait_for_a_node_leave_it_few_connections(
    whole: Cluster, database: str, consumer: str, look_up: Make
) -> None:
    behind = whole.nodes[2]
    lookup = look_up(behind.url(database))
    lookup.find([consumer])
    asked = []

    def ask() -> None:
        until = time.monotonic() + 6
        while time.monotonic() < until:
            with contextlib.suppress(OwnersUnavailable):
                lookup.find([consumer])
            asked.append(1)
            time.sleep(0.02)

    with lagging(behind):
        Tables(whole.nodes[0].url(database)).set_project(consumer, 'project-new')
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ((_, connected),) = behind.execute("SHOW STATUS LIKE 'Threads_connected'")
    # Without the breaker every thread would have waited all the time.
    assert len(asked) > 20 * 20
    assert int(str(connected)) < 15
    time.sleep(PAUSE)
    assert lookup.find([consumer])[consumer].project_id == 'project-new'


def test_a_node_that_is_cut_off_names_no_former_owner(
    whole: Cluster, database: str, consumer: str, look_up: Make
) -> None:
    """Even where its operator lets sessions read what is there."""
    apart = whole.nodes[2]
    lookup = look_up(apart.url(database))
    lookup.find([consumer])
    apart.execute('SET GLOBAL wsrep_dirty_reads = ON')
    apart.isolate(True)
    try:
        whole.wait_until(
            lambda: (
                apart.execute("SHOW STATUS LIKE 'wsrep_cluster_status'")[0][1]
                != 'Primary'
            )
        )
        Tables(whole.nodes[0].url(database)).set_project(consumer, 'project-new')
        assert read_plainly(apart, database, consumer) == 'project-old'
        for _ in range(5):
            with pytest.raises(OwnersUnavailable):
                lookup.find([consumer])
    finally:
        apart.isolate(False)
        whole.wait_until_whole()
        apart.execute('SET GLOBAL wsrep_dirty_reads = OFF')
    time.sleep(PAUSE)
    assert lookup.find([consumer])[consumer].project_id == 'project-new'


def test_of_swaps_on_several_nodes_one_wins(
    whole: Cluster, database: str, consumer: str, look_up: Make
) -> None:
    lookups = [look_up(node.url(database), timeout=20.0) for node in whole.nodes]
    for generation in range(100):
        Tables(whole.url(database, whole.one)).set_generation(consumer, generation)
        barrier = threading.Barrier(len(lookups))
        won: list[int] = []

        def race(
            number: int,
            lookup: DatabaseOwners,
            barrier: threading.Barrier = barrier,
            won: list[int] = won,
            generation: int = generation,
        ) -> None:
            assert lookup.find([consumer])[consumer].generation == generation
            barrier.wait()
            if lookup.swap_generations([Swap(consumer, generation, -number)]):
                won.append(-number)

        threads = [
            threading.Thread(target=race, args=(number, lookup))
            for number, lookup in enumerate(lookups, 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = lookups[0].find([consumer])[consumer].generation
        assert [stored] == won


def kill(whole: Cluster, node: Node) -> None:
    node.kill()
    time.sleep(3)
    node.start()
    whole.wait_until_whole()


def freeze(whole: Cluster, node: Node) -> None:
    node.freeze()
    time.sleep(6)
    node.thaw()
    whole.wait_until_whole()


def cut_off(whole: Cluster, node: Node) -> None:
    node.isolate(True)
    time.sleep(6)
    node.isolate(False)
    whole.wait_until_whole()


def restart(whole: Cluster, node: Node) -> None:
    """It gets what it has missed, and not everything (IST)."""
    node.stop()
    time.sleep(3)
    node.start()
    whole.wait_until_whole()
    assert 'IST received' in (node.folder / 'log').read_text(errors='replace')


@pytest.mark.parametrize('fault', [kill, freeze, cut_off, restart])
@pytest.mark.parametrize('which', ['every', 'one'])
def test_every_swap_is_accounted_for_when_a_node_goes_and_returns(
    whole: Cluster,
    database: str,
    consumer: str,
    look_up: Make,
    fault: Callable[[Cluster, Node], None],
    which: str,
) -> None:
    port = whole.every if which == 'every' else whole.one
    lookups = [look_up(whole.url(database, port)) for _ in range(4)]
    ledger = Ledger(consumer)
    first = lookups[0].find([consumer])[consumer].generation
    victim = whole.nodes[0] if which == 'one' else whole.nodes[1]
    ledger.run(lookups, lambda: fault(whole, victim))
    time.sleep(PAUSE)
    last = look_up(whole.url(database, whole.one)).find([consumer])[consumer].generation
    assert first is not None
    assert last is not None
    assert ledger.explain(first, last) == []
    assert sum(move.known for move in ledger.moves) > 20


def count_stops(node: Node) -> int:
    """How often the node has made the others wait for it."""
    ((_, count),) = node.execute("SHOW STATUS LIKE 'wsrep_flow_control_sent'")
    return int(str(count))


def test_every_swap_is_accounted_for_when_writers_wait_for_a_node(
    whole: Cluster, database: str, consumer: str, look_up: Make
) -> None:
    """Flow control stops commits on every node; a seal that waits is given up."""
    writing, behind = whole.nodes[0], whole.nodes[2]
    lookups = [look_up(writing.url(database)) for _ in range(4)]
    ledger = Ledger(consumer)
    first = lookups[0].find([consumer])[consumer].generation
    stops = count_stops(behind)

    def hold_up() -> None:
        behind.execute("SET GLOBAL wsrep_provider_options = 'gcs.fc_limit=1'")
        with lagging(behind):
            time.sleep(6)
        behind.execute("SET GLOBAL wsrep_provider_options = 'gcs.fc_limit=1000'")
        whole.wait_until_whole()
        time.sleep(PAUSE)

    ledger.run(lookups, hold_up)
    last = look_up(writing.url(database)).find([consumer])[consumer].generation
    assert count_stops(behind) > stops
    assert first is not None
    assert last is not None
    assert ledger.explain(first, last) == []


def test_a_ledger_sees_a_swap_that_is_lost_and_one_that_won_twice() -> None:
    ledger = Ledger('some')
    ledger.moves = [Move(1, 2, True), Move(2, 3, False), Move(3, 4, True)]
    assert ledger.explain(1, 4) == []
    assert ledger.explain(1, 3) == ['1 swaps that won are lost']
    assert ledger.explain(1, 9) == [
        '9 does not come from 1',
        '2 swaps that won are lost',
    ]
    ledger.moves.append(Move(1, 5, True))
    assert 'two swaps of one generation won' in ledger.explain(1, 4)
