# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a host without files, the properties' profile, a schema."""

import fcntl
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest

from tests import hermetic, profiles, servers

profiles.load()


def pytest_configure(config: pytest.Config) -> None:
    """Before any module of tests is imported."""
    config.add_cleanup(hermetic.hide_host().cleanup)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long value is named after its parameter, as an object is."""
    if isinstance(val, str | bytes):
        return argname if len(ascii(val)) > 60 else None
    return argname if isinstance(val, int) and abs(val) > 10**60 else None


@pytest.fixture(scope='session')
def make_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Make an SQLite file with placement's schema; returns its URL.

    Placement's migrations run once for all processes of a run; files are copies.
    """
    folder = tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        folder = folder.parent
    template = folder / 'placement.db'
    with open(folder / 'placement.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            migrated = folder / 'migrated.db'
            servers.create_schema(f'sqlite:///{migrated}')
            migrated.rename(template)

    def make(path: pathlib.Path) -> str:
        shutil.copy(template, path)
        return f'sqlite:///{path}'

    return make
