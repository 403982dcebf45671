# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy diff``."""

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from consumer_guard.analysis.diff import Difference, compare_all, list_differences
from consumer_guard.analysis.replay import EFFECTS, ReplaySummary, replay
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.base import CommandFailed, GuardLister, plain_errors
from consumer_guard.cmd.narrow import exceeds_display
from consumer_guard.cmd.progress import show_progress
from consumer_guard.rules.rulebook import Rulebook


class DiffPolicy(GuardLister):
    """Show who is allowed or refused under new rules, other than under old ones.

    Exit status: 0 nothing changes, 1 something does or it is undecided, 2 a
    file could not be used.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Two sets of files, and records."""
        for name in ('old', 'new'):
            parser.add_argument(
                name, metavar=name.upper(), help='a policy file, or a directory of them'
            )
        parser.add_argument(
            '--replay',
            metavar='RECORDS',
            help='a file of decision records (logger consumer_guard.audit), judged '
            'again under both; - for the standard input',
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Compare; newly allowed first."""
        with plain_errors():
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
                with _open_records(parsed_args.replay) as lines:
                    replayed = replay(lines, old, new, equal)
                if not replayed.totals:
                    raise CommandFailed(
                        f'{parsed_args.replay} (option --replay): no line holds a '
                        'decision record; records are written at INFO by the logger '
                        'consumer_guard.audit'
                    )
                self._write_totals(replayed)
            differences = list_differences(old, new, comparisons, replayed)
        self.status = 1 if differences else 0
        names = [column.name for column in dataclasses.fields(Difference)]
        rows = [
            [str(cell) if isinstance(cell, str) else cell for cell in row]
            for row in map(dataclasses.astuple, differences)
        ]
        if exceeds_display(parsed_args, names, rows):
            return ('change', 'request', 'decision'), [
                _fold_row(dict(zip(names, row, strict=True))) for row in rows
            ]
        return names, rows

    def _write_totals(self, replayed: ReplaySummary) -> None:
        write = self.app.stderr.write
        parts = [f'{replayed.totals[effect]} {effect.value}' for effect in EFFECTS]
        write(f'{replayed.totals.total()} decisions: {", ".join(parts)}\n')
        if replayed.invalid:
            lines = ', '.join(map(str, replayed.invalid_lines))
            more = ', ...' if replayed.invalid > len(replayed.invalid_lines) else ''
            write(f'{replayed.invalid} lines are no records (line {lines}{more})\n')
        if replayed.unexplained:
            write(
                f'{replayed.unexplained} decisions were not those of OLD: other rules '
                'were in force\n'
            )


def _fold_row(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The same in three columns, of several lines."""
    request = f'{row["operation"]}\n{row["who"]}'
    if row['whose']:
        request += f'\nconsumers: {row["whose"]}'
    if row['count'] is not None:
        request += f'\n{row["count"]} recorded, such as {row["example"]}'
    return row['change'], request, f'old: {row["old"]}\nnew: {row["new"]}'


def _count_lines(
    lines: Iterable[str], update: Callable[[int], object]
) -> Iterator[str]:
    for line in lines:
        yield line
        update(len(line))


@contextlib.contextmanager
def _open_records(path: str) -> Iterator[Iterable[str]]:
    """:raises CommandFailed: it cannot be read"""
    if path == '-':
        yield sys.stdin
        return
    try:
        # What is not UTF-8 becomes a bad line, not an end.
        with (
            open(path, encoding='utf-8', errors='replace') as lines,
            show_progress(os.path.getsize(path), 'characters') as progress,
        ):
            yield _count_lines(lines, progress.update)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandFailed(
            f'{path} (option --replay): cannot be read: {reason}'
        ) from None
