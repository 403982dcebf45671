# SPDX-License-Identifier: Apache-2.0
"""Who calls what, how often, with which role and microversion.

Read in the sources of nova, openstack-exporter and osc-placement (2025, 2026). Rates
are those of a cloud of 8,000 computes; another number of computes scales them.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

#: Computes of the cloud whose rates are given, and seconds between two of their
#: updates (nova's update_resources_interval).
COMPUTES, PERIOD = 8000, 60.0
#: Part of a period by which nova's periodic tasks are early or late.
_JITTER = 0.1
#: An evacuation storm: instances of one failed compute, and seconds that it lasts.
STORM, STORM_SECONDS = 30, 3.0


@dataclass(frozen=True, slots=True)
class Caller:
    """A role in the cloud, at a microversion.

    :ivar role: the roles of its token, separated by commas
    """

    name: str
    role: str


SERVICE = Caller('nova', 'service')
ADMIN = Caller('admin', 'admin,member,reader')
READER = Caller('a reader of a project', 'member,reader')


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that somebody does, of one or more requests.

    :ivar rate: how often per second in the whole cloud; 0: by the clock of each
        compute, or in a storm
    :ivar requests: each with its microversion; the first one counts from when the
        whole is due, the others from the answer before
    """

    name: str
    caller: Caller
    rate: float
    requests: str


KINDS = (
    Kind(
        'compute',
        SERVICE,
        0.0,
        'GET /resource_providers/{rp}/allocations 1.0,'
        ' GET /resource_providers?in_tree={rp} 1.14; each compute every 60 s',
    ),
    Kind('boot', SERVICE, 2.0, 'GET /allocations/{c} 1.28, PUT 1.36 or POST 1.36'),
    Kind('resize', SERVICE, 0.3, 'GET /allocations/{c} 1.28 twice, POST of two 1.28'),
    Kind(
        'delete',
        SERVICE,
        2.0,
        'GET /allocations/{c} 1.28, PUT without allocations 1.28; every tenth by'
        ' DELETE 1.0',
    ),
    Kind(
        'evacuate',
        SERVICE,
        0.0,
        'GET /allocations/{c} 1.28, PUT on two providers 1.36; 30 in 3 s, once',
    ),
    Kind('quota', SERVICE, 2.0, 'GET /usages?project_id&user_id 1.9'),
    Kind(
        'exporter',
        ADMIN,
        8.9,
        'GET /resource_providers/{rp}/allocations 1.20, all of them in 15 min',
    ),
    Kind('audit', ADMIN, 2.0, 'GET /resource_providers/{rp}/allocations 1.0'),
    Kind('own consumer', READER, 3.0, 'GET /allocations/{c} 1.38'),
    Kind('own usages', READER, 1.0, 'GET /usages?project_id&consumer_type=all 1.38'),
    Kind("another's consumer", READER, 0.5, 'GET /allocations/{c} 1.38'),
    Kind('opened list', READER, 1.0, 'GET /resource_providers/{rp}/allocations 1.38'),
)
#: Kinds of requests whose answers depend on the guard's rules.
READERS = frozenset(kind.name for kind in KINDS if kind.caller is READER)


class Arrival(NamedTuple):
    """One thing that is due.

    :ivar due: seconds from the beginning
    :ivar number: of the compute; else random, from which the rest is chosen
    """

    due: float
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one process of clients has to do of the whole.

    :ivar rate: 1 is the rate of a cloud of 8,000 computes
    :ivar storm: seconds from the beginning to the evacuation storm; None: there is
        none
    """

    index: int
    count: int
    rate: float
    seconds: float
    seed: int
    readers: bool = True
    storm: float | None = None


def schedule(share: Share) -> list[Arrival]:
    """All that is due of a share, in order; the same for the same seed."""
    # Not for secrets: a load.
    chance = random.Random(f'{share.seed}/{share.index}')  # noqa: S311
    arrivals = [*_periods(share, chance)]
    for kind in KINDS:
        if kind.rate and (share.readers or kind.name not in READERS):
            arrivals += _events(kind, share, chance)
    if share.storm is not None:
        instances = max(1, round(STORM * share.rate))
        arrivals += [
            Arrival(share.storm + chance.uniform(0, STORM_SECONDS), 'evacuate', number)
            for number in range(share.index, instances, share.count)
        ]
    return sorted(arrivals)


def _periods(share: Share, chance: random.Random) -> Iterator[Arrival]:
    """Each compute by its own clock, jittered as nova's periodic tasks are."""
    period = PERIOD / share.rate
    for compute in range(share.index, COMPUTES, share.count):
        # From so long before that it has settled.
        due = chance.uniform(-4 * period, -3 * period)
        while due < share.seconds:
            if due >= 0:
                yield Arrival(due, 'compute', compute)
            due += period * (1 + chance.uniform(-_JITTER, _JITTER))


def _events(kind: Kind, share: Share, chance: random.Random) -> Iterator[Arrival]:
    """Independent of each other: exponential distances."""
    rate = kind.rate * share.rate / share.count
    due = chance.expovariate(rate)
    first = chance.randrange(COMPUTES)
    number = 0
    while due < share.seconds:
        # An exporter's sweep goes from one provider to the next.
        sweep = first + number * share.count + share.index
        yield Arrival(
            due,
            kind.name,
            sweep if kind.name == 'exporter' else chance.randrange(10**9),
        )
        number += 1
        due += chance.expovariate(rate)
