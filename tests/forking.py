# SPDX-License-Identifier: Apache-2.0
"""A server that forks without Python's hooks, as one written in C may: a program.

A process of its own: a thread that asks for the interpreter just then does not exist
in the child, which would wait for it to take over, for ever (CPython's ``drop_gil``).
Here there is no thread besides the driver's, which sleeps between look-ups.

Arguments: the database's URL, and consumers of ``project-<id>``. The exit status is 0
when each child has found one of them, and the parent the first, all the time.
"""

import ctypes
import os
import sys
import time

from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.testing.lookups import fork_to_find
from tests import servers
from tests.functional.owners.databases import settings


def main(url: str, first: str, *others: str) -> int:
    """Fork a child for each of the others, and look up the first meanwhile."""
    lookup = DatabaseOwners(settings(url, timeout=30.0))
    lookup.find([first])
    pool = servers.get_pool(lookup.engine)
    time.sleep(0.05)  # the driver's thread sleeps again
    children = [fork_to_find(lookup, id_, _fork_without_hooks) for id_ in others]
    found = {lookup.find([first])[first].project_id for _ in range(200)}
    statuses = [os.waitpid(child, 0)[1] for child in children]
    kept = lookup.engine.pool is pool and pool.checkedin() == 1
    return int(found != {f'project-{first}'} or any(statuses) or not kept)


def _fork_without_hooks() -> int:
    return int(ctypes.PyDLL(None).fork())


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
