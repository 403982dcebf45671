# SPDX-License-Identifier: Apache-2.0
"""Every server at both mounts, each started once."""

import os
import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from tests.administrator import User
from tests.wsgi_servers import site as sites
from tests.wsgi_servers.site import Site
from tests.wsgi_servers.starters import STARTERS, Missing


@pytest.fixture(
    scope='session',
    params=[
        pytest.param((name, mount), id=f'{name}{mount or "/"}')
        for name in STARTERS
        for mount in ('', '/placement')
    ],
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A guarded placement under a server; skipped where the server is missing."""
    name, mount = request.param
    # Not pytest's folder: other accounts have to get at this one.
    with tempfile.TemporaryDirectory(prefix='cg-') as made:
        os.chmod(made, 0o755)  # noqa: S103  # Apache's account reads it
        folder = pathlib.Path(made)
        sites.write(folder)
        try:
            with STARTERS[name](folder, mount) as started:
                yield started
        except Missing as exc:
            pytest.skip(f'NOT TESTED: {name}: {exc}')


@pytest.fixture(scope='session')
def provider(site: Site) -> str:
    """A provider with room for all."""
    return site.add_provider()


@pytest.fixture
def alice() -> User:
    """A member of project A, and a reader."""
    return User(('member', 'reader'), 'project-a')


@pytest.fixture
def bob() -> User:
    """The same of project B."""
    return User(('member', 'reader'), 'project-b')


@pytest.fixture
def hers(site: Site, provider: str, alice: User) -> str:
    """Alice's consumer."""
    return site.add_consumer(provider, alice)


@pytest.fixture
def his(site: Site, provider: str, bob: User) -> str:
    """Bob's consumer."""
    return site.add_consumer(provider, bob)
