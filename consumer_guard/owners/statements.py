# SPDX-License-Identifier: Apache-2.0
"""The SELECTs on placement's tables, as text: for one id, for many, for a list.

A row may be of an id that was not in the query, because a database's equality is
laxer than ours; the reader compares.
"""

import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

#: What is read: placement's tables, and the columns of each.
TABLES: Mapping[str, tuple[str, ...]] = types.MappingProxyType(
    {
        'consumers': (
            'uuid',
            'id',
            'generation',
            'project_id',
            'user_id',
            'consumer_type_id',
        ),
        'projects': ('id', 'external_id'),
        'users': ('id', 'external_id'),
        'consumer_types': ('id', 'name'),
        'allocations': ('consumer_id',),
    }
)


class Row(NamedTuple):
    """One row of the queries ``one`` and ``many``.

    :ivar uuid: ``consumers.uuid``, None where there is no consumers row; then the rest
        but ``holder`` means nothing
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


# Security: in these characters there is no SQL, in any mode of a server.
_UNQUOTED = re.compile('[0-9a-fA-F-]+')

#: From ids to a text and its parameters, as the drivers take them.
Query = Callable[[Sequence[str]], tuple[str, Mapping[str, str]]]


class Queries(NamedTuple):
    """The SELECTs of one database.

    :ivar types: takes names instead of ids; the consumer types of these names
    :ivar one: takes one id; one row, whatever is recorded of it
    :ivar many: takes one id or more
    :ivar groups: take the ids of consumers that have allocations; one row: a JSON
        array (for each consumer its uuid and, one more in each query, project, user
        and type), and how many consumers these are. Those without a project are
        left out
    :ivar batch: the most ids that ``many`` and ``groups`` take
    """

    types: Query
    one: Query
    many: Query
    groups: tuple[Query, ...]
    batch: int = 4096


def for_dialect(name: str) -> Queries:
    """The queries for SQLAlchemy's dialect of that name."""
    return {'sqlite': _SQLITE, 'postgresql': _POSTGRESQL}.get(name, _MYSQL)


def _with_id(text: str) -> Query:
    def fill(ids: Sequence[str]) -> tuple[str, Mapping[str, str]]:
        return text, {'id': ids[0]}

    return fill


def _with_json(text: str) -> Query:
    # One parameter: drivers take long to quote the elements of an array.
    def fill(ids: Sequence[str]) -> tuple[str, Mapping[str, str]]:
        return text, {'ids': json.dumps(ids)}

    return fill


def _with_each(text: str) -> Query:
    # Security: PyMySQL would take the ids as a list, but quotes its elements wrongly
    # where the server's mode has NO_BACKSLASH_ESCAPES. What placement writes needs no
    # quoting, which costs more than all else of a list.
    def fill(ids: Sequence[str]) -> tuple[str, Mapping[str, str]]:
        if _UNQUOTED.fullmatch(''.join(ids)):
            literals = "', '".join(ids)
            return text.replace(':ids', f"'{literals}'"), {}
        parameters = {f'id{number}': id_ for number, id_ in enumerate(ids)}
        marks = f'%({")s, %(".join(parameters)})s'
        return text.replace(':ids', marks), parameters

    return fill


# References of consumers: what is read, and the join. A consumer whose projects row
# is missing belongs to nobody, hence the inner join.
_REFERENCES = (
    ('projects.external_id', 'JOIN projects ON projects.id = consumers.project_id'),
    ('users.external_id', 'LEFT JOIN users ON users.id = consumers.user_id'),
    (
        'consumer_types.name',
        'LEFT JOIN consumer_types ON consumer_types.id = consumers.consumer_type_id',
    ),
)


def _complete(
    template: str, quote: str, comma: str, prepare: Callable[[str], Query]
) -> tuple[Query, ...]:
    """Queries of groups, of the first one, two and three references.

    :param quote: SQL for a value as JSON, NULL too
    :param comma: SQL for a comma between two texts
    """
    queries = []
    for count in range(1, len(_REFERENCES) + 1):
        values, joins = zip(*_REFERENCES[:count], strict=True)
        text = template.format(
            values=comma.join(map(quote.format, ('consumers.uuid', *values))),
            joins='\n  '.join(joins),
        )
        queries.append(prepare(text))
    return tuple(queries)


_RECORD = """consumers.uuid, consumers.id, consumers.generation,
       projects.external_id, users.external_id, consumer_types.name"""

# Outer joins: a consumer whose projects row is missing is unowned, not absent.
_OWNER = """LEFT JOIN projects ON projects.id = consumers.project_id
  LEFT JOIN users ON users.id = consumers.user_id
  LEFT JOIN consumer_types ON consumer_types.id = consumers.consumer_type_id"""

