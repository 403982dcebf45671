# SPDX-License-Identifier: Apache-2.0
"""A database that is frozen, under servers whose threads are green."""

import os
import pathlib
import tempfile

import pytest

from tests.administrator import User
from tests.frozen import FrozenServer
from tests.wsgi_servers import site as sites
from tests.wsgi_servers.starters import GREEN, Missing

OWN = '/allocations/00000000-0000-4000-8000-000000000001'


@pytest.mark.parametrize('driver', ['psycopg2', 'psycopg'])
@pytest.mark.parametrize('name', GREEN)
def test_a_frozen_look_up_stops_neither_its_owner_nor_others(
    name: str, driver: str, alice: User
) -> None:
    """Only the look-up's way to the database is frozen, not placement's."""
    frozen = FrozenServer()
    with tempfile.TemporaryDirectory(prefix='cg-') as made:
        folder = pathlib.Path(made)
        os.chmod(folder, 0o755)  # noqa: S103  # as the other sites
        url = f'postgresql+{driver}://u@127.0.0.1:{frozen.port}/d'
        sites.write(folder, connection=url)
        try:
            with GREEN[name](folder, '') as site:
                for _ in range(3):
                    assert site.ask('GET', OWN, alice).status == 503
                    assert site.ask('GET', OWN, sites.ADMIN).status == 200
        except Missing as exc:
            pytest.skip(f'NOT TESTED: {name}: {exc}')
        finally:
            frozen.close()
