# SPDX-License-Identifier: Apache-2.0
"""Placement's schemas are checked once.

``jsonschema.validate`` checks the schema before it validates a body by it: for each
body anew, a quarter of all the time of a write. Placement's schemas are constants.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jsonschema
from placement import util


@contextlib.contextmanager
def checked_once() -> Iterator[None]:
    """Let placement validate bodies without checking the same schema again."""
    # Holds the schemas: no other one gets the id of one of them.
    checked: dict[int, Any] = {}

    def validate(instance: object, schema: Any, **options: Any) -> None:
        validator = jsonschema.validators.validator_for(schema)
        if id(schema) not in checked:
            validator.check_schema(schema)
            checked[id(schema)] = schema
        found = validator(schema, **options).iter_errors(instance)
        error = jsonschema.exceptions.best_match(found)
        if error is not None:
            raise error

    with mock.patch.object(util.jsonschema, 'validate', validate):
        yield
