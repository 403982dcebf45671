# SPDX-License-Identifier: Apache-2.0
"""The guard reads a request as placement does: route, microversion, body.

No database and no server: many examples of each.
"""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from placement import microversion

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import claims, model
from consumer_guard.guard.body import parse_body
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.request import (
    GuardedRequest,
    make_guarded_request,
    match_operation,
    read_microversion,
)
from tests.fuzz import accepted, names
from tests.fuzz import requests as made
from tests.fuzz.bodies import Pairs, Raw, encode
from tests.profiles import budget

any_path = st.one_of(
    made.paths(),
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.text(st.sampled_from('/aloctinsugerhp_vd\n.-%'), max_size=40),
    st.sampled_from(('/allocations', '/usages', '/reshaper')).flatmap(
        lambda route: st.text(max_size=3).map(route.__add__)
    ),
)
any_method = st.one_of(
    st.sampled_from(made.METHODS),
    st.sampled_from(('GET', 'PUT', 'POST', 'DELETE')),
    st.text(max_size=6),
)


@budget(short=800, long=100_000)
@given(method=any_method, path=any_path)
@example('GET', f'/allocations/{names.OWN}\n')
@example('GET', f'/allocations/{names.OWN}\n\n')
@example('GET', '/allocations/\n')
@example('POST', '/allocations\n')
@example('POST', '/allocations/')
@example('GET', '/usages\n')
@example('GET', '/usages/')
@example('POST', '/reshaper\r\n')
@example('GET', '/resource_providers/a/b/allocations')
@example('GET', '/resource_providers/\n/allocations\n')
@example('GET', '//allocations/x')
@example('GET', '/Allocations/x')
@example('get', '/allocations/x')
@example('HEAD', '/allocations/x')
@example('GET', '/allocations/\udcff')
@example('GET', '/allocations/\u2028')
def test_routes(method: str, path: str) -> None:
    """P02 P11 P12 P14: exactly what Routes dispatches, with the same id."""
    expected = accepted.route(method, path)
    found = match_operation(method, path)
    if expected is None:
        assert found is None
        return
    assert found is not None
    operation, match = found
    assert operation is expected[0]
    request = make_guarded_request(operation, match, None, GivenPayload())
    assert request.consumer_uuid == expected[1].get('consumer_uuid')
    assert request.provider_uuid == expected[1].get('uuid')


@budget(short=400, long=50_000)
@given(header=st.none() | made.microversions | st.text(max_size=30))
@example('placement 1.38, placement 1.0')
@example('placement latest,compute 2.1')
@example('placement 1.\u0663\u0668')
@example('placement\xa01.38')
@example('placement 1.3_8')
def test_the_guard_reads_a_microversion_as_placement_does(header: str | None) -> None:
    read = read_microversion(header, tuple(microversion.VERSIONS))
    assert read == accepted.read_microversion(header)


def _is_odd(text: object) -> bool:
    """An id that placement takes and the guard, on purpose, does not."""
    return isinstance(text, str) and (text != text.strip() or not text.isprintable())


def assert_same_claims(
    operation: model.Operation, minor: int, consumer: str | None, body: bytes
) -> bool:
    """Compare what is claimed with what is acted on; True when both read it."""
    parts = accepted.accept(operation, minor, consumer, body)
    if parts is None:
        return False
    request = GuardedRequest(operation, consumer, None, (1, minor), GivenPayload())
    owners = [(part.get('project_id'), part.get('user_id')) for part in parts.values()]
    try:
        read = claims.read_claims(request, parse_body(body))
    except Unreadable:
        # Only what is no id of keystone's; a reshape may be of no consumer.
        assert any(_is_odd(text) for owner in owners for text in owner) or not parts
        return False
    assert [claim.consumer_uuid for claim in read] == [consumer or key for key in parts]
    for claim, part in zip(read, parts.values(), strict=True):
        assert claim.project_id == part.get('project_id')
        assert claim.user_id == part.get('user_id')
        assert claim.consumer_type == part.get('consumer_type')
        assert claim.generation == part.get('consumer_generation')
        assert type(claim.generation) is type(part.get('consumer_generation'))
        assert claim.empties is (not part['allocations'])
    return True


_SENT: dict[str, tuple[model.Operation, str | None]] = {
    f'/allocations/{names.OWN}': (model.ALLOCATIONS_UPDATE, names.OWN),
    '/allocations': (model.ALLOCATIONS_MANAGE, None),
    '/reshaper': (model.RESHAPE, None),
}


def _own(*more: tuple[Any, Any], generation: Any = 1) -> Pairs:
    return Pairs(
        [
            ('allocations', {names.PROVIDER: {'resources': {'VCPU': 1}}}),
            ('project_id', names.OWN_PROJECT),
            ('user_id', names.OWN_USER),
            ('consumer_generation', generation),
            *more,
        ]
    )


@budget(short=800, long=100_000)
@given(sent=made.bodies())
def test_claims(sent: tuple[str, int, bytes]) -> None:
    """B04 B06 B12 B13 B15 B27 G06 G11: what is judged is what is written."""
    path, minor, body = sent
    operation, consumer = _SENT[path]
    assert_same_claims(operation, minor, consumer, body)


@pytest.mark.parametrize(
    'part',
    [
        _own(),
        _own(('project_id', names.OTHERS_PROJECT)),
        _own((Raw('"\\u0070roject_id"'), names.OTHERS_PROJECT)),
        _own(('consumer_generation', 2)),
        _own(('allocations', {})),
        _own(generation=None),
        _own(generation=Raw('1.0')),
        _own(generation=Raw('1e0')),
        _own(generation=Raw('-0.0')),
        _own(generation=Raw('1e300')),
        _own(generation=10**400),
        _own(generation=-1),
    ],
    ids=range(12),
)
@pytest.mark.parametrize('minor', [28, 33, 34, 37])
@pytest.mark.parametrize('path', [*_SENT][:2], ids=['PUT', 'POST'])
def test_claims_that_placement_takes(path: str, minor: int, part: Pairs) -> None:
    """B04 B06 G06 G12: found by hand, and read alike by both."""
    operation, consumer = _SENT[path]
    document = part if consumer else Pairs([(names.FOREIGN, {}), (names.FOREIGN, part)])
    assert assert_same_claims(operation, minor, consumer, encode(document).encode())
