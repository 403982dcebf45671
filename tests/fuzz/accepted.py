# SPDX-License-Identifier: Apache-2.0
"""What placement acts on, told by placement's own schemas and parsers."""

import functools
import uuid
from typing import Any

from jsonschema.validators import validator_for
from oslo_serialization import jsonutils
from oslo_utils import uuidutils
from placement import util
from placement.schemas import allocation as allocation_schema
from placement.schemas import reshaper as reshaper_schema

from consumer_guard.guard import model

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


@functools.cache
def _validator(operation: model.Operation, minor: int) -> Any:
    """What placement.util.extract_json validates with, made once."""
    for since, schema in _SCHEMAS[operation]:
        if since <= minor:
            checker = util._FORMAT_CHECKER
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
