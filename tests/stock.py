# SPDX-License-Identifier: Apache-2.0
"""Providers and consumers as placement's API leaves them, written by its models.

Nearly every test wants some, and the API takes fifty times as long for them.
``tests/functional/test_stock.py`` holds the rows against the API's own.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from placement.db.sqlalchemy import models
from sqlalchemy import orm

from tests.rows import LIMIT, NOBODY, make_engine

_OF_PROVIDER = models.Inventory.resource_provider_id == models.ResourceProvider.id
_FIELDS = ['total', 'reserved', 'min_unit', 'max_unit', 'step_size', 'allocation_ratio']

_Named = type[models.Project | models.User | models.ConsumerType]


class Stock:
    """Adds rows to one database.

    :param database: its URL; the standard resource classes are in it
    """

    def __init__(self, database: str) -> None:
        self._engine = make_engine(database)

    @contextlib.contextmanager
    def _begin(self) -> Iterator[orm.Session]:
        with orm.Session(self._engine) as session, session.begin():
            yield session

    def add_provider(self, uuid: str, name: str, total: int) -> None:
        """Add a root provider with an inventory of VCPU."""
        with self._begin() as session:
            provider = models.ResourceProvider(uuid=uuid, name=name, generation=1)
            session.add(provider)
            session.flush()
            provider.root_provider_id = provider.id
            session.add(
                models.Inventory(
                    resource_provider_id=provider.id,
                    resource_class_id=_find_vcpu(session),
                    total=total,
                    reserved=0,
                    min_unit=1,
                    max_unit=LIMIT,
                    step_size=1,
                    allocation_ratio=1.0,
                )
            )

    def read_inventories(self, provider: str) -> dict[str, Any]:
        """Inventories of VCPU, as the API shows them."""
        with self._begin() as session:
            query = (
                sa.select(models.Inventory, models.ResourceProvider.generation)
                .join(models.ResourceProvider, _OF_PROVIDER)
                .where(models.ResourceProvider.uuid == provider)
            )
            stock, generation = session.execute(query).one()
            fields = {name: getattr(stock, name) for name in _FIELDS}
        return {
            'resource_provider_generation': generation,
            'inventories': {'VCPU': fields},
        }

    def add_consumer(
        self,
        uuid: str,
        provider: str,
        project: str | None,
        user: str,
        type_name: str | None,
        amount: int,
    ) -> None:
        """Add a consumer at generation 1, with allocations of VCPU.

        :param project: None is an ownerless consumer, of nobody's project and user
        """
        owner = (project, user) if project else (NOBODY, NOBODY)
        with self._begin() as session:
            find = sa.select(models.ResourceProvider).filter_by(uuid=provider)
            stock = session.scalars(find).one()
            stock.generation += 1
            consumer = models.Consumer(
                uuid=uuid,
                project_id=_name(session, models.Project, external_id=owner[0]),
                user_id=_name(session, models.User, external_id=owner[1]),
                consumer_type_id=type_name
                and _name(session, models.ConsumerType, name=type_name),
                generation=0,
            )
            session.add(consumer)
            session.add(
                models.Allocation(
                    resource_provider_id=stock.id,
                    consumer_id=uuid,
                    resource_class_id=_find_vcpu(session),
                    used=amount,
                )
            )
            # Placement, too, adds the row first and counts it up after the claim.
            session.flush()
            consumer.generation = 1


def _find_vcpu(session: orm.Session) -> int:
    found: int = session.scalars(
        sa.select(models.ResourceClass.id).filter_by(name='VCPU')
    ).one()
    return found


def _name(session: orm.Session, model: _Named, **value: str) -> int:
    """Primary key of the row with that value, which is added when missing."""
    row = session.scalars(sa.select(model).filter_by(**value)).one_or_none()
    if row is None:
        row = model(**value)
        session.add(row)
        session.flush()
    key: int = row.id
    return key
