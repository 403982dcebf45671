# SPDX-License-Identifier: Apache-2.0
"""The driver ``database`` over placement's real tables in SQLite files."""

import contextlib
import gc
import logging
import os
import sqlite3
import sys
import time
import traceback
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumer_guard.generations.store import Judged, Swap
from consumer_guard.guard import errors
from consumer_guard.guard.model import Owner, OwnerStatus
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.breaker import PAUSE
from consumer_guard.owners.database import DatabaseOwners
from tests import statements as statements_at_drivers
from tests.rows import NOBODY, Tables
from tests.servers import get_pool
from tests.unit.psycopg_driver import make_fault

#: Characters of the longest id that is looked up.
LONGEST_ID = 255

C1 = 'c1c1c1c1-0000-4000-8000-00000000000a'
C2 = 'c2c2c2c2-0000-4000-8000-00000000000b'


def settings(url: str, timeout: float = 2.0, pool_size: int = 2) -> OwnerLookupSettings:
    return OwnerLookupSettings(url, timeout, pool_size, NOBODY, NOBODY)


@pytest.fixture
def path(tmp_path: Path, make_sqlite: Callable[[Path], str]) -> Path:
    make_sqlite(tmp_path / 'placement.db')
    return tmp_path / 'placement.db'


@pytest.fixture
def tables(path: Path) -> Tables:
    return Tables(f'sqlite:///{path}')


@pytest.fixture
def make(path: Path) -> Iterator[Callable[..., DatabaseOwners]]:
    made = []

    def build(**others: Any) -> DatabaseOwners:
        made.append(DatabaseOwners(settings(f'sqlite:///{path}', **others)))
        return made[-1]

    yield build
    for lookup in made:
        lookup.close()


@pytest.fixture
def lookup(make: Callable[..., DatabaseOwners]) -> DatabaseOwners:
    return make()


@pytest.fixture(params=['one', 'many'])
def find(
    request: pytest.FixtureRequest, lookup: DatabaseOwners
) -> Callable[[str], Owner]:
    """Look one id up, alone or in a batch."""
    others = [str(uuid.uuid4()), C1, C2] if request.param == 'many' else []
    return lambda id_: lookup.find({id_, *others})[id_]


@pytest.fixture
def seen(lookup: DatabaseOwners) -> Iterator[list[str]]:
    """The statements that reach the driver, with the values in them."""
    noted: list[str] = []
    with statements_at_drivers.noted(noted.append, lookup.engine):
        yield noted


# What is recorded --------------------------------------------------------------


@pytest.mark.parametrize('generation', [2**31, 2**62])
def test_a_generation_beyond_its_column_is_returned_as_it_is(
    tables: Tables, find: Callable[[str], Owner], generation: int
) -> None:
    """Only SQLite stores it."""
    tables.consume(C1, generation=generation)
    assert find(C1).generation == generation


def test_ids_are_answered_once_and_in_their_order(
    tables: Tables, lookup: DatabaseOwners
) -> None:
    tables.consume(C1)
    unknown, weird = str(uuid.uuid4()), 'weird\0'
    assert list(lookup.find([C1, unknown, weird, C1])) == [C1, unknown, weird]


@pytest.mark.parametrize(('ids', 'keeps'), [([C1], True), ([C1, C2], False)])
def test_a_cursor_is_kept_for_the_look_up_of_one_alone(
    lookup: DatabaseOwners, ids: list[str], keeps: bool
) -> None:
    """One of many rows would hold them."""
    lookup.find(ids)
    with contextlib.closing(lookup.engine.raw_connection()) as connection:
        kept = [key for key in connection.info if 'cursor' in str(key)]
    assert bool(kept) is keeps


def test_a_project_that_is_renamed_is_seen_at_once(
    tables: Tables, lookup: DatabaseOwners
) -> None:
    tables.consume(C1)
    assert lookup.find([C1])[C1].project_id == 'project-a'
    tables.run("UPDATE projects SET external_id = 'renamed'")
    assert lookup.find([C1])[C1].project_id == 'renamed'


