# SPDX-License-Identifier: Apache-2.0
"""``python -m bench.morning``: run, print, write; or use the model alone."""

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from bench import machine
from bench.morning import client, cloud, model
from bench.morning.cloud import Cloud

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / 'bench' / 'results' / 'morning'
DOCS = ROOT / 'doc' / 'source' / 'performance'
#: What the documentation keeps of a run.
KEPT = ('summary.csv', 'trouble.csv', 'account.csv')


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m bench.morning',
        description="Put a large cloud's morning on placement.",
    )
    parser.set_defaults(act=compare)
    commands = parser.add_subparsers(title='the model alone')
    parser.add_argument('--quick', action='store_true', help='five minutes or so')
    parser.add_argument(
        '--database',
        nargs='+',
        choices=('PostgreSQL', 'MariaDB', 'Galera'),
        metavar='NAME',
        help='PostgreSQL, MariaDB, or Galera (three nodes behind haproxy)',
        default=['PostgreSQL', 'MariaDB'],
    )
    parser.add_argument('--server', nargs='+', choices=('gunicorn', 'uwsgi'))
    parser.add_argument('--consumers', type=int, default=Cloud().consumers)
    parser.add_argument('--rounds', type=int, help='turns of each variant')
    parser.add_argument('--seconds', type=float, help='of one turn')
    parser.add_argument('--results', type=Path, default=RESULTS, metavar='DIR')
    parser.add_argument(
        '--docs', action='store_true', help='keep the summary in the documentation'
    )
    made = commands.add_parser('fill', help='fill an empty schema')
    made.add_argument('--database', required=True, metavar='URL')
    made.add_argument('--consumers', type=int, default=Cloud().consumers)
    made.set_defaults(act=fill)
    driven = commands.add_parser('drive', help='put the load on a port of loopback')
    driven.add_argument('--port', required=True, type=int)
    driven.add_argument('--consumers', type=int, default=Cloud().consumers)
    driven.add_argument('--rate', type=float, default=1.0, help='1: 8,000 computes')
    driven.add_argument('--seconds', type=float, default=60.0)
    driven.add_argument(
        '--readers', action='store_true', help='also readers of projects'
    )
    driven.set_defaults(act=drive)
    return parser.parse_args(arguments)


def fill(options: argparse.Namespace) -> int:
    """Fill an empty schema; 2 where that is not possible."""
    try:
        cloud.fill(options.database, Cloud(consumers=options.consumers))
    except (ValueError, sa.exc.SQLAlchemyError) as error:
        print(f'--database: {error}'.splitlines()[0], file=sys.stderr)
        return 2
    return 0


def drive(options: argparse.Namespace) -> int:
    """Put the load on a port of loopback, and print the latencies."""
    share = model.Share(0, 1, options.rate, options.seconds, 1, options.readers)
    plan = client.Plan(
        options.port,
        Cloud(consumers=options.consumers),
        share,
        f'{time.time_ns():x}'[-12:],
        guarded=False,
    )
    outcome = client.drive(plan, threading.Barrier(1))
    for name, encoded in sorted(outcome.latency.items()):
        found = client.make_histogram().decode(encoded)
        values = [found.get_value_at_percentile(each) / 1000 for each in (50, 99, 99.9)]
        print(f'{name:20} {found.get_total_count():7}', *map('{:9.1f}'.format, values))
    for (second, name, status), count in sorted(outcome.failures.items()):
        print(f'second {second}: {name} {status}: {count}')
    print(*outcome.wrong, sep='\n')
    return 1 if outcome.wrong else 0


def compare(options: argparse.Namespace) -> int:
    """Bare beside guarded placement; 1 when an answer is wrong or a write lost."""
    # Not for who uses the model alone: matplotlib, psutil, placement.
    import dataclasses

    from bench.morning import programme, report, stage

    effort = programme.QUICK if options.quick else programme.FULL
    if options.rounds:
        effort = dataclasses.replace(effort, rounds=options.rounds)
    if options.seconds:
        effort = dataclasses.replace(effort, seconds=options.seconds)
    servers = options.server or ['gunicorn']
    if not options.server and not options.quick and stage.find_uwsgi():
        servers.append('uwsgi')
    before, started = machine.describe_load(), time.monotonic()
    cloud_of = Cloud(consumers=options.consumers)
    scenes = []
    for scene in programme.run(
        options.database, servers, cloud_of, effort, rates=(1.0,)
    ):
        scenes.append(scene)
        described = machine.describe() | {
            'kind of run': f'{effort.rounds} rounds of {effort.seconds:g} s',
            'consumers': str(options.consumers),
            'load before and after': f'{before}, {machine.describe_load()}',
            'minutes': f'{(time.monotonic() - started) / 60:.0f}',
        }
        # After each scene: nobody wants to lose an hour by an interruption.
        print(report.write(options.results, scenes, described), flush=True)
        if options.docs:
            for name in KEPT:
                shutil.copy(options.results / name, DOCS / f'morning-{name}')
            text = ', '.join(f'{name} {value}' for name, value in described.items())
            (DOCS / 'morning-machine.rst').write_text(text + '\n')
    return 1 if any(scene.wrong for scene in scenes) else 0


if __name__ == '__main__':
    chosen = _parse(None)
    sys.exit(chosen.act(chosen))
