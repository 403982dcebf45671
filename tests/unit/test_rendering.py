# SPDX-License-Identifier: Apache-2.0
"""Lines of records: bounded whatever the texts, cut where it hurts least."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer_guard.telemetry.rendering import (
    CUT,
    MAX_LINE,
    MAX_TEXT,
    cut_text,
    render,
)
from tests.profiles import budget

#: Any text at all, lone surrogates included, and very long ones.
ANY_TEXT = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(exclude_categories=())),
    st.sampled_from((1, 1, 100, 10_000)),
)
TARGETS = st.fixed_dictionaries(
    dict.fromkeys(('about', 'consumer_uuid', 'project_id', 'user_id', 'x'), ANY_TEXT)
)


@budget(150, 10_000)
@given(ANY_TEXT)
def test_a_cut_text_is_a_bounded_beginning(text: str) -> None:
    cut = cut_text(text)
    assert len(json.dumps(cut)) - 2 <= MAX_TEXT
    if cut != text:
        assert cut.endswith(CUT)
        assert text.startswith(cut.removesuffix(CUT))
        assert len(json.dumps(text)) - 2 > MAX_TEXT


@budget(100, 5_000)
@given(ANY_TEXT)
def test_the_end_of_a_client_address_is_kept(forged: str) -> None:
    """A client chooses what stands in front of the address that a proxy adds."""
    content = json.loads(render({'client_address': f'{forged}, 192.0.2.7'}))
    assert content['client_address'].endswith(', 192.0.2.7')


@pytest.mark.parametrize('text', ['x' * MAX_TEXT, '\u00e9' * 42, '\U0001f600' * 21, ''])
def test_a_text_that_fits_is_not_cut(text: str) -> None:
    assert cut_text(text) == text


def test_a_text_is_cut_to_the_last_byte() -> None:
    assert cut_text('x' * 256) == 'x' * 252 + '...'
    assert cut_text('\u00e9' * 43) == '\u00e9' * 42 + '...'


@budget(100, 10_000)
@given(
    scalars=st.dictionaries(
        st.sampled_from([f'scalar{number}' for number in range(10)]),
        ANY_TEXT | st.none() | st.integers(-(2**63), 2**63),
    ),
    roles=st.lists(ANY_TEXT, max_size=50),
    consumers=st.lists(ANY_TEXT, max_size=16),
    targets=st.lists(TARGETS, max_size=33),
)
def test_a_line_is_bounded_and_begins_with_what_came_first(
    scalars: dict[str, Any],
    roles: list[str],
    consumers: list[str],
    targets: list[dict[str, str]],
) -> None:
    lists: dict[str, list[Any]] = {
        'roles': roles,
        'consumers': consumers,
        'targets': targets,
    }
    line = render({'first': 1, **lists, **scalars})
    assert len(line) <= MAX_LINE
    assert line.isascii()
    assert line.isprintable()
    content = json.loads(line)
    assert list(content) == ['first', *scalars, *lists]
    for name, elements in lists.items():
        assert len(content[name]) <= len(elements)
        if elements and name != 'roles':
            assert content[name], f'none of {name}'


def test_elements_are_left_out_from_the_end() -> None:
    texts = [f'{number:03}' + 'x' * 200 for number in range(50)]
    content = json.loads(render({'targets': texts}))
    kept = content['targets']
    assert kept == texts[: len(kept)]
    assert 30 < len(kept) < 50


def test_a_short_record_is_rendered_as_it_is() -> None:
    record = {'a': 'x', 'b': None, 'c': 1, 'd': ['y', {'e': 'z'}]}
    assert json.loads(render(record)) == record
