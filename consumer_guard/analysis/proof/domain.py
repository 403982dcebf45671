# SPDX-License-Identifier: Apache-2.0
"""Which callers and targets there can be, and one of them as an example."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard.model import Truth


class Logic(enum.Enum):
    """How checks are evaluated."""

    #: Three values; what is missing, None or '' makes a check unknown.
    KLEENE = enum.auto()
    #: oslo.policy's two values: what is missing is false, None equals None.
    OSLO = enum.auto()
    #: The same, but that a credential which is None equals nothing.
    OSLO_WITHOUT_NONE = enum.auto()


class Values(enum.Enum):
    """The values of a credential that is not a list."""

    TEXT = enum.auto()
    TEXT_OR_NONE = enum.auto()
    NONE = enum.auto()
    FLAG = enum.auto()  #: True or False


@dataclass(frozen=True, slots=True)
class Domain:
    """The callers and targets that a rule is judged on.

    :ivar credentials: by name, lists aside; None where any name may exist or not
    :ivar lists: names of credentials that are lists of texts
    :ivar required: target keys that always exist
    :ivar optional: target keys that may exist; None for all others
    :ivar remote: whether remote checks are called; they are unknown otherwise
    :ivar may_be_none: whether a target's text may be ``None``; if not, for all the
        domains of one solver
    """

    logic: Logic
    credentials: Mapping[str, Values] | None = None
    lists: frozenset[str] = frozenset({'roles', 'service_roles'})
    required: frozenset[str] = frozenset()
    optional: frozenset[str] | None = None
    remote: bool = True
    may_be_none: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """One caller, one target, and the answers of remote checks by their text.

    :ivar credentials: those that the rules compare, and ``roles``; dotted names
        are paths
    """

    credentials: Mapping[str, Any]
    target: Mapping[str, str]
    answers: Mapping[str, Truth]
