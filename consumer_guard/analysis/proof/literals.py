# SPDX-License-Identifier: Apache-2.0
"""What a cube says of one check."""

import enum
from typing import NamedTuple

from consumer_guard.rules import nodes


class Sign(enum.Enum):
    """What a literal says of its check."""

    YES = 'true'
    NO = 'false'
    NOT_YES = 'not true'
    NOT_NO = 'not false'


class Literal(NamedTuple):
    """One condition of a cube."""

    leaf: nodes.Node
    sign: Sign
