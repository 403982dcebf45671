# SPDX-License-Identifier: Apache-2.0
"""Faults under load: only where they are asked for, they need servers."""

import os
from collections.abc import Iterator

import pytest

from tests import servers

#: Set by the lane ``faults``.
ASKED = os.environ.get('CONSUMER_GUARD_TEST_FAULTS', '')

collect_ignore_glob = [] if ASKED else ['test_*.py']


@pytest.fixture(scope='session', params=['postgresql', 'mysql'])
def server(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A database server of our own, one after the other."""
    start = {'postgresql': servers.postgresql, 'mysql': servers.mariadb}
    with start[request.param]() as running:
        yield running


@pytest.fixture
def database(server: servers.Server) -> str:
    """URL of an empty placement database on it."""
    url = server.url(server.create_database())
    servers.create_schema(url)
    return url
