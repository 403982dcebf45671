# SPDX-License-Identifier: Apache-2.0
"""What stands between the guard and its rows: a Galera cluster, or a pooler."""

import re
import urllib.parse

import sqlalchemy as sa
from oslo_config import cfg

from consumer_guard.analysis.findings import Assessment, note, ok, warn
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.database import fetch, is_galera
from consumer_guard.owners.sessions import BEGIN

#: Seconds more than ``lookup_timeout`` that a node may wait for the newest rows
#: (Galera's default, 30 s, is much longer).
_MARGIN = 3.0

#: An ISO 8601 duration as Galera writes it: PT30S, PT1M30S, PT0.5S.
_DURATION = re.compile(r'PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?$', re.IGNORECASE)

#: In an ``init_command``: the value that is set for the session.
_SYNC_WAIT = re.compile(r'wsrep_sync_wait\s*:?=\s*(\d+)', re.IGNORECASE)

_NO_GALERA = ok('no Galera')


def check_pooler(engine: sa.Engine, _settings: Settings) -> Assessment:
    """PostgreSQL only: whether sessions keep the time-outs of look-ups."""
    if engine.dialect.name != 'postgresql':
        return ok(f'{engine.dialect.name}: not checked')
    with engine.connect() as connection:
        pooled = BEGIN in connection.info
    if not pooled:
        return ok('sessions keep the time-outs of look-ups')
    return note(
        'a pooler such as pgbouncer drops the time-outs of look-ups: each look-up sets '
        'them in its own transaction, without a prepared statement',
        'to save two round trips, connect to PostgreSQL directly, or ALTER ROLE ... '
        'SET '
        "statement_timeout for an account of the guard's own",
    )


def check_causal_wait(engine: sa.Engine, settings: Settings) -> Assessment:
    """How long a node that is behind keeps the sessions of look-ups."""
    if not is_galera(engine):
        return _NO_GALERA
    # SHOW cuts long values.
    provider = str(fetch(engine, 'SELECT @@GLOBAL.wsrep_provider_options')[0][0])
    options = dict(
        option.split(' = ', 1) for option in provider.split('; ') if ' = ' in option
    )
    name = 'repl.causal_read_timeout'
    seconds = _parse_duration(options.get(name, ''))
    if seconds is None:
        return note(f'skipped: the server does not show {name}')
    if seconds <= settings.lookup_timeout + _MARGIN:
        return ok(f'{seconds:g} s')
    return warn(
        f'a lagging node holds the session of a look-up for {seconds:g} s, long '
        f'after lookup_timeout ({settings.lookup_timeout:g} s): sessions pile up',
        f'set wsrep_provider_options = "{name}=PT{settings.lookup_timeout:g}S"',
    )


def check_writing_nodes(
    engine: sa.Engine, _settings: Settings, *, owners_write: bool
) -> Assessment:
    """Owners write where every node may take writes.

    :param owners_write: the rules open a write to owners
    """
    if not is_galera(engine):
        return _NO_GALERA
    if not owners_write:
        return ok('the rules allow no writes by owners')
    return warn(
        'the rules allow writes by owners on Galera: if two nodes accept writes, '
        'placement may accept two writes of the same generation',
        'send writes to one node at a time (in haproxy: backup, and on-marked-up '
        'shutdown-backup-sessions)',
    )


def check_placement_reads(
    engine: sa.Engine, _settings: Settings, *, placement: cfg.ConfigOpts
) -> Assessment:
    """Placement's own reads wait for the newest rows.

    :param placement: placement's configuration
    """
    if not is_galera(engine):
        return _NO_GALERA
    value = int(fetch(engine, 'SELECT @@GLOBAL.wsrep_sync_wait')[0][0])
    group = placement.placement_database
    url = f'{group.connection or ""}&{group.connection_parameters}'
    # As it is quoted in a URL: blanks as + or %20, = as %3D.
    found = _SYNC_WAIT.search(urllib.parse.unquote_plus(url))
    if found is not None:
        value = int(found[1])
    if value & 1:
        return ok("placement's reads wait for the newest rows")
    return warn(
        "placement's own reads on Galera do not wait: a lagging node shows the former "
        "owner's data to a new owner",
        'add init_command=SET SESSION wsrep_sync_wait=1 to connection of '
        '[placement_database], quoted for a URL '
        '(init_command=SET%20SESSION%20wsrep_sync_wait%3D1)',
    )


def _parse_duration(text: str) -> float | None:
    """Seconds of an ISO 8601 duration; None for anything else."""
    found = _DURATION.match(text.strip(' ;'))
    if found is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds
