# SPDX-License-Identifier: Apache-2.0
"""Placement under gunicorn, with the guard or without, and its database."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tests import servers, serving

_ROOT = pathlib.Path(__file__).parent.parent.parent
_ETC = _ROOT / 'etc' / 'consumer-guard'

#: Everything that a client can change, without primary keys and times.
_ROWS = {
    'provider': 'SELECT p.uuid, p.name, p.generation, up.uuid, root.uuid'
    ' FROM resource_providers p'
    ' JOIN resource_providers root ON root.id = p.root_provider_id'
    ' LEFT JOIN resource_providers up ON up.id = p.parent_provider_id',
    'inventory': 'SELECT p.uuid, c.name, i.total, i.reserved, i.min_unit,'
    ' i.max_unit, i.step_size, i.allocation_ratio FROM inventories i'
    ' JOIN resource_providers p ON p.id = i.resource_provider_id'
    ' JOIN resource_classes c ON c.id = i.resource_class_id',
    'allocation': 'SELECT a.consumer_id, p.uuid, c.name, a.used FROM allocations a'
    ' JOIN resource_providers p ON p.id = a.resource_provider_id'
    ' JOIN resource_classes c ON c.id = a.resource_class_id',
    'consumer': 'SELECT c.uuid, p.external_id, u.external_id, t.name, c.generation'
    ' FROM consumers c LEFT JOIN projects p ON p.id = c.project_id'
    ' LEFT JOIN users u ON u.id = c.user_id'
    ' LEFT JOIN consumer_types t ON t.id = c.consumer_type_id',
    'trait': 'SELECT p.uuid, t.name FROM resource_provider_traits j'
    ' JOIN resource_providers p ON p.id = j.resource_provider_id'
    ' JOIN traits t ON t.id = j.trait_id',
    'aggregate': 'SELECT p.uuid, a.uuid FROM resource_provider_aggregates j'
    ' JOIN resource_providers p ON p.id = j.resource_provider_id'
    ' JOIN placement_aggregates a ON a.id = j.aggregate_id',
    'resource class': 'SELECT name FROM resource_classes',
}

Row = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Placement:
    """One placement that serves.

    :ivar folder: its configuration, database, log and record of exchanges
    """

    url: str
    folder: pathlib.Path

    @property
    def _database(self) -> str:
        return str(self.folder / 'placement.db')

    def read_rows(self) -> frozenset[Row]:
        """The content of the database, ids of rows replaced by names."""
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            return frozenset(
                (kind, *row)
                for kind, statement in _ROWS.items()
                for row in connection.execute(statement)
            )

    def read_consumer(self, consumer: str) -> Row | None:
        """Project, user, type and generation of one consumer."""
        for kind, uuid, *rest in self.read_rows():
            if (kind, uuid) == ('consumer', consumer):
                return tuple(rest)
        return None

    def set_generation(self, consumer: str, generation: int) -> None:
        """Make a consumer old."""
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            done = connection.execute(
                'UPDATE consumers SET generation = ? WHERE uuid = ?',
                (generation, consumer),
            )
            connection.commit()
            assert done.rowcount == 1

    def write_before(self, request: str, consumer: str, times: int = 1) -> None:
        """Let another writer come before the request reaches placement.

        :param request: method and path, as in ``PUT /allocations/...``
        :param consumer: whose generation grows by that write
        :param times: before how many such requests
        """
        plan = {'request': request, 'consumer': consumer, 'times': times}
        (self.folder / 'plan.json').write_text(json.dumps(plan))

    def plan_is_done(self) -> bool:
        """Whether the other writer wrote as often as asked; forgets the plan."""
        plan = self.folder / 'plan.json'
        left = int(json.loads(plan.read_text())['times'])
        plan.unlink()
        return left == 0

    def take_exchanges(self) -> list[dict[str, Any]]:
        """What the clients asked and were answered since the last call."""
        record = self.folder / 'exchanges'
        if not record.exists():
            return []
        lines = record.read_text().splitlines()
        record.unlink()
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def serve(
    folder: pathlib.Path, options: Mapping[str, object] | None
) -> Iterator[Placement]:
    """Placement on loopback, over SQLite, with noauth2.

    :param options: of ``[consumer_guard]``; None is placement without the guard
    """
    folder.mkdir()
    guarded = options is not None
    _configure(folder, options or {}, guarded=guarded)
    servers.create_schema(f'sqlite:///{folder}/placement.db')
    port = serving.find_free_port()
    command = [
        *(sys.executable, '-W', 'ignore', '-m', 'gunicorn', '--threads', '4'),
        *('--bind', f'127.0.0.1:{port}', 'tests.clients.served:application'),
    ]
    environment = {
        'OS_PLACEMENT_CONFIG_DIR': str(folder),
        'CONSUMER_GUARD_PASTE_CONFIG': str(folder / 'api-paste-noauth.ini'),
        'CLIENTS_FOLDER': str(folder),
        'CLIENTS_SERVED': f'{"consumer_guard" if guarded else "placement"}.wsgi.api',
        'PYTHONPATH': str(_ROOT),
    }
    url = f'http://127.0.0.1:{port}'
    with serving.serve(command, f'{url}/', folder / 'log', environment):
        yield Placement(url, folder)


def _configure(
    folder: pathlib.Path, options: Mapping[str, object], *, guarded: bool
) -> None:
    policy = folder / 'placement-policy.yaml'
    if guarded:
        shutil.copytree(_ETC, folder, dirs_exist_ok=True)
        lines = [f'{key} = {value}' for key, value in options.items()]
        (folder / 'consumer-guard.conf').write_text(
            '\n'.join(['[consumer_guard]', *lines, ''])
        )
    else:
        policy.write_text('')
    (folder / 'placement.conf').write_text(
        '[placement_database]\n'
        f'connection = sqlite:///{folder}/placement.db\n'
        '[api]\n'
        'auth_strategy = noauth2\n'
        '[oslo_policy]\n'
        f'policy_file = {policy}\n'
    )
