# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard generation list`` and ``generation roll``."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from cliff import command, lister

from consumer_guard.cmd.database import CommandFailed, open_database, read_settings
from consumer_guard.generations import store as counters
from consumer_guard.generations.store import Counter, Kind, Swap
from consumer_guard.generations.thresholds import Thresholds

_COLUMNS = ('kind', 'uuid', 'generation', 'remaining', 'percent left', 'step', 'days')

#: Generations that are rolled between two lines of progress.
_BATCH = 100

#: How often one is read again when a live placement moved it meanwhile.
_TRIES = 5

#: More are rolled by running the command again.
_MOST = 100_000


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return value


class ListGenerations(lister.Lister):
    """List the highest generations of consumers and of resource providers."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
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
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[tuple[Any, ...]]]:
        """Read both tables; highest first."""
        settings = read_settings(getattr(self.app_args, 'config_file', None))
        thresholds = settings.thresholds
        found: list[Counter] = []
        with open_database(settings) as engine:
            for kind in Kind:
                found += counters.read_highest(engine, kind, max(1, parsed_args.limit))
        found.sort(key=lambda counter: -counter.generation)
        return _COLUMNS, [
            _describe(counter, thresholds, parsed_args.rate) for counter in found
        ]


def _describe(
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


class RollGenerations(command.Command):
    """Set generations to generation_roll_to by compare-and-swap.

    Safe beside a live placement: whoever still holds an old generation gets
    placement's ordinary conflict and reads again. Exit status: 0 all rolled,
    1 some kept moving and were left, 2 nothing could be done.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
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
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Roll, and return the exit status."""
        settings = read_settings(getattr(self.app_args, 'config_file', None))
        to = settings.generation_roll_to
        if parsed_args.above is not None and parsed_args.above <= to:
            raise CommandFailed(
                f'--above {parsed_args.above} would roll what was rolled already: '
                f'generation_roll_to is {to}'
            )
        with open_database(settings) as engine:
            chosen = _choose(engine, parsed_args)
            if parsed_args.dry_run:
                self._say_what_would_be(chosen, to)
                return 0
            return self._roll_all(engine, chosen, to)

    def _say_what_would_be(self, chosen: Sequence[Counter], to: int) -> None:
        for counter in chosen:
            self.app.stdout.write(
                f'would roll {counter.kind.name.lower()} {counter.uuid} from '
                f'{counter.generation} to {to}\n'
            )
        self.app.stdout.write(f'{len(chosen)} to roll\n')

    def _roll_all(self, engine: sa.Engine, chosen: Sequence[Counter], to: int) -> int:
        left = []
        for number, counter in enumerate(chosen, 1):
            if not _roll(engine, counter, to):
                left.append(counter)
            if number % _BATCH == 0:
                self.app.stderr.write(f'{number} of {len(chosen)}\n')
        for counter in left:
            self.app.stderr.write(
                f'{counter.kind.name.lower()} {counter.uuid} kept moving; run again\n'
            )
        self.app.stdout.write(f'{len(chosen) - len(left)} rolled, {len(left)} left\n')
        return 1 if left else 0


def _choose(engine: sa.Engine, parsed_args: argparse.Namespace) -> list[Counter]:
    if parsed_args.above is not None:
        return [
            counter
            for kind in Kind
            for counter in counters.read_above(engine, kind, parsed_args.above, _MOST)
        ]
    kind, uuid = Kind.CONSUMER, parsed_args.consumer
    if parsed_args.provider is not None:
        kind, uuid = Kind.PROVIDER, parsed_args.provider
    found = counters.read_one(engine, kind, uuid)
    if found is None:
        raise CommandFailed(f'there is no {kind.name.lower()} {uuid}')
    return [found]


def _roll(engine: sa.Engine, counter: Counter, to: int) -> bool:
    """Roll one, reading it again when a live placement moved it."""
    current: Counter | None = counter
    for _ in range(_TRIES):
        if current is None or current.generation == to:
            # Deleted, or rolled by somebody else: nothing is left to do.
            return True
        swap = Swap(current.uuid, current.generation, to)
        if counters.swap(engine, current.kind, [swap]):
            return True
        current = counters.read_one(engine, counter.kind, counter.uuid)
    return False
