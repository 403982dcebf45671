# SPDX-License-Identifier: Apache-2.0
"""The model's runs as lists of named steps."""

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

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return self._asdict() | {'row': self.row and self.row._asdict()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> 'Step':
        """Undoes :meth:`to_json`."""
        row = values['row']
        return cls(**{**values, 'row': row and Row(**row)})


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
