# SPDX-License-Identifier: Apache-2.0
"""Paths as people paste them: a whole URL, or below the endpoint's prefix."""

import urllib.parse

#: The first segments of placement's routes; source: ROUTE_DECLARATIONS of
#: placement/handler.py.
COLLECTIONS = frozenset(
    {
        'allocation_candidates',
        'allocations',
        'reshaper',
        'resource_classes',
        'resource_providers',
        'traits',
        'usages',
    }
)


def strip_endpoint(path: str) -> str:
    """The path and query as placement sees them.

    What comes before the first segment that begins a route of placement is left
    out. Where there is none, or where a segment before it is empty, the path stays
    as it is: placement answers that with 404.
    """
    scheme, separator, rest = path.partition('://')
    if separator and scheme.isalpha():
        _, slash, path = rest.partition('/')
        # A fragment is never sent.
        path = slash + path.partition('#')[0]
    raw, question, query = path.partition('?')
    segments = raw.removeprefix('/').split('/')
    for number, segment in enumerate(segments):
        if urllib.parse.unquote(segment) in COLLECTIONS:
            return '/' + '/'.join(segments[number:]) + question + query
        if not segment:
            break
    return path
