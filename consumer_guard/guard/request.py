# SPDX-License-Identifier: Apache-2.0
"""From a WSGI environ to a guarded request, or None for nobody's business.

Everything is read as placement reads it: the route from the raw PATH_INFO
(placement/handler.py and Routes), the microversion by microversion_parse, the
query by webob. The body is read by :mod:`consumer_guard.guard.claims`, and only when
a decision needs it.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import microversion_parse
import webob

from consumer_guard.guard import model
from consumer_guard.guard.errors import Unreadable

Environ = dict[str, Any]
Microversion = tuple[int, int]

#: placement.microversion.VERSIONS of placement 16: 1.0 to 1.39.
KNOWN_MICROVERSIONS: tuple[str, ...] = tuple(f'1.{minor}' for minor in range(40))

# Security: the same expression as Routes builds of placement's templates:
# `[^/]+?`, matched at the start of the raw PATH_INFO, ended by `$`, which lets
# one newline at the end through. A stricter match here would be a bypass.
_ROUTE = re.compile(
    r'/(?:'
    r'(?P<allocations>allocations)(?:/(?P<consumer>[^/]+?))?'
    r'|(?P<usages>usages)'
    r'|(?P<reshaper>reshaper)'
    r'|resource_providers/(?P<provider>[^/]+?)/allocations'
    r')$'
)

#: The operation of what _ROUTE has matched last, and of the method.
_OPERATIONS = {
    (matched, operation.method): operation
    for matched, operation in (
        ('consumer', model.ALLOCATIONS_LIST),
        ('consumer', model.ALLOCATIONS_UPDATE),
        ('consumer', model.ALLOCATIONS_DELETE),
        ('allocations', model.ALLOCATIONS_MANAGE),
        ('provider', model.PROVIDER_ALLOCATIONS_LIST),
        ('usages', model.USAGES),
        ('reshaper', model.RESHAPE),
    )
}

_CANONICAL_UUID = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
)

#: Characters of the longest version header whose parse is kept.
_LONGEST_KEPT = 64

#: Names in the query of GET /usages that decide whose sums are asked.
_ASKED = ('project_id', 'user_id', 'consumer_type')


class GuardedRequest(NamedTuple):
    """One request for one of the guarded operations.

    :ivar consumer_uuid: the path's consumer id, raw, where there is one
    :ivar provider_uuid: the path's provider id, raw, where there is one
    :ivar microversion: what placement will take it for; None when placement
        will answer 400 or 406 before it looks at anything else
    :ivar environ: the WSGI environ, for what is read later
    """

    operation: model.Operation
    consumer_uuid: str | None
    provider_uuid: str | None
    microversion: Microversion | None
    environ: Environ


def match_operation(environ: Environ) -> tuple[model.Operation, re.Match[str]] | None:
    """Find the guarded operation that placement's router would dispatch to.

    :returns: None when the request is not about consumers, or when placement
        answers 404 or 405 without running a handler
    """
    # Placement ignores SCRIPT_NAME and matches the method exactly.
    match = _ROUTE.match(environ.get('PATH_INFO', ''))
    if match is None:
        return None
    method = environ.get('REQUEST_METHOD')
    operation = _OPERATIONS.get((match.lastgroup or '', method or ''))
    return None if operation is None else (operation, match)


def make_guarded_request(
    environ: Environ,
    operation: model.Operation,
    match: re.Match[str],
    versions: tuple[str, ...],
) -> GuardedRequest:
    """Build the request from what :func:`match_operation` found."""
    return GuardedRequest(
        operation,
        match['consumer'],
        match['provider'],
        read_microversion(environ, versions),
        environ,
    )


def read_microversion(
    environ: Environ, versions: tuple[str, ...]
) -> Microversion | None:
    """The microversion as placement's MicroversionMiddleware finds it.

    :returns: (major, minor), or None when placement answers 400 or 406
    """
    header = environ.get('HTTP_OPENSTACK_API_VERSION')
    if header is not None and len(header) > _LONGEST_KEPT:
        return _parse_microversion.__wrapped__(header, versions)
    return _parse_microversion(header, versions)


# Pure, and a quarter of a privileged read; clients send a few headers only. The
# least used is forgotten, so that no client can fill the memory.
@functools.lru_cache(maxsize=64)
def _parse_microversion(
    header: str | None, versions: tuple[str, ...]
) -> Microversion | None:
    headers = {} if header is None else {microversion_parse.STANDARD_HEADER: header}
    try:
        version = microversion_parse.extract_version(headers, 'placement', versions)
    except (ValueError, TypeError):
        return None
    return version.major, version.minor


def is_canonical_uuid(text: str | None) -> bool:
    """Whether an id is spelt the one way that every database agrees on."""
    # Security: fullmatch, because `$` lets a newline through.
    return text is not None and _CANONICAL_UUID.fullmatch(text) is not None


def read_usages_target(environ: Environ) -> Mapping[str, str]:
    """The target of GET /usages: whose sums the query asks for.

    :returns: a policy target with project_id, user_id, consumer_type as asked
    :raises Unreadable: the query cannot be decoded, or says one of them twice
        (placement takes the last; what only ownership allows has to be clear)
    """
    # A fresh environ: webob would leave its parsed query in the caller's.
    query = {
        'REQUEST_METHOD': 'GET',
        'QUERY_STRING': environ.get('QUERY_STRING', ''),
    }
    try:
        asked = webob.Request(query).GET
    except (UnicodeDecodeError, ValueError):
        raise Unreadable('The query string cannot be decoded.') from None
    found: dict[str, str | None] = {}
    for name, value in asked.items():
        if name not in _ASKED:
            continue
        if name in found:
            raise Unreadable(f'The query string has more than one {name}.')
        if value != value.strip() or not value.isprintable():
            raise Unreadable(f'The {name} in the query string is not canonical.')
        found[name] = value
    return model.make_target(**found)
