# SPDX-License-Identifier: Apache-2.0
"""THREATS: the look-up of owners that fails, waits, leaks or is out of date."""

import contextlib
import json
import pathlib
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from placement.db.sqlalchemy import models

from consumer_guard.owners.breaker import PAUSE
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.between import Steps, step_into
from tests.functional.conftest import Records
from tests.fuzz.wire import Answer, send
from tests.ports import find_free_port
from tests.profiles import many
from tests.rows import Tables
from tests.scenery import Scene

#: Seconds; the option ``lookup_timeout`` of these deployments.
TIMEOUT = 0.2


def make_copy(path: pathlib.Path, scene: Scene, owner: str | None = None) -> str:
    """A database of SQLite in which A's consumers are recorded; its URL.

    :param owner: the project that owns both of the scene's consumers
    """
    url = f'sqlite:///{path}'
    engine = sa.create_engine(url)
    models.BASE.metadata.create_all(engine)
    engine.dispose()
    tables = Tables(url)
    for consumer in (scene.own, scene.foreign):
        tables.consume(consumer, owner or scene.alice.project_id, generation=1)
    return url


def requests(scene: Scene) -> dict[str, dict[str, Any]]:
    """What only ownership can allow, and takes a look-up; A owns all of it."""
    claim = scene.claim()
    both = {scene.own: claim, scene.foreign: claim}
    old = scene.claim(version='1.28')
    path = '/allocations/{CA}'
    return {
        'GET': {'method': 'GET', 'path': path},
        'GET at 1.0': {'method': 'GET', 'path': path, 'version': '1.0'},
        'PUT': {'method': 'PUT', 'path': path, 'body': claim},
        'PUT at 1.28': {
            'method': 'PUT',
            'path': path,
            'body': old,
            'version': '1.28',
        },
        'PUT empty': {'method': 'PUT', 'path': path, 'body': scene.claim(amount=0)},
        'POST': {'method': 'POST', 'path': '/allocations', 'body': both},
        'list': {'method': 'GET', 'path': '/resource_providers/{RP}/allocations'},
    }


def ask(scene: Scene, asked: dict[str, Any], **more: Any) -> Answer:
    asked = asked | more
    if not isinstance(asked.get('body'), bytes | None):
        asked = asked | {'body': json.dumps(asked['body']).encode()}
    return send(scene.deployed.application, scene.environ(**asked))


# O01: every way in which a database can be away ------------------------------


@contextlib.contextmanager
def nowhere(path: pathlib.Path, _scene: Scene) -> Iterator[str]:
    """A folder that is not there."""
    yield f'sqlite:///{path}/nowhere/placement.db'


@contextlib.contextmanager
def no_database(path: pathlib.Path, _scene: Scene) -> Iterator[str]:
    """A file of something else."""
    (path / 'noise.db').write_bytes(b'no database' * 1000)
    yield f'sqlite:///{path}/noise.db'


@contextlib.contextmanager
def no_tables(path: pathlib.Path, _scene: Scene) -> Iterator[str]:
    """A database of somebody else."""
    yield f'sqlite:///{path}/empty.db'


@contextlib.contextmanager
def locked(path: pathlib.Path, scene: Scene) -> Iterator[str]:
    """One that lets every reader wait."""
    url = make_copy(path / 'locked.db', scene)
    with contextlib.closing(
        sqlite3.connect(path / 'locked.db', isolation_level=None)
    ) as writer:
        writer.execute('BEGIN EXCLUSIVE')
        yield url


@contextlib.contextmanager
def bad_generation(path: pathlib.Path, scene: Scene) -> Iterator[str]:
    """A generation that is text, which compares with nothing."""
    url = make_copy(path / 'bad.db', scene)
    Tables(url).run("UPDATE consumers SET generation = 'many'")
    yield url


@contextlib.contextmanager
def bad_project(path: pathlib.Path, scene: Scene) -> Iterator[str]:
    """A project id that is bytes."""
    url = make_copy(path / 'bad.db', scene)
    Tables(url).run('UPDATE projects SET external_id = CAST(external_id AS BLOB)')
    yield url


@contextlib.contextmanager
def postgresql_down(_path: pathlib.Path, _scene: Scene) -> Iterator[str]:
    """A server that is not running."""
    yield f'postgresql+psycopg2://u:secret@127.0.0.1:{find_free_port()}/placement'


@contextlib.contextmanager
def mysql_down(_path: pathlib.Path, _scene: Scene) -> Iterator[str]:
    """A server that is not running."""
    yield f'mysql+pymysql://u:secret@127.0.0.1:{find_free_port()}/placement'


@contextlib.contextmanager
def silent(_path: pathlib.Path, _scene: Scene) -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        yield f'mysql+pymysql://u:secret@127.0.0.1:{server.getsockname()[1]}/p'


HURT = (
    nowhere,
    no_database,
    no_tables,
    locked,
    bad_generation,
    bad_project,
    postgresql_down,
    mysql_down,
    silent,
)

#: What an exception of a driver would bring along.
_TALK = ('sql', 'secret', '127.0.0.1', 'Error', 'Traceback', 'database', '.db')


