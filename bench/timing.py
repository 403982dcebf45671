# SPDX-License-Identifier: Apache-2.0
"""Interleaved measuring of CPU time.

In each round every variant is run once for a batch of calls, in random order,
so that what changes on the machine meanwhile (frequency, neighbours, caches)
meets all of them alike. The garbage collector runs as in production; what
lives before the first round is frozen, and each batch starts collected.
"""

import contextlib
import gc
import itertools
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

Call = Callable[[], object]
Samples = dict[str, list[float]]

#: What the second run of a variant in each round is called.
AGAIN = '{} (again)'


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    :ivar rounds: samples of each variant
    :ivar batch: seconds of CPU of one batch, about
    """

    rounds: int
    batch: float

    def scaled(self, rounds: float = 1, batch: float = 1) -> 'Effort':
        """A multiple of it; never fewer than five rounds."""
        return Effort(max(5, round(self.rounds * rounds)), self.batch * batch)


QUICK = Effort(rounds=15, batch=0.01)
FULL = Effort(rounds=101, batch=0.02)


def measure(
    variants: Mapping[str, Call],
    effort: Effort,
    *,
    control: str | None = None,
    clock: Callable[[], int] = time.process_time_ns,
    seed: int = 1,
) -> Samples:
    """Measure variants side by side.

    :param variants: what is called, by name
    :param control: the variant that is run twice in each round; the second
        one's name is that of :data:`AGAIN`
    :param clock: nanoseconds
    :returns: seconds of one call, one sample a round, by name
    """
    calls = dict(variants)
    if control is not None:
        calls[AGAIN.format(control)] = variants[control]
    counts = {name: _count(call, effort.batch, clock) for name, call in calls.items()}
    samples: Samples = {name: [] for name in calls}
    order = list(calls)
    # Not for secrets: the order of the variants.
    shuffle = random.Random(seed).shuffle  # noqa: S311
    with steady_collector():
        for number in range(effort.rounds + 1):
            shuffle(order)
            for name in order:
                spent = _run(calls[name], counts[name], clock)
                if number:  # the first round warms up
                    samples[name].append(spent / counts[name] / 1e9)
    return samples


def once(call: Call, clock: Callable[[], int] = time.process_time_ns) -> float:
    """Seconds of one call, for what is too slow to be repeated."""
    return _run(call, 1, clock) / 1e9


def _run(call: Call, count: int, clock: Callable[[], int]) -> int:
    gc.collect()
    started = clock()
    for _ in itertools.repeat(None, count):
        call()
    return clock() - started


def _count(call: Call, batch: float, clock: Callable[[], int]) -> int:
    """How many calls make a batch."""
    count = 1
    call()
    while True:
        spent = _run(call, count, clock) / 1e9
        if spent >= batch / 2 or count >= 1 << 22:
            return max(1, round(count * batch / spent)) if spent else count
        count *= 2 if spent > batch / 20 else 8


@contextlib.contextmanager
def steady_collector() -> Iterator[None]:
    """What lives now is frozen meanwhile, and garbage is collected before."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run it in a fresh process."""
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()
