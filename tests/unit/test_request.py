# SPDX-License-Identifier: Apache-2.0
"""Routes, microversions and queries, each read as placement reads it."""

import pytest

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import model
from consumer_guard.guard.body import WsgiPayload
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.request import (
    KNOWN_MICROVERSIONS,
    GuardedRequest,
    is_canonical_uuid,
    make_guarded_request,
    match_operation,
    parse_usages_target,
    read_microversion,
)
from tests.fuzz.alone import Recorder, make_guard
from tests.fuzz.wire import make_environ, send

UUID = 'ca000000-0000-4000-8000-0000000000a1'


class TestRecognise:
    @pytest.mark.parametrize(
        ('method', 'path', 'operation'),
        [
            ('GET', f'/allocations/{UUID}', model.ALLOCATIONS_LIST),
            ('PUT', f'/allocations/{UUID}', model.ALLOCATIONS_UPDATE),
            ('DELETE', f'/allocations/{UUID}', model.ALLOCATIONS_DELETE),
            ('POST', '/allocations', model.ALLOCATIONS_MANAGE),
            ('GET', '/usages', model.USAGES),
            ('POST', '/reshaper', model.RESHAPE),
            (
                'GET',
                f'/resource_providers/{UUID}/allocations',
                model.PROVIDER_ALLOCATIONS_LIST,
            ),
        ],
    )
    @pytest.mark.parametrize('tail', ['', '\n'])
    def test_guarded(
        self, method: str, path: str, operation: model.Operation, tail: str
    ) -> None:
        """P02: with the newline that Routes lets through, and never in the id."""
        found = match_operation(method, path + tail)
        assert found is not None
        assert found[0] is operation
        request = make_guarded_request(*found, (1, 38), GivenPayload())
        assert request.canonical_path is not bool(tail)
        ids = {request.consumer_uuid, request.provider_uuid} - {None}
        assert ids == ({UUID} if UUID in path else set())

    @pytest.mark.parametrize(
        ('method', 'path'),
        [
            ('GET', ''),
            ('GET', '/'),
            ('GET', '/allocations'),
            ('POST', f'/allocations/{UUID}'),
            ('PATCH', f'/allocations/{UUID}'),
            ('HEAD', f'/allocations/{UUID}'),
            ('get', f'/allocations/{UUID}'),
            ('GET ', f'/allocations/{UUID}'),
            ('', f'/allocations/{UUID}'),
            ('GET', '/allocations/'),
            ('GET', f'/allocations/{UUID}/'),
            ('GET', f'/allocations/{UUID}/x'),
            ('GET', f'/allocations/{UUID}\n/'),
            ('GET', f'//allocations/{UUID}'),
            ('GET', f'/x/allocations/{UUID}'),
            ('GET', f'/Allocations/{UUID}'),
            ('POST', '/allocations\n\n'),
            ('POST', '/usages'),
            ('GET', '/reshaper'),
            ('PUT', f'/resource_providers/{UUID}/allocations'),
            ('GET', '/resource_providers//allocations'),
            ('GET', f'/resource_providers/{UUID}/usages'),
            ('GET', f'/resource_providers/{UUID}/allocations/x'),
        ],
    )
    def test_nobodys_business(self, method: str, path: str) -> None:
        """P11 P14: what placement answers 404 or 405, or another route."""
        assert match_operation(method, path) is None

    def test_only_the_path_counts(self) -> None:
        """P13 P15 P16: no prefix, no raw URI, no override."""
        application = Recorder([b'{}'])
        environ = make_environ(
            'POST',
            f'/allocations/{UUID}',
            SCRIPT_NAME='/allocations',
            RAW_URI='/allocations',
            HTTP_X_HTTP_METHOD_OVERRIDE='DELETE',
            QUERY_STRING='_method=DELETE',
        )
        send(make_guard(application), environ)
        assert len(application.asked) == 1
        assert match_operation('POST', f'/allocations/{UUID}') is None
        assert match_operation(None, '') is None


