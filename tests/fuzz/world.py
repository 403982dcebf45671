# SPDX-License-Identifier: Apache-2.0
"""The guard over real placement, with ears on both sides of it.

What the guard asked and was told is heard through the protocols that it is
given; what placement then did, by wrapping the handlers of its route table.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import pathlib
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
import yaml
from placement import handler
from placement import microversion as placement_microversion

from consumer_guard import assembly
from consumer_guard.backend.application import (
    app_factory,
    authtoken_factory,
    request_log_factory,
)
from consumer_guard.config import loading
from consumer_guard.generations.store import Swap
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Rules
from consumer_guard.guard.wsgi import ConsumerGuard
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment, Tokens
from tests.fuzz import names
from tests.fuzz.requests import Request
from tests.fuzz.wire import Answer, Application, Environ, send
from tests.rows import NOBODY, Row, Tables
from tests.specification import Consumer

#: Loggers that would write a traceback a request.
_LOUD = ('placement', 'keystonemiddleware', 'consumer_guard.generations.watch')

OPERATION_OF = {
    (operation.method, operation.path): operation for operation in model.OPERATIONS
}
ROLLED_TO = -100

#: Differently configured guards over one placement. For ``roll`` the counters
#: of A's consumers, at 1 and 7, are at their end.
GUARDS: dict[str, dict[str, str]] = {
    'forbid': {},
    'conceal': {'denial': 'conceal'},
    'shadow': {'enforcement': 'shadow'},
    'roll': {
        'generation_strategy': 'roll',
        'generation_limit': '1001',
        'generation_warning': '1000',
        'generation_alarm': '1000',
        'generation_reserve': '1000',
        'generation_roll_to': str(ROLLED_TO),
    },
}


@dataclasses.dataclass(frozen=True)
class Handled:
    """One run of a handler of placement's.

    :ivar found: the ids of each look-up before it
    """

    operation: model.Operation | None
    arguments: Mapping[str, str]
    microversion: str
    roles: str
    body: bytes
    query: str
    found: tuple[frozenset[str], ...]


@dataclasses.dataclass(frozen=True)
class Judged:
    """One question to the rules and its answer."""

    rule: str
    project_id: object
    target: Mapping[str, str]
    final: bool
    truth: model.Truth


class Journal:
    """What happened since the last :meth:`clear`."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.handled: list[Handled] = []
        self.judged: list[Judged] = []
        self.found: list[frozenset[str]] = []
        self.records: list[dict[str, Any]] = []


class _HeardRules:
    """A RuleSource and its Rules, heard."""

    def __init__(self, rulebook: Rulebook, journal: Journal) -> None:
        self._rulebook = rulebook
        self._journal = journal

    def current(self) -> Rules:
        return self

    def reads(self, rule: str) -> frozenset[str]:
        return self._rulebook.reads(rule)

    def judge(
        self, rule: str, caller: model.Caller, target: Mapping[str, str], *, final: bool
    ) -> model.Truth:
        truth = self._rulebook.judge(rule, caller, target, final=final)
        project_id = caller.credentials['project_id']
        self._journal.judged.append(
            Judged(rule, project_id, dict(target), final, truth)
        )
        return truth


class _HeardOwners:
    """An OwnerLookup that can swap generations, heard."""

    def __init__(self, lookup: Any, journal: Journal) -> None:
        self._lookup = lookup
        self._journal = journal

    def find(self, consumer_ids: Collection[str]) -> Mapping[str, model.Owner]:
        self._journal.found.append(frozenset(consumer_ids))
        owners: Mapping[str, model.Owner] = self._lookup.find(consumer_ids)
        return owners

    def swap_generations(self, swaps: Iterable[Swap]) -> bool:
        swapped: bool = self._lookup.swap_generations(swaps)
        return swapped

    def close(self) -> None:
        self._lookup.close()


