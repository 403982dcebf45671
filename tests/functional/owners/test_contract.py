# SPDX-License-Identifier: Apache-2.0
"""The driver ``database`` keeps to every contract, over every database."""

import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from placement.db.sqlalchemy import models

from consumer_guard.testing import (
    Consumer,
    ConsumerTypesContract,
    GenerationStoreContract,
    OwnerGroupsContract,
    OwnerLookupContract,
    OwnerWriteContract,
)
from tests.functional.owners.databases import DatabaseSource, ignore_case


class TestDatabaseOwners(
    OwnerLookupContract,
    OwnerWriteContract,
    OwnerGroupsContract,
    ConsumerTypesContract,
    GenerationStoreContract,
):
    @pytest.fixture
    def source(self, database_source: DatabaseSource) -> DatabaseSource:
        return database_source


@pytest.mark.on_database('sqlite')
class TestIdsThatAreEqualButForTheirCase(OwnerLookupContract, OwnerGroupsContract):
    """SQLite made as lax as MariaDB; placement's own is not."""

    @pytest.fixture
    def source(self, tmp_path: pathlib.Path) -> Iterator[DatabaseSource]:
        source = DatabaseSource(f'sqlite:///{tmp_path}/placement.db')
        models.BASE.metadata.create_all(source.tables.engine)
        source.close()
        ignore_case(source.url)
        yield source
        source.close()

    def test_the_tables_are_lax(self, source: DatabaseSource) -> None:
        source.add(Consumer('ce'))
        with source.tables.engine.connect() as connection:
            count = connection.execute(
                sa.text("SELECT count(*) FROM consumers WHERE uuid = 'CE'")
            )
            assert count.scalar_one() == 1
