# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard matrix``."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from consumer_guard.analysis.matrix import (
    FIELDS,
    CellDifference,
    Matrix,
    compare_cells,
    make_matrix,
)
from consumer_guard.assembly import read_rules
from consumer_guard.cmd import matrix_page
from consumer_guard.cmd.base import CommandFailed, GuardLister, read_json, write_file
from consumer_guard.cmd.narrow import exceeds_display
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.policies import FoundPlacement, find_placement
from consumer_guard.guard import model

#: Formats for people: one row per caller class. The others: one row per cell.
_FOR_PEOPLE = ('table', 'markdown')


class ShowMatrix(GuardLister):
    """Show who can do what: caller classes by operation and by owner of the consumer.

    Computed from the live policy files of the guard and of placement; queries neither
    a database nor a running placement. "owned" consumers belong to the project of the
    table, "foreign" ones to a project without rows. Exit status: 0; 1: --compare shows
    differences; 2: the matrix could not be computed.
    """

    @property
    def formatter_namespace(self) -> str:
        """cliff's formats, and Markdown."""
        return 'consumer_guard.matrix_formatter'

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Further rows, a page, and a matrix to compare with."""
        parser.add_argument(
            '--role',
            metavar='NAME',
            action='append',
            default=[],
            help='add rows for a role; roles in the rules have rows already. May be '
            'repeated',
        )
        parser.add_argument(
            '--html', metavar='FILE', help='also write a self-contained HTML page'
        )
        parser.add_argument(
            '--compare',
            metavar='FILE',
            help='show only the differences from a matrix written with -f json',
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Compute the matrix, or what differs from another one."""
        conf, settings = self.read_configuration()
        before = None
        if parsed_args.compare is not None:
            before = _read_records(parsed_args.compare)
        placement = find_placement(conf)
        matrix = make_matrix(
            read_rules(conf, settings),
            parsed_args.role,
            conceal=settings.conceal,
            passage_role=settings.passage_role,
            nobodys_project_id=settings.incomplete_consumer_project_id,
            placement=placement.rules,
        )
        if parsed_args.html is not None:
            page = matrix_page.make_page(matrix, settings)
            write_file(parsed_args.html, '--html', page.encode())
        self._write_notes(matrix, settings, placement)
        if before is not None:
            differences = compare_cells(before, matrix.records())
            self.status = 1 if differences else 0
            self.note(f'{len(differences)} of {len(matrix.cells)} cells differ')
            return CellDifference._fields, [
                (each.change.value, *each[1:]) for each in differences
            ]
        if parsed_args.formatter in _FOR_PEOPLE:
            table = _as_table(matrix)
            return _fold(matrix) if exceeds_display(parsed_args, *table) else table
        return FIELDS, matrix.records()

    def _write_notes(
        self, matrix: Matrix, settings: Settings, placement: FoundPlacement
    ) -> None:
        """What the table does not show."""
        if settings.shadow:
            self.note(
                'enforcement = shadow: these are the decisions; nothing is refused'
            )
        for name, callers in matrix.list_refused_by_placement().items():
            self.note(
                f'{name}: placement refuses what the guard allows: {", ".join(callers)}'
            )
        for name in matrix.remote:
            self.note(
                f'the rule of {name} contains a remote check, which is not called here'
            )
        if placement.rules is None:
            self.note(f"{placement.problem}: this shows the guard's rules alone")


def _as_table(matrix: Matrix) -> tuple[Sequence[str], list[Sequence[Any]]]:
    names = [operation.name for operation in model.OPERATIONS]
    return ('caller', *names), [
        (each.name, *(matrix.summarise(each.name, name) for name in names))
        for each in matrix.classes
    ]


def _fold(matrix: Matrix) -> tuple[Sequence[str], list[tuple[str, str, str]]]:
    """Three columns: operations with the same access share a row."""
    rows = []
    for each in matrix.classes:
        operations: dict[str, list[str]] = {}
        for operation in model.OPERATIONS:
            access = matrix.summarise(each.name, operation.name)
            # The only name that is too long for a column of 80.
            name = operation.name.replace('providers:', 'providers:\n  ')
            operations.setdefault(access, []).append(name)
        if len(operations) > 1:
            operations.pop('-', None)
        for access, names in operations.items():
            every = len(names) == len(model.OPERATIONS)
            rows.append((each.name, access, 'all' if every else '\n'.join(names)))
    return ('caller', 'consumers', 'operations'), rows


def _read_records(path: str) -> list[tuple[str | bool, ...]]:
    """A matrix that was written with ``-f json``.

    :raises CommandFailed: it is none
    """
    document = read_json(path, '--compare')
    if not isinstance(document, list) or not document:
        raise CommandFailed(f'--compare {path}: not a matrix written with -f json')
    records = []
    for row in document:
        if not isinstance(row, dict) or set(row) != set(FIELDS):
            raise CommandFailed(
                f'--compare {path}: not a matrix written with -f json: '
                f'{row!r:.60} is not a cell with all of {", ".join(FIELDS)}'
            )
        records.append(tuple(row[name] for name in FIELDS))
    if any(type(value) not in (str, bool) for row in records for value in row):
        raise CommandFailed(
            f'--compare {path}: a cell value is neither text nor true or false'
        )
    return records
