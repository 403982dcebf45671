# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard matrix``."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from cliff import lister

from consumer_guard.analysis.matrix import FIELDS, Matrix, compare, make_matrix
from consumer_guard.assembly import read_rules
from consumer_guard.cmd import matrix_page, person
from consumer_guard.cmd.base import CommandFailed
from consumer_guard.config.loading import read_configuration
from consumer_guard.guard import model

#: Formats for people: one row a caller class. The others: one row a cell.
_FOR_PEOPLE = ('table', 'markdown')

_DIFFERENCE = ('change', 'caller', 'operation', 'relation', 'before', 'now')

_EQUAL, _DIFFERENT = 0, 1


class ShowMatrix(lister.Lister):
    """Show who may do what: caller classes by operations by whose consumer it is.

    Computed from the live policy files alone; no database and no placement is
    asked. "owned" is of the project of the table, "foreign" of another one that
    no row is of. Exit status: 0; with --compare 1 when something differs; 2
    nothing could be done.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._status = _EQUAL

    @property
    def formatter_namespace(self) -> str:
        """cliff's formats, and Markdown."""
        return 'consumer_guard.matrix_formatter'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            '--role',
            metavar='NAME',
            action='append',
            default=[],
            help='rows for a further role; roles in the rules have theirs. May be '
            'repeated',
        )
        parser.add_argument(
            '--html', metavar='FILE', help='write a self-contained page too'
        )
        parser.add_argument(
            '--compare',
            metavar='FILE',
            help='show only what differs from a matrix that was written with -f json',
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the matrix, and return the exit status."""
        super().run(parsed_args)
        return self._status

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Survey the rules."""
        conf, settings = read_configuration(getattr(self.app_args, 'config_file', None))
        before = None
        if parsed_args.compare is not None:
            before = _read_records(parsed_args.compare)
        matrix = make_matrix(
            read_rules(conf, settings),
            parsed_args.role,
            conceal=settings.conceal,
            passage_role=settings.passage_role,
            nobodys_project_id=settings.incomplete_consumer_project_id,
        )
        if settings.shadow:
            self._note(
                'enforcement = shadow: this is what would be, nothing is refused'
            )
        for name in matrix.elsewhere:
            self._note(f'the rule of {name} asks elsewhere too; that is not asked here')
        if parsed_args.html is not None:
            _write(parsed_args.html, matrix_page.make_page(matrix, settings))
        if before is not None:
            return self._compare(before, matrix)
        if parsed_args.formatter in _FOR_PEOPLE:
            return _as_table(matrix)
        return FIELDS, matrix.records()

    def _note(self, text: str) -> None:
        self.app.stderr.write(f'{text}\n')

    def _compare(
        self, before: list[tuple[str | bool, ...]], matrix: Matrix
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        found = compare(before, matrix.records())
        self._status = _DIFFERENT if found else _EQUAL
        self._note(f'{len(found)} of {len(matrix.cells)} cells differ')
        return _DIFFERENCE, [
            (
                one.change.value,
                one.caller,
                one.operation,
                one.relation,
                one.before,
                one.now,
            )
            for one in found
        ]


def _as_table(matrix: Matrix) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    names = [operation.name for operation in model.OPERATIONS]
    return ('caller', *names), [
        (one.name, *(matrix.summarise(one.name, name) for name in names))
        for one in matrix.classes
    ]


def _read_records(path: str) -> list[tuple[str | bool, ...]]:
    """A matrix that was written with ``-f json``.

    :raises CommandFailed: it is none
    """
    document = person.read_json(path, '--compare')
    if not isinstance(document, list) or not document:
        raise CommandFailed(f'--compare {path}: not a matrix written with -f json')
    records = []
    for row in document:
        if not isinstance(row, dict) or set(row) != set(FIELDS):
            raise CommandFailed(
                f'--compare {path}: not a matrix written with -f json: '
                f'{row!r:.60} is no cell with all of {", ".join(FIELDS)}'
            )
        records.append(tuple(row[name] for name in FIELDS))
    if any(type(value) not in (str, bool) for row in records for value in row):
        raise CommandFailed(f'--compare {path}: a cell holds neither text nor a truth')
    return records


def _write(path: str, text: str) -> None:
    try:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
    except OSError as exc:
        raise CommandFailed(f'--html {path}: {exc.strerror}') from None
