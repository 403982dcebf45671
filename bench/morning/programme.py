# SPDX-License-Identifier: Apache-2.0
"""The turns of a run: every variant in each round, one after the other."""

import collections
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import random
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.morning import client, ledger, trouble
from bench.morning.client import Outcome, Plan, make_histogram
from bench.morning.cloud import Cloud, fill
from bench.morning.databases import DATABASES, Database
from bench.morning.model import Share
from bench.morning.stage import (
    BARE,
    GUARDED,
    VARIANTS,
    Placement,
    Sample,
    run_placements,
    watch,
)
from tests import servers

#: Processes of clients.
CLIENTS = 2
#: A rate is held when so much of what is due is answered, and the p99 is at most so
#: many milliseconds.
HELD = 500.0
_TRIAL = 6.0
#: Seconds that the processes of clients have to start and to warm the server up.
_PATIENCE = 300.0
#: Rates that are tried, in steps of a quarter or so.
LADDER = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    :ivar seconds: of a turn
    :ivar troubled: seconds of a turn with trouble
    """

    rounds: int
    seconds: float
    troubled: float


QUICK = Effort(rounds=2, seconds=8, troubled=36)
FULL = Effort(rounds=6, seconds=30, troubled=120)


@dataclasses.dataclass(slots=True)
class Turn:
    """What was seen in one turn of one variant.

    :ivar spent: seconds of the processor of the workers, all that they did
    """

    latency: dict[str, HdrHistogram]
    spent: dict[str, HdrHistogram]
    by_second: dict[int, HdrHistogram]
    failures: collections.Counter[tuple[int, str, int]]
    wrong: list[str]
    acknowledged: int
    uncertain: int
    samples: list[Sample]

    @property
    def whole(self) -> HdrHistogram:
        """Latencies of all requests."""
        return merge(self.by_second.values())


@dataclasses.dataclass(slots=True)
class Scene:
    """One database behind one kind of server, at one or two rates.

    :ivar turns: by rate, then by the variant's name, one a round
    :ivar troubled: by the variant's name
    """

    database: str
    server: str
    highest: float
    turns: dict[float, dict[str, list[Turn]]] = dataclasses.field(default_factory=dict)
    troubled: dict[str, tuple[Turn, trouble.Trouble]] = dataclasses.field(
        default_factory=dict
    )
    wrong: list[str] = dataclasses.field(default_factory=list)
    filled_in: float = 0.0


def merge(histograms: Iterable[HdrHistogram]) -> HdrHistogram:
    """All of them in one."""
    whole = make_histogram()
    for histogram in histograms:
        whole.add(histogram)
    return whole


def run_turn(
    placement: Placement,
    cloud: Cloud,
    url: str,
    rate: float,
    seconds: float,
    seed: int,
    *,
    storm: bool = True,
    give_up: float = float('inf'),
    beside: Callable[[float], contextlib.AbstractContextManager[object]] | None = None,
) -> Turn:
    """Load one server for some seconds, and compare the database afterwards.

    :param seed: of the load; the same one is the same load
    :param beside: what happens meanwhile, given its beginning
    """
    plans = [
        Plan(
            placement.port,
            cloud,
            Share(
                index,
                CLIENTS,
                rate,
                seconds,
                seed,
                storm=seconds / 2 if storm else None,
            ),
            secrets.token_hex(6),
            placement.variant.guarded,
            give_up=give_up,
        )
        for index in range(CLIENTS)
    ]
    context = multiprocessing.get_context('spawn')
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(CLIENTS, mp_context=context) as pool,
    ):
        gate = manager.Barrier(CLIENTS + 1, timeout=_PATIENCE)
        working = [pool.submit(client.drive, plan, gate) for plan in plans]
        gate.wait()
        begin = time.monotonic()
        around = contextlib.nullcontext() if beside is None else beside(begin)
        with around, watch(placement) as samples:
            outcomes = [each.result() for each in working]
    turn = _add_up(outcomes, samples)
    turn.wrong += ledger.compare(url, [outcome.ledger for outcome in outcomes])
    return turn


def _add_up(outcomes: Sequence[Outcome], samples: list[Sample]) -> Turn:
    failures: collections.Counter[tuple[int, str, int]] = collections.Counter()
    for outcome in outcomes:
        failures += outcome.failures
    return Turn(
        _decode([outcome.latency for outcome in outcomes]),
        _decode([outcome.spent for outcome in outcomes]),
        _decode([outcome.by_second for outcome in outcomes]),
        failures,
        list(itertools.chain.from_iterable(outcome.wrong for outcome in outcomes)),
        sum(outcome.ledger.acknowledged for outcome in outcomes),
        sum(outcome.ledger.uncertain for outcome in outcomes),
        samples,
    )


def _decode(parts: Sequence[Mapping[Any, bytes]]) -> dict[Any, HdrHistogram]:
    found: dict[Any, HdrHistogram] = {}
    for part in parts:
        for key, encoded in part.items():
            found.setdefault(key, make_histogram()).add(HdrHistogram.decode(encoded))
    return found


def run(
    databases: Sequence[str],
    kinds: Sequence[str],
    cloud: Cloud,
    effort: Effort,
    *,
    rates: Sequence[float],
) -> Iterator[Scene]:
    """Run everything; one scene at a time.

    :param rates: beside the highest one that this machine holds; half of that where
        none is below it
    """
    for name in databases:
        with (
            DATABASES[name]() as database,
            tempfile.TemporaryDirectory(prefix='cg-morning-') as folder,
        ):
            url = database.url(database.create_database())
            servers.create_schema(url)
            started = time.monotonic()
            fill(url, cloud)
            filled_in = time.monotonic() - started
            for kind in kinds:
                with run_placements(kind, Path(folder), url) as running:
                    scene = Scene(name, kind, 0.0, filled_in=filled_in)
                    _measure(scene, running, cloud, url, effort, rates)
                    _trouble(scene, running, cloud, url, effort, database)
                    scene.wrong += ledger.count_rows(url, cloud)
                yield scene


def _measure(
    scene: Scene,
    running: Mapping[str, Placement],
    cloud: Cloud,
    url: str,
    effort: Effort,
    rates: Sequence[float],
) -> None:
    scene.highest = find_highest(running[BARE.name], cloud, url)
    # At the limit the time of an answer is that of its queue.
    wanted = [rate for rate in rates if rate < scene.highest] or [scene.highest / 2]
    order = [variant.name for variant in VARIANTS]
    # Not for secrets: the order of the turns.
    shuffle = random.Random(1).shuffle  # noqa: S311
    for rate in dict.fromkeys([*wanted, scene.highest]):
        turns: dict[str, list[Turn]] = {name: [] for name in order}
        for number in range(effort.rounds):
            shuffle(order)
            for name in order:
                turn = run_turn(
                    running[name], cloud, url, rate, effort.seconds, 100 + number
                )
                turns[name].append(turn)
                scene.wrong += [f'{name}: {what}' for what in turn.wrong]
        scene.turns[rate] = turns


def _trouble(
    scene: Scene,
    running: Mapping[str, Placement],
    cloud: Cloud,
    url: str,
    effort: Effort,
    database: Database,
) -> None:
    """Half of the highest rate: who is at the limit comes back late by that alone."""
    for variant in (BARE, GUARDED):
        happening = trouble.Trouble(running[variant.name], database, url, cloud)
        turn = run_turn(
            running[variant.name],
            cloud,
            url,
            scene.highest / 2,
            effort.troubled,
            7,
            storm=False,
            beside=functools.partial(happening.run, seconds=effort.troubled),
        )
        scene.troubled[variant.name] = turn, happening
        scene.wrong += [f'{variant.name}, troubled: {what}' for what in turn.wrong]


def find_highest(placement: Placement, cloud: Cloud, url: str) -> float:
    """The highest rate of :data:`LADDER` that bare placement holds on this machine."""
    highest = LADDER[0]
    for rate in LADDER:
        turn = run_turn(
            placement, cloud, url, rate, _TRIAL, 1, storm=False, give_up=2.0
        )
        if turn.whole.get_value_at_percentile(99) / 1000 > HELD:
            break
        highest = rate
    return highest
