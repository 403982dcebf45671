# SPDX-License-Identifier: Apache-2.0
"""The decision table, in which every cell is an answer of the specification.

python -m doc.decision_table           write doc/source/decision-table.rst
python -m doc.decision_table --print   print it instead
"""

import argparse
import csv
import io
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.specification import (
    OPERATIONS,
    Answer,
    Caller,
    Consumer,
    Facts,
    Rule,
    decide,
)

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE / 'source' / 'decision-table.rst'

#: The columns, in the order of a reader's interest.
COLUMNS = {
    'allocations:list': '``GET /allocations/{c}``',
    'usages': '``GET /usages``',
    'resource_providers:allocations:list': "``GET`` a provider's list",
    'allocations:update': '``PUT /allocations/{c}``',
    'allocations:manage': '``POST /allocations``',
    'allocations:delete': '``DELETE /allocations/{c}``',
    'reshaper:reshape': '``POST /reshaper``',
}

_ONE, _TWO, _PROVIDER = (
    f'{digit}0000000-0000-4000-8000-000000000000' for digit in 'abc'
)
_CALLER = Caller(('reader', 'member'), 'mine', 'me')
#: A rule that lets owners do all that ownership can allow.
OWNERS: Rule = ('same', 'project_id')
_MINE, _OTHERS = Consumer('mine', 'me'), Consumer('theirs', 'them')


_BY_OWNERS = 'read sums filter write'


class Situation(NamedTuple):
    """One row: what differs from a request that an owner may send.

    :ivar where: operations, or kinds of them, that it concerns, see ``OPERATIONS``
    :ivar facts: what is other than usual
    """

    text: str
    where: str = f'{_BY_OWNERS} never'
    facts: Mapping[str, Any] = {}
    rule: Rule = OWNERS
    caller: Caller | None = _CALLER


def _about(consumer: Consumer | None) -> dict[str, Any]:
    """The consumer is recorded like this; the query names another project."""
    recorded = {} if consumer is None else {_ONE: consumer}
    return {'recorded': recorded, 'query': {'project_id': 'theirs'}}


def _claim(**changes: Any) -> dict[str, Any]:
    return {'claimed': {_ONE: _MINE._replace(**changes)}}


def _list_unread(method: str, operation: str) -> Iterator[Situation]:
    body = f'the body of a {method}'
    yield Situation(f'{body} is too large', operation, {'payload': 'too_large'})
    yield Situation(f'{body} cannot be read', operation, {'payload': 'unreadable'})


#: Rows that hold whether or not the owner matters.
ALWAYS = (
    Situation('the identity is not proven', caller=None),
    Situation('no policy file has been usable since the start', facts={'locked': True}),
    Situation(
        'the token is not of project scope', caller=_CALLER._replace(scope='system')
    ),
    Situation(
        'the rule allows the caller, whoever the owner is', rule=('role', 'member')
    ),
    Situation('the rule denies the caller, whoever the owner is', rule=('role', 'x')),
)

