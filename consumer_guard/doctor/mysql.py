# SPDX-License-Identifier: Apache-2.0
"""What only MySQL, MariaDB and Galera have."""

import sqlalchemy as sa

from consumer_guard.config.settings import Settings
from consumer_guard.doctor.database import is_mysql, name_of
from consumer_guard.doctor.findings import Finding, Severity

_STRICT_MODES = ('STRICT_TRANS_TABLES', 'STRICT_ALL_TABLES', 'TRADITIONAL')


def look_at_sql_mode(engine: sa.Engine, _settings: Settings) -> Finding:
    """MySQL and MariaDB only; the mode that new sessions get."""
    check, where = 'sql_mode', name_of(engine)
    if not is_mysql(engine):
        text = f'{engine.dialect.name} has no sql_mode'
        return Finding(Severity.OK, check, where, text)
    with engine.connect() as connection:
        mode = str(connection.execute(sa.text('SELECT @@GLOBAL.sql_mode')).scalar())
    if any(strict in mode for strict in _STRICT_MODES):
        return Finding(Severity.OK, check, where, 'strict')
    return Finding(
        Severity.WARNING,
        check,
        where,
        f"the server's sql_mode is {mode or 'empty'}, not strict: a full generation "
        'stands still and two writers both succeed',
        'add STRICT_TRANS_TABLES',
    )


def look_at_galera(engine: sa.Engine, _settings: Settings) -> Finding:
    """Look-ups on Galera wait for the newest rows, as the engine asks them to."""
    check, where = 'wsrep_sync_wait', name_of(engine)
    if not is_mysql(engine):
        return Finding(Severity.OK, check, where, f'{engine.dialect.name}: no Galera')
    ask = "SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait')"
    with engine.connect() as connection:
        found = {row[0].lower(): row[1] for row in connection.exec_driver_sql(ask)}
    if found.get('wsrep_on', 'OFF').upper() not in ('ON', '1'):
        return Finding(Severity.OK, check, where, 'no Galera')
    # Bit 0: SELECT waits (MariaDB, system variable wsrep_sync_wait).
    if int(found.get('wsrep_sync_wait', 0)) & 1:
        return Finding(Severity.OK, check, where, 'look-ups wait for the newest rows')
    return Finding(
        Severity.FAILURE,
        check,
        where,
        'a look-up on Galera does not wait: a node that is behind names an owner of '
        'the past',
        'see what resets wsrep_sync_wait in the sessions of this account',
    )
