# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy diff``."""

import argparse
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from consumer_guard.analysis.diff import (
    Difference,
    compare_all,
    list_differences,
    list_unaffected,
)
from consumer_guard.analysis.equivalence import Change, Comparison
from consumer_guard.analysis.replay import EFFECTS, ReplaySummary, replay
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.base import GuardLister, plain_errors
from consumer_guard.cmd.narrow import exceeds_display
from consumer_guard.cmd.records import NoRecords, open_records
from consumer_guard.cmd.service_diff import (
    add_service_options,
    check_service_options,
    compare_services,
    fold_service_row,
)
from consumer_guard.guard.model import Operation
from consumer_guard.rules.rulebook import Rulebook


class DiffPolicy(GuardLister):
    """Show whose access changes between two policies.

    Exit status: 0: nothing changes; 1: something changes; 2: a file cannot be used;
    3: no known change, but some comparisons are undecided.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Two sets of files, and records."""
        for name in ('old', 'new'):
            parser.add_argument(
                name,
                metavar=name.upper(),
                help='policy file, or directory of policy files',
            )
        parser.add_argument(
            '--replay',
            metavar='RECORDS',
            help='file of decision records (logger consumer_guard.audit) to decide '
            'again under both policies; - reads standard input',
        )
        add_service_options(parser)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Compare; newly allowed first."""
        with plain_errors():
            check_service_options(parsed_args)
            if parsed_args.namespace is not None:
                return self._compare_services(parsed_args)
            differences = self._compare(parsed_args)
        changes = {one.change for one in differences}
        self.status = 3 if changes == {Change.UNDECIDED} else int(bool(changes))
        names = [column.name for column in dataclasses.fields(Difference)]
        rows = [
            [cell.value if isinstance(cell, Change) else cell for cell in row]
            for row in map(dataclasses.astuple, differences)
        ]
        if exceeds_display(parsed_args, names, rows):
            return ('change', 'request', 'decision'), [
                _fold_row(dict(zip(names, row, strict=True))) for row in rows
            ]
        return names, rows

    def _compare(self, parsed_args: argparse.Namespace) -> list[Difference]:
        """The guard's own rules."""
        old = Rulebook.build(read_paths([parsed_args.old]))
        new = Rulebook.build(read_paths([parsed_args.new]))
        comparisons = compare_all(old, new)
        replayed = None
        if parsed_args.replay is not None:
            equal = {
                operation.name
                for operation, known in comparisons.items()
                if known.equal
            }
            with open_records(parsed_args.replay, 'option --replay') as lines:
                replayed = replay(lines, old, new, equal)
            if not replayed.totals:
                raise NoRecords(parsed_args.replay, 'option --replay')
            self._write_totals(replayed)
        self._write_proof(comparisons)
        return list_differences(old, new, comparisons, replayed)

    def _compare_services(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """The rules of another service."""
        result = compare_services(parsed_args)
        self.status = result.status
        self.note(result.summary)
        names, rows = result.columns, result.rows
        if exceeds_display(parsed_args, names, rows):
            return (names[0], 'rule', 'decision'), [
                fold_service_row(dict(zip(names, row, strict=True))) for row in rows
            ]
        return names, rows

    def _write_proof(self, comparisons: Mapping[Operation, Comparison]) -> None:
        proven = list_unaffected(comparisons, Change.ALLOWED)
        if proven:
            names = ', '.join(proven)
            names = 'all operations' if len(proven) == len(comparisons) else names
            self.note(f'nobody gains: proven for {names}')

    def _write_totals(self, replayed: ReplaySummary) -> None:
        parts = [f'{replayed.totals[effect]} {effect.value}' for effect in EFFECTS]
        self.note(f'{replayed.totals.total()} decisions: {", ".join(parts)}')
        if replayed.invalid:
            lines = ', '.join(map(str, replayed.invalid_lines))
            more = ', ...' if replayed.invalid > len(replayed.invalid_lines) else ''
            self.note(f'{replayed.invalid} lines are not records (line {lines}{more})')
        if replayed.unexplained:
            self.note(
                f'{replayed.unexplained} decisions differ from those of OLD: other '
                'rules were in force'
            )


def _fold_row(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The same in three columns, of several lines."""
    request = f'{row["operation"]}\n{row["who"]}'
    if row['whose']:
        request += f'\nconsumers: {row["whose"]}'
    if row['count'] is not None:
        request += f'\n{row["count"]} recorded, such as {row["example"]}'
    return row['change'], request, f'old: {row["old"]}\nnew: {row["new"]}'
