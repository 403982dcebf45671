# SPDX-License-Identifier: Apache-2.0
"""The seal of an owner's write: what it needs, and what clients see of it."""

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.functional.conftest import Records
from tests.fuzz.alone import (
    CONSUMER,
    PROJECT,
    USER,
    FixedOwners,
    Recorder,
    ask_for,
    make_guard,
)
from tests.fuzz.wire import send
from tests.scenery import Scene


def read(scene: Scene, caller: User | None = None) -> Any:
    """Alice's consumer as she sees it, or somebody else does."""
    return scene.get(caller or scene.alice).json


@pytest.fixture
def scene(deploy: Deploy) -> Scene:
    return Scene(deploy(rules=OWNER_RULES))


def test_an_owner_reads_a_negative_generation_and_writes_upon_it(scene: Scene) -> None:
    assert scene.put(scene.alice, generation=1).status_int == 204
    for _ in range(3):
        generation = read(scene)['consumer_generation']
        assert generation < 0
        assert scene.put(scene.alice, generation=generation).status_int == 204


def test_whoever_holds_the_old_generation_reads_again(scene: Scene) -> None:
    assert scene.put(scene.alice, generation=1).status_int == 204
    for generation in (1, 2):
        answer = scene.put(scene.admin, generation=generation)
        assert answer.status_int == 409
        assert answer.json['errors'][0]['code'] == 'placement.concurrent_update'
    current = read(scene, scene.admin)['consumer_generation']
    assert scene.put(scene.admin, generation=current).status_int == 204
    assert read(scene)['consumer_generation'] == current + 1


def test_a_write_that_placement_refuses_moves_the_generation_and_nothing_else(
    scene: Scene,
) -> None:
    before = read(scene)
    assert scene.put(scene.alice, generation=1, amount=10**6).status_int == 409
    after = read(scene)
    assert after['consumer_generation'] < 0
    assert after['allocations'] == before['allocations']
    assert scene.put(scene.alice, generation=1).status_int == 409
    assert scene.put(scene.alice).status_int == 204


def test_shadow_moves_no_generation(deploy: Deploy) -> None:
    rules = {f'placement:allocations:{name}': '@' for name in ('list', 'update')}
    scene = Scene(
        deploy(
            rules=OWNER_RULES,
            placement_rules=rules,
            options={'enforcement': 'shadow'},
        )
    )
    assert scene.put(scene.alice, generation=1).status_int == 204
    assert read(scene)['consumer_generation'] == 2


@contextlib.contextmanager
def _reading_account(database: str) -> Iterator[str]:
    """URL of an account that may only read placement's tables."""
    url = sa.make_url(database)
    if url.get_backend_name() == 'sqlite':
        yield f'sqlite:///file:{url.database}?mode=ro&uri=true'
        return
    name = f'u{uuid.uuid4().hex[:12]}'
    mysql = url.get_backend_name() == 'mysql'
    account = f"{name}@'%'" if mysql else name
    engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        by = 'IDENTIFIED BY' if mysql else 'PASSWORD'
        connection.execute(sa.text(f"CREATE USER {account} {by} 'x'"))
        for table in (
            'consumers',
            'projects',
            'users',
            'consumer_types',
            'allocations',
        ):
            connection.execute(sa.text(f'GRANT SELECT ON {table} TO {account}'))
        try:
            made = url.set(username=name, password='x')
            yield made.render_as_string(hide_password=False).replace('%', '%%')
        finally:
            if not mysql:
                connection.execute(sa.text(f'DROP OWNED BY {account}'))
            connection.execute(sa.text(f'DROP USER {account}'))
    engine.dispose()


def test_without_the_grant_owners_get_503_and_role_holders_notice_nothing(
    deploy: Deploy, database: str, records: Records
) -> None:
    with _reading_account(database) as url:
        scene = Scene(deploy(rules=OWNER_RULES, options={'connection': url}))
        answer = scene.put(scene.alice, generation=1)
        assert answer.status_int == 503
        assert answer.headers['Retry-After']
        assert read(scene)['consumer_generation'] == 1
        errors = [line for line in records.lines if line.startswith('ERROR')]
        assert len(errors) == 1, records.text
        assert 'UPDATE (generation) ON consumers' in errors[0]
        assert scene.put(scene.admin, generation=1).status_int == 204
        assert len([line for line in records.lines if line.startswith('ERROR')]) == 1


def test_with_a_driver_that_cannot_swap_no_owner_writes(records: Records) -> None:
    behind = Recorder([], status='204 No Content')
    body = {
        'allocations': {CONSUMER: {'resources': {'VCPU': 1}}},
        'project_id': PROJECT,
        'user_id': USER,
        'consumer_generation': 1,
    }
    # At 1.37, because such a driver knows no types either.
    environ = ask_for(method='PUT', body=json.dumps(body).encode())
    environ['HTTP_OPENSTACK_API_VERSION'] = 'placement 1.37'
    # FixedOwners finds owners, and nothing else.
    answer = send(make_guard(behind, owners=FixedOwners()), environ)
    assert answer.status == 503
    assert behind.asked == []
    assert 'cannot compare and swap' in records.text
