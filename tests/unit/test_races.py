# SPDX-License-Identifier: Apache-2.0
"""The evidence of the lane ``races``: planted faults are found."""

import pytest

from consumer_guard.generations.values import LOWEST, SPACING
from tests.races import mutants
from tests.races.evidence import Change, Roll, Write, find_faults
from tests.races.meetings import Meetings

MINE, OTHERS = 'mine', 'others'
ROW, UUID, OWN = 7, 'c', LOWEST + 9 * SPACING
ROLLED = LOWEST + 5

#: Created, written by a role-holder, swapped and written by its owner, given away,
#: rolled, and written by a role-holder without a generation.
LOG = (
    Change(1, ROW, UUID, None, 0, MINE),
    Change(2, ROW, UUID, 0, 1, MINE),
    Change(3, ROW, UUID, 1, OWN, MINE),
    Change(4, ROW, UUID, OWN, OWN + 1, MINE),
    Change(5, ROW, UUID, OWN + 1, OWN + 1, MINE),
    Change(6, ROW, UUID, OWN + 1, OWN + 2, OTHERS),
    Change(7, ROW, UUID, OWN + 2, ROLLED, OTHERS),
    Change(8, ROW, UUID, ROLLED, ROLLED + 1, OTHERS),
)
CREATED = Write(UUID, MINE, 0)
SEALED = Write(UUID, MINE, 1, sealed=True)
GIVEN = Write(UUID, OTHERS, OWN + 1)
LOOSE = Write(UUID, OTHERS, None)
WRITES = (CREATED, SEALED, GIVEN, LOOSE)
ROLL = Roll(UUID, OWN + 2, ROLLED)


def _replace(seq: int, *changes: Change) -> tuple[Change, ...]:
    """The log with other changes in place of one."""
    return (*LOG[: seq - 1], *changes, *LOG[seq:])


def test_writes_that_name_their_predecessors_are_no_fault() -> None:
    assert find_faults(LOG, WRITES, rolls=[ROLL]) == []


@pytest.mark.parametrize('missing', WRITES, ids=['created', 'sealed', 'given', 'loose'])
def test_a_change_needs_a_write_that_was_acknowledged_or_unsure(missing: Write) -> None:
    acknowledged = [write for write in WRITES if write is not missing]
    assert find_faults(LOG, acknowledged)
    assert find_faults(LOG, acknowledged, unsure=[missing]) == []


@pytest.mark.parametrize(
    ('log', 'words'),
    [
        pytest.param(_replace(4), 'something else', id='not written'),
        pytest.param(
            (*LOG[:2], *LOG[4:]), 'not in the log', id='neither swapped nor written'
        ),
        pytest.param(
            _replace(3, Change(3, ROW, UUID, 1, 2, MINE))[:3],
            'not sealed',
            id='written without a swap',
        ),
        pytest.param(
            _replace(4, LOG[3]._replace(project=OTHERS)),
            'something else',
            id='written when it was given away',
        ),
        pytest.param(
            (*LOG[:2], *(c._replace(project=OTHERS) for c in LOG[2:])),
            'something else',
            id='swapped when it was given away',
        ),
        pytest.param(
            _replace(
                4,
                Change(4, ROW, UUID, OWN, 5, MINE),
                Change(4, ROW, UUID, 5, OWN, MINE),
                LOG[3],
            ),
            'something else',
            id='something in between',
        ),
        pytest.param(
            _replace(4, Change(4, ROW + 1, UUID, OWN, OWN + 1, MINE)),
            'something else',
            id='written on another row',
        ),
    ],
)
def test_an_owners_write_that_went_wrong_is_found(
    log: tuple[Change, ...], words: str
) -> None:
    faults = find_faults(log, WRITES)
    assert any('to its owner' in fault and words in fault for fault in faults), faults


@pytest.mark.parametrize(
    'more',
    [GIVEN, GIVEN._replace(generation=5), GIVEN._replace(project=MINE), LOOSE, SEALED],
    ids=['twice', 'another generation', 'another project', 'loose', 'sealed'],
)
def test_a_write_that_is_not_in_the_log_is_lost(more: Write) -> None:
    assert find_faults(LOG, [*WRITES, more])


def test_a_role_holders_write_upon_the_guards_own_value_is_not_the_owners() -> None:
    theirs = Write(UUID, MINE, OWN)
    assert find_faults(LOG, [CREATED, theirs, GIVEN, LOOSE]) == []
    assert find_faults(LOG, [*WRITES, theirs])


def test_a_role_holders_write_may_be_on_another_row_only_where_ids_recur() -> None:
    elsewhere = 'dd000000-0000-4000-8000-00000000000d'
    for moved in (CREATED, LOOSE):
        writes = [w._replace(uuid=elsewhere) if w == moved else w for w in WRITES]
        assert find_faults(LOG, writes)
        assert find_faults(LOG, writes, ids_recur=True) == []
        assert find_faults(LOG, [*writes, moved], ids_recur=True)
    sealed = [w._replace(uuid=elsewhere) if w == SEALED else w for w in WRITES]
    assert find_faults(LOG, sealed, ids_recur=True)


def test_a_role_holders_write_may_keep_the_former_owner_only_where_it_is_lost() -> None:
    """Its consumer and generation are compared, and all of an owner's write."""
    for kept in (CREATED, GIVEN, LOOSE):
        claimed = kept._replace(project='claimed')
        writes = [claimed if w == kept else w for w in WRITES]
        assert find_faults(LOG, writes, rolls=[ROLL])
        assert find_faults(LOG, writes, rolls=[ROLL], owners_are_lost=True) == []
        assert find_faults(LOG, [*writes, kept], owners_are_lost=True)
        elsewhere = [w._replace(uuid='d') if w == claimed else w for w in writes]
        assert find_faults(LOG, elsewhere, owners_are_lost=True)
    for wrong in (SEALED._replace(project='claimed'), SEALED._replace(generation=2)):
        writes = [wrong if w == SEALED else w for w in WRITES]
        assert find_faults(LOG, writes, owners_are_lost=True)


def test_a_roll_that_is_not_in_the_log_is_lost() -> None:
    assert find_faults(LOG, WRITES, rolls=[ROLL, ROLL])


def test_pairs_are_counted_on_one_consumer_if_an_owner_takes_part() -> None:
    meetings = Meetings()
    with (
        meetings.operate('a', by_owner=True) as first,
        meetings.operate('a', 'b', by_owner=False) as second,
        meetings.operate('b', by_owner=False),
        meetings.operate('b', by_owner=True) as third,
    ):
        first.landed = second.landed = third.landed = True
    with meetings.operate('a', by_owner=True):
        pass
    # First and second; second and third; the one of a role-holder and third.
    assert (meetings.interleavings, meetings.both_landed) == (3, 2)


@pytest.mark.parametrize('name', mutants.MUTANTS)
def test_what_a_mutant_replaces_is_in_the_source_once(name: str) -> None:
    assert mutants.find_changes(name)
