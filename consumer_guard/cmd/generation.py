# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard generation list``."""

import argparse
import math
from collections.abc import Iterable, Sequence
from typing import Any

from consumer_guard.cmd.base import GuardLister
from consumer_guard.doctor.database import open_database
from consumer_guard.generations.rolling import StoredRow, read_highest
from consumer_guard.generations.store import Kind
from consumer_guard.generations.thresholds import Thresholds


def _read_rate(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is not a number above 0')
    return value


def _read_limit(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return value


class ListGenerations(GuardLister):
    """List the highest generations of consumers and of resource providers."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """How many, and how fast they move."""
        parser.add_argument(
            '--limit',
            type=_read_limit,
            default=20,
            metavar='N',
            help='number of rows of each kind (default: 20)',
        )
        parser.add_argument(
            '--rate',
            type=_read_rate,
            metavar='WRITES',
            help='expected writes per day to one consumer or provider; fills the '
            'column days',
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[tuple[Any, ...]]]:
        """Read both tables; highest first."""
        _, settings = self.read_configuration()
        thresholds = settings.thresholds
        with open_database(settings) as engine:
            counters = [
                (kind, row)
                for kind in Kind
                for row in read_highest(engine, kind, parsed_args.limit)
            ]
        counters.sort(key=lambda counter: -counter[1].generation)
        return (
            ('kind', 'uuid', 'generation', 'remaining', 'percent left', 'step', 'days'),
            [
                _format_counter(*counter, thresholds, parsed_args.rate)
                for counter in counters
            ],
        )


def _format_counter(
    kind: Kind, row: StoredRow, thresholds: Thresholds, rate: float | None
) -> tuple[Any, ...]:
    remaining = thresholds.remaining(row.generation)
    return (
        kind.name.lower(),
        row.uuid,
        row.generation,
        remaining,
        round(thresholds.percent_left(row.generation), 2),
        thresholds.step_of(row.generation).name.lower(),
        None if rate is None else int(remaining / rate),
    )
