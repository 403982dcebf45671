# SPDX-License-Identifier: Apache-2.0
"""The seal of an owner's write: what it needs, and what clients see of it."""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.deployment import OWNER_RULES, Deployment
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

Deploy = Callable[..., Deployment]


class Ward:
    """A consumer with one generation, and its owner."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.provider = deployed.add_provider(1000)
        self.owner = deployed.add_user('member', 'reader')
        self.consumer = deployed.add_consumer(self.provider, self.owner)

    def read(self, caller: Any = None) -> Any:
        return self.deployed.request(
            'GET', f'/allocations/{self.consumer}', caller or self.owner
        ).json

    def write(self, caller: Any, generation: int, amount: int = 1) -> Any:
        return self.deployed.put(
            self.consumer,
            self.provider,
            self.owner,
            caller,
            generation=generation,
            amount=amount,
        )


@pytest.fixture
def ward(deploy: Deploy) -> Ward:
    return Ward(deploy(rules=OWNER_RULES))


def test_an_owner_reads_a_negative_generation_and_writes_upon_it(ward: Ward) -> None:
    assert ward.write(ward.owner, 1).status_int == 204
    for _ in range(3):
        generation = ward.read()['consumer_generation']
        assert generation < 0
        assert ward.write(ward.owner, generation).status_int == 204


def test_whoever_holds_the_old_generation_reads_again(ward: Ward) -> None:
    assert ward.write(ward.owner, 1).status_int == 204
    for generation in (1, 2):
        answer = ward.write(ward.deployed.admin, generation)
        assert answer.status_int == 409
        assert answer.json['errors'][0]['code'] == 'placement.concurrent_update'
    current = ward.read(ward.deployed.admin)['consumer_generation']
    assert ward.write(ward.deployed.admin, current).status_int == 204
    assert ward.read()['consumer_generation'] == current + 1


def test_a_write_that_placement_refuses_moves_the_generation_and_nothing_else(
    ward: Ward,
) -> None:
    before = ward.read()
    assert ward.write(ward.owner, 1, amount=10**6).status_int == 409
    after = ward.read()
    assert after['consumer_generation'] < 0
    assert after['allocations'] == before['allocations']
    assert ward.write(ward.owner, 1).status_int == 409
    assert ward.write(ward.owner, after['consumer_generation']).status_int == 204


def test_shadow_moves_no_generation(deploy: Deploy) -> None:
    rules = {f'placement:allocations:{name}': '@' for name in ('list', 'update')}
    ward = Ward(
        deploy(
            rules=OWNER_RULES,
            placement_rules=rules,
            options={'enforcement': 'shadow'},
        )
    )
    assert ward.write(ward.owner, 1).status_int == 204
    assert ward.read()['consumer_generation'] == 2


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
        ward = Ward(deploy(rules=OWNER_RULES, options={'connection': url}))
        answer = ward.write(ward.owner, 1)
        assert answer.status_int == 503
        assert answer.headers['Retry-After']
        assert ward.read()['consumer_generation'] == 1
        errors = [line for line in records.lines if line.startswith('ERROR')]
        assert len(errors) == 1, records.text
        assert 'UPDATE (generation) ON consumers' in errors[0]
        assert ward.write(ward.deployed.admin, 1).status_int == 204
        assert len([line for line in records.lines if line.startswith('ERROR')]) == 1


def test_with_a_driver_that_cannot_swap_no_owner_writes(records: Records) -> None:
    behind = Recorder([], status='204 No Content')
    body = {
        'allocations': {CONSUMER: {'resources': {'VCPU': 1}}},
        'project_id': PROJECT,
        'user_id': USER,
        'consumer_generation': 1,
        'consumer_type': 'INSTANCE',
    }
    environ = ask_for(method='PUT', body=json.dumps(body).encode())
    # FixedOwners finds owners, and nothing else.
    answer = send(make_guard(behind, owners=FixedOwners()), environ)
    assert answer.status == 503
    assert behind.asked == []
    assert 'cannot compare and swap' in records.text
