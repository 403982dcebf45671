# SPDX-License-Identifier: Apache-2.0
"""Fixtures over real placement: one database a test process."""

import contextlib
import logging
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import schemas, servers
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment, Tokens, deploy_naively
from tests.functional.host import examine, host, host_database
from tests.functional.owners.databases import START

__all__ = ['examine', 'host', 'host_database']

#: The databases that the tests run on; placement is on the first one.
WANTED = os.environ.get('CONSUMER_GUARD_TEST_DATABASES', 'sqlite').split(',')


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what is marked for databases that nobody asked for.

    ``on_database`` wants one of its databases to be among them;
    ``placement_on`` wants placement to be on one of its own.
    """
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        there = all(
            set(mark.args) & set(WANTED) for mark in item.iter_markers('on_database')
        ) and all(WANTED[0] in mark.args for mark in item.iter_markers('placement_on'))
        (kept if there else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture(scope='session', autouse=True)
def _schemas() -> Iterator[None]:
    with schemas.checked_once():
        yield


@pytest.fixture(scope='session')
def tokens() -> Iterator[Tokens]:
    made = Tokens()
    yield made
    made.close()


@pytest.fixture(scope='session')
def database(
    tmp_path_factory: pytest.TempPathFactory, make_sqlite: Callable[..., str]
) -> Iterator[str]:
    """URL of the database that placement and the guard share.

    SQLite, unless CONSUMER_GUARD_TEST_DATABASES names a server. MariaDB's
    collation is its default unless CONSUMER_GUARD_TEST_COLLATION names one,
    such as utf8mb3_general_ci.
    """
    if WANTED[0] == 'sqlite':
        yield make_sqlite(tmp_path_factory.mktemp('database') / 'placement.db')
        return
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(START[WANTED[0]]())
        except servers.ServerMissing as missing:
            if 'CONSUMER_GUARD_TEST_MYSQLD' not in os.environ:
                raise
            pytest.skip(str(missing))
        charset = collation = None
        if WANTED[0] == 'mysql':
            collation = os.environ.get('CONSUMER_GUARD_TEST_COLLATION')
            charset = collation and collation.partition('_')[0]
        url = running.url(running.create_database(charset, collation))
        servers.create_schema(url)
        yield url


@pytest.fixture
def deploy(
    tmp_path: pathlib.Path, tokens: Tokens, database: str
) -> Callable[..., Deployment]:
    """Make a deployment: deploy(options=, rules=, placement_rules=)."""

    def make(**settings: Any) -> Deployment:
        directory = tmp_path / f'etc{len(list(tmp_path.iterdir()))}'
        return Deployment(directory, tokens, database, **settings)

    return make


@pytest.fixture(scope='session')
def _guarded(
    tmp_path_factory: pytest.TempPathFactory, tokens: Tokens, database: str
) -> Deployment:
    # Everything open in placement; owner writes and lists open in the guard.
    return Deployment(
        tmp_path_factory.mktemp('etc'), tokens, database, rules=OWNER_RULES
    )


@pytest.fixture
def guarded(_guarded: Deployment) -> Deployment:
    """The deployment that most tests share."""
    _guarded.activate()
    return _guarded


@pytest.fixture(scope='session')
def naive(
    tmp_path_factory: pytest.TempPathFactory, tokens: Tokens, database: str
) -> Deployment:
    """The pipeline without the guard; to be activated before each use."""
    return deploy_naively(tmp_path_factory.mktemp('naive'), tokens, database)


@pytest.fixture
def no_root_handlers() -> Iterator[None]:
    """For commands: deployments and cliff leave handlers to streams of theirs."""
    root = logging.getLogger()
    before = list(root.handlers)
    root.handlers[:] = []
    yield
    root.handlers[:] = before


class Records(logging.Handler):
    """What our own loggers said; oslo.log's setup takes caplog's handler away.

    From INFO on, whether or not a deployment has set the level of the root before.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f'{record.levelname} {record.getMessage()}')

    @property
    def text(self) -> str:
        return '\n'.join(self.lines)


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    logger = logging.getLogger('consumer_guard')
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)
