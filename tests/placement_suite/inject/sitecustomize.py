# SPDX-License-Identifier: Apache-2.0
"""Puts the guard into every placement application of this process.

Python imports a module of this name at its start. Two modules of placement are
changed as soon as somebody has imported them: ``placement.conf`` gets a database
file a configuration, because the guard's engine would not see the tables of an
in-memory one, and ``placement.deploy`` the guard. Told by the environment:

``PLACEMENT_SUITE_FOLDER``: where consumer-guard.conf is, and where databases and
the log of decisions go. ``PLACEMENT_SUITE_POSITION``: ``after`` placement's own
authentication, or ``front`` of everything, with an authentication of its own.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_FOLDER = pathlib.Path(os.environ['PLACEMENT_SUITE_FOLDER'])
_POSITION = os.environ['PLACEMENT_SUITE_POSITION']

Application = Callable[..., Any]


class _Importer(importlib.abc.MetaPathFinder):
    """Lets a module be found as ever, and changes it once it is loaded."""

    def __init__(self, changes: dict[str, Callable[[ModuleType], None]]) -> None:
        self._changes = changes

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # importlib's signature
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        change = self._changes.pop(fullname, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


def _use_database_files(module: ModuleType) -> None:
    numbers = itertools.count()
    register = module.register_opts

    def register_opts(conf: Any) -> None:
        register(conf)
        name = f'{os.getpid()}-{next(numbers)}.db'
        conf.set_default(
            'connection', f'sqlite:///{_FOLDER / name}', group='placement_database'
        )

    module.register_opts = register_opts  # type: ignore[attr-defined]


def _guard_applications(module: ModuleType) -> None:
    assemble = module.deploy

    def deploy(conf: Any) -> Application:
        guard = _make_guard(conf.placement_database.connection)
        if _POSITION == 'front':
            authenticate: Application = module.auth.NoAuthMiddleware
            application: Application = authenticate(guard(assemble(conf)))
            return application
        # The next one that a request meets behind the authentication.
        context = module.auth.PlacementKeystoneContext
        module.auth.PlacementKeystoneContext = lambda inner: guard(context(inner))
        try:
            application = assemble(conf)
        finally:
            module.auth.PlacementKeystoneContext = context
        return application

    module.deploy = deploy  # type: ignore[attr-defined]


def _make_guard(connection: str) -> Application:
    from consumer_guard import middleware

    made: Application = middleware.filter_factory(
        {},
        oslo_config_file=str(_FOLDER / 'consumer-guard.conf'),
        connection=connection,
    )
    return made


class _Decisions(logging.Handler):
    """Keeps the guard's decision records in a file, whatever tests log."""

    def emit(self, record: logging.LogRecord) -> None:
        with open(_FOLDER / f'{os.getpid()}.decisions', 'a') as file:
            file.write(record.getMessage() + '\n')


sys.meta_path.insert(
    0,
    _Importer(
        {
            'placement.conf': _use_database_files,
            'placement.deploy': _guard_applications,
        }
    ),
)
_audit = logging.getLogger('consumer_guard.audit')
_audit.addHandler(_Decisions())
_audit.setLevel(logging.INFO)
