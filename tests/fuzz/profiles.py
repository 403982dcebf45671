# SPDX-License-Identifier: Apache-2.0
"""How much is tried: a short run that is always the same, or a long one.

``HYPOTHESIS_PROFILE=long`` is ``tox -e fuzz``; CONSUMER_GUARD_FUZZ_SEED repeats one
whose seed was printed. A case that breaks a property is
shrunk and printed by hypothesis; it then becomes an ``@example``.
"""

import os
import secrets
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings


def many(short: int, long: int) -> int:
    """How often something is done in every run of the tests, and in the long one."""
    return long if _is_long() else short


def budget(short: int, long: int) -> settings:
    """The settings of one property.

    :param short: examples in every run of the tests, the same ones each time
    :param long: examples of the long run, other ones each time
    """
    return settings(
        max_examples=many(short, long),
        derandomize=not _is_long(),
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def seeded(name: str) -> Callable[[Any], Any]:
    """In the long run: start from a seed of the property's own, and tell it."""
    if not _is_long():
        return lambda test: test
    value = os.environ.get('CONSUMER_GUARD_FUZZ_SEED') or str(secrets.randbits(32))
    print(f'{name}: CONSUMER_GUARD_FUZZ_SEED={value}', flush=True)
    return seed(f'{value} {name}')


def _is_long() -> bool:
    return os.environ.get('HYPOTHESIS_PROFILE') == 'long'
