# SPDX-License-Identifier: Apache-2.0
"""Faults of neighbours that the documentation describes, seen without the guard.

Should one of these tests fail with a newer release, the neighbour has been mended:
then the page of the documentation changes.
"""

import inspect
from typing import Any

import pytest
import sqlalchemy as sa
import webtest
from oslo_config import cfg
from oslo_policy import policy
from paste import deploy as paste_deploy
from placement.handlers import allocation as handler
from placement.objects import allocation as placement_allocation
from placement.objects import consumer as placement_consumer
from placement.objects import resource_class

from tests.administrator import SUMS_VERSION, VERSION, User, make_claim
from tests.deployment import Deploy, Deployment
from tests.rows import Row, Tables

#: The patch of the page, as a replacement of text in placement's source.
UNPATCHED = 'allocation.used = 0\n'
PATCHED = 'allocation.used = 0; allocation.consumer = consumer\n'


@pytest.fixture
def bare(deploy: Deploy) -> Deployment:
    """Placement behind auth_token, without the guard."""
    deployed = deploy()
    ini = f'config:{deployed.directory / "api-paste.ini"}'
    application = paste_deploy.loadapp(ini, name='placement')
    for name in ('authtoken', 'request_log'):
        application = paste_deploy.loadfilter(ini, name=name)(application)
    deployed.client = webtest.TestApp(application)
    return deployed


def _empty(bare: Deployment, kind: str, consumer: str, owner: User) -> Any:
    """An admin's write that empties a consumer at generation 1."""
    claim = make_claim('', owner, 1, amount=0)
    if kind == 'PUT':
        return bare.request('PUT', f'/allocations/{consumer}', bare.admin, body=claim)
    return bare.request('POST', '/allocations', bare.admin, body={consumer: claim})


def _empty_while_it_is_given_away(
    bare: Deployment, kind: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, dict[str, Any]]:
    """The answer, and what the new owner has left.

    The consumer changes hands between placement's compare of the generation and
    its second reading.
    """
    provider = bare.add_provider()
    former, new = (bare.add_user('member') for _ in range(2))
    consumer = bare.add_consumer(provider, former)
    read = placement_allocation.get_all_by_consumer_id

    def give_away_and_read(*args: Any) -> Any:
        monkeypatch.setattr(placement_allocation, 'get_all_by_consumer_id', read)
        given = bare.put(consumer, provider, new, bare.admin, generation=1, amount=5)
        assert given.status_int == 204
        return read(*args)

    monkeypatch.setattr(
        placement_allocation, 'get_all_by_consumer_id', give_away_and_read
    )
    answer = _empty(bare, kind, consumer, former)
    return answer, bare.show(consumer)


@pytest.mark.parametrize('kind', ['PUT', 'POST'])
def test_placement_removes_allocations_that_changed_hands_after_its_compare(
    bare: Deployment, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, left = _empty_while_it_is_given_away(bare, kind, monkeypatch)
    assert answer.status_int == 204
    assert left == {}


@pytest.mark.parametrize('kind', ['PUT', 'POST'])
def test_the_patch_of_the_page_answers_409_and_removes_nothing(
    bare: Deployment, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('create_allocation_list', '_set_allocations_for_consumer'):
        source = inspect.getsource(getattr(handler, name))
        assert UNPATCHED in source
        made: dict[str, Any] = {}
        exec(source.replace(UNPATCHED, PATCHED), vars(handler).copy(), made)  # noqa: S102
        # Its globals are a copy of the handler's, where the other one is looked up.
        monkeypatch.setattr(handler, name, made[name])
    answer, left = _empty_while_it_is_given_away(bare, kind, monkeypatch)
    assert answer.status_int == 409
    assert answer.json['errors'][0]['code'] == 'placement.concurrent_update'
    (allocation,) = left['allocations'].values()
    assert allocation['resources'] == {'VCPU': 5}


def test_placement_gives_a_half_deleted_consumer_away_at_the_same_generation(
    bare: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = bare.add_provider()
    former, new = (bare.add_user('member') for _ in range(2))
    consumer = bare.add_consumer(provider, former)
    remove = placement_consumer.delete_consumers_if_no_allocations
    tables, rows = Tables(bare.database), list[Row | None]()

    def give_away_and_remove(*args: Any) -> None:
        monkeypatch.setattr(
            placement_consumer, 'delete_consumers_if_no_allocations', remove
        )
        assert _empty(bare, 'PUT', consumer, new).status_int == 204
        rows.append(tables.read(consumer))
        remove(*args)

    monkeypatch.setattr(
        placement_consumer, 'delete_consumers_if_no_allocations', give_away_and_remove
    )
    answer = bare.request('DELETE', f'/allocations/{consumer}', bare.admin)
    assert answer.status_int == 204
    (row,) = rows
    assert row is not None
    assert (row.generation, row.project_id) == (1, new.project_id)


@pytest.mark.on_database('mysql')
def test_placement_leaves_a_session_in_its_pool_that_is_not_strict(
    database: str,
) -> None:
    engine = sa.create_engine(database, pool_size=1, max_overflow=0)
    mode = sa.text('SELECT @@SESSION.sql_mode')
    with engine.connect() as connection:
        assert 'STRICT_TRANS_TABLES' in connection.execute(mode).scalar_one()
        source = inspect.getsource(resource_class)
        assert "SET SESSION SQL_MODE='NO_AUTO_VALUE_ON_ZERO'" in source
        connection.execute(sa.text("SET SESSION SQL_MODE='NO_AUTO_VALUE_ON_ZERO'"))
    with engine.connect() as connection:
        # The pool does not reset it, and placement does not.
        assert 'STRICT' not in connection.execute(mode).scalar_one()
    engine.dispose()


@pytest.mark.on_database('postgresql')
def test_placements_sums_by_consumer_type_fail_on_postgresql(bare: Deployment) -> None:
    owner = bare.add_user('reader')
    bare.add_consumer(bare.add_provider(), owner)
    query = f'/usages?project_id={owner.project_id}'
    answers = {
        asked: bare.request('GET', f'{query}{more}', bare.admin, version=version)
        for asked, version, more in (
            ('older', SUMS_VERSION, ''),
            ('all', VERSION, '&consumer_type=all'),
            ('newer', VERSION, ''),
        )
    }
    assert [answer.status_int for answer in answers.values()] == [200, 200, 500]
    assert 'GroupingError' in answers['newer'].text


def test_oslo_policy_inspects_a_signature_at_every_node_of_every_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = cfg.ConfigOpts()
    conf([])
    enforcer = policy.Enforcer(conf, use_conf=False)
    enforcer.register_default(policy.RuleDefault('both', 'role:a or project_id:x'))
    enforcer.register_default(policy.RuleDefault('top', 'rule:both'))
    enforcer.set_rules(
        {name: rule.check for name, rule in enforcer.registered_rules.items()},
        use_conf=False,
    )
    inspected: list[object] = []
    getfullargspec = inspect.getfullargspec

    def count(function: Any) -> Any:
        inspected.append(function)
        return getfullargspec(function)

    # The module is one object, whoever has imported it.
    monkeypatch.setattr(inspect, 'getfullargspec', count)
    for _ in range(3):
        enforcer.authorize('top', {}, {'roles': [], 'project_id': 'y'}, do_raise=False)
    # rule:both, its "or", and the two operands.
    assert len(inspected) >= 3 * 4
