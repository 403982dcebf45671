# SPDX-License-Identifier: Apache-2.0
"""Reads decision records back (:mod:`consumer_guard.telemetry.record`).

What a record does not say stays unsaid: an id that is shown as a hash is only
known not to be one of the caller's own.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard import model
from consumer_guard.guard.decision import Reason
from consumer_guard.guard.model import Operation
from consumer_guard.guard.request import is_canonical_uuid
from consumer_guard.telemetry.masking import MARK

#: Credentials that a record names; the others are not known.
CREDENTIALS = ('user_id', 'project_id', 'domain_id')

_TARGET_KEYS = ('consumer_uuid', 'project_id', 'user_id', 'consumer_type')
_OUTCOMES = ('allow', 'deny', 'would allow', 'would deny')
_OPERATIONS = {operation.name: operation for operation in model.OPERATIONS}
_REASONS = {reason.value: reason for reason in Reason}

#: What is shown of a client's text, in characters.
_MOST = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A target as far as the record shows it.

    :ivar about: 'recorded owner', 'claimed owner' or 'asked owner'
    :ivar status: value of :class:`consumer_guard.guard.model.OwnerStatus`, or None
    :ivar known: the attributes that are shown
    :ivar masked: keys of those that are shown as a hash: none of the caller's
    :ivar canonical: whether the consumer's id is spelt canonically; None where
        it is not shown
    """

    about: str
    status: str | None
    known: tuple[tuple[str, str], ...]
    masked: frozenset[str]
    canonical: bool | None = None

    def keep(self, keys: frozenset[str]) -> 'Target':
        """Without the attributes that no rule reads."""
        known = tuple([pair for pair in self.known if pair[0] in keys])
        return dataclasses.replace(self, known=known, masked=self.masked & keys)


@dataclass(frozen=True, slots=True)
class Case:
    """What a decision depends on.

    :ivar scope: '' where nobody was identified
    :ivar reason: None for one that this release does not know
    :ivar by: 'role', 'ownership', 'filter', or None for a refusal
    :ivar version: microversion, None when it was none
    :ivar whole: whether all targets are named
    """

    operation: Operation
    credentials: tuple[tuple[str, str | None], ...]
    roles: tuple[str, ...]
    scope: str
    reason: Reason | None
    by: str | None
    version: tuple[int, int] | None
    targets: tuple[Target, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One decision.

    :ivar service: first word of the user agent
    :ivar allowed: whether it was, or would have been, allowed then
    """

    case: Case
    allowed: bool
    service: str
    user_id: str
    project_id: str
    request_id: str


def read_line(line: str) -> Record | None:
    """Read a line, with or without a log's prefix.

    :returns: None for what is not about a decision: a blank line, another event
    :raises ValueError: it is not a record, or not a whole one
    """
    if not line.strip():
        return None
    start = line.find('{')
    if start < 0:
        raise ValueError('no JSON object')
    try:
        content: object = json.loads(line[start:])
    except RecursionError:
        raise ValueError('nested without end') from None
    if not isinstance(content, dict) or not isinstance(content.get('event'), str):
        raise ValueError('no event')
    return _read_decision(content) if content['event'] == 'decision' else None


def _read_decision(content: Mapping[str, Any]) -> Record:
    operation = _OPERATIONS.get(_text(content, 'operation') or '')
    if operation is None:
        raise ValueError('no known operation')
    outcome = _text(content, 'outcome')
    if outcome not in _OUTCOMES:
        raise ValueError('no known outcome')
    credentials = tuple([(name, _text(content, name)) for name in CREDENTIALS])
    ids = dict(credentials)
    targets = _list(content, 'targets')
    own = frozenset([ids['user_id'], ids['project_id']])
    case = Case(
        operation=operation,
        credentials=credentials,
        roles=tuple(map(_as_text, _list(content, 'roles'))),
        scope=_text(content, 'scope') or '',
        reason=_REASONS.get(_text(content, 'reason') or ''),
        by=_text(content, 'by'),
        version=_read_version(_text(content, 'microversion')),
        targets=tuple([_read_target(target, own) for target in targets]),
        whole=content.get('target_count', len(targets)) == len(targets),
    )
    if case.scope and 'roles' not in content:
        raise ValueError('no roles')
    words = (_text(content, 'user_agent') or '').split()
    return Record(
        case=case,
        allowed=outcome.endswith('allow'),
        service=make_printable(words[0]) if words else '-',
        user_id=make_printable(ids['user_id'] or '-'),
        project_id=make_printable(ids['project_id'] or '-'),
        request_id=make_printable(_text(content, 'request_id') or '-'),
    )


def _read_target(content: object, own: frozenset[str | None]) -> Target:
    if not isinstance(content, dict):
        raise ValueError('a target is no object')
    known, masked = [], []
    for key in _TARGET_KEYS:
        value = _text(content, key)
        if not value:
            continue
        # Security: a client may claim an id that looks like a hash; then it
        # counts as one, and decides nothing.
        if value.startswith(MARK) and value not in own:
            masked.append(key)
        else:
            known.append((key, value))
    uuid = dict(known).get('consumer_uuid')
    return Target(
        _text(content, 'about') or '',
        _text(content, 'standing'),
        tuple(known),
        frozenset(masked),
        is_canonical_uuid(uuid) if uuid is not None else None,
    )


def _read_version(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    major, _, minor = text.partition('.')
    return int(major), int(minor)


def _text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    return None if value is None else _as_text(value)


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'{value!r:.40} is not text')
    return value


def _list(content: Mapping[str, Any], name: str) -> list[Any]:
    value = content.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f'{name} is not a list')
    return value


def make_printable(text: str) -> str:
    """A client's text for a terminal.

    Security: escape sequences in a user agent would be the terminal's.
    """
    return ''.join([char if char.isprintable() else '?' for char in text[:_MOST]])
