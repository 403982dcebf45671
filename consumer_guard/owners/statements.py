# SPDX-License-Identifier: Apache-2.0
"""The SELECTs on placement's tables, one for one id and one for many.

Every row has the columns of :class:`Row`. A row may be of an id that was not
asked for, because a database's equality is laxer than ours; the reader compares.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


class Row(NamedTuple):
    """One row of an answer.

    :ivar uuid: ``consumers.uuid``, None where there is no consumers row
    :ivar row_id: ``consumers.id``
    :ivar generation: ``consumers.generation``
    :ivar project: ``projects.external_id``; None where that row is missing
    :ivar user: ``users.external_id``; None where that row is missing
    :ivar type_name: ``consumer_types.name``
    :ivar holder: ``allocations.consumer_id``, None where there are none
    """

    uuid: Any
    row_id: Any
    generation: Any
    project: Any
    user: Any
    type_name: Any
    holder: Any


class Statements(NamedTuple):
    """The statements of one database, built once: building costs more than asking.

    :ivar one: takes the parameter ``id``
    :ivar many: takes the parameter ``ids``
    :ivar listed: take ``ids``; rows of the consumers that have a project: the
        uuids and, each statement one more, project, user and type
    :ivar bind: ids to the value of ``ids``
    :ivar gathered: the uuids of a row of ``listed``
    """

    one: sa.Executable
    many: sa.Executable
    listed: tuple[sa.Executable, ...]
    bind: Callable[[Sequence[str]], Any]
    gathered: Callable[[Any], Iterable[Any]]


_CONSUMERS = sa.table(
    'consumers',
    *map(
        sa.column,
        ('uuid', 'id', 'generation', 'project_id', 'user_id', 'consumer_type_id'),
    ),
)
_PROJECTS = sa.table('projects', sa.column('id'), sa.column('external_id'))
_USERS = sa.table('users', sa.column('id'), sa.column('external_id'))
_TYPES = sa.table('consumer_types', sa.column('id'), sa.column('name'))
# In the text, where a planner sees it, not a parameter.
_ONE: sa.ColumnElement[int] = sa.literal_column('1', sa.Integer)
_ALLOCATIONS = sa.table('allocations', sa.column('consumer_id'))
_EXPANDED = sa.bindparam('ids', expanding=True, type_=sa.String)


def build(dialect: str) -> Statements:
    """Build the statements for SQLAlchemy's dialect of that name."""
    if dialect == 'sqlite':
        asked = sa.func.json_each(sa.bindparam('ids')).table_valued(
            'value', name='asked'
        )
        found = asked.join(_CONSUMERS, _CONSUMERS.c.uuid == asked.c.value)
        listed = _listed(found, _CONSUMERS, sa.func.json_group_array)
        many = _join(asked, asked.c.value)
        return Statements(_one(), many, listed, json.dumps, json.loads)
    if dialect == 'postgresql':
        asked, consumers = _postgresql_found()
        found = asked.join(consumers, sa.true())
        listed = _listed(found, consumers, sa.func.array_agg)
        return Statements(_one(), _postgresql_many(), listed, json.dumps, iter)
    # What GROUP_CONCAT and JSON_ARRAYAGG say is cut at group_concat_max_len.
    some = _CONSUMERS.c.uuid.in_(_EXPANDED)
    listed = tuple([each.where(some) for each in _listed(_CONSUMERS, _CONSUMERS)])
    return Statements(_one(binary=True), _mysql_many(), listed, list, _alone)


def _alone(uuid: Any) -> tuple[Any]:
    return (uuid,)


def _columns(consumers: Any, holder: Any) -> list[Any]:
    return [
        consumers.c.uuid,
        consumers.c.id,
        consumers.c.generation,
        _PROJECTS.c.external_id,
        _USERS.c.external_id,
        _TYPES.c.name,
        holder,
    ]


def _with_owner(source: Any, consumers: Any) -> Any:
    # Outer joins: a consumer whose projects row is missing is nobody's, not absent.
    return (
        source.outerjoin(_PROJECTS, _PROJECTS.c.id == consumers.c.project_id)
        .outerjoin(_USERS, _USERS.c.id == consumers.c.user_id)
        .outerjoin(_TYPES, _TYPES.c.id == consumers.c.consumer_type_id)
    )


def _bytes(value: Any) -> Any:
    return sa.cast(value, sa.LargeBinary)