class TestMicroversion:
    @pytest.mark.parametrize(
        ('header', 'expected'),
        [
            (None, (1, 0)),
            ('', (1, 0)),
            ('compute 2.1', (1, 0)),
            ('placement', (1, 0)),
            ('placement 1.38', (1, 38)),
            ('PLACEMENT  1.38 ', (1, 38)),
            ('placement latest', (1, 39)),
            ('placement 1.38, placement 1.0', (1, 0)),
            ('placement 1.0,compute 2.1,placement 1.28', (1, 28)),
            ('placement 1.40', None),
            ('placement 2.0', None),
            ('placement 0.9', None),
            ('placement LATEST', None),
            ('placement 1', None),
            ('placement 1.1.1', None),
            ('placement x', None),
            ('placement ' + '9' * 5000 + '.1', None),
        ],
    )
    def test_a_header_gives_a_version_that_is_known_or_none(
        self, header: str | None, expected: object
    ) -> None:
        versions = KNOWN_MICROVERSIONS
        for _ in range(2):  # the second time it is kept
            assert read_microversion(header, versions) == expected

    def test_what_is_kept_is_bounded(self) -> None:
        kept = read_microversion
        kept.cache_clear()
        for number in range(300):
            read = read_microversion(f'compute 2.{number}', KNOWN_MICROVERSIONS)
            assert read == (1, 0)
        assert kept.cache_info().misses == 300
        assert kept.cache_info().currsize == kept.cache_info().maxsize
        assert (kept.cache_info().maxsize or 300) < 300

    def test_versions_of_another_placement(self) -> None:
        header = 'placement 1.2'
        assert read_microversion(header, ('1.0', '1.1', '1.2')) == (1, 2)
        assert read_microversion(header, ('1.0', '1.1')) is None

    def test_a_header_that_is_none(self) -> None:
        """I15"""
        assert read_microversion(None, KNOWN_MICROVERSIONS) == (1, 0)


@pytest.mark.parametrize(
    ('microversion', 'expected'), [(None, (1, 0)), ((1, 28), (1, 28))]
)
def test_bodies_are_read_by_the_oldest_version_where_there_is_none(
    microversion: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    request = GuardedRequest(model.USAGES, None, None, microversion, GivenPayload())
    assert request.body_version == expected


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (UUID, True),
        (None, False),
        ('', False),
        (UUID.upper(), False),
        (UUID.title(), False),
        (UUID + '\n', False),
        ('\n' + UUID, False),
        (UUID.replace('-', ''), False),
        ('{' + UUID + '}', False),
        (UUID[:-1] + '\u0661', False),
        (UUID[:-1] + '\uff11', False),
        (UUID[:-1] + '\xe9', False),
        (UUID[:-1], False),
        ('0' * 8 + '-0000-0000-0000-' + '0' * 12, True),
    ],
)
def test_canonical_uuids(text: str | None, expected: bool) -> None:
    """P05 P06 P08: one spelling, in ASCII."""
    assert is_canonical_uuid(text) is expected


class TestAsked:
    @pytest.mark.parametrize(
        ('query', 'expected'),
        [
            ('project_id=a', {'project_id': 'a'}),
            ('%70roject%5Fid=%61', {'project_id': 'a'}),
            ('x=1&project_id=a&y', {'project_id': 'a'}),
            (
                'project_id=a&user_id=b;consumer_type=c',
                {'project_id': 'a', 'user_id': 'b', 'consumer_type': 'c'},
            ),
            ('project_id=a+b', {'project_id': 'a b'}),
            ('project_id=', {}),
            ('project_id', {}),
            ('', {}),
            ('PROJECT_ID=a&project_id+=b&+project_id=c', {}),
        ],
    )
    def test_readable(self, query: str, expected: dict[str, str]) -> None:
        """Q05 Q06: None and '' never become a target."""
        environ = {'QUERY_STRING': query}
        assert WsgiPayload(environ, 0).read_usages_target() == expected
        assert environ == {'QUERY_STRING': query}

    @pytest.mark.parametrize(
        'query',
        [
            'project_id=a&project_id=b',
            'project_id=a&project_id=a',
            'project_id=a&%70roject_id=b',
            'project_id=a;project_id=',
            'user_id=a&user_id=b',
            'project_id=+a',
            'project_id=a%0A',
            'project_id=a%00',
            'project_id=%C2%A0a',
            'project_id=%E9',
            'project_id=a&%E9=1',
            'project_id=\xe9',
            'project_id=%ED%A0%80',
        ],
    )
    def test_unreadable(self, query: str) -> None:
        """Q02 Q07"""
        with pytest.raises(Unreadable):
            parse_usages_target(query)

    def test_no_query_at_all(self) -> None:
        assert WsgiPayload({}, 0).read_usages_target() == {}
