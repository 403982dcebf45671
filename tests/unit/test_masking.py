# SPDX-License-Identifier: Apache-2.0
"""What records show of ids: a caller's own, and hashes of all others."""

import re

import pytest

from consumer_guard.telemetry.masking import MARK, Mask, make_key, make_mask

KEY = make_key('a secret of this cloud')
MASK = make_mask({'user_id': 'me', 'project_id': 'mine'}, KEY)


@pytest.mark.parametrize('text', ['me', 'mine', None])
def test_the_callers_own_ids_are_shown(text: str | None) -> None:
    assert MASK.hide(text) == text


@pytest.mark.parametrize('text', ['theirs', 'ME', 'mine ', '', '\ud800', 'x' * 10_000])
def test_any_other_text_is_a_hash_of_one_length(text: str) -> None:
    hidden = MASK.hide(text)
    assert hidden is not None
    assert re.fullmatch(re.escape(MARK) + '[0-9a-f]{24}', hidden)


def test_hashes_compare_within_a_key_and_not_across_keys() -> None:
    other = Mask(make_key('another secret'))
    assert MASK.hide('theirs') == Mask(KEY).hide('theirs')
    assert MASK.hide('theirs') != MASK.hide('others')
    assert MASK.hide('theirs') != other.hide('theirs')


def test_a_key_is_that_of_its_secret_and_random_without_one() -> None:
    assert make_key('a secret of this cloud') == KEY
    assert len({make_key(''), make_key(None), make_key('')}) == 3


@pytest.mark.parametrize(
    ('project', 'shown'), [('mine', True), ('theirs', False), (None, False)]
)
def test_a_consumer_is_shown_to_its_own_project_only(
    project: str | None, shown: bool
) -> None:
    masked = MASK.mask_consumer('c', project)
    assert masked == ('c' if shown else MASK.hide('c'))


def test_a_caller_without_ids_owns_nothing() -> None:
    """Ids that are missing or empty are nobody's own."""
    for credentials in ({}, {'user_id': None, 'project_id': ''}):
        mask = make_mask(credentials, KEY)
        assert mask.own == frozenset()
        assert mask.mask_consumer('c', '') == mask.hide('c')


def test_without_a_key_everything_is_shown() -> None:
    mask = make_mask({}, None)
    assert mask.hide('theirs') == 'theirs'
    assert mask.mask_consumer('c', 'theirs') == 'c'


def test_the_key_is_in_no_repr() -> None:
    assert repr(KEY) not in repr(MASK)
    assert KEY.hex() not in repr(MASK)
