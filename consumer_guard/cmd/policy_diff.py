# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy diff``."""

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from consumer_guard.analysis.diff import compare_all, list_differences
from consumer_guard.analysis.replay import Effect, Replayer, Tally
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.base import CommandFailed, GuardLister, plain_errors, printable
from consumer_guard.rules.rulebook import Rulebook

_COLUMNS = (
    'change',
    'by',
    'operation',
    'who',
    'whose',
    'old',
    'new',
    'count',
    'example',
)


class DiffPolicy(GuardLister):
    """Show who is allowed or refused under new rules, other than under old ones.

    Exit status: 0 nothing changes, 1 something does or it is undecided, 2 a
    file could not be used.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
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
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[tuple[Any, ...]]]:
        """Compare; newly allowed first."""
        with plain_errors():
            old = Rulebook.build(read_paths([parsed_args.old]))
            new = Rulebook.build(read_paths([parsed_args.new]))
            comparisons = compare_all(old, new)
            tally = None
            if parsed_args.replay is not None:
                equal = {
                    operation.name
                    for operation, comparison in comparisons.items()
                    if comparison.equal
                }
                replayer = Replayer(old, new, equal)
                with _open_records(parsed_args.replay) as lines:
                    tally = replayer.replay(lines)
                self._say_totals(tally)
            found = list_differences(old, new, comparisons, tally)
        self.status = 1 if found else 0
        return _COLUMNS, [
            (
                str(one.rank),
                one.by,
                one.operation,
                printable(one.who),
                one.whose,
                printable(one.old),
                printable(one.new),
                one.count,
                one.example,
            )
            for one in found
        ]

    def _say_totals(self, tally: Tally) -> None:
        say = self.app.stderr.write
        total = sum(tally.totals.values())
        parts = [f'{tally.totals[effect]} {effect.value}' for effect in Effect]
        say(f'{total} decisions: {", ".join(parts)}\n')
        if tally.bad:
            lines = ', '.join(map(str, tally.bad_lines))
            more = ', ...' if tally.bad > len(tally.bad_lines) else ''
            say(f'{tally.bad} lines are no records (line {lines}{more})\n')
        if tally.otherwise:
            say(
                f'{tally.otherwise} decisions were not those of OLD: other rules were '
                'in force\n'
            )


@contextlib.contextmanager
def _open_records(path: str) -> Iterator[Iterable[str]]:
    """:raises CommandFailed: it cannot be read"""
    if path == '-':
        yield sys.stdin
        return
    try:
        # What is not UTF-8 becomes a bad line, not an end.
        with open(path, encoding='utf-8', errors='replace') as lines:
            yield lines
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandFailed(
            f'{path} (option --replay): cannot be read: {reason}'
        ) from None