#: Rows for a rule that only the owner can decide, in the order of the guard.
BY_OWNER = (
    Situation('the operation is for roles only', 'never'),
    Situation("the microversion is none of placement's", facts={'microversion': None}),
    Situation(
        'the id in the path is not canonical',
        'read filter allocations:update',
        {'path_ids': (_ONE.upper(),)},
    ),
    Situation('the path ends in a newline', _BY_OWNERS, {'newline': True}),
    Situation('the microversion is below 1.28', 'write', {'microversion': (1, 27)}),
    Situation('the query is not canonical', 'sums', {'payload': 'unreadable'}),
    *_list_unread('POST', 'allocations:manage'),
    Situation(
        'an id in the body of a POST is not canonical',
        'allocations:manage',
        {'claimed': {_ONE.upper(): _MINE}},
    ),
    Situation(
        'the body of a POST names no consumer', 'allocations:manage', {'claimed': {}}
    ),
    Situation(
        'a POST leaves no allocations',
        'allocations:manage',
        _claim(has_allocations=False),
    ),
    Situation('the owners cannot be looked up', 'read write', {'recorded': None}),
    Situation('a consumer is unknown', 'read write', _about(None)),
    Situation(
        'a consumer has no owner', 'read write', _about(_MINE._replace(project_id=None))
    ),
    Situation('another project is the owner', 'read sums write', _about(_OTHERS)),
    Situation(
        'another project owns one of several',
        'allocations:manage',
        {
            'recorded': {_ONE: _MINE, _TWO: _OTHERS},
            'claimed': {_ONE: _MINE, _TWO: _MINE},
        },
    ),
    Situation(
        'what the rule compares is not known of the owner',
        'read sums write',
        rule=('is', 'consumer_type', 'INSTANCE'),
    ),
    Situation('the query names no project', 'sums', {'query': {}}, rule=('remote', 2)),
    *_list_unread('PUT', 'allocations:update'),
    Situation(
        'a PUT leaves no allocations',
        'allocations:update',
        _claim(has_allocations=False),
    ),
    Situation(
        'a consumer holds no allocations',
        'write',
        _about(_MINE._replace(has_allocations=False)),
    ),
    Situation(
        'the rule does not allow the claimed owner',
        'write',
        _claim(project_id='theirs'),
    ),
    Situation(
        'the claim adds a project or user that is not the caller, or a type',
        'write',
        _claim(user_id='them'),
    ),
    Situation('the generation is another one', 'write', _claim(generation=2)),
    Situation('none of these', _BY_OWNERS),
)

_HEAD = """\
.. Written by python -m doc.decision_table; do not edit.

==============
Decision table
==============

Every cell is an answer of the specification in ``tests/specification.py``, with which
``tox run -e specification`` compares the guard on ten million random requests. The
first row that applies decides.

Numbers are HTTP statuses of refusals. *forward* sends the request to placement
unchanged, *passage* with the passage role, and *filter* with the passage role and only
the visible consumers in the answer. With ``denial = conceal``, refusals marked *c* are
answered as placement answers for an unknown consumer. Placement's own 400 or 406 for a
microversion replaces every refusal except 401.
"""


def answer(situation: Situation, operation: str) -> Answer | None:
    """What the specification says of one cell; None where nothing can differ."""
    kind = OPERATIONS[operation]
    if not {kind, operation} & set(situation.where.split()):
        return None
    path_id = _PROVIDER if kind == 'filter' else _ONE
    in_path = operation not in ('usages', 'allocations:manage', 'reshaper:reshape')
    facts = Facts(
        path_ids=(path_id,) if in_path else (),
        query={'project_id': 'mine'} if kind == 'sums' else {},
        claimed={_ONE: _MINE} if kind == 'write' else {},
        recorded={_ONE: _MINE},
    )
    facts = facts._replace(**situation.facts)
    return decide(situation.caller, situation.rule, operation, facts)


def _write_cell(cell: Answer | None) -> str:
    if cell is None:
        return '—'
    if cell.outcome != 'refuse':
        return 'forward' if cell.outcome == 'role' else cell.outcome
    status = str(cell.status or '400 or 406')
    return f'{status} *c*' if cell.concealed else status


def _write_table(header: list[str], widths: list[int], rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator='\n').writerows([header, *rows])
    lines = ['.. csv-table::', '   :header-rows: 1']
    lines += [f'   :widths: {", ".join(map(str, widths))}', '']
    lines += [f'   {line}' for line in out.getvalue().splitlines()]
    return '\n'.join(lines) + '\n'


def _write_situations(situations: tuple[Situation, ...]) -> str:
    rows = [
        [one.text, *(_write_cell(answer(one, operation)) for operation in COLUMNS)]
        for one in situations
    ]
    return _write_table(['', *COLUMNS.values()], [30, *[10] * len(COLUMNS)], rows)


def write_page() -> str:
    """The whole page, as reStructuredText."""
    parts = [
        _HEAD,
        'Without the owner\n=================\n',
        _write_situations(ALWAYS),
        'By the owner\n============\n',
        _write_situations(BY_OWNER),
    ]
    return '\n'.join(parts)


def main() -> int:
    """Write the page, or print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--print', action='store_true', help='do not write the file')
    if parser.parse_args().print:
        sys.stdout.write(write_page())
    else:
        PAGE.write_text(write_page(), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
