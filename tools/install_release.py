# SPDX-License-Identifier: Apache-2.0
"""Installs with the upper constraints of one release of OpenStack, or says why not.

python -m tools.install_release -cCONSTRAINTS ARGUMENT...

CONSTRAINTS is a file or an address; all arguments are those of ``uv pip install``.
"""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

#: Seconds to wait for the constraints.
PATIENCE = 20


def explain_missing(constraints: str) -> str | None:
    """Why these constraints cannot be read; None: they can.

    :param constraints: a path, or an http or https address
    """
    try:
        if constraints.startswith(('https://', 'http://')):
            # An address that tox.ini or the user of the lane has written.
            with urllib.request.urlopen(constraints, timeout=PATIENCE):  # noqa: S310
                return None
        with open(constraints, 'rb'):
            return None
    except OSError as error:
        reason = getattr(error, 'reason', None) or error.strerror or error
        return (
            f'the constraints {constraints} cannot be read ({reason}): let '
            "TOX_CONSTRAINTS_FILE name a file of the release's upper-constraints"
        )


def main(arguments: Sequence[str]) -> int:
    """Install; one line and status 1 if the constraints cannot be read."""
    problem = explain_missing(arguments[0].removeprefix('-c'))
    if problem is not None:
        print(f'install_release: {problem}', file=sys.stderr)
        return 1
    # S603, S607: the arguments are those of tox.ini, uv that of its environment.
    return subprocess.run(  # noqa: S603
        ['uv', 'pip', 'install', *arguments],  # noqa: S607
        check=False,
    ).returncode


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