def test_an_id_that_placement_cannot_have_written_is_absent(
    tables: Tables, find: Callable[[str], Owner]
) -> None:
    for odd in ('caf\xe9', '-' * (LONGEST_ID + 1), 'nul\0'):
        tables.consume(odd)
        assert find(odd) == Owner(odd, OwnerStatus.ABSENT)


def test_the_longest_id_is_looked_up_whatever_is_beside_it(
    tables: Tables, find: Callable[[str], Owner], lookup: DatabaseOwners
) -> None:
    longest = '-' * LONGEST_ID
    tables.consume(longest)
    assert find(longest).status is OwnerStatus.RECORDED
    beside = lookup.find([longest, 'caf\xe9'])
    assert [owner.status for owner in beside.values()] == [
        OwnerStatus.RECORDED,
        OwnerStatus.ABSENT,
    ]


def test_a_type_of_another_spelling_is_none(path: Path, lookup: DatabaseOwners) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            DROP TABLE consumer_types;
            CREATE TABLE consumer_types (id INTEGER, name TEXT COLLATE NOCASE);
            INSERT INTO consumer_types VALUES (1, 'INSTANCE');
        """)
    assert lookup.find_types(['INSTANCE', 'other']) == {'INSTANCE'}
    assert not lookup.find_types(['instance'])


def test_no_ids_take_no_statement(lookup: DatabaseOwners, seen: list[str]) -> None:
    assert lookup.find([]) == {}
    assert lookup.find(['caf\xe9'])
    assert list(lookup.find_groups([], ['project_id'])) == []
    assert list(lookup.find_groups(['caf\xe9'], ['project_id'])) == []
    assert not lookup.find_types(['caf\xe9'])
    assert seen == []


# Cost -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ('count', 'statements'), [(1, 1), (2, 1), (4096, 1), (4097, 2)]
)
def test_one_statement_for_4096_ids(
    tables: Tables, make: Callable[..., DatabaseOwners], count: int, statements: int
) -> None:
    lookup = make(timeout=60.0)
    ids = [str(uuid.uuid4()) for _ in range(count)]
    tables.fill(ids[::2])
    lookup.find([C1])
    seen: list[str] = []
    with statements_at_drivers.noted(seen.append, lookup.engine):
        found = lookup.find(ids)
    assert len(seen) == statements
    assert len(found) == count
    assert all(found[id_].status is OwnerStatus.RECORDED for id_ in ids[::2])
    assert all(found[id_].status is OwnerStatus.ABSENT for id_ in ids[1::2])


def test_statements_are_built_once(lookup: DatabaseOwners, seen: list[str]) -> None:
    # SQLAlchemy is not asked to build anything while a look-up runs.
    built = []
    sa.event.listen(lookup.engine, 'before_execute', lambda *_: built.append(1))
    for ids in ([C1], [C2], [C1, C2]):
        lookup.find(ids)
    assert built == []
    assert len(seen) == 3
    one, other, _ = map(statements_at_drivers.without_values, seen)
    assert one == other


# Faults ---------------------------------------------------------------------


def unavailable(lookup: DatabaseOwners, *ids: str) -> errors.OwnersUnavailable:
    with pytest.raises(errors.OwnersUnavailable) as caught:
        lookup.find(ids or (C1,))
    return caught.value


def test_an_exhausted_pool_makes_owners_unavailable_after_the_timeout(
    tables: Tables, make: Callable[..., DatabaseOwners]
) -> None:
    tables.consume(C1)
    lookup = make(timeout=0.3, pool_size=1)
    with lookup.engine.connect():
        started = time.monotonic()
        unavailable(lookup)
        assert time.monotonic() - started > 0.25
    time.sleep(PAUSE)
    assert lookup.find([C1])[C1].status is OwnerStatus.RECORDED


def test_a_missing_table_makes_owners_unavailable_until_it_is_back(
    tables: Tables, lookup: DatabaseOwners
) -> None:
    tables.consume(C1)
    tables.run('ALTER TABLE users RENAME TO losers')
    unavailable(lookup)
    unavailable(lookup, C1, C2)
    tables.run('ALTER TABLE losers RENAME TO users')
    assert lookup.find([C1])[C1].status is OwnerStatus.RECORDED


def test_a_locked_database_makes_owners_unavailable_after_the_timeout(
    tables: Tables, make: Callable[..., DatabaseOwners], path: Path
) -> None:
    tables.consume(C1)
    lookup = make(timeout=0.3)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute('BEGIN EXCLUSIVE')
    started = time.monotonic()
    unavailable(lookup)
    assert time.monotonic() - started > 0.25
    writer.close()
    time.sleep(PAUSE)
    assert lookup.find([C1])[C1].status is OwnerStatus.RECORDED


def test_many_ids_that_take_too_long_make_owners_unavailable(
    make: Callable[..., DatabaseOwners],
) -> None:
    """Each statement may be in time, and all of them together not."""
    lookup = make(timeout=0.1)
    sa.event.listen(lookup.engine, 'checkout', lambda *_: time.sleep(0.15))
    assert 'could not be looked up in time' in str(unavailable(lookup, C1, C2))


def test_a_file_that_is_no_database_makes_owners_unavailable(
    lookup: DatabaseOwners, path: Path
) -> None:
    path.write_bytes(b'no database' * 1000)
    unavailable(lookup)


def test_a_folder_that_is_not_there() -> None:
    lookup = DatabaseOwners(settings('sqlite:////nowhere/at/all/placement.db'))
    unavailable(lookup)


@pytest.mark.parametrize(
    'change',
    [
        "UPDATE consumers SET generation = 'many'",
        'UPDATE consumers SET generation = 1.5',
        "UPDATE projects SET external_id = x'00ff'",
        "UPDATE users SET external_id = x'00ff'",
        "UPDATE consumer_types SET name = x'00ff'",
    ],
)
def test_values_of_other_types(
    tables: Tables, find: Callable[[str], Owner], change: str
) -> None:
    tables.consume(C1, type_name='INSTANCE')
    tables.run(change)
    with pytest.raises(errors.OwnersUnavailable):
        find(C1)


def test_two_rows_of_one_consumer_have_no_owner(
    tables: Tables, find: Callable[[str], Owner], lookup: DatabaseOwners
) -> None:
    tables.run('DROP TABLE consumers')
    tables.run(
        'CREATE TABLE consumers (id INTEGER PRIMARY KEY, uuid, project_id, user_id,'
        ' generation, consumer_type_id)'
    )
    tables.consume(C1, 'project-a')
    tables.consume(C1, 'project-b')
    with pytest.raises(errors.OwnersUnavailable):
        find(C1)
    with pytest.raises(errors.OwnersUnavailable):
        list(lookup.find_groups([C1], ['project_id']))


def test_nothing_is_left_checked_out(lookup: DatabaseOwners) -> None:
    # The tables are there but not readable: failures after the checkout.
    with lookup.engine.connect() as connection:
        connection.exec_driver_sql('DROP TABLE consumers')
    for number in range(1000):
        unavailable(lookup, *([C1] if number % 2 else [C1, C2]))
    assert get_pool(lookup.engine).checkedout() == 0


def test_close_gives_everything_back(tables: Tables, lookup: DatabaseOwners) -> None:
    tables.consume(C1)
    lookup.find([C1])
    assert get_pool(lookup.engine).checkedin() == 1
    lookup.close()
    assert get_pool(lookup.engine).checkedin() == 0
    assert lookup.find([C1])[C1].status is OwnerStatus.RECORDED


def test_faults_say_nothing_of_ids_or_sql(
    tables: Tables, lookup: DatabaseOwners, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, 'consumer_guard')
    tables.run('DROP TABLE consumers')
    said = [str(unavailable(lookup)), str(unavailable(lookup, C1, C2)), caplog.text]
    assert 'no such table: consumers (SQLITE_ERROR)' in caplog.text
    for text in said:
        assert C1 not in text
        assert 'SELECT' not in text


def test_ids_stay_out_of_the_chain_too(tables: Tables, lookup: DatabaseOwners) -> None:
    tables.run('DROP TABLE consumers')
    for error in (unavailable(lookup), unavailable(lookup, C1, C2)):
        assert C1 not in ''.join(traceback.format_exception(error))


# Of generations -------------------------------------------------------------

SWAP = Swap(C1, 1, 2, Judged(1, 'project-a', 'user-a'))


def _swap_in_vain(lookup: DatabaseOwners) -> None:
    with pytest.raises(errors.OwnersUnavailable, match='could not be changed'):
        lookup.swap_generations([SWAP])


def test_why_generations_cannot_be_swapped_is_logged(
    tables: Tables, lookup: DatabaseOwners, caplog: pytest.LogCaptureFixture
) -> None:
    tables.run('DROP TABLE consumers')
    _swap_in_vain(lookup)
    ((*_, line),) = caplog.record_tuples
    assert line == (
        'Generations cannot be swapped: no such table: consumers (SQLITE_ERROR)'
    )


def test_a_swap_too_shows_that_sessions_keep_no_statements(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level('INFO')
    lookup = DatabaseOwners(settings('postgresql+psycopg://u:p@127.0.0.1:9/placement'))

    def fail(*_: object, **__: object) -> None:
        raise make_fault('26000')

    monkeypatch.setattr(lookup.engine.dialect, 'connect', fail)
    _swap_in_vain(lookup)
    assert 'Look-ups use no prepared statements' in caplog.text


# Forks ----------------------------------------------------------------------


def fork_and_check(check: Callable[[], bool]) -> int:
    """Run the check in a child; its exit status is 0 when the check holds."""
    with warnings.catch_warnings():
        # From Python 3.12, when any thread lives (a runner's may).
        warnings.simplefilter('ignore', DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if check() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def test_a_child_has_connections_of_its_own(
    tables: Tables, lookup: DatabaseOwners
) -> None:
    tables.consume(C1)
    tables.consume(C2, 'project-b')
    lookup.find([C1])
    inherited = weakref.ref(get_pool(lookup.engine))

    def check() -> bool:
        right = lookup.find([C2])[C2].project_id == 'project-b'
        own = lookup.engine.pool
        gc.collect()
        # The parent's connections: neither used, closed, nor collected.
        kept = inherited()
        unused = kept is not None and kept is not own and kept.checkedin() == 1
        lookup.find([C2])
        return right and unused and lookup.engine.pool is own

    child = fork_and_check(check)
    for _ in range(20):
        assert lookup.find([C1])[C1].project_id == 'project-a'
    assert os.waitpid(child, 0)[1] == 0
    assert lookup.engine.pool is inherited()


def test_a_child_leaves_the_parents_connections_before_its_first_look_up(
    lookup: DatabaseOwners,
) -> None:
    """Whatever it does; some drivers sign off when a connection is collected."""
    lookup.find([C1])
    engine = lookup.engine
    inherited = get_pool(engine)
    child = fork_and_check(lambda: get_pool(engine) is not inherited)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize('first', ['a look-up', 'a swap'])
def test_a_child_that_no_hook_told_leaves_the_parents_connections(
    lookup: DatabaseOwners, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """It has another process id, which is all that it knows of its fork."""
    lookup.find([C1])
    engine = lookup.engine
    inherited = weakref.ref(get_pool(engine))
    monkeypatch.setattr(os, 'getpid', lambda: 2**22 + 1)  # above Linux's highest
    if first == 'a look-up':
        lookup.find([C1])
    else:
        lookup.swap_generations([SWAP])
    own = get_pool(engine)
    gc.collect()
    # Neither used, nor closed, nor collected.
    kept = inherited()
    assert kept is not None
    assert kept is not own
    assert kept.checkedin() == 1
    lookup.find([C2])
    assert get_pool(engine) is own


def test_the_fork_hook_keeps_nothing_alive(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = DatabaseOwners(settings(f'sqlite:///{path}'))
    gone = weakref.ref(lookup)
    del lookup
    gc.collect()
    assert gone() is None
    # Where an exception in a hook goes to.
    faults: list[object] = []
    monkeypatch.setattr(sys, 'unraisablehook', faults.append)
    child = fork_and_check(lambda: not faults)
    assert os.waitpid(child, 0)[1] == 0


def test_nothing_is_connected_before_the_first_look_up(path: Path) -> None:
    path.unlink()
    lookup = DatabaseOwners(settings(f'sqlite:///{path}'))
    assert get_pool(lookup.engine).checkedin() == 0
    assert not path.exists()
