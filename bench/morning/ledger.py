# SPDX-License-Identifier: Apache-2.0
"""What was written, and whether it is all there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from bench.morning.cloud import Cloud

#: The providers that a consumer has allocations on; empty: none.
Places = frozenset[str]
NOWHERE: Places = frozenset()


@dataclass(slots=True)
class Ledger:
    """Of one process: by consumer, what may be in the database.

    A write that was acknowledged leaves one possibility; one that was cut on its way,
    or to which placement answered with a 5xx, adds one.
    """

    possible: dict[str, set[Places]] = field(default_factory=dict)
    acknowledged: int = 0
    uncertain: int = 0
    refused: int = 0

    def note(self, consumer: str, places: Places, status: int) -> bool:
        """Note a write by its answer; whether it was acknowledged.

        :param status: 0 where the connection broke
        """
        before = self.possible.setdefault(consumer, {NOWHERE})
        if 200 <= status < 300:
            self.possible[consumer] = {places}
            self.acknowledged += 1
            return True
        if status == 0 or status >= 500:
            before.add(places)
            self.uncertain += 1
        else:
            self.refused += 1
        return False


def compare(url: str, ledgers: Sequence[Ledger]) -> list[str]:
    """Compare with the database, and remove what was written.

    :returns: what is not as it was acknowledged, in words
    """
    possible = {
        consumer: places
        for ledger in ledgers
        for consumer, places in ledger.possible.items()
    }
    engine = sa.create_engine(
        url, isolation_level='AUTOCOMMIT', poolclass=sa.pool.NullPool
    )
    with engine.connect() as connection:
        found: dict[str, set[str]] = {}
        for part in _parts(sorted(possible)):
            rows = connection.execute(
                _expanding(
                    'SELECT DISTINCT consumer_id, uuid FROM allocations'
                    ' JOIN resource_providers'
                    ' ON resource_providers.id = resource_provider_id'
                    ' WHERE consumer_id IN :ids'
                ),
                {'ids': part},
            )
            for consumer, provider in rows:
                found.setdefault(consumer, set()).add(provider)
            for table, column in (
                ('allocations', 'consumer_id'),
                ('consumers', 'uuid'),
            ):
                connection.execute(
                    _expanding(f'DELETE FROM {table} WHERE {column} IN :ids'),
                    {'ids': part},
                )
    return [
        f'{consumer}: on {sorted(found.get(consumer, ()))}, not on one of'
        f' {[sorted(each) for each in places]}'
        for consumer, places in possible.items()
        if frozenset(found.get(consumer, ())) not in places
    ]


def count_rows(url: str, cloud: Cloud) -> list[str]:
    """Whether the consumers that nobody writes are all there, in words if not."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    expected: Mapping[str, int] = {
        'consumers': cloud.consumers,
        'allocations': 3 * cloud.consumers,
    }
    wrong = []
    with engine.connect() as connection:
        for table, count in expected.items():
            there = connection.execute(sa.text(f'SELECT count(*) FROM {table}'))
            if (rows := there.scalar_one()) != count:
                wrong.append(f'{rows} rows in {table} in place of {count}')
    return wrong


def _expanding(text: str) -> sa.TextClause:
    return sa.text(text).bindparams(sa.bindparam('ids', expanding=True))


def _parts(ids: list[str], size: int = 1000) -> list[list[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
