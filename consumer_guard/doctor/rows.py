# SPDX-License-Identifier: Apache-2.0
"""The rows: generations near their end, ownerless consumers, odd ids.

Each statement scans a table at most once, or stops at a row limit; none sorts one.
"""

import uuid
from collections import Counter
from collections.abc import Collection

import sqlalchemy as sa

from consumer_guard.analysis.findings import Assessment, fail, note, ok, warn
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.database import fetch, is_mysql
from consumer_guard.generations.rolling import read_highest
from consumer_guard.generations.store import Kind
from consumer_guard.generations.thresholds import Step

#: Odd ids that are read at the most.
_ID_LIMIT = 1000

#: Examples in a text.
_SHOWN = 3

#: Ids in one statement.
_CHUNK = 500

#: 8-4-4-4-12 characters, in SQL's LIKE.
_SHAPE = '-'.join('_' * length for length in (8, 4, 4, 4, 12))

_COUNT_OWNERLESS = """
SELECT count(*)
  FROM consumers LEFT JOIN projects ON projects.id = consumers.project_id
 WHERE projects.external_id IS NULL OR projects.external_id IN ('', :incomplete)
"""

# In the order of the index, so that neighbours share the pages of the other.
_SELECT_UNRECORDED = """
SELECT holders.consumer_id
  FROM (SELECT DISTINCT consumer_id FROM allocations) AS holders
 WHERE NOT EXISTS
       (SELECT 1 FROM consumers WHERE consumers.uuid = holders.consumer_id)
 LIMIT :limit
"""

_SELECT_ODD = """
SELECT DISTINCT {column} FROM {table}
 WHERE {column} NOT LIKE :shape OR {exact} <> {lower}
 LIMIT :limit
"""

_SELECT_EXISTING = 'SELECT {column} FROM {table} WHERE {column} IN :ids'

#: Where ids of consumers are.
_ID_COLUMNS = (('consumers', 'uuid'), ('allocations', 'consumer_id'))


def check_generations(engine: sa.Engine, settings: Settings) -> Assessment:
    """The highest of consumers and of providers."""
    thresholds = settings.thresholds
    highest = [counter for kind in Kind for counter in read_highest(engine, kind, 1)]
    worst = max(
        (thresholds.step_of(counter.generation) for counter in highest),
        default=Step.FINE,
    )
    if worst is Step.FINE:
        top = max((counter.generation for counter in highest), default=0)
        left = thresholds.remaining(top)
        return ok(f'the highest is {top}, {left:.0f} increments remain')
    above = settings.generation_limit - settings.generation_warning - 1
    assess = warn if worst is Step.WARNING else fail
    return assess(
        f'a generation has reached the step {worst.name.lower()}; see consumer-guard '
        'generation list',
        f'consumer-guard generation roll --above {above}',
    )


def check_nobodys_consumers(engine: sa.Engine, settings: Settings) -> Assessment:
    """Consumers that no owner can reach, because none is recorded."""
    incomplete = settings.incomplete_consumer_project_id
    count = int(fetch(engine, _COUNT_OWNERLESS, incomplete=incomplete)[0][0])
    if not count:
        return ok('none')
    return note(
        f'{count} without a project, or with project {incomplete}: only role-holders '
        'can access them',
        'nova-manage placement heal_allocations records the owners of instances',
    )


def check_unrecorded_allocations(engine: sa.Engine, _settings: Settings) -> Assessment:
    """Allocations without a row in consumers, which old releases left."""
    ids = {row[0] for row in fetch(engine, _SELECT_UNRECORDED, limit=_ID_LIMIT)}
    if not ids:
        return ok('none')
    return warn(
        f'{_format_count(ids)} with allocations are not recorded: they have no owner, '
        'and the next write adopts them',
        'placement-manage db online_data_migrations',
    )


def check_twin_consumers(engine: sa.Engine, _settings: Settings) -> Assessment:
    """Ids that differ by spelling only, and ids that owners cannot use."""
    odd = _read_odd(engine)
    canonical = {id_: _canonical(id_) for id_ in odd}
    wanted = sorted({name for name in canonical.values() if name})
    spellings = Counter([*_read_existing(engine, wanted), *canonical.values()])
    twins = sorted(name for name, count in spellings.items() if name and count > 1)
    if twins:
        shown = ', '.join(twins[:_SHOWN])
        return warn(
            f'{len(twins)} consumers exist under several forms of their id: '
            f'{shown}{", ..." if len(twins) > _SHOWN else ""}; owners can access only '
            'the canonical one; each has its own owner and allocations',
            'as admin, find the one in use and DELETE /allocations of the other',
        )
    if odd:
        return note(
            f'{_format_count(odd)} have an id that is not a canonical uuid: only '
            'role-holders can access them',
        )
    return ok('every id is canonical')


def _read_odd(engine: sa.Engine) -> set[str]:
    """Ids that are not of a uuid's shape, or not in lower case."""
    # MySQL's equality ignores case.
    exact = 'CAST({} AS BINARY)' if is_mysql(engine) else '{}'
    odd: set[str] = set()
    for table, column in _ID_COLUMNS:
        query = _SELECT_ODD.format(
            table=table,
            column=column,
            exact=exact.format(column),
            lower=exact.format(f'lower({column})'),
        )
        rows = fetch(engine, query, shape=_SHAPE, limit=_ID_LIMIT)
        odd.update(row[0] for row in rows)
    return odd


def _read_existing(engine: sa.Engine, ids: list[str]) -> set[str]:
    """Those of the ids that have a row of this very spelling."""
    existing: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        for table, column in _ID_COLUMNS:
            query = _SELECT_EXISTING.format(table=table, column=column)
            rows = fetch(engine, query, ids=chunk)
            # A database's equality may be laxer.
            existing.update({row[0] for row in rows} & {*chunk})
    return existing


def _canonical(id_: str) -> str | None:
    """The one spelling of a uuid; None when it is no uuid."""
    try:
        return str(uuid.UUID(id_.strip()))
    except ValueError:
        return None


def _format_count(ids: Collection[str]) -> str:
    more = ' or more' if len(ids) >= _ID_LIMIT else ''
    return f'{len(ids)}{more} consumers'