# Security: an id that is not recorded is joined with the first project and user, which
# the reader ignores; otherwise the time of a refusal would tell whether it is.
_OWNER_OR_FIRST = """LEFT JOIN projects
    ON projects.id = CASE WHEN consumers.id IS NULL THEN 1 ELSE consumers.project_id END
  LEFT JOIN users
    ON users.id = CASE WHEN consumers.id IS NULL THEN 1 ELSE consumers.user_id END
  LEFT JOIN consumer_types ON consumer_types.id = consumers.consumer_type_id"""

# Not for MySQL, where || is OR.
_COMMA = " || ',' || "

_SQLITE = Queries(
    types=_with_json("""
SELECT name FROM consumer_types WHERE name IN (SELECT value FROM json_each(:ids))
"""),
    one=_with_id(f"""
SELECT {_RECORD},
       (SELECT consumer_id FROM allocations WHERE consumer_id = :id LIMIT 1)
  FROM (SELECT 1) AS always
  LEFT JOIN consumers ON consumers.uuid = :id
  {_OWNER_OR_FIRST}
"""),
    many=_with_json(f"""
SELECT {_RECORD},
       (SELECT consumer_id FROM allocations WHERE consumer_id = wanted.value LIMIT 1)
  FROM json_each(:ids) AS wanted
  LEFT JOIN consumers ON consumers.uuid = wanted.value
  {_OWNER}
"""),
    groups=_complete(
        """
SELECT '[' || group_concat({values}) || ']', count(*)
  FROM json_each(:ids) AS wanted
  JOIN consumers ON consumers.uuid = wanted.value
  {joins}
""",
        'json_quote({})',
        _COMMA,
        _with_json,
    ),
)

_WANTED = 'json_array_elements_text(CAST(%(ids)s AS json)) AS wanted (value)'

# The limit keeps the planner from reading the whole table for a large batch.
_CONSUMER = """LATERAL (
       SELECT uuid, id, generation, project_id, user_id, consumer_type_id
         FROM consumers WHERE uuid = wanted.value LIMIT 1) AS consumers ON true"""

_POSTGRESQL = Queries(
    types=_with_json(f"""
SELECT name FROM consumer_types WHERE name IN (SELECT wanted.value FROM {_WANTED})
"""),
    one=_with_id(f"""
SELECT {_RECORD},
       (SELECT consumer_id FROM allocations
         WHERE consumer_id = CAST(%(id)s AS varchar) LIMIT 1)
  FROM (SELECT 1) AS always
  LEFT JOIN consumers ON consumers.uuid = CAST(%(id)s AS varchar)
  {_OWNER_OR_FIRST}
"""),
    many=_with_json(f"""
SELECT {_RECORD},
       (SELECT consumer_id FROM allocations WHERE consumer_id = wanted.value LIMIT 1)
  FROM {_WANTED}
  LEFT JOIN {_CONSUMER}
  {_OWNER}
"""),
    groups=_complete(
        f"""
SELECT '[' || string_agg({{values}}, ',') || ']', count(*)
  FROM {_WANTED}
  JOIN {_CONSUMER}
  {{joins}}
""",
        "coalesce(CAST(to_json({}) AS text), 'null')",
        _COMMA,
        _with_json,
    ),
)

_MYSQL = Queries(
    types=_with_each('SELECT name FROM consumer_types WHERE name IN (:ids)'),
    # Equality ignores case: the one row that is read must be of this very id.
    one=_with_id(f"""
SELECT {_RECORD},
       (SELECT consumer_id FROM allocations
         WHERE consumer_id = %(id)s
           AND CAST(consumer_id AS BINARY) = CAST(%(id)s AS BINARY) LIMIT 1)
  FROM (SELECT 1) AS always
  LEFT JOIN consumers ON consumers.uuid = %(id)s
  {_OWNER_OR_FIRST}
"""),
    # Literals of an IN are compared in the column's collation, by its index; ids in
    # a derived table would be in the connection's, and read the whole table.
    many=_with_each(f"""
SELECT {_RECORD}, NULL
  FROM consumers
  {_OWNER}
 WHERE consumers.uuid IN (:ids)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, MIN(consumer_id)
  FROM allocations
 WHERE consumer_id IN (:ids)
 GROUP BY CAST(consumer_id AS BINARY)
"""),
    # What is cut at group_concat_max_len is no JSON, or not as many. MySQL would begin
    # with the projects where they are few, and read all consumers.
    groups=_complete(
        """
SELECT STRAIGHT_JOIN CONCAT('[', GROUP_CONCAT({values}), ']'), COUNT(*)
  FROM consumers
  {joins}
 WHERE consumers.uuid IN (:ids)
""",
        "COALESCE(JSON_QUOTE({}), 'null')",
        ", ',', ",
        _with_each,
    ),
)
