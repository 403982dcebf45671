# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard generation roll``."""

import argparse
import functools
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from consumer_guard.cmd.base import CommandFailed, GuardCommand
from consumer_guard.cmd.interruption import Interruption, defer_interruption
from consumer_guard.cmd.progress import show_progress
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.database import open_database
from consumer_guard.generations import rolling
from consumer_guard.generations.rolling import StoredRow
from consumer_guard.generations.store import Kind, Swap
from consumer_guard.generations.values import choose_rolled

#: More are rolled only after a question, or with ``--yes``.
_UNQUESTIONED = 100

#: How often the tables are searched again for counters that a live placement moved
#: above the value meanwhile.
_PASSES = 5


class RollGenerations(GuardCommand):
    """Reset generation counters that are close to their limit.

    Safe beside a live placement: a client that holds an old generation gets
    placement's ordinary conflict and reads again. Writes one line per counter to
    standard output, with its old and its new value. Interrupted, it ends after the
    current transaction; run it again to go on. Exit status: 0: all rolled; 1: some are
    left; 2: nothing was done; 130 or 143: interrupted.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Which, and whether to ask or to try only."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument('--consumer', metavar='UUID', help='one consumer')
        which.add_argument('--provider', metavar='UUID', help='one resource provider')
        which.add_argument(
            '--near-end',
            action='store_true',
            help='all consumers and providers that have reached generation_warning',
        )
        which.add_argument(
            '--above',
            type=int,
            metavar='N',
            help='all consumers and providers whose generation is above N',
        )
        parser.add_argument(
            '--dry-run', action='store_true', help='only show what would be rolled'
        )
        parser.add_argument(
            '--yes',
            action='store_true',
            help=f'do not ask before rolling more than {_UNQUESTIONED} counters',
        )

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Roll one counter, or all above a value."""
        _, settings = self.read_configuration()
        with open_database(settings) as engine:
            if parsed_args.near_end or parsed_args.above is not None:
                self._roll_above(engine, settings, parsed_args)
                return
            kind, uuid = Kind.CONSUMER, parsed_args.consumer
            if parsed_args.provider is not None:
                kind, uuid = Kind.PROVIDER, parsed_args.provider
            self._roll_one(engine, settings, kind, uuid, parsed_args.dry_run)

    def _roll_one(
        self,
        engine: sa.Engine,
        settings: Settings,
        kind: Kind,
        uuid: str,
        dry_run: bool,
    ) -> None:
        row = rolling.read_row(engine, kind, uuid)
        if row is None:
            raise CommandFailed(f'there is no {kind.name.lower()} {uuid}')
        roll_to = settings.generation_roll_to
        if dry_run:
            self._preview([(kind, row)], roll_to)
            return
        choose = functools.partial(choose_rolled, roll_to=roll_to)
        swaps = rolling.roll_rows(engine, kind, [row.row_id], choose)
        self._write_swaps(kind, swaps or ())
        # A row that is gone meanwhile needs no roll.
        self._report(len(swaps or ()), left=int(swaps is None))

    def _roll_above(
        self, engine: sa.Engine, settings: Settings, parsed_args: argparse.Namespace
    ) -> None:
        above = _read_threshold(settings, parsed_args.above)
        roll_to = settings.generation_roll_to
        if parsed_args.dry_run:
            self._preview(_read_all(engine, above), roll_to)
            return
        total = _count_all(engine, above)
        if total > _UNQUESTIONED and not parsed_args.yes:
            self._confirm(total)
        with defer_interruption() as interruption:
            rolled = self._roll_counted(engine, above, roll_to, total, interruption)
        self._report(rolled, _count_all(engine, above))
        if interruption.signal is not None:
            self.note(
                f'interrupted by {interruption.signal.name}; run the command again to '
                'roll the rest'
            )
            self.status = interruption.status

    def _roll_counted(
        self,
        engine: sa.Engine,
        above: int,
        roll_to: int,
        total: int,
        interruption: Interruption,
    ) -> int:
        """Roll all above a value, with progress on a terminal; returns how many."""
        rolled = 0
        with show_progress(total, 'counters') as progress:
            try:
                for kind, swaps in _roll_batches(engine, above, roll_to):
                    rolled += len(swaps)
                    progress.clear()
                    self._write_swaps(kind, swaps)
                    progress.update(len(swaps))
                    if interruption.signal is not None:
                        break
            except sa.exc.SQLAlchemyError:
                self.app.stdout.write(f'{rolled} rolled\n')
                raise
        return rolled

    def _confirm(self, total: int) -> None:
        """:raises CommandFailed: nobody is there to answer, or the answer is no"""
        question = f'{total} generations would be rolled'
        if not self.app.stdin.isatty():
            raise CommandFailed(f'{question}; confirm with --yes')
        self.app.stderr.write(f'{question}. Roll them? [y/N] ')
        self.app.stderr.flush()
        if self.app.stdin.readline().strip().lower() not in ('y', 'yes'):
            raise CommandFailed('nothing was rolled')

    def _preview(self, rows: Iterable[tuple[Kind, StoredRow]], roll_to: int) -> None:
        number = 0
        for kind, row in rows:
            number += 1
            # Chosen anew when it is rolled, where it is a random one.
            new = choose_rolled(row.generation, roll_to)
            where = new if new == roll_to else 'a random value below 0'
            self.app.stdout.write(
                f'would roll {kind.name.lower()} {row.uuid} from {row.generation} to '
                f'{where}\n'
            )
        self.app.stdout.write(f'{number} to roll\n')

    def _write_swaps(self, kind: Kind, swaps: Iterable[Swap]) -> None:
        for swap in swaps:
            self.app.stdout.write(
                f'rolled {kind.name.lower()} {swap.uuid} from {swap.expected} to '
                f'{swap.new}\n'
            )
        self.app.stdout.flush()

    def _report(self, rolled: int, left: int) -> None:
        self.app.stdout.write(f'{rolled} rolled, {left} left\n')
        self.status = 1 if left else 0


