# SPDX-License-Identifier: Apache-2.0
"""Policy files read as YAML, as oslo.policy reads them."""

import re
from collections import Counter
from typing import Any

import yaml

from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.compiler import RuleText
from consumer_guard.rules.files import PolicyText

#: Line breaks of YAML that are none for editors, diff and grep: NEL, LS, PS, and
#: a carriage return alone.
_HIDDEN_BREAK = re.compile('[\x85\u2028\u2029]|\r(?!\n)')


class _PolicyLoader(yaml.SafeLoader):
    """Reads what oslo.policy reads (``yaml.safe_load``), and notices names.

    :ivar repeated: keys that one mapping of the file has twice
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: set[str] = set()

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read one mapping, before merges (``<<``) are resolved."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        names = Counter(key.value for key, _ in node.value)
        self.repeated |= {name for name, count in names.items() if count > 1}
        return node


def parse_file(file: PolicyText) -> list[RuleText]:
    """All the rules of a file, ours or not, their values as YAML has them.

    :raises PolicyFileError: not YAML, not a mapping of names, or with a line
        break that is not visible
    """
    hidden = _HIDDEN_BREAK.search(file.text)
    if hidden:
        # Security: YAML begins a new line, and perhaps a rule, where an editor
        # shows the rest of a comment.
        line = file.text.count('\n', 0, hidden.start()) + 1
        raise PolicyFileError(
            f'{file.path}: line {line} contains U+{ord(hidden[0]):04X}, a '
            'line break that editors do not show; remove it'
        )
    try:
        loader = _PolicyLoader(file.text)
        # What is empty or false at the top becomes no rules, as in oslo.policy.
        content: object = loader.get_single_data() or {}
    except Exception as error:  # YAML and its constructors, nesting without end
        raise PolicyFileError(f'{file.path}: not valid YAML: {error}') from error
    if not isinstance(content, dict):
        raise PolicyFileError(f'{file.path}: not a mapping of rule names to rules')
    for name in content:
        if not isinstance(name, str):
            raise PolicyFileError(f'{file.path}: the rule name {name!r} is not text')
    return [
        RuleText(name, value, file.path, name in loader.repeated)
        for name, value in content.items()
    ]
