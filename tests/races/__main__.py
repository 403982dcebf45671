# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.races --count N``: N interleavings on the databases together.

Each database has a process of its own, since placement's database is a global of
its process. Prints what was counted, and ends with 1 for any fault.
"""

import argparse
import contextlib
import gc
import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import sqlalchemy as sa
from placement import db_api

from tests import servers
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment, Tokens
from tests.functional.between import step_into
from tests.races import crowd, evidence, mutants

_SERVERS = {
    'postgresql': (servers.postgresql, '--max_connections=300'),
    'mysql': (servers.mariadb, '--max-connections=300'),
}
DATABASES = ('sqlite', *_SERVERS)

#: What acts at once, and upon how many consumers.
_ACTORS, _CONSUMERS = 50, 2


@contextlib.contextmanager
def _start(database: str, folder: str) -> Iterator[str]:
    """An empty database; its URL."""
    if database == 'sqlite':
        url = f'sqlite:///{folder}/placement.db'
        with sa.create_engine(url).connect() as connection:
            # Else who reads keeps others from writing.
            connection.execute(sa.text('PRAGMA journal_mode = WAL'))
        yield url
        return
    start, option = _SERVERS[database]
    with start((option,)) as running:
        yield running.url(running.create_database())


def _deploy(folder: pathlib.Path, tokens: Tokens, url: str) -> Deployment:
    """The guard, with patience for as many as act at once."""
    options = {'lookup_pool_size': _ACTORS, 'lookup_timeout': 120, 'audit': 'none'}
    return Deployment(folder / 'etc', tokens, url, rules=OWNER_RULES, options=options)


def race(database: str, options: argparse.Namespace) -> dict[str, Any]:
    """Race on one database, in this process."""
    started = time.monotonic()
    # Not what is critical: oslo.log says so of an exception that ends the process.
    logging.disable(logging.ERROR)
    # Placement checks its own schemas anew for each request, a third of its time.
    jsonschema.Draft202012Validator.check_schema = lambda *_, **__: None
    with tempfile.TemporaryDirectory() as folder, _start(database, folder) as url:
        servers.create_schema(url)
        tokens = Tokens()
        deployed = _deploy(pathlib.Path(folder), tokens, url)
        steps = step_into(deployed)
        scene = crowd.make_scene(deployed, _CONSUMERS, _ACTORS)
        evidence.install(scene.tables.engine)
        crowd.make_noise(scene, steps.lookup.engine, db_api.get_placement_engine())
        mutant = options.mutant and mutants.applied(options.mutant)
        with mutant or contextlib.nullcontext():
            gc.freeze()
            account = crowd.run(
                scene, options.count, 60 * options.minutes, options.seed
            )
        log = evidence.read(scene.tables.engine)
        scene.tables.engine.dispose()
        tokens.close()
    faults = evidence.find_faults(
        log,
        account.acknowledged,
        account.unsure,
        account.rolls,
        ids_recur=database == 'sqlite',
        owners_are_lost=database == 'mysql',
    )
    by_owners = sum(write.sealed for write in account.acknowledged)
    return {
        'interleavings': scene.meetings.interleavings,
        'both_landed': scene.meetings.both_landed,
        'owners': by_owners,
        'roles': len(account.acknowledged) - by_owners,
        'rolls': len(account.rolls),
        'changes': len(log),
        'statuses': dict(sorted(account.statuses.items())),
        'seconds': round(time.monotonic() - started, 1),
        'faults': faults,
    }


def main() -> int:
    """Race on all the databases at once."""
    parser = argparse.ArgumentParser(prog='python -m tests.races', description=__doc__)
    parser.add_argument('--count', type=int, default=1_000_000)
    parser.add_argument('--minutes', type=float, default=600, help='at the most')
    parser.add_argument('--seed', type=int, default=1, help='of the first process')
    parser.add_argument('--processes', type=int, default=1, help='for each database')
    parser.add_argument('--databases', default=','.join(DATABASES))
    parser.add_argument('--mutant', choices=mutants.MUTANTS, help='must be noticed')
    parser.add_argument('--only', choices=DATABASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(race(options.only, options)))
        return 0
    names = options.databases.split(',')
    if options.mutant:
        names = [
            name for name in names if name in mutants.MUTANTS[options.mutant].databases
        ]
    runs = [
        (name, options.seed + n) for n in range(options.processes) for name in names
    ]
    share = -(-options.count // len(runs))
    command = [
        sys.executable,
        '-m',
        'tests.races',
        *sys.argv[1:],
        '--count',
        str(share),
    ]
    running = {
        (name, seed): subprocess.Popen(
            [*command, '--seed', str(seed), '--only', name], stdout=subprocess.PIPE
        )
        for name, seed in runs
    }
    failed = total = 0
    for (name, seed), process in running.items():
        printed, _ = process.communicate()
        if process.returncode:
            print(f'{name}, seed {seed}: ended with {process.returncode}')
            failed += 1
            continue
        found = json.loads(printed.splitlines()[-1])
        total += found['interleavings']
        failed += bool(found['faults']) != bool(options.mutant)
        _show(f'{name}, seed {seed}', found)
    print(f'{total:,} interleavings in all')
    return 1 if failed else 0


def _show(name: str, found: dict[str, Any]) -> None:
    print(
        f'{name}: {found["interleavings"]:,} interleavings in {found["seconds"]} s;'
        f' landed: {found["owners"]:,} writes of owners, {found["roles"]:,} of'
        f' role-holders, {found["rolls"]:,} rolls; both landed in'
        f' {found["both_landed"]:,} interleavings; {len(found["faults"])} faults'
    )
    print(f'  {found["statuses"]}')
    for fault in found['faults'][:10]:
        print(f'  {fault}')


if __name__ == '__main__':
    sys.exit(main())
