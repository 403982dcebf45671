# SPDX-License-Identifier: Apache-2.0
"""JSON as an attacker writes it: keys twice, numbers as he likes, any bytes."""

import codecs
import json
import zlib
from collections.abc import Callable
from typing import Any


class Raw(str):
    """Text that stands in the document as it is."""

    __slots__ = ()


class Pairs(list[tuple[Any, Any]]):
    """An object whose keys may come more than once."""


def encode(value: Any) -> str:
    """Serialise a document of dicts, lists, :class:`Pairs` and :class:`Raw`."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        inner = ', '.join(f'{_key(name)}: {encode(item)}' for name, item in value)
        return '{' + inner + '}'
    if isinstance(value, dict):
        return encode(Pairs(value.items()))
    if isinstance(value, list):
        return '[' + ', '.join(map(encode, value)) + ']'
    return json.dumps(value)


def _key(name: Any) -> str:
    return str(name) if isinstance(name, Raw) else json.dumps(name)


def _latin(text: str) -> bytes:
    return text.encode('utf-8', 'surrogatepass')


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    'utf-8': _latin,
    'bom': lambda text: codecs.BOM_UTF8 + _latin(text),
    'utf-16': lambda text: text.encode('utf-16', 'surrogatepass'),
    'utf-16-le': lambda text: text.encode('utf-16-le', 'surrogatepass'),
    'utf-32-be': lambda text: text.encode('utf-32-be', 'surrogatepass'),
    'escaped': lambda text: text.replace('p', '\\u0070').encode('utf-8', 'replace'),
    'surrogate': lambda text: _latin(text).replace(b'"VCPU"', b'"\xed\xa0\x80"'),
    'overlong': lambda text: _latin(text).replace(b'"', b'\xc0\xa2'),
    'truncated': lambda text: _latin(text)[:-1],
    'twice': lambda text: _latin(text) * 2,
    'tail': lambda text: _latin(text) + b'\x00',
    'blanks': lambda text: b' \t\r\n' + _latin(text) + b'\n',
    'form feed': lambda text: b'\x0c' + _latin(text),
    'list': lambda text: b'[' + _latin(text) + b']',
    'comment': lambda text: _latin(text) + b'//',
    'deflated': lambda text: zlib.compress(_latin(text)),
    'deep': lambda text: b'[' * 5000 + _latin(text) + b']' * 5000,
    'nothing': lambda _text: b'',
}