@pytest.fixture(params=HURT, ids=lambda hurt: hurt.__name__)
def hurt(
    request: pytest.FixtureRequest,
    deploy: Deploy,
    tmp_path: pathlib.Path,
    guarded: Deployment,
) -> Iterator[Callable[..., tuple[Scene, Steps]]]:
    """Deploy over a database of owners that is not well; placement's own is."""
    scene = Scene(guarded)
    with request.param(tmp_path, scene) as url:

        def make(**options: str) -> tuple[Scene, Steps]:
            options |= {'connection': url, 'lookup_timeout': str(TIMEOUT)}
            scene.deployed = deploy(options=options, rules=OWNER_RULES)
            return scene, step_into(scene.deployed)

        yield make


class TestAway:
    """O01"""

    @pytest.mark.parametrize('denial', ['forbid', 'conceal'])
    def test_owners(
        self,
        hurt: Callable[..., tuple[Scene, Steps]],
        denial: str,
        records: Records,
        request: pytest.FixtureRequest,
    ) -> None:
        """503 with Retry-After; nothing forwarded, nothing said of the cause.

        Nothing but the time-out ends what waits.
        """
        scene, steps = hurt(denial=denial)
        before = scene.rows()
        asked_all = requests(scene)
        if request.node.callspec.params['hurt'] is bad_generation:
            # No generation is read for a list.
            del asked_all['list']
        for name, asked in asked_all.items():
            answer = ask(scene, asked)
            assert answer.status == 503, name
            assert answer.header('Retry-After')
            (error,) = json.loads(answer.body)['errors']
            assert error['status'] == 503
            assert not [word for word in _TALK if word in answer.everything]
            scene.assert_tells_nothing(answer)
        # A list is placement's before it is filtered.
        assert {path.split('/')[1] for _, path in steps.calls} <= {'resource_providers'}
        assert scene.rows() == before
        assert 'secret' not in records.text
        assert scene.own not in records.text

    def test_role_holders(self, hurt: Callable[..., tuple[Scene, Steps]]) -> None:
        """They need no look-up; their writes below 1.28 go on unwatched."""
        scene, _ = hurt()
        token = scene.deployed.admin.token
        for name, asked in requests(scene).items():
            if name not in ('PUT empty', 'POST', 'PUT at 1.28'):
                status = 204 if name.startswith('PUT') else 200
                assert ask(scene, asked, token=token).status == status, name
        old = scene.claim(version='1.12')
        asked = {'method': 'PUT', 'path': '/allocations/{CB}', 'body': old}
        assert ask(scene, asked, token=token, version='1.12').status == 204

    def test_shadow(
        self, hurt: Callable[..., tuple[Scene, Steps]], records: Records
    ) -> None:
        """Forwarded and recorded, as without the guard."""
        scene, _ = hurt(enforcement='shadow')
        for name in ('GET', 'list', 'PUT'):
            status = 204 if name == 'PUT' else 200
            assert ask(scene, requests(scene)[name]).status == status
        assert '"would deny"' in records.text


def test_an_exhausted_pool(deploy: Deploy) -> None:
    """O02: 503 within the time-out; the next request works."""
    options = {'lookup_pool_size': '1', 'lookup_timeout': str(TIMEOUT)}
    scene = Scene(deploy(options=options, rules=OWNER_RULES))
    steps = step_into(scene.deployed)
    asked = requests(scene)
    names = ('GET', 'PUT', 'list')
    with steps.lookup.engine.connect():
        for name in names:
            started = time.monotonic()
            answer = ask(scene, asked[name])
            assert time.monotonic() - started > TIMEOUT * 0.9
            assert answer.status == 503
            assert answer.header('Retry-After')
            # Else the next one is refused at once.
            time.sleep(PAUSE)
        assert ask(scene, asked['GET'], token=scene.deployed.admin.token).status == 200
    for name in names:
        assert ask(scene, asked[name]).status == (204 if name == 'PUT' else 200)
    assert steps.lookup.engine.pool.checkedout() == 0


def _open_transactions(engine: sa.Engine) -> int:
    """How many sessions of the server are in a transaction and do nothing."""
    statement = {
        'postgresql': 'SELECT count(*) FROM pg_stat_activity WHERE state LIKE'
        " 'idle in transaction%'",
        'mysql': 'SELECT count(*) FROM information_schema.innodb_trx',
        'sqlite': 'SELECT 0',
    }[engine.dialect.name]
    with engine.connect() as connection:
        found: int = connection.execute(sa.text(statement)).scalar_one()
    return found


def _ask_nowhere(_ids: Sequence[str]) -> tuple[str, dict[str, str]]:
    return 'SELECT 1 FROM nowhere', {}


