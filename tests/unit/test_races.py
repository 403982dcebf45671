# SPDX-License-Identifier: Apache-2.0
"""The evidence of the lane ``races``: planted faults are found."""

import pytest

from tests.races.evidence import Change, Swapped, Told, find_faults

MINE, OTHERS = 1, 2
ROW, UUID, OWN = 7, 'c', -(2**20)

#: Created, written by a role-holder, swapped and written by its owner.
LOG = (
    Change(1, ROW, UUID, None, 0, MINE),
    Change(2, ROW, UUID, 0, 1, MINE),
    Change(3, ROW, UUID, 1, OWN, MINE),
    Change(4, ROW, UUID, OWN, OWN + 1, MINE),
)
SWAPPED = Swapped(ROW, UUID, 1, OWN, MINE)


def test_writes_that_name_their_predecessors_are_no_fault() -> None:
    assert find_faults(LOG, [SWAPPED], [Told(UUID, 0)]) == []


@pytest.mark.parametrize(
    ('log', 'swapped', 'told', 'words'),
    [
        (LOG[:3], SWAPPED, (), 'not in the log'),
        (LOG, SWAPPED._replace(expected=0), (), 'not in the log'),
        (LOG, SWAPPED._replace(row_id=8), (), 'not in the log'),
        (LOG, SWAPPED._replace(project=OTHERS), (), 'foreign'),
        (
            (*LOG[:3], LOG[3]._replace(project=OTHERS)),
            SWAPPED,
            (),
            'foreign',
        ),
        (
            (
                *LOG[:3],
                Change(4, ROW, UUID, OWN, 5, MINE),
                Change(5, ROW, UUID, 5, OWN, MINE),
                LOG[3]._replace(seq=6),
            ),
            SWAPPED,
            (),
            'in between',
        ),
        (LOG, SWAPPED, (Told(UUID, 0), Told(UUID, 0)), 'lost'),
        (LOG, SWAPPED, (Told(UUID, 5),), 'lost'),
    ],
)
def test_a_planted_fault_is_found(
    log: tuple[Change, ...], swapped: Swapped, told: tuple[Told, ...], words: str
) -> None:
    (fault,) = find_faults(log, [swapped], told)
    assert words in fault
