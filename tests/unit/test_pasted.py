# SPDX-License-Identifier: Apache-2.0
"""Paths that were pasted: what is left out of them, and what is never."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placement import handler

from consumer_guard.cmd.pasted import COLLECTIONS, strip_endpoint

PATHS = sorted(
    re.sub(r'{[^}]+}', 'x', path)
    for path in handler.ROUTE_DECLARATIONS
    if path.strip('/')
)
PREFIXES = ('', '/placement', '/a/b', 'host:8778', 'host/placement', '/a%20b')


def test_the_collections_are_those_of_placements_router() -> None:
    assert {path.split('/')[1] for path in PATHS} == COLLECTIONS


@given(
    path=st.sampled_from(PATHS),
    query=st.sampled_from(['', '?project_id=p', '?x=/allocations/u', '?u=a://b']),
    prefix=st.sampled_from(PREFIXES),
    scheme=st.sampled_from(['', 'https://host', 'http://[::1]:8778', 'HTTPS://u:p@h']),
)
def test_host_and_prefix_are_left_out_and_the_route_stays(
    path: str, query: str, prefix: str, scheme: str
) -> None:
    if scheme and prefix and not prefix.startswith('/'):
        prefix = f'/{prefix}'
    assert strip_endpoint(scheme + prefix + path + query) == path + query


@pytest.mark.parametrize(
    'path',
    [
        '/',
        '/placement',
        '/placement/x',
        '//allocations/u',
        '/placement//allocations/u',
        '/Allocations/u',
        '/placement/?next=/allocations/u',
    ],
)
def test_a_path_that_placement_does_not_serve_stays_as_it_is(path: str) -> None:
    assert strip_endpoint(path) == path


def test_a_fragment_of_a_url_is_left_out() -> None:
    assert strip_endpoint('https://h/p/allocations/u#top') == '/allocations/u'
