# SPDX-License-Identifier: Apache-2.0
"""What placement acts on, by placement's own router, schemas and parsers."""

import functools
import uuid
from collections.abc import Iterable
from typing import Any

import routes
from jsonschema import FormatChecker
from jsonschema.validators import validator_for
from microversion_parse import middleware as microversion_middleware
from oslo_serialization import jsonutils
from oslo_utils import uuidutils
from placement import handler, microversion, util
from placement.schemas import allocation as allocation_schema
from placement.schemas import reshaper as reshaper_schema

from consumer_guard.guard import model
from tests.fuzz.wire import Environ, make_environ, send

#: Schemas by operation, newest first: (since the minor version, schema).
_SCHEMAS: dict[model.Operation, tuple[tuple[int, Any], ...]] = {
    model.ALLOCATIONS_UPDATE: (
        (38, allocation_schema.ALLOCATION_SCHEMA_V1_38),
        (34, allocation_schema.ALLOCATION_SCHEMA_V1_34),
        (28, allocation_schema.ALLOCATION_SCHEMA_V1_28),
        (12, allocation_schema.ALLOCATION_SCHEMA_V1_12),
        (8, allocation_schema.ALLOCATION_SCHEMA_V1_8),
        (0, allocation_schema.ALLOCATION_SCHEMA),
    ),
    model.ALLOCATIONS_MANAGE: (
        (38, allocation_schema.POST_ALLOCATIONS_V1_38),
        (34, allocation_schema.POST_ALLOCATIONS_V1_34),
        (28, allocation_schema.POST_ALLOCATIONS_V1_28),
        (13, allocation_schema.POST_ALLOCATIONS_V1_13),
    ),
    model.RESHAPE: (
        (38, reshaper_schema.POST_RESHAPER_SCHEMA_V1_38),
        (34, reshaper_schema.POST_RESHAPER_SCHEMA_V1_34),
        (30, reshaper_schema.POST_RESHAPER_SCHEMA),
    ),
}

#: The guarded ones among placement's handlers.
_OPERATION_OF: dict[Any, model.Operation] = {
    handler.ROUTE_DECLARATIONS[operation.path][operation.method]: operation
    for operation in model.OPERATIONS
}


@functools.cache
def _make_map() -> routes.Mapper:
    return handler.make_map(handler.ROUTE_DECLARATIONS)


def route(method: str, path: str) -> tuple[model.Operation, dict[str, str]] | None:
    """The guarded operation that placement dispatches to, and the ids in the path."""
    matched = _make_map().match(environ=make_environ(method, path))
    if matched is None:
        return None
    operation = _OPERATION_OF.get(matched['action'])
    ids = {name: text for name, text in matched.items() if name != 'action'}
    return None if operation is None else (operation, ids)


def read_microversion(header: str | None) -> tuple[int, int] | None:
    """What placement's middleware takes a header for; None for 400 and 406."""
    heard: list[Any] = []

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        heard.append(environ['placement.microversion'])
        start_response('204 No Content', [])
        return []

    middleware = microversion_middleware.MicroversionMiddleware(
        application, microversion.SERVICE_TYPE, microversion.VERSIONS
    )
    environ = make_environ('GET', '/', version=None)
    if header is not None:
        environ['HTTP_OPENSTACK_API_VERSION'] = header
    answer = send(middleware, environ)
    if not heard:
        assert answer.status in (400, 406)
        return None
    return heard[0].major, heard[0].minor


@functools.cache
def _validator(operation: model.Operation, minor: int) -> Any:
    """What placement.util.extract_json validates with, made once."""
    for since, schema in _SCHEMAS[operation]:
        if since <= minor:
            # Placement up to 12 makes one for each request.
            checker = getattr(util, '_FORMAT_CHECKER', None) or FormatChecker()
            return validator_for(schema)(schema, format_checker=checker)
    return None


def accept(
    operation: model.Operation, minor: int, consumer: str | None, body: bytes
) -> dict[str, dict[str, Any]] | None:
    """The parts of a body by the consumer id that placement writes to.

    :param consumer: the path's id, raw
    :returns: None when placement answers 400, 404 or 500 instead
    """
    validator = _validator(operation, minor)
    if validator is None:
        return None
    if consumer is not None:
        if not uuidutils.is_uuid_like(consumer):
            return None
        consumer = str(uuid.UUID(consumer))
    try:
        document = jsonutils.loads(body)
    except (ValueError, RecursionError):
        return None
    if not validator.is_valid(document):
        return None
    if operation is model.ALLOCATIONS_UPDATE:
        return {consumer or '': document}
    if operation is model.RESHAPE:
        document = document['allocations']
    parts: dict[str, dict[str, Any]] = document
    return parts
