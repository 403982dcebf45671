# SPDX-License-Identifier: Apache-2.0
"""Entry points of both programs, for installations without the extra ``cli`` too."""

import importlib.util
import sys

#: What the extra ``cli`` installs and the programs import.
_PACKAGES = ('cliff', 'oslo_upgradecheck', 'tqdm')


def run_commands() -> int:
    """``consumer-guard``; returns the exit status."""
    if _warn_of_missing('consumer-guard'):
        return 2
    from consumer_guard.cmd import main

    return main.main()


def run_status() -> int:
    """``consumer-guard-status``; returns the exit status."""
    if _warn_of_missing('consumer-guard-status'):
        return 2
    from consumer_guard.cmd import status

    return status.check_upgrade()


def _warn_of_missing(program: str) -> bool:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f'{program} needs {", ".join(missing)}; install the command line: '
            'pip install consumer-guard[cli]\n'
        )
    return bool(missing)
