# SPDX-License-Identifier: Apache-2.0
"""The log that triggers keep of the consumers table, and what it proves."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

_TABLE = {
    'sqlite': 'seq INTEGER PRIMARY KEY AUTOINCREMENT',
    'postgresql': 'seq BIGSERIAL PRIMARY KEY',
    'mysql': 'seq BIGINT AUTO_INCREMENT PRIMARY KEY',
}
_COLUMNS = 'row_id, uuid, was, generation, project'
_INSERT = f'INSERT INTO race_log ({_COLUMNS}) VALUES'
_UPDATED = 'NEW.id, NEW.uuid, OLD.generation, NEW.generation, OLD.project_id'
_INSERTED = 'NEW.id, NEW.uuid, NULL, NEW.generation, NEW.project_id'
_DELETED = 'OLD.id, OLD.uuid, OLD.generation, NULL, OLD.project_id'
_EVENTS = (('UPDATE', _UPDATED), ('INSERT', _INSERTED), ('DELETE', _DELETED))


class Change(NamedTuple):
    """One change of a consumers row.

    :ivar was: the generation before; None where the row was created
    :ivar generation: the one after; None where the row was deleted
    :ivar project: placement's own id of the project before (after, when created)
    """

    seq: int
    row_id: int
    uuid: str
    was: int | None
    generation: int | None
    project: int


class Swapped(NamedTuple):
    """The judged row as the guard moved it for one write that was acknowledged.

    :ivar project: placement's own id of the writer's project
    """

    row_id: int
    uuid: str
    expected: int
    new: int
    project: int


class Told(NamedTuple):
    """A role-holder's write that was acknowledged, upon a generation."""

    uuid: str
    generation: int


def install(engine: sa.Engine) -> None:
    """Make the log and its triggers."""
    dialect = engine.dialect.name
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                f'CREATE TABLE race_log ({_TABLE[dialect]}, row_id BIGINT, '
                'uuid VARCHAR(36), was BIGINT, generation BIGINT, project BIGINT)'
            )
        )
        for event, values in _EVENTS:
            connection.execute(sa.text(_make_trigger(dialect, event, values)))
            if dialect == 'postgresql':
                connection.execute(
                    sa.text(
                        f'CREATE TRIGGER race_{event} AFTER {event} ON consumers '
                        f'FOR EACH ROW EXECUTE FUNCTION race_{event}()'
                    )
                )


def _make_trigger(dialect: str, event: str, values: str) -> str:
    insert = f'{_INSERT} ({values});'
    if dialect == 'postgresql':
        return (
            f'CREATE FUNCTION race_{event}() RETURNS trigger LANGUAGE plpgsql AS '
            f'$$ BEGIN {insert} RETURN NULL; END $$'
        )
    each = f'CREATE TRIGGER race_{event} AFTER {event} ON consumers FOR EACH ROW'
    if dialect == 'sqlite':
        return f'{each} BEGIN {insert} END'
    return f'{each} {insert.rstrip(";")}'


def read(engine: sa.Engine) -> list[Change]:
    """The whole log, in order."""
    columns = ', '.join(Change._fields)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(f'SELECT {columns} FROM race_log ORDER BY seq')
        ).all()
    return [Change(*row) for row in rows]


def find_faults(
    log: Sequence[Change], owners: Iterable[Swapped], told: Iterable[Told]
) -> list[str]:
    """What must not be: empty when every acknowledged write is accounted for.

    * A write by ownership: the row was moved to its own generation, the very next
      change of that row is placement's increment of it, and the project was the
      writer's at both.
    * A write upon a generation: there are as many steps from that generation to
      the next as were acknowledged, so none was lost.
    """
    faults: list[str] = []
    history: defaultdict[int, list[Change]] = defaultdict(list)
    steps: Counter[tuple[str, int]] = Counter()
    for change in log:
        history[change.row_id].append(change)
        if change.was is not None and change.generation == change.was + 1:
            steps[change.uuid, change.was] += 1
    for swap in owners:
        changes = history[swap.row_id]
        starts = [
            number
            for number, change in enumerate(changes)
            if (change.was, change.generation) == (swap.expected, swap.new)
        ]
        found = [_follow(swap, changes[number:]) for number in starts]
        if not found:
            faults.append(f'{swap}: acknowledged, and not in the log')
        elif None not in found:
            faults.append(f'{swap}: {found[0]}')
    for one, count in Counter(told).items():
        if steps[one.uuid, one.generation] < count:
            faults.append(f'{one}: acknowledged {count} times, and lost')
    return faults


def _follow(swap: Swapped, changes: Sequence[Change]) -> str | None:
    """What is wrong with a write, from its swap on; None when nothing is."""
    # Placement may name the owner again, which is no change of generation.
    moves = [change for change in changes if change.was != change.generation][:2]
    if len(moves) < 2:
        return 'acknowledged, and not in the log'
    if any(change.project != swap.project for change in moves):
        return f'landed on a foreign consumer: {moves}'
    if (moves[1].was, moves[1].generation) != (swap.new, swap.new + 1):
        return f'something came in between: {moves}'
    return None
