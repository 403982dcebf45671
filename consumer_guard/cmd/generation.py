# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard generation list`` and ``generation roll``."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from consumer_guard.cmd.base import CommandFailed, GuardCommand, GuardLister
from consumer_guard.doctor.database import open_database
from consumer_guard.generations import store
from consumer_guard.generations.store import Counter, Kind, Swap
from consumer_guard.generations.thresholds import Thresholds

#: Generations that are rolled between two lines of progress.
_BATCH = 100

#: How often one is read again when a live placement moved it meanwhile.
_TRIES = 5

#: More are rolled by running the command again.
_ROLL_LIMIT = 100_000


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return value


class ListGenerations(GuardLister):
    """List the highest generations of consumers and of resource providers."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """How many, and how fast they move."""
        parser.add_argument(
            '--limit',
            type=int,
            default=20,
            metavar='N',
            help='how many of each kind (default: 20)',
        )
        parser.add_argument(
            '--rate',
            type=_positive,
            metavar='WRITES',
            help='writes a day of one consumer or provider, for the forecast',
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[tuple[Any, ...]]]:
        """Read both tables; highest first."""
        _, settings = self.read_configuration()
        thresholds = settings.thresholds
        counters: list[Counter] = []
        with open_database(settings) as engine:
            for kind in Kind:
                counters += store.read_highest(engine, kind, max(1, parsed_args.limit))
        counters.sort(key=lambda counter: -counter.generation)
        return (
            ('kind', 'uuid', 'generation', 'remaining', 'percent left', 'step', 'days'),
            [_format_counter(each, thresholds, parsed_args.rate) for each in counters],
        )


def _format_counter(
    counter: Counter, thresholds: Thresholds, rate: float | None
) -> tuple[Any, ...]:
    remaining = thresholds.remaining(counter.generation)
    return (
        counter.kind.name.lower(),
        counter.uuid,
        counter.generation,
        remaining,
        round(thresholds.percent_left(counter.generation), 2),
        thresholds.step_of(counter.generation).name.lower(),
        None if rate is None else int(remaining / rate),
    )


class RollGenerations(GuardCommand):
    """Set generations to generation_roll_to by compare-and-swap.

    Safe beside a live placement: whoever still holds an old generation gets
    placement's ordinary conflict and reads again. Exit status: 0 all rolled,
    1 some kept moving and were left, 2 nothing could be done.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Which, and whether to try only."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument('--consumer', metavar='UUID', help='one consumer')
        which.add_argument('--provider', metavar='UUID', help='one provider')
        which.add_argument(
            '--above',
            type=int,
            metavar='N',
            help='every consumer and provider whose generation is above N',
        )
        parser.add_argument(
            '--dry-run', action='store_true', help='say what would be rolled only'
        )

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Roll."""
        _, settings = self.read_configuration()
        to = settings.generation_roll_to
        if parsed_args.above is not None and parsed_args.above <= to:
            raise CommandFailed(
                f'--above {parsed_args.above} would roll what was rolled already: '
                f'generation_roll_to is {to}'
            )
        with open_database(settings) as engine:
            selected = _select(engine, parsed_args)
            if parsed_args.dry_run:
                self._preview(selected, to)
            else:
                self._roll_all(engine, selected, to)

    def _preview(self, selected: Sequence[Counter], to: int) -> None:
        for counter in selected:
            self.app.stdout.write(
                f'would roll {counter.kind.name.lower()} {counter.uuid} from '
                f'{counter.generation} to {to}\n'
            )
        self.app.stdout.write(f'{len(selected)} to roll\n')

    def _roll_all(
        self, engine: sa.Engine, selected: Sequence[Counter], to: int
    ) -> None:
        left = []
        for number, counter in enumerate(selected, 1):
            if not _roll(engine, counter, to):
                left.append(counter)
            if number % _BATCH == 0:
                self.app.stderr.write(f'{number} of {len(selected)}\n')
        for counter in left:
            self.app.stderr.write(
                f'{counter.kind.name.lower()} {counter.uuid} kept moving; run again\n'
            )
        self.app.stdout.write(f'{len(selected) - len(left)} rolled, {len(left)} left\n')
        self.status = 1 if left else 0


def _select(engine: sa.Engine, parsed_args: argparse.Namespace) -> list[Counter]:
    if parsed_args.above is not None:
        return [
            counter
            for kind in Kind
            for counter in store.read_above(
                engine, kind, parsed_args.above, _ROLL_LIMIT
            )
        ]
    kind, uuid = Kind.CONSUMER, parsed_args.consumer
    if parsed_args.provider is not None:
        kind, uuid = Kind.PROVIDER, parsed_args.provider
    counter = store.read_one(engine, kind, uuid)
    if counter is None:
        raise CommandFailed(f'there is no {kind.name.lower()} {uuid}')
    return [counter]


def _roll(engine: sa.Engine, counter: Counter, to: int) -> bool:
    """Roll one, reading it again when a live placement moved it."""
    current: Counter | None = counter
    for _ in range(_TRIES):
        if current is None or current.generation == to:
            # Deleted, or rolled by somebody else: nothing is left to do.
            return True
        swap = Swap(current.uuid, current.generation, to)
        if store.swap(engine, current.kind, [swap]):
            return True
        current = store.read_one(engine, counter.kind, counter.uuid)
    return False
