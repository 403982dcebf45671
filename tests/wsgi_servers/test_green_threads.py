# SPDX-License-Identifier: Apache-2.0
"""A database that is frozen, under servers whose threads are green."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from tests.administrator import User
from tests.frozen import FrozenServer
from tests.wsgi_servers import site as sites
from tests.wsgi_servers.site import Site
from tests.wsgi_servers.starters import GREEN, Missing
from tests.wsgi_servers.wire import connect

OWN = '/allocations/00000000-0000-4000-8000-000000000001'
DRIVERS = ('postgresql+psycopg2', 'postgresql+psycopg', 'mysql+pymysql')

#: Whose look-up gives way to other requests while it waits.
COOPERATIVE = [
    (server, driver)
    for server, drivers in (
        ('gunicorn-gevent', ('postgresql+psycopg', 'mysql+pymysql')),
        ('uwsgi-gevent', ('mysql+pymysql',)),
        ('uwsgi-gevent-early', ('postgresql+psycopg', 'mysql+pymysql')),
        ('eventlet', ('postgresql+psycopg2', 'mysql+pymysql')),
    )
    for driver in drivers
]

#: Loads the guard, and looks nothing up.
_MODULE = 'from consumer_guard.wsgi.api import application\n'


@contextlib.contextmanager
def _serve(
    name: str, driver: str, frozen: FrozenServer, **options: object
) -> Iterator[Site]:
    """A site whose look-ups alone meet the frozen server, placement does not."""
    with tempfile.TemporaryDirectory(prefix='cg-') as made:
        folder = pathlib.Path(made)
        os.chmod(folder, 0o755)  # noqa: S103  # as the other sites
        url = f'{driver}://u@127.0.0.1:{frozen.port}/d'
        sites.write(folder, _MODULE, connection=url, **options)
        try:
            with GREEN[name](folder, '') as site:
                yield site
        except Missing as exc:
            pytest.skip(f'NOT TESTED: {name}: {exc}')


@pytest.fixture
def frozen() -> Iterator[FrozenServer]:
    """A database that is gone at the end, whoever waits for it."""
    server = FrozenServer()
    try:
        yield server
    finally:
        server.close()


@pytest.mark.parametrize('driver', DRIVERS)
@pytest.mark.parametrize('name', GREEN)
def test_a_frozen_look_up_ends_by_itself(
    name: str, driver: str, frozen: FrozenServer, alice: User
) -> None:
    """Nobody hangs up but the guard; the next owners do not wait at all."""
    with _serve(name, driver, frozen) as site:
        for _ in range(3):
            assert site.ask('GET', OWN, alice).status == 503
            assert site.ask('GET', OWN, sites.ADMIN).status == 200


@pytest.mark.parametrize(('name', 'driver'), COOPERATIVE)
def test_role_holders_are_answered_while_a_look_up_waits(
    name: str, driver: str, frozen: FrozenServer, alice: User
) -> None:
    """They overtake the owner, whom only the time-out ends."""
    with (
        _serve(name, driver, frozen, lookup_timeout=10) as site,
        connect(site.port) as owner,
    ):
        owner.send(site.head('GET', OWN, alice))
        frozen.wait_for_client()
        assert site.ask('GET', OWN, sites.ADMIN).status == 200
        assert not owner.wait(0)
        assert owner.receive().status == 503
