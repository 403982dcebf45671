# SPDX-License-Identifier: Apache-2.0
"""How much is tried: a short run that is always the same, or a long one.

``HYPOTHESIS_PROFILE=long`` is ``tox -e fuzz``. A case that breaks a property is
shrunk and printed by hypothesis; it then becomes an ``@example``.
"""

import os

from hypothesis import HealthCheck, Phase, settings


def budget(short: int, long: int) -> settings:
    """The settings of one property.

    :param short: examples in every run of the tests, the same ones each time
    :param long: examples of the long run, other ones each time
    """
    is_long = os.environ.get('HYPOTHESIS_PROFILE') == 'long'
    return settings(
        max_examples=long if is_long else short,
        derandomize=not is_long,
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
