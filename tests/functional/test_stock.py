# SPDX-License-Identifier: Apache-2.0
"""What tests write into the database is what placement's API would write."""

from typing import Any

import pytest
import sqlalchemy as sa

from tests.administrator import Administrator, User
from tests.deployment import Deployment
from tests.rows import Tables

#: All rows of a consumer and its provider.
ROWS = {
    'resource_providers': 'uuid = :provider',
    'inventories': 'resource_provider_id ='
    ' (SELECT id FROM resource_providers WHERE uuid = :provider)',
    'consumers': 'uuid = :consumer',
    'allocations': 'consumer_id = :consumer',
    'projects': 'id = (SELECT project_id FROM consumers WHERE uuid = :consumer)',
    'users': 'id = (SELECT user_id FROM consumers WHERE uuid = :consumer)',
}

#: Columns with other values in each row: their types are compared.
OWN = {
    *('created_at', 'updated_at', 'id', 'uuid', 'name', 'external_id', 'consumer_id'),
    *('resource_provider_id', 'root_provider_id', 'project_id', 'user_id'),
}


def _read(deployed: Deployment, **ids: str) -> dict[str, list[dict[str, Any]]]:
    with Tables(deployed.database).engine.connect() as connection:
        return {
            table: [
                {name: type(row[name]) if name in OWN else row[name] for name in row}
                for row in connection.execute(
                    sa.text(f'SELECT * FROM {table} WHERE {where}'), ids
                ).mappings()
            ]
            for table, where in ROWS.items()
        }


@pytest.mark.parametrize('version', ['1.7', '1.8', '1.38'])
def test_rows_written_for_tests_equal_those_of_the_api(
    guarded: Deployment, version: str
) -> None:
    owner, other = (User((), f'project of {version}-{number}') for number in range(2))
    provider = guarded.add_provider(7)
    written = guarded.add_consumer(provider, owner, version=version, amount=3)
    found = _read(guarded, provider=provider, consumer=written)
    provider = Administrator.add_provider(guarded, 7)
    made = Administrator.add_consumer(
        guarded, provider, other, version=version, amount=3
    )
    assert found == _read(guarded, provider=provider, consumer=made)
    shown = Administrator.read_inventories(guarded, provider)
    assert guarded.read_inventories(provider) == shown
    assert all(len(rows) == 1 for rows in found.values())
