# SPDX-License-Identifier: Apache-2.0
"""Placement under gunicorn, with the guard or without, and its database."""

import contextlib
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tests import ports, servers, serving
from tests.clients.accounts import INTERLOPER, Account
from tests.configuration import (
    OPEN_RULES,
    OWNER_RULES,
    Configuration,
    make_environment,
)
from tests.rows import NamedRow, Row, Tables

_ROOT = pathlib.Path(__file__).parent.parent.parent


@dataclasses.dataclass(frozen=True)
class Placement:
    """One placement that serves.

    :ivar folder: its configuration, database, log and record of exchanges
    """

    url: str
    folder: pathlib.Path

    @property
    def _tables(self) -> Tables:
        return Tables(f'sqlite:///{self.folder}/placement.db')

    def read_rows(self) -> frozenset[NamedRow]:
        """The content of the database, ids of rows replaced by names."""
        return self._tables.read_named()

    def read_consumer(self, consumer: str) -> Row | None:
        """What is stored of one consumer."""
        return self._tables.read(consumer)

    def set_generation(self, consumer: str, generation: int) -> None:
        """Make a consumer old."""
        self._tables.set_generation(consumer, generation)

    def write_before(
        self, request: str, consumer: str, times: int = 1, writer: Account = INTERLOPER
    ) -> None:
        """Let another writer come before the request reaches placement.

        :param request: method and path, as in ``PUT /allocations/...``
        :param consumer: whose generation moves by that write
        :param times: before how many such requests
        """
        plan = {
            'request': request,
            'consumer': consumer,
            'times': times,
            'headers': writer.headers,
        }
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
    folder: pathlib.Path,
    options: Mapping[str, object] | None,
    *,
    opened: bool = False,
) -> Iterator[Placement]:
    """Placement on loopback, over SQLite, with noauth2.

    :param options: of ``[consumer_guard]``; None is placement without the guard
    :param opened: whether the rules let owners write
    """
    database = f'sqlite:///{folder}/placement.db'
    guarded = options is not None
    Configuration(
        folder,
        database,
        options=options,
        rules=OWNER_RULES if opened else None,
        # Bare placement has its own defaults, guarded placement the sample's.
        placement_rules=OPEN_RULES if opened else None if guarded else {},
        placement_options={'api': {'auth_strategy': 'noauth2'}},
    )
    servers.create_schema(database)
    port = ports.find_free_port()
    command = [
        *(sys.executable, '-W', 'ignore', '-m', 'gunicorn', '--threads', '4'),
        # Nova waits longer than the 2 seconds of gunicorn between its tries, and does
        # not repeat what it sends at the moment when an idle connection is closed.
        *('--keep-alive', '600'),
        *('--bind', f'127.0.0.1:{port}', 'tests.clients.served:application'),
    ]
    environment = {
        **make_environment(folder, 'api-paste-noauth.ini'),
        'CLIENTS_FOLDER': str(folder),
        'CLIENTS_SERVED': f'{"consumer_guard" if guarded else "placement"}.wsgi.api',
        'PYTHONPATH': str(_ROOT),
    }
    url = f'http://127.0.0.1:{port}'
    with serving.serve(command, f'{url}/', folder / 'log', environment):
        yield Placement(url, folder)
