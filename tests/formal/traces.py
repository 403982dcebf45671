# SPDX-License-Identifier: Apache-2.0
"""The model's runs as lists of named steps, and as JSON."""

import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

#: The model's owners, by its numbers; 0 is none.
OWNERS = ('', 'alice', 'bob', 'nobody')

#: The model's number for a body without a generation.
_NONE = 9999

#: What the model prints at each step; the numbers may be negative.
_LINE = re.compile(
    r'@ (?P<writer>\d+) (?P<name>\w+) (?P<kind>\w+)'
    r' (?P<claimed>\d) (?P<generation>-?\d+) (?P<answer>\d+)'
    r' \| (?P<exists>\d) (?P<row_id>\d+) (?P<stored>-?\d+) (?P<owner>\d) (?P<held>\d)'
)


class Row(NamedTuple):
    """A row of the table ``consumers``, in the model's numbers."""

    row_id: int
    generation: int
    owner: str


class Step(NamedTuple):
    """One step of one request, and the database after it.

    :ivar writer: who sends the request; owners come first, then role-holders
    :ivar name: the step, such as ``owner_judge`` or ``placement_commit``
    :ivar kind: the request, such as ``put`` or ``delete``
    :ivar claimed: the owner that the body claims
    :ivar generation: what the body carries, once the guard has let it pass; None
        is null, or a request without one
    :ivar answer: the status when this was the request's last step, 0 before
    :ivar row: the consumer; None when there is no row
    :ivar held: whether there are allocations
    """

    writer: int
    name: str
    kind: str
    claimed: str
    generation: int | None
    answer: int
    row: Row | None
    held: bool


class Trace(NamedTuple):
    """One run of the model.

    :ivar name: unique
    :ivar defines: the model's switches
    :ivar mutant: whether one of them leaves out a condition of the guard
    """

    name: str
    defines: tuple[str, ...]
    mutant: bool
    steps: tuple[Step, ...]

    def get_bound(self, name: str, default: int) -> int:
        """The value of a switch that has one, such as ``START=0``."""
        values = dict(switch.partition('=')[::2] for switch in self.defines)
        return int(values.get(name, default))

    def can_happen(self, database: str) -> bool:
        """Whether it can on that database, and is made of requests alone.

        SQLite alone gives ids again, and it alone lets nobody write while another
        transaction, that has read, is open.
        """
        if any(step.kind == 'roll' for step in self.steps):
            return False
        if database == 'sqlite':
            return all(step.name != 'delete_find' for step in self.steps)
        return 'REUSE' not in self.defines


def write(path: pathlib.Path, traces: Iterable[Trace]) -> None:
    """Write them as JSON: a list of objects, with the names of the fields."""
    plain = [
        trace._asdict()
        | {
            'steps': [
                step._asdict() | {'row': step.row and step.row._asdict()}
                for step in trace.steps
            ]
        }
        for trace in traces
    ]
    path.write_text(json.dumps(plain, indent=1), encoding='utf-8')


def read(path: pathlib.Path) -> list[Trace]:
    """Read what :func:`write` wrote."""
    return [
        Trace(
            plain['name'],
            tuple(plain['defines']),
            plain['mutant'],
            tuple(map(_make_step, plain['steps'])),
        )
        for plain in json.loads(path.read_text(encoding='utf-8'))
    ]


def _make_step(plain: Mapping[str, Any]) -> Step:
    row = plain['row']
    return Step(**{**plain, 'row': row and Row(**row)})


def parse(lines: Iterable[str]) -> tuple[Step, ...]:
    """The steps among the lines that spin prints.

    :raises ValueError: a step that cannot be read
    """
    return tuple([_read(line) for line in lines if line.lstrip().startswith('@')])


def _read(line: str) -> Step:
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise ValueError(f'not a step of the model: {line!r}')
    generation, exists = int(found['generation']), found['exists'] == '1'
    row = Row(int(found['row_id']), int(found['stored']), OWNERS[int(found['owner'])])
    return Step(
        writer=int(found['writer']),
        name=found['name'],
        kind=found['kind'],
        claimed=OWNERS[int(found['claimed'])],
        generation=None if generation == _NONE else generation,
        answer=int(found['answer']),
        row=row if exists else None,
        held=found['held'] == '1',
    )