def test_many_refusals(deploy: Deploy) -> None:
    """O03: every connection comes back, and none with a transaction."""
    scene = Scene(deploy(rules=OWNER_RULES))
    steps = step_into(scene.deployed)
    claim = json.dumps({scene.own: scene.claim(), scene.foreign: scene.claim()})
    sent: tuple[dict[str, Any], ...] = (
        {'method': 'GET', 'path': '/allocations/{CB}'},
        {'method': 'GET', 'path': '/allocations/{upper}'},
        {'method': 'DELETE', 'path': '/allocations/{CB}'},
        {'method': 'POST', 'path': '/allocations', 'body': claim.encode()},
        {'method': 'POST', 'path': '/allocations', 'body': b'{'},
        {'method': 'PUT', 'path': '/allocations/{CB}', 'body': scene.claim()},
        {
            'method': 'PUT',
            'path': '/allocations/{CA}',
            'body': scene.claim(generation=7),
        },
        {'method': 'GET', 'path': '/usages', 'query': 'project_id={B}'},
    )
    statuses = set()
    before = scene.rows()
    for number in range(many(96, 10_000)):
        statuses.add(ask(scene, sent[number % len(sent)]).status)
    assert statuses == {400, 403, 409}
    # And failures, behind the checkout.
    lookup = steps.lookup
    good = lookup._queries
    lookup._queries = good._replace(one=_ask_nowhere, many=_ask_nowhere)
    for number in range(many(16, 1_000)):
        assert ask(scene, sent[number % 2 * 3]).status == 503
    lookup._queries = good
    pool = steps.lookup.engine.pool
    assert pool.checkedout() == 0
    assert pool.checkedin() == 1
    assert _open_transactions(steps.lookup.engine) == 0
    assert not steps.calls
    assert scene.rows() == before


class TestMoved:
    """O05: whose it is now counts, whoever moved it and however."""

    def _move(self, scene: Scene, how: str, consumer: str, owner: Any) -> None:
        if how == 'API':
            moved = scene.put(scene.admin, consumer, owner=owner)
            assert moved.status_int == 204
        else:
            scene.tables.set_project(consumer, owner.project_id)

    @pytest.mark.parametrize('how', ['API', 'directly'])
    @pytest.mark.parametrize('denial', ['forbid', 'conceal'])
    def test_a_consumer_that_moves_is_its_new_owners_at_once(
        self, deploy: Deploy, how: str, denial: str
    ) -> None:
        scene = Scene(deploy(options={'denial': denial}, rules=OWNER_RULES))
        both = {scene.alice: scene.bob, scene.bob: scene.alice}
        owner = scene.alice
        for _ in range(3):
            other = both[owner]
            self._assert_owned(scene, owner, other, denial)
            self._move(scene, how, scene.own, other)
            owner = other

    def _assert_owned(self, scene: Scene, owner: Any, other: Any, denial: str) -> None:
        read = {'method': 'GET', 'path': '/allocations/{CA}'}
        lists = {'method': 'GET', 'path': '/resource_providers/{RP}/allocations'}
        shown = ask(scene, read, token=owner.token)
        assert shown.status == 200
        assert json.loads(shown.body)['project_id'] == owner.project_id
        hidden = ask(scene, read, token=other.token)
        assert hidden.status == (403 if denial == 'forbid' else 200)
        assert hidden.body.count(b'project_id') == 0
        generation = json.loads(shown.body)['consumer_generation']
        for user in (owner, other):
            listed = ask(scene, lists, token=user.token)
            assert (scene.own in json.loads(listed.body)['allocations']) == (
                user is owner
            )
            for version in ('1.28', '1.38'):
                claim = scene.claim(user, generation=generation, version=version)
                put = {'method': 'PUT', 'path': '/allocations/{CA}', 'body': claim}
                post = {
                    'method': 'POST',
                    'path': '/allocations',
                    'body': {scene.own: claim},
                }
                for asked in (put, post):
                    current = ask(scene, read, token=owner.token).body
                    generation = json.loads(current)['consumer_generation']
                    claim['consumer_generation'] = generation
                    answer = ask(scene, asked, token=user.token, version=version)
                    assert answer.status == (204 if user is owner else 403)


@pytest.mark.parametrize('denial', ['forbid', 'conceal'])
def test_a_replica_that_lags(
    deploy: Deploy, tmp_path: pathlib.Path, denial: str
) -> None:
    """O16: the replica still says that both are A's; nobody asks it."""
    scene = Scene(deploy(options={'denial': denial}, rules=OWNER_RULES))
    replica = make_copy(tmp_path / 'replica.db', scene)
    group = f'[placement_database]\nslave_connection = {replica}\n'
    own = scene.deployed.directory / 'consumer-guard.conf'
    placements = scene.deployed.directory / 'placement' / 'placement.conf'
    text = placements.read_text().replace('[placement_database]\n', group)
    assert replica in text
    placements.write_text(text)
    connection = f'connection = {scene.deployed.database}\n'
    for own_group in ('', group + connection):
        own.write_text(own.read_text() + own_group)
        scene.deployed.load()
        read = {'method': 'GET', 'path': '/allocations/{CB}'}
        refused = ask(scene, read)
        assert refused.status == (403 if denial == 'forbid' else 200)
        scene.assert_tells_nothing(refused)
        put = {'method': 'PUT', 'path': '/allocations/{CB}', 'body': scene.claim()}
        assert ask(scene, put).status == 403
        assert ask(scene, read, token=scene.bob.token).status == 200
        assert ask(scene, read, path='/allocations/{CA}').status == 200
