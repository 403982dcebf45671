# SPDX-License-Identifier: Apache-2.0
"""Shadow mode: everything is decided and recorded, nothing is changed."""

import collections
import json

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.conftest import Records
from tests.functional.traffic import Request, Traffic, play
from tests.fuzz.wire import comparable_rows
from tests.rows import LIMIT
from tests.scenery import Scene


def test_answers_are_those_of_no_guard(naive: Deployment, deploy: Deploy) -> None:
    """Byte by byte, and row by row, over reads and writes of everybody."""
    naive.activate()
    scene = Traffic(naive)
    # A write at the reserve, which the guard would refuse or roll.
    scene.tables.set_generation(scene.own, LIMIT - 999)
    traffic = scene.requests()
    put_back = scene.tables.save()
    bare = play(naive.application, traffic)
    left = _without_times(scene)
    for options in (
        {'denial': 'forbid', 'audit': 'none'},
        {'denial': 'conceal', 'audit': 'all', 'generation_strategy': 'roll'},
    ):
        put_back()
        shadowed = deploy(
            options={'enforcement': 'shadow', 'max_body_size': 8192, **options},
            rules=OWNER_RULES,
        )
        guarded = play(shadowed.application, traffic)
        for request, one, other in zip(traffic, bare, guarded, strict=True):
            assert comparable_rows(other) == comparable_rows(one), (options, request)
        assert _without_times(scene) == left
    statuses = collections.Counter(answer.status for answer in bare)
    # The traffic has to be worth it.
    assert {200, 204, 400, 404, 405, 406, 409, 415} <= set(statuses)


def _without_times(scene: Scene) -> dict[str, list[tuple[object, ...]]]:
    """The rows but for times and the numbers that databases give out."""
    return {
        table: sorted([tuple(map(str, row[2:])) for row in rows])
        for table, rows in scene.rows().items()
        if table in ('consumers', 'resource_providers')
    }


def test_no_passage_role(deploy: Deploy) -> None:
    """What ownership would allow is not given the role that opens placement."""
    closed = {'placement:allocations:list': 'role:admin or role:consumer_guard_passage'}
    enforcing = deploy(placement_rules=closed)
    scene = Traffic(enforcing)
    own = Request('GET', f'/allocations/{scene.own}', scene.reader)
    assert own.send(enforcing.application).status == 200
    shadowed = deploy(options={'enforcement': 'shadow'}, placement_rules=closed)
    assert own.send(shadowed.application).status == 403


def test_would(deploy: Deploy, records: Records) -> None:
    """Records say what enforcing would do, and to whom it would matter."""
    shadowed = deploy(options={'enforcement': 'shadow', 'audit': 'all'})
    scene = Traffic(shadowed)
    del records.lines[:]
    expected = {'owned': 'would allow', 'foreign': 'would deny'}
    for kind, outcome in expected.items():
        read = Request('GET', f'/allocations/{scene.kinds[kind]}', scene.reader)
        assert read.send(shadowed.application).status == 200
        record = json.loads(records.lines.pop().partition(' ')[2])
        assert record['outcome'] == outcome
        assert record['mode'] == 'shadow'
        assert record['rule'] == 'consumer_guard:allocations:list'
        assert record['reason']


def test_nothing_is_let_in_without_identity(deploy: Deploy) -> None:
    shadowed = deploy(options={'enforcement': 'shadow'})
    scene = Traffic(shadowed)
    answer = shadowed.request('GET', f'/allocations/{scene.own}')
    assert answer.status_int == 401