def _one(binary: bool = False) -> sa.Executable:
    """One row, whatever there is of the id.

    ``binary``: where equality ignores case, another spelling's allocations
    could be the one row that is looked at.
    """
    asked = sa.bindparam('id', type_=sa.String)
    holder = sa.select(_ALLOCATIONS.c.consumer_id).where(
        _ALLOCATIONS.c.consumer_id == asked
    )
    if binary:
        holder = holder.where(_bytes(_ALLOCATIONS.c.consumer_id) == _bytes(asked))
    always = sa.select(_ONE.label('one')).subquery('always')
    source = always.outerjoin(_CONSUMERS, _CONSUMERS.c.uuid == asked)
    return sa.select(
        *_columns(_CONSUMERS, holder.limit(_ONE).scalar_subquery())
    ).select_from(_with_owner(source, _CONSUMERS))


def _join(asked: Any, value: Any) -> sa.Executable:
    """A row for each id of the table ``asked``, by index look-ups."""
    holder = (
        sa.select(_ALLOCATIONS.c.consumer_id)
        .where(_ALLOCATIONS.c.consumer_id == value)
        .limit(_ONE)
    )
    source = asked.outerjoin(_CONSUMERS, _CONSUMERS.c.uuid == value)
    return sa.select(*_columns(_CONSUMERS, holder.scalar_subquery())).select_from(
        _with_owner(source, _CONSUMERS)
    )


def _listed(
    source: Any, consumers: Any, gather: Callable[[Any], Any] | None = None
) -> tuple[Any, ...]:
    """As little as a list needs: its consumers have allocations.

    :param gather: brings the uuids of one owner together into one row, which a
        driver reads faster; without it a row is one consumer
    """
    named = (
        (_PROJECTS, 'project_id', _PROJECTS.c.external_id, False),
        (_USERS, 'user_id', _USERS.c.external_id, True),
        (_TYPES, 'consumer_type_id', _TYPES.c.name, True),
    )
    made = []
    for count in range(1, len(named) + 1):
        found, there = source, consumers
        if gather is not None:
            owner = [consumers.c[reference] for _, reference, _, _ in named[:count]]
            uuids = gather(consumers.c.uuid).label('uuid')
            grouped = sa.select(uuids, *owner).select_from(source).group_by(*owner)
            found = there = grouped.subquery('gathered')
        columns = [there.c.uuid]
        for table, reference, name, may_be_missing in named[:count]:
            same = table.c.id == there.c[reference]
            found = found.join(table, same, isouter=may_be_missing)
            columns.append(name)
        made.append(sa.select(*columns).select_from(found))
    return tuple(made)


def _postgresql_found() -> tuple[Any, Any]:
    """The ids, and the consumers row of each."""
    # One text: drivers take long to quote the elements of an array.
    ids = sa.cast(sa.bindparam('ids', type_=sa.Text), postgresql.JSON)
    each = sa.func.json_array_elements_text(ids)
    asked = each.table_valued('id', name='asked').render_derived()
    # The limit keeps the planner from reading the whole table for a large batch.
    consumers = (
        sa.select(_CONSUMERS)
        .where(_CONSUMERS.c.uuid == asked.c.id)
        .limit(_ONE)
        .lateral('found')
    )
    return asked, consumers


def _postgresql_many() -> sa.Executable:
    asked, consumers = _postgresql_found()
    holder = (
        sa.select(_ALLOCATIONS.c.consumer_id)
        .where(_ALLOCATIONS.c.consumer_id == asked.c.id)
        .limit(_ONE)
    )
    source = asked.outerjoin(consumers, sa.true())
    return sa.select(*_columns(consumers, holder.scalar_subquery())).select_from(
        _with_owner(source, consumers)
    )


def _mysql_many() -> sa.Executable:
    # Literals of an IN are compared in the column's collation, by its index; ids
    # in a derived table would be in the connection's, and read the whole table.
    ids = _EXPANDED
    nothing = [sa.null().label(f'n{number}') for number in range(6)]
    recorded = (
        sa.select(*_columns(_CONSUMERS, sa.null().label('holder')))
        .select_from(_with_owner(_CONSUMERS, _CONSUMERS))
        .where(_CONSUMERS.c.uuid.in_(ids))
    )
    holding = (
        sa.select(*nothing, sa.func.min(_ALLOCATIONS.c.consumer_id))
        .where(_ALLOCATIONS.c.consumer_id.in_(ids))
        .group_by(_bytes(_ALLOCATIONS.c.consumer_id))
    )
    return sa.union_all(recorded, holding)
