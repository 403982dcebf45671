# SPDX-License-Identifier: Apache-2.0
"""The right sides of checks: text with target keys in it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# ``%(key)s``, the only form of ``%`` that has a meaning here.
_KEY = re.compile(r'%\(([^()%]+)\)s')


@dataclass(frozen=True, slots=True)
class Template:
    """The right side of a check: text with ``%(key)s`` in it.

    :ivar parts: text, key, text, key, ..., text
    :ivar key: the only key when there is nothing else, for speed
    """

    parts: tuple[str, ...]
    key: str | None

    @classmethod
    def parse(cls, match: str) -> 'Template | None':
        """Read a right side; None when it is not readable (``100%``, ``%(x)d``)."""
        parts = tuple(_KEY.split(match))
        if any('%' in text for text in parts[::2]):
            return None
        return cls(parts, parts[1] if len(parts) == 3 and not any(parts[::2]) else None)

    @property
    def keys(self) -> frozenset[str]:
        """The target keys in it."""
        return frozenset(self.parts[1::2])

    def fill(self, target: Mapping[str, str]) -> str | None:
        """The text for a target; None when a key of it is not known.

        Security: oslo.policy formats with ``%s``, so that None equals 'None'
        and 5 equals '5'; here only text that is not empty is a value.
        """
        if self.key is not None:
            value = target.get(self.key)
            return value if isinstance(value, str) and value else None
        filled = list(self.parts)
        for index in range(1, len(filled), 2):
            value = target.get(filled[index])
            if not isinstance(value, str) or not value:
                return None
            filled[index] = value
        return ''.join(filled)
