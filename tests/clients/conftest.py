# SPDX-License-Identifier: Apache-2.0
"""Placements that serve: one without the guard, one for each configuration."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.clients import placements
from tests.clients.placements import Placement

Serve = Callable[..., Placement]


@pytest.fixture(scope='session')
def _serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start a placement once a configuration; all stop at the end."""
    folder = tmp_path_factory.mktemp('placements')
    running: dict[str, Placement] = {}
    with contextlib.ExitStack() as stack:

        def start(
            name: str, options: dict[str, object] | None, *, opened: bool = False
        ) -> Placement:
            if name not in running:
                running[name] = stack.enter_context(
                    placements.serve(folder / name, options, opened=opened)
                )
            return running[name]

        yield start


@pytest.fixture(scope='session')
def bare(_serve: Serve) -> Placement:
    """Placement without the guard."""
    return _serve('bare', None)


@pytest.fixture(scope='session')
def guarded(_serve: Serve) -> Serve:
    """Start placement behind the guard: guarded(denial='conceal')."""

    def start(**options: object) -> Placement:
        name = '-'.join(f'{key}_{value}' for key, value in options.items())
        return _serve(f'guarded-{name}', options)

    return start


@pytest.fixture(scope='session')
def opened(_serve: Serve) -> Placement:
    """Placement behind a guard whose rules let owners write."""
    return _serve('opened', {'lookup_timeout': 30}, opened=True)
