# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a host without files, the properties' profile, a schema."""

import fcntl
import os
import pathlib
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests import hermetic, profiles, servers

profiles.load()


def pytest_configure(config: pytest.Config) -> None:
    """Before any module of tests is imported."""
    config.add_cleanup(hermetic.hide_host().cleanup)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests wait for time-outs and servers."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[Any]) -> None:
    """Give each worker a seed of its own for hashes.

    pytest-xdist compares what its workers collect: an id that depends on a hash,
    or on the time, stops the run.
    """
    seed = os.environ.get('PYTHONHASHSEED', '')
    first = int(seed) if seed.isdigit() else 0
    for number, spec in enumerate(specs, first):
        spec.python = (
            f'env PYTHONHASHSEED={number % 2**32} {shlex.quote(sys.executable)}'
        )


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long value is named after its parameter, as an object is."""
    if isinstance(val, str | bytes):
        return argname if len(ascii(val)) > 60 else None
    return argname if isinstance(val, int) and abs(val) > 10**60 else None


@pytest.fixture(autouse=True)
def _leave_no_placement() -> Iterator[None]:
    """A deployment names its placement to this process: for its own test only."""
    yield
    os.environ.pop('OS_PLACEMENT_CONFIG_DIR', None)


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
