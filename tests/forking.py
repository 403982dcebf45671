# SPDX-License-Identifier: Apache-2.0
"""Forks as they come in servers."""

import ctypes
import sys
import time


def hookless_fork() -> int:
    """Fork as a server written in C may: Python's hooks do not run.

    A thread that asks for the interpreter just then does not exist in the child,
    which would wait for it to take over, for ever (CPython's ``drop_gil``). So
    none asks: threads do that when they have waited for the switch interval.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        time.sleep(0.05)  # who waits already takes its turn
        return int(ctypes.PyDLL(None).fork())
    finally:
        sys.setswitchinterval(interval)
