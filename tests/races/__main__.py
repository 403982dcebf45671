# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.races --count N``: N interleavings on the databases together.

Each database has a process of its own, since placement's database is a global of
its process. Prints what was counted, and ends with 1 for any fault.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests import servers
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment, Tokens
from tests.functional.between import step_into
from tests.races import evidence
from tests.races.crowd import Crowd

DATABASES = ('sqlite', 'postgresql', 'mysql')


def race(database: str, wanted: int, seed: int) -> dict[str, Any]:
    """Race on one database, in this process."""
    started = time.monotonic()
    start = {'postgresql': servers.postgresql, 'mysql': servers.mariadb}
    with tempfile.TemporaryDirectory() as folder:
        if database == 'sqlite':
            url = f'sqlite:///{folder}/placement.db'
            return _race_on(url, folder, wanted, seed, started)
        with start[database]() as running:
            url = running.url(running.create_database())
            return _race_on(url, folder, wanted, seed, started)


def _race_on(
    url: str, folder: str, wanted: int, seed: int, started: float
) -> dict[str, Any]:
    servers.create_schema(url)
    tokens = Tokens()
    deployed = Deployment(
        pathlib.Path(folder) / 'etc',
        tokens,
        url,
        rules=OWNER_RULES,
        options={'lookup_pool_size': 12, 'lookup_timeout': 10},
    )
    crowd = Crowd(deployed, step_into(deployed).lookup, seed)
    evidence.install(crowd.engine)
    crowd.run(wanted)
    log = evidence.read(crowd.engine)
    faults = evidence.find_faults(log, crowd.owners_landed, crowd.told)
    crowd.engine.dispose()
    tokens.close()
    return {
        'interleavings': crowd.interleavings,
        'owners_landed': len(crowd.owners_landed),
        'roles_landed': len(crowd.told),
        'changes': len(log),
        'faults': faults,
        'statuses': dict(sorted(crowd.statuses.items())),
        'seconds': round(time.monotonic() - started, 1),
    }


def main() -> int:
    """Race on all the databases at once."""
    parser = argparse.ArgumentParser(prog='python -m tests.races')
    parser.add_argument('--count', type=int, default=1_000_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--databases', default=','.join(DATABASES))
    parser.add_argument('--only', choices=DATABASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(race(options.only, options.count, options.seed)))
        return 0
    names = options.databases.split(',')
    share = -(-options.count // len(names))
    command = [sys.executable, '-m', 'tests.races', '--seed', str(options.seed)]
    running = {
        name: subprocess.Popen(
            [*command, '--count', str(share), '--only', name], stdout=subprocess.PIPE
        )
        for name in names
    }
    failed = total = 0
    for name, process in running.items():
        printed, _ = process.communicate()
        if process.returncode:
            print(f'{name}: ended with {process.returncode}')
            failed += 1
            continue
        found = json.loads(printed.splitlines()[-1])
        faults = found.pop('faults')
        total += found['interleavings']
        failed += bool(faults)
        print(f'{name}: {found}, {len(faults)} faults')
        for fault in faults[:10]:
            print(f'  {fault}')
    print(f'{total} interleavings, seed {options.seed}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
