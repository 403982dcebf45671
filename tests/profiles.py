# SPDX-License-Identifier: Apache-2.0
"""How much is tried: a short run that is always the same, or a long one.

``HYPOTHESIS_PROFILE=long`` is for lanes; CONSUMER_GUARD_FUZZ_SEED repeats a long run
whose seed was printed. A case that breaks a property is shrunk and printed by
hypothesis; it then becomes an ``@example``.
"""

import os
import secrets
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings

#: Chosen by the environment; ``tests/conftest.py`` loads it.
PROFILE = os.environ.get('HYPOTHESIS_PROFILE', 'short')


def load() -> None:
    """Register both profiles and load the chosen one.

    Neither has a deadline nor health checks: both depend on the machine's load.

    :raises hypothesis.errors.InvalidArgument: for the name of no profile
    """
    settings.register_profile(
        'short',
        max_examples=50,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    settings.register_profile(
        'long', settings.get_profile('short'), max_examples=10_000, derandomize=False
    )
    settings.load_profile(PROFILE)


def many(short: int, long: int) -> int:
    """How often something is done in every run of the tests, and in the long one."""
    return long if PROFILE == 'long' else short


def budget(short: int, long: int) -> settings:
    """The examples of one property, where the profile's number does not fit.

    :param short: in every run of the tests, the same ones each time
    :param long: in the long run, other ones each time
    """
    return settings(max_examples=many(short, long))


def seeded(name: str) -> Callable[[Any], Any]:
    """In the long run: start from a seed of the property's own, and print it."""
    if PROFILE != 'long':
        return lambda test: test
    value = os.environ.get('CONSUMER_GUARD_FUZZ_SEED') or str(secrets.randbits(32))
    print(f'{name}: CONSUMER_GUARD_FUZZ_SEED={value}', flush=True)
    return seed(f'{value} {name}')
