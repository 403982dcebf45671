# SPDX-License-Identifier: Apache-2.0
"""Bodies of writes with other consumer generations than they came with."""

import json
from collections.abc import Mapping
from typing import Any

from consumer_guard.guard import model
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.model import GENERATION_IN_BODY, Body
from consumer_guard.guard.request import GuardedRequest


def rewrite_body(
    request: GuardedRequest, body: Body, generations: Mapping[str, int]
) -> bytes | None:
    """The body with other consumer generations.

    Serialised from the judged parse, never patched as text; the parse is not
    changed.

    :param generations: by consumer id, as the body or the path has it
    :returns: None below 1.28, where bodies carry none
    :raises Unreadable: it is nested too deeply
    """
    if request.body_version < GENERATION_IN_BODY:
        return None
    document = dict(body.document)
    if request.operation is model.ALLOCATIONS_UPDATE:
        for generation in generations.values():
            document['consumer_generation'] = generation
    elif request.operation is model.RESHAPE:
        document['allocations'] = _renew(document['allocations'], generations)
    else:
        document = _renew(document, generations)
    try:
        return json.dumps(document).encode()
    except RecursionError:
        raise Unreadable('The body is nested too deeply.') from None


def _renew(parts: Mapping[str, Any], generations: Mapping[str, int]) -> dict[str, Any]:
    renewed = {
        consumer_uuid: {**parts[consumer_uuid], 'consumer_generation': generation}
        for consumer_uuid, generation in generations.items()
    }
    return {**parts, **renewed}