def _read_threshold(settings: Settings, above: int | None) -> int:
    """The value above which counters are rolled.

    :param above: of ``--above``; None for ``--near-end``
    :raises CommandFailed: it makes no sense
    """
    thresholds = settings.thresholds
    if above is None:
        return thresholds.limit - thresholds.warning - 1
    lowest = max(0, settings.generation_roll_to)
    if not lowest <= above < thresholds.limit:
        raise CommandFailed(
            f'--above {above}: must be at least {lowest}, because lower generations '
            'may have been rolled already, and below generation_limit '
            f'({thresholds.limit})'
        )
    return above


def _count_all(engine: sa.Engine, above: int) -> int:
    return sum(rolling.count_above(engine, kind, above) for kind in Kind)


def _read_all(engine: sa.Engine, above: int) -> Iterator[tuple[Kind, StoredRow]]:
    for kind in Kind:
        for batch in _read_batches(engine, kind, above):
            yield from ((kind, row) for row in batch)


def _read_batches(
    engine: sa.Engine, kind: Kind, above: int
) -> Iterator[list[StoredRow]]:
    after = -1
    while batch := rolling.read_batch(engine, kind, above, after):
        yield batch
        after = batch[-1].row_id


def _roll_batches(
    engine: sa.Engine, above: int, roll_to: int
) -> Iterator[tuple[Kind, Sequence[Swap]]]:
    """Roll all above a value; yields what each transaction has changed."""

    def choose(stored: int) -> int | None:
        return choose_rolled(stored, roll_to) if stored > above else None

    for _ in range(_PASSES):
        seen = False
        for kind in Kind:
            for batch in _read_batches(engine, kind, above):
                seen = True
                row_ids = [row.row_id for row in batch]
                yield kind, rolling.roll_rows(engine, kind, row_ids, choose) or ()
        if not seen:
            return
