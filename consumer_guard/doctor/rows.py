# SPDX-License-Identifier: Apache-2.0
"""The rows: generations near their end, nobody's consumers, odd ids.

Each statement walks a table once, or stops at a limit; none sorts one.
"""

import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from consumer_guard.config.settings import Settings
from consumer_guard.doctor.database import is_mysql, name_of
from consumer_guard.doctor.findings import Finding, Severity
from consumer_guard.generations.store import Kind, read_highest
from consumer_guard.generations.thresholds import Step

#: Odd ids that are looked at; more are said to be more.
_MOST = 1000

#: Examples in a text.
_SHOWN = 3

#: 8-4-4-4-12 characters, in SQL's LIKE.
_SHAPE = '-'.join('_' * length for length in (8, 4, 4, 4, 12))

_CONSUMERS = sa.table(
    'consumers', sa.column('id'), sa.column('uuid'), sa.column('project_id')
)
_PROJECTS = sa.table('projects', sa.column('id'), sa.column('external_id'))
_ALLOCATIONS = sa.table('allocations', sa.column('consumer_id'))


def look_at_generations(engine: sa.Engine, settings: Settings) -> Finding:
    """The highest of consumers and of providers."""
    check, where = 'generations', name_of(engine)
    thresholds = settings.thresholds
    highest = [counter for kind in Kind for counter in read_highest(engine, kind, 1)]
    worst = max(
        (thresholds.step_of(counter.generation) for counter in highest),
        default=Step.FINE,
    )
    if worst is Step.FINE:
        top = max((counter.generation for counter in highest), default=0)
        text = f'the highest is {top}, {thresholds.remaining(top):.0f} steps remain'
        return Finding(Severity.OK, check, where, text)
    above = settings.generation_limit - settings.generation_warning - 1
    return Finding(
        Severity.WARNING if worst is Step.WARNING else Severity.FAILURE,
        check,
        where,
        f'a generation is at step {worst.name.lower()}; see consumer-guard generation '
        'list',
        f'consumer-guard generation roll --above {above}',
    )


def look_at_nobodys_consumers(engine: sa.Engine, settings: Settings) -> Finding:
    """Consumers that no owner can reach, because none is recorded."""
    check, where = "nobody's consumers", name_of(engine)
    nobodys = ('', settings.incomplete_consumer_project_id)
    without = (
        sa.select(sa.func.count())
        .select_from(
            _CONSUMERS.outerjoin(_PROJECTS, _PROJECTS.c.id == _CONSUMERS.c.project_id)
        )
        .where(
            sa.or_(
                _PROJECTS.c.external_id.is_(None), _PROJECTS.c.external_id.in_(nobodys)
            )
        )
    )
    with engine.connect() as connection:
        count = int(connection.execute(without).scalar_one())
    if not count:
        return Finding(Severity.OK, check, where, 'none')
    return Finding(
        Severity.NOTE,
        check,
        where,
        f'{count} without a project, or of {nobodys[1]}: for role-holders only',
        'nova-manage placement heal_allocations records the owners of instances',
    )


def look_at_unrecorded_allocations(engine: sa.Engine, _settings: Settings) -> Finding:
    """Allocations without a row in consumers, which old releases left."""
    check, where = 'unrecorded consumers', name_of(engine)
    # In the order of the index, so that neighbours share the pages of the other.
    holders = sa.select(_ALLOCATIONS.c.consumer_id).distinct().subquery('holders')
    unrecorded = (
        sa.select(holders.c.consumer_id)
        .where(~sa.exists().where(_CONSUMERS.c.uuid == holders.c.consumer_id))
        .limit(_MOST)
    )
    with engine.connect() as connection:
        found = set(connection.execute(unrecorded).scalars())
    if not found:
        return Finding(Severity.OK, check, where, 'none')
    return Finding(
        Severity.WARNING,
        check,
        where,
        f'{_count(found)} with allocations are not recorded, so nobody owns them and '
        'the next write adopts them',
        'placement-manage db online_data_migrations',
    )


def look_at_twin_consumers(engine: sa.Engine, _settings: Settings) -> Finding:
    """Ids that differ by spelling only, and ids that owners cannot ask for."""
    check, where = 'twin consumers', name_of(engine)
    odd: set[str] = set()
    with engine.connect() as connection:
        for column in (_CONSUMERS.c.uuid, _ALLOCATIONS.c.consumer_id):
            odd |= set(connection.execute(_select_odd(engine, column)).scalars())
        meant = {id_: _canonical(id_) for id_ in odd}
        wanted = sorted({name for name in meant.values() if name})
        there: set[str] = set()
        for at in range(0, len(wanted), 500):
            some = wanted[at : at + 500]
            for column in (_CONSUMERS.c.uuid, _ALLOCATIONS.c.consumer_id):
                rows = connection.execute(sa.select(column).where(column.in_(some)))
                # A database may find the odd ones again.
                there |= set(rows.scalars()) & set(some)
    spellings = Counter([*there, *meant.values()])
    twins = sorted(name for name, count in spellings.items() if name and count > 1)
    if twins:
        shown = ', '.join(twins[:_SHOWN])
        return Finding(
            Severity.WARNING,
            check,
            where,
            f'{len(twins)} consumers exist in more than one spelling of their id: '
            f'{shown}{", ..." if len(twins) > _SHOWN else ""}; owners reach the '
            'canonical one alone, each has its own owner and allocations',
            'as admin, see which is meant and DELETE /allocations of the other',
        )
    if odd:
        return Finding(
            Severity.NOTE,
            check,
            where,
            f'{_count(odd)} have an id that is not a canonical uuid: for role-holders '
            'only',
        )
    return Finding(Severity.OK, check, where, 'every id is in canonical spelling')


def _select_odd(engine: sa.Engine, column: Any) -> Any:
    spelled: Any = column
    lower: Any = sa.func.lower(column)
    if is_mysql(engine):
        # There equality ignores case.
        spelled = sa.cast(spelled, sa.LargeBinary)
        lower = sa.cast(lower, sa.LargeBinary)
    odd = sa.or_(column.not_like(_SHAPE), spelled != lower)
    return sa.select(column).where(odd).distinct().limit(_MOST)


def _canonical(id_: str) -> str | None:
    """The one spelling of a uuid; None when it is no uuid."""
    try:
        return str(uuid.UUID(id_.strip()))
    except ValueError:
        return None


def _count(found: Iterable[str]) -> str:
    count = len(set(found))
    return f'{count} or more consumers' if count >= _MOST else f'{count} consumers'
