# SPDX-License-Identifier: Apache-2.0
"""The functional tests beside one release of OpenStack, and a record of what ran.

python -m tests.release_lane release-2025.1-py312 [--record] [ARGUMENTS OF PYTEST]

Without arguments of pytest all of them run. ``--record`` writes success down in
``doc/releases.json``.
"""

import os
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import metadata

import pytest

from doc import releases

RECORD = '--record'

#: Warnings are those of the release's own libraries.
_ARGUMENTS = ('-n', '2', '-W', 'default', '--disable-warnings')


class Tally:
    """A plugin of pytest that counts outcomes.

    :ivar counts: of ``passed``, ``failed`` and ``skipped``
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once, whichever of its phases decides."""
        if report.when == 'call' or report.outcome != 'passed':
            self.counts[report.outcome] += 1


def main(arguments: Sequence[str]) -> int:
    """Run; the exit status of pytest."""
    lane, *chosen = [each for each in arguments if each != RECORD]
    release = lane.split('-')[1]
    tally = Tally()
    status = pytest.main(
        [*_ARGUMENTS, *(chosen or ['tests/functional'])], plugins=[tally]
    )
    if status == pytest.ExitCode.OK and RECORD in arguments:
        databases = os.environ.get('CONSUMER_GUARD_TEST_DATABASES', 'sqlite')
        releases.record(
            releases.Run(
                release,
                '.'.join(platform.python_version_tuple()[:2]),
                databases,
                tally.counts['passed'],
                tally.counts['skipped'],
                not chosen,
                {name: metadata.version(name) for name in releases.list_libraries()},
            )
        )
    return int(status)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
