# SPDX-License-Identifier: Apache-2.0
"""Renders records as lines of JSON that no client can make long.

Security: a line that a log cuts off or drops is a request without a record.
Texts are cut, then elements at the end of lists are left out; the counts beside
the lists give their full lengths.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: The version of the records' schema: raised when a field changes its meaning or is
#: removed, not when one is added. Records of version 1 do not contain it.
SCHEMA = 2

#: Bytes of a line. Syslog daemons and container runtimes cut or drop at 8,192;
#: the rest is for what a log writes in front.
MAX_LINE = 7_680

#: Bytes of a text in JSON: placement's longest id or type (String(255)).
MAX_TEXT = 255

#: Stands for what was cut off a text.
CUT = '...'

#: Texts of which the end is kept: there a trusted proxy has added what it knows.
_END_KEPT = frozenset({'client_address'})

#: Bytes for a list, where not all of it fits; the others share what is left.
_SHARES: Mapping[str, int] = MappingProxyType({'roles': 1_024, 'consumers': 1_024})

#: Bytes of the separator between the elements of a list.
_SEPARATOR = 2

#: Bytes of the longest escape of one character, a surrogate pair.
_LONGEST_ESCAPE = 12


def render(record: Mapping[str, Any]) -> str:
    """One line of at most :data:`MAX_LINE` bytes: ASCII, its lists last.

    :param record: texts, numbers, None, and lists of texts or of objects; the
        members that are not lists must fit into half a line when their texts are
        cut
    """
    whole = _cut(dict(record))
    scalars = {k: v for k, v in whole.items() if not isinstance(v, list)}
    lists = {k: v for k, v in whole.items() if isinstance(v, list)}
    line = json.dumps(scalars | lists)
    if len(line) <= MAX_LINE:
        return line
    room = MAX_LINE - len(json.dumps(scalars | {name: [] for name in lists}))
    for name, elements in lists.items():
        kept = _fit(elements, min(room, _SHARES.get(name, room)))
        lists[name] = kept
        room -= len(json.dumps(kept))
    return json.dumps(scalars | lists)


def cut_text(text: str, *, keep_end: bool = False) -> str:
    """The text, or its beginning and :data:`CUT`: at most :data:`MAX_TEXT` bytes.

    :param keep_end: or :data:`CUT` and its end
    """
    if len(text) * _LONGEST_ESCAPE <= MAX_TEXT or _measure(text) <= MAX_TEXT:
        return text
    room = MAX_TEXT - len(CUT)
    text = text[-room:] if keep_end else text[:room]
    while _measure(text) > room:
        text = text[1:] if keep_end else text[:-1]
    return CUT + text if keep_end else text + CUT


def _measure(text: str) -> int:
    return len(json.dumps(text)) - 2


def _cut(value: Any, name: str = '') -> Any:
    if isinstance(value, str):
        return cut_text(value, keep_end=name in _END_KEPT)
    if isinstance(value, list):
        return [_cut(element) for element in value]
    if isinstance(value, dict):
        return {key: _cut(member, key) for key, member in value.items()}
    return value


def _fit(elements: list[Any], room: int) -> list[Any]:
    """The first elements that fit."""
    kept = []
    for element in elements:
        room -= len(json.dumps(element)) + _SEPARATOR
        if room < 0:
            break
        kept.append(element)
    return kept
