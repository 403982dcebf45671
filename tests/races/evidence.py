# SPDX-License-Identifier: Apache-2.0
"""The log that triggers keep of the consumers table, and what it proves."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from consumer_guard.generations.values import LOWEST, SPACING

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

#: A consumer, a generation of it, and whose it was then.
Key = tuple[str, int, str]


class Change(NamedTuple):
    """One change of a consumers row.

    :ivar was: the generation before; None where the row was created
    :ivar generation: the one after; None where the row was deleted
    :ivar project: keystone's id of the project before (after, when created)
    """

    seq: int
    row_id: int
    uuid: str
    was: int | None
    generation: int | None
    project: str


class Write(NamedTuple):
    """What one write did to one consumer, if it landed.

    :ivar project: keystone's id of the claimed project
    :ivar generation: of the body; None is null, or a body without one
    :ivar sealed: whether ownership alone allows it
    """

    uuid: str
    project: str
    generation: int | None
    sealed: bool = False

    @property
    def key(self) -> Key:
        """Its predecessor, where it names one."""
        assert self.generation is not None
        return self.uuid, self.generation, self.project


class Roll(NamedTuple):
    """A counter that an operator moved."""

    uuid: str
    generation: int
    to: int


def install(engine: sa.Engine) -> None:
    """Make the log and its triggers, where they are missing."""
    if sa.inspect(engine).has_table('race_log'):
        return
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


def remove(engine: sa.Engine) -> None:
    """Remove the log and its triggers."""
    on_table = ' ON consumers' if engine.dialect.name == 'postgresql' else ''
    with engine.begin() as connection:
        for event, _ in _EVENTS:
            connection.execute(sa.text(f'DROP TRIGGER race_{event}{on_table}'))
            if on_table:
                connection.execute(sa.text(f'DROP FUNCTION race_{event}()'))
        connection.execute(sa.text('DROP TABLE race_log'))


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
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                'SELECT seq, row_id, uuid, was, generation, external_id'
                ' FROM race_log JOIN projects ON projects.id = project ORDER BY seq'
            )
        ).all()
    return [Change(*row) for row in rows]


def find_faults(
    log: Sequence[Change],
    acknowledged: Iterable[Write],
    unsure: Iterable[Write] = (),
    rolls: Iterable[Roll] = (),
    *,
    ids_recur: bool = False,
    owners_are_lost: bool = False,
) -> list[str]:
    """What must not be: empty when every write is accounted for.

    * A write by ownership: the row moved from the body's generation to one of the
      guard's own, the very next change of that row is placement's increment of it,
      and the project was the writer's at both.
    * Another write upon a generation: a step from that generation, of the claimed
      project, that is no other write's.
    * A write without one: a step of that project that is no other write's.
    * Nothing else: no further step, but of writes whose answer says neither.
    * A roll: a move from the one generation to the other.

    :param unsure: writes that may have landed
    :param ids_recur: as SQLite's do. Placement increments a row by its id and
        generation: the write of a role-holder lands on whatever row was made under
        that id up to the same generation, be it another consumer's. Of such writes
        neither consumer nor project are compared then; of owners' they always are.
    :param owners_are_lost: as on MariaDB. Where it ends a deadlock, placement repeats
        the write without the owner that it had changed in the same transaction
        (doc/source/neighbours.rst): the row of a role-holder's write may keep the
        former one. Of such writes the project is not compared then.
    """
    steps = Counter(_find_steps(log))
    seals = _find_seals(log)
    writes = list(acknowledged)
    loose = [w for w in writes if w.generation is None]
    named = [w for w in writes if w.generation is not None]
    moves = Counter((c.uuid, c.was, c.generation) for c in log)
    faults = [
        f'{roll}: acknowledged {count} times, and lost'
        for roll, count in Counter(rolls).items()
        if moves[roll] < count
    ]
    # First: the step from a value that the guard has given away is whose names it.
    unsealed = Counter(w.key for w in named if not w.sealed)
    direct = unsealed & steps
    steps -= direct
    for (uuid, generation, _project), count in (unsealed - direct).items():
        alike = [
            step
            for step in steps.elements()
            if (ids_recur or (owners_are_lost and step[0] == uuid))
            and step[1] == generation
        ][:count]
        steps -= Counter(alike)
        if len(alike) < count:
            upon = uuid, generation
            faults.append(f'{upon}: acknowledged {count} times, {len(alike)} landed')
    for key, count in Counter(w.key for w in named if w.sealed).items():
        for _ in range(count):
            step = next((s for s in seals[key] if steps[s]), None)
            if step is None:
                faults.append(f'{key}: acknowledged to its owner, {_explain(key, log)}')
            else:
                steps[step] -= 1
    compared = 0 if ids_recur else 1 if owners_are_lost else 2
    return faults + _count_others(steps, loose, list(unsure), compared)


def _count_others(
    steps: Counter[Key], loose: list[Write], unsure: list[Write], compared: int
) -> list[str]:
    """Where there are fewer steps left than writes, or more than there can be.

    :param compared: 2 for consumer and project, 1 for the consumer, 0 for neither
    """
    left = Counter[tuple[str, ...]]()
    for (uuid, _generation, project), count in steps.items():
        left[(uuid, project)[:compared]] += count
    sure, possible = (
        Counter((w.uuid, w.project)[:compared] for w in writes)
        for writes in (loose, [*loose, *unsure])
    )
    return [
        f'{each}: {sure[each]} to {possible[each]} writes, {left[each]} in the log'
        for each in {*left, *sure}
        if not sure[each] <= left[each] <= possible[each]
    ]


def _find_steps(log: Iterable[Change]) -> Iterator[Key]:
    """Placement's increments: a write each."""
    for change in log:
        if change.was is not None and change.generation == change.was + 1:
            yield change.uuid, change.was, change.project


def _find_seals(log: Iterable[Change]) -> defaultdict[Key, list[Key]]:
    """What the guard moved, and the step that came next, of the same project."""
    last: dict[int, Change] = {}
    seals = defaultdict[Key, list[Key]](list)
    for change in log:
        # Placement may name another owner, which is no change of generation.
        if change.was == change.generation:
            continue
        before, last[change.row_id] = last.get(change.row_id), change
        if before is None or before.was is None or not _is_own(before.generation):
            continue
        came_next = change.was == before.generation == (change.generation or 0) - 1
        if came_next and change.project == before.project:
            moved = before.uuid, before.was, before.project
            seals[moved].append((change.uuid, change.was or 0, change.project))
    return seals


def _is_own(generation: int | None) -> bool:
    """Whether it is one of the guard's, which lie on a grid."""
    return (
        generation is not None
        and LOWEST + SPACING < generation < 0
        and (generation - LOWEST) % SPACING == 0
    )


def _explain(key: Key, log: Sequence[Change]) -> str:
    """What came of a write by ownership that is not in the log as it must be."""
    uuid, generation, project = key
    rows = {change.row_id for change in log if change.uuid == uuid}
    history = [change for change in log if change.row_id in rows]
    for number, change in enumerate(history):
        if (change.uuid, change.was) != (uuid, generation):
            continue
        if change.generation == generation + 1 and change.project == project:
            return 'and was not sealed'
        if _is_own(change.generation):
            return f'and landed on something else: {history[number : number + 3]}'
    return 'and is not in the log'
