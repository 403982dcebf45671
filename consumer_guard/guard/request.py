# SPDX-License-Identifier: Apache-2.0
"""A guarded request as a value, read as placement reads it.

The route is matched on the raw PATH_INFO (placement/handler.py and Routes), the
microversion read by microversion_parse, the query by webob. Nothing here knows
a WSGI environ: the body and the query are behind a :class:`Payload`, which is
read only when a decision needs it.
"""

import functools
import re
import types
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import microversion_parse
import webob

from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.model import OPERATIONS, OWNER_KEYS, Operation, make_target

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
_OPERATIONS = types.MappingProxyType(
    {
        (match.lastgroup, operation.method): operation
        for operation in OPERATIONS
        if (match := _ROUTE.match(operation.path))
    }
)

_CANONICAL_UUID = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
)


class Payload(Protocol):
    """What a request says of owners; read when a decision needs it."""

    def read_usages_target(self) -> Mapping[str, str]:
        """The target of GET /usages, see :func:`parse_usages_target`.

        :raises Unreadable: the query is not canonical or not readable
        """

    def read_document(self) -> Any:
        """The body, as placement's own parser reads it.

        :raises TooLarge: the body is larger than ``max_body_size``
        :raises Unreadable: the body cannot be read or parsed
        """


class GuardedRequest(NamedTuple):
    """One request for one of the guarded operations.

    :ivar consumer_uuid: the path's consumer id, raw, where there is one
    :ivar provider_uuid: the path's provider id, raw, where there is one
    :ivar microversion: what placement will take it for; None when placement
        will answer 400 or 406 before it looks at anything else
    :ivar canonical_path: False for a path that Routes matches without the
        newline at its end
    """

    operation: Operation
    consumer_uuid: str | None
    provider_uuid: str | None
    microversion: Microversion | None
    payload: Payload
    canonical_path: bool = True

    @property
    def body_version(self) -> Microversion:
        """The microversion to read a body by; any will do where it has none."""
        return self.microversion or (1, 0)


def match_operation(
    method: str | None, path: str
) -> tuple[Operation, re.Match[str]] | None:
    """Find the guarded operation that placement's router would dispatch to.

    :param method: REQUEST_METHOD; placement matches it exactly
    :param path: PATH_INFO; placement ignores SCRIPT_NAME
    :returns: None when the request is not about consumers, or when placement
        answers 404 or 405 without running a handler
    """
    match = _ROUTE.match(path)
    if match is None:
        return None
    operation = _OPERATIONS.get((match.lastgroup, method or ''))
    return None if operation is None else (operation, match)


def make_guarded_request(
    operation: Operation,
    match: re.Match[str],
    microversion: Microversion | None,
    payload: Payload,
) -> GuardedRequest:
    """Build the request from what :func:`match_operation` found."""
    return GuardedRequest(
        operation,
        match['consumer'],
        match['provider'],
        microversion,
        payload,
        not match.string.endswith('\n'),
    )


# Pure, and a quarter of a privileged read; clients send a few headers only. The
# least used is forgotten, and servers bound headers, so that no client can fill the
# memory.
@functools.lru_cache(maxsize=64)
def read_microversion(
    header: str | None, versions: tuple[str, ...]
) -> Microversion | None:
    """The microversion as placement's MicroversionMiddleware finds it.

    :param header: OpenStack-API-Version
    :param versions: placement's microversions, oldest first
    :returns: (major, minor), or None when placement answers 400 or 406
    """
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


def parse_usages_target(query_string: str) -> Mapping[str, str]:
    """The target of GET /usages: whose sums the query asks for.

    :returns: a policy target with project_id, user_id, consumer_type as queried
    :raises Unreadable: the query cannot be decoded, or says one of them twice
        (placement takes the last; what only ownership allows has to be clear)
    """
    try:
        query = webob.Request({'QUERY_STRING': query_string}).GET
    except ValueError:
        raise Unreadable('The query string cannot be decoded.') from None
    target: dict[str, str | None] = {}
    for name, value in query.items():
        if name not in OWNER_KEYS:
            continue
        if name in target:
            raise Unreadable(f'The query string has more than one {name}.')
        if value != value.strip() or not value.isprintable():
            raise Unreadable(f'The {name} in the query string is not canonical.')
        target[name] = value
    return make_target(**target)


def demand_canonical(request: GuardedRequest) -> None:
    """Refuse a path that databases and servers could read in several ways.

    Ownership's rule alone: placement takes any text from a role-holder.

    :raises Unreadable: an id is not spelt the one way that every database agrees
        on, or the path is not the one that Routes shows to placement
    """
    if not request.canonical_path:
        raise Unreadable('The path is not canonical.')
    for uuid in (request.consumer_uuid, request.provider_uuid):
        if uuid is not None and not is_canonical_uuid(uuid):
            raise Unreadable('A uuid in the request is not canonical.')
