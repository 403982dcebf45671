# SPDX-License-Identifier: Apache-2.0
"""Looks again after an owner's write that succeeded: is it what is stored?

Placement repeats a write whose transaction the database has given up. Where two nodes
of a cluster take writes, it does so with a generation that it has already increased,
and two writers upon one generation may both be answered with success. Nothing in
front of placement prevents that; the look after it finds it.
"""

import logging
from collections.abc import Collection
from typing import NamedTuple

from consumer_guard.guard import model

LOG = logging.getLogger(__name__)


class Written(NamedTuple):
    """What is stored of a consumer when a sealed write has succeeded.

    :ivar row_id: of the judged row
    :ivar generation: one more than the forwarded one
    :ivar project_id: as claimed; ``user_id`` too
    """

    consumer_uuid: str
    row_id: int | None
    generation: int
    project_id: str | None
    user_id: str | None


def confirm(lookup: model.OwnerLookup, written: Collection[Written]) -> None:
    """Alarm where another consumer is stored than was written; never raises."""
    found, failure = [], ''
    try:
        owners = lookup.find([each.consumer_uuid for each in written])
        found = [(each, _compare(each, owners[each.consumer_uuid])) for each in written]
    except Exception as error:
        # The write has succeeded: whatever a driver raises, the client gets its answer.
        failure = type(error).__name__
    if failure:
        LOG.warning("The check after an owner's write failed: %s", failure)
    for each, differing in found:
        if differing:
            # Security: not whose it is now.
            LOG.error(
                'A write by an owner succeeded, but consumer %s differs from what was '
                'written: another %s. Another client wrote it at the same time. On a '
                'cluster with several writing nodes, one of the writes may be lost or '
                'recorded for the wrong owner: compare its allocations with its owner, '
                'and send writes to one node',
                each.consumer_uuid,
                ', '.join(differing),
            )


def _compare(written: Written, owner: model.Owner) -> list[str]:
    """What differs, by name."""
    compared = (
        ('row', written.row_id, owner.row_id),
        ('generation', written.generation, owner.generation),
        ('project', written.project_id, owner.project_id),
        ('user', written.user_id, owner.user_id),
    )
    return [name for name, expected, stored in compared if expected != stored]