class _HeardAudit(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self._journal.records.append(json.loads(record.getMessage()))


@contextlib.contextmanager
def heard_handlers(journal: Journal) -> Iterator[None]:
    """While placement's application is made: wrap the handlers of its routes."""
    declared = handler.ROUTE_DECLARATIONS
    handler.ROUTE_DECLARATIONS = {
        path: {
            method: _hear(journal, OPERATION_OF.get((method, path)), action)
            for method, action in methods.items()
        }
        for path, methods in declared.items()
    }
    try:
        yield
    finally:
        handler.ROUTE_DECLARATIONS = declared


def _hear(
    journal: Journal, operation: model.Operation | None, action: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(action)
    def heard(environ: Environ, start_response: Any) -> Any:
        stream = environ['wsgi.input'] = _Tee(environ['wsgi.input'])
        found = tuple(journal.found)
        try:
            return action(environ, start_response)
        finally:
            handled = Handled(
                operation,
                dict(environ['wsgiorg.routing_args'][1]),
                str(environ['placement.microversion']),
                environ.get('HTTP_X_ROLES') or '',
                bytes(stream.read_so_far),
                environ.get('QUERY_STRING', ''),
                found,
            )
            journal.handled.append(handled)

    return heard


class _Tee:
    """A stream of which it is known what was read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.read_so_far = bytearray()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self.read_so_far += data
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        del self.read_so_far[:]
        moved: int = self._stream.seek(place, whence)
        return moved


class Scenario:
    """Consumers of A, of B and of nobody, and the ways to reach them.

    :ivar guarded: the pipelines, by the names of :data:`GUARDS`
    :ivar bare: the pipeline without the guard, over the same placement
    :ivar recorded: the consumers in the words of the specification
    """

    def __init__(self, directory: pathlib.Path, tokens: Tokens, database: str) -> None:
        self._deployed = Deployment(
            directory, tokens, database, options={'audit': 'all'}
        )
        self.admin = self._deployed.admin
        self.attacker = User(
            ('member', 'reader'), names.OWN_PROJECT, names.OWN_USER, 'token-of-a'
        )
        tokens.issue(self.attacker)
        self.journal = Journal()
        self._audit = _HeardAudit(self.journal)
        self._auditor = logging.getLogger('consumer_guard.audit')
        self._auditor.addHandler(self._audit)
        # A line for each of very many requests is nothing to look at.
        self._auditor.propagate = False
        self._auditor.setLevel(logging.INFO)
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        with heard_handlers(self.journal):
            placement = app_factory({})
        self._deployed.activate()
        self.guarded = {
            name: self._pipeline(self._guard(placement, options))
            for name, options in GUARDS.items()
        }
        self.bare = self._pipeline(placement)
        self._populate()
        self._tables = Tables(database, sa.StaticPool)
        self._connection = sqlite3.connect(
            database.removeprefix('sqlite:///'), isolation_level=None
        )
        self._connection.execute('PRAGMA synchronous = OFF')
        self._plant()
        self.known = self.read_known()
        self.recorded = self._describe_known()
        self._rows = {
            table: self._connection.execute(f'SELECT * FROM {table}').fetchall()
            for table in ('consumers', 'allocations')
        }
        self._generations = self._read_generations()
        self._version = self._data_version()

    def read_types(self) -> tuple[str, ...]:
        """The consumer types that there are; writes of role-holders add some."""
        rows = self._connection.execute('SELECT name FROM consumer_types')
        return tuple(name for (name,) in rows)

    def close(self) -> None:
        """Leave the database without the planted rows, the loggers as they were."""
        for table in ('consumers', 'allocations'):
            self._connection.execute(f'DELETE FROM {table}')
        # Their ids are the same in each world.
        made = names.PROVIDER, names.ANOTHER_PROVIDER
        of = 'SELECT id FROM resource_providers WHERE uuid IN (?, ?)'
        for clause in (
            f'inventories WHERE resource_provider_id IN ({of})',
            f'resource_providers WHERE id IN ({of})',
        ):
            self._connection.execute(f'DELETE FROM {clause}', made)
        self._connection.close()
        self._tables.engine.dispose()
        self._auditor.removeHandler(self._audit)
        self._auditor.propagate = True
        self._auditor.setLevel(logging.NOTSET)
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.NOTSET)

    def _guard(
        self, placement: Application, options: Mapping[str, str]
    ) -> ConsumerGuard:
        path = self._deployed.directory / 'consumer-guard.conf'
        local = {'oslo_config_file': str(path), **options}
        settings = loading.load(loading.parse_files(local), local).settings
        lookup = assembly.make_lookup(settings)
        rulebook = Rulebook.build([PolicyText('policy', yaml.safe_dump(OWNER_RULES))])
        return assembly.make_guard(
            placement,
            settings=settings,
            rules=_HeardRules(rulebook, self.journal),
            lookup=_HeardOwners(lookup, self.journal),
            versions=placement_microversion.VERSIONS,
        )

    def _pipeline(self, application: Application) -> Application:
        authenticated = authtoken_factory({})(application)
        return request_log_factory({})(authenticated)

    def _populate(self) -> None:
        deployed = self._deployed
        others = User((), names.OTHERS_PROJECT, names.OTHERS_USER)
        for provider in (names.PROVIDER, names.ANOTHER_PROVIDER):
            deployed.add_provider(100_000, provider=provider)
        for owner, consumers in (
            (self.attacker, (names.OWN, names.OWN_TOO, names.ORPHAN)),
            (others, (names.FOREIGN, names.HIDDEN, names.UNOWNED, names.BARE)),
        ):
            for consumer in consumers:
                deployed.add_consumer(names.PROVIDER, owner, consumer)

    def _plant(self) -> None:
        """Rows that placement's API does not make at once."""
        self._tables.set_generation(names.OWN_TOO, 7)
        self._tables.set_generation(names.HIDDEN, names.HIDDEN_GENERATION)
        self._tables.set_project(names.UNOWNED, NOBODY)
        self._tables.remove_allocations(names.ORPHAN)
        self._tables.remove_row(names.BARE)
        for trap in names.TRAPS:
            # Not on the provider that is listed: their ids hold B's.
            self._tables.copy(names.OWN, trap, names.ANOTHER_PROVIDER)

    def _describe_known(self) -> dict[str, Consumer]:
        """The consumers in the words of the specification."""
        described = {
            id_: Consumer(
                None if known.project_id == NOBODY else known.project_id,
                known.user_id,
                None,
                known.generation,
                known.used > 0,
            )
            for id_, known in self.known.items()
        }
        described[names.BARE] = Consumer(None, None, None, None)
        return described

    def read_known(self) -> dict[str, Row]:
        """All the consumers, by id, as they are now."""
        return self._tables.read_consumers()

    def read_holders(self, provider: str) -> set[str]:
        """The consumers that hold allocations on a provider, by its id."""
        rows = self._tables.read_named()
        held = [row for row in rows if row[0] == 'allocation']
        return {consumer for _, consumer, uuid, *_ in held if uuid == provider}

    def _read_generations(self) -> list[tuple[int, int]]:
        return self._connection.execute(
            'SELECT generation, id FROM resource_providers'
        ).fetchall()

    def _data_version(self) -> int:
        """Changes whenever somebody else has committed anything."""
        version: int
        (version,) = self._connection.execute('PRAGMA data_version').fetchone()
        return version

    def changed(self) -> bool:
        """Whether the database was written since the last :meth:`restore`."""
        return self._data_version() != self._version

    def restore(self) -> None:
        """Put consumers, allocations and generations back."""
        run = self._connection.execute
        run('BEGIN IMMEDIATE')
        for table, rows in self._rows.items():
            run(f'DELETE FROM {table}')
            marks = ', '.join('?' * len(rows[0]))
            self._connection.executemany(f'INSERT INTO {table} VALUES ({marks})', rows)
        self._connection.executemany(
            'UPDATE resource_providers SET generation = ? WHERE id = ?',
            self._generations,
        )
        run('COMMIT')
        self._version = self._data_version()

    def ask(self, application: Application, request: Request, user: User) -> Answer:
        """Send a request; the journal holds what it did, and nothing else."""
        self.journal.clear()
        return send(application, request.environ(user.token))

    def read(self) -> tuple[object, ...]:
        """What the API can show of consumers now, without times and row ids."""
        allocations = self._connection.execute(
            'SELECT consumer_id, resource_provider_id, resource_class_id, used '
            'FROM allocations'
        )
        known = {id_: row[1:] for id_, row in self.read_known().items()}
        return known, sorted(allocations), self._read_generations()
