# SPDX-License-Identifier: Apache-2.0
"""What only MySQL, MariaDB and Galera have."""

import sqlalchemy as sa

from consumer_guard.analysis.findings import Assessment, fail, ok, warn
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.database import fetch, is_mysql

_STRICT_MODES = ('STRICT_TRANS_TABLES', 'STRICT_ALL_TABLES', 'TRADITIONAL')


def check_sql_mode(engine: sa.Engine, _settings: Settings) -> Assessment:
    """MySQL and MariaDB only; the mode that new sessions get."""
    if not is_mysql(engine):
        return ok(f'{engine.dialect.name} has no sql_mode')
    mode = str(fetch(engine, 'SELECT @@GLOBAL.sql_mode')[0][0])
    if any(strict in mode for strict in _STRICT_MODES):
        return ok('strict')
    return warn(
        f"the server's sql_mode is {mode or 'empty'}, not strict: a full generation "
        'stands still and two writers both succeed',
        'add STRICT_TRANS_TABLES',
    )


def check_galera(engine: sa.Engine, _settings: Settings) -> Assessment:
    """Look-ups on Galera wait for the newest rows, as the engine sets it."""
    if not is_mysql(engine):
        return ok(f'{engine.dialect.name}: no Galera')
    query = "SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait')"
    values = {row[0].lower(): row[1] for row in fetch(engine, query)}
    if values.get('wsrep_on', 'OFF').upper() not in ('ON', '1'):
        return ok('no Galera')
    # Bit 0: SELECT waits (MariaDB, system variable wsrep_sync_wait).
    if int(values.get('wsrep_sync_wait', 0)) & 1:
        return ok('look-ups wait for the newest rows')
    return fail(
        'a look-up on Galera does not wait: a node that is behind names an owner of '
        'the past',
        'see what resets wsrep_sync_wait in the sessions of this account',
    )
