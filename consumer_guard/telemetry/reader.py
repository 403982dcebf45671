# SPDX-License-Identifier: Apache-2.0
"""Reads decision records back (:mod:`consumer_guard.telemetry.record`).

Nothing is guessed: of an id that is shown as a hash, a reader knows only that it
is not one of the caller's own.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.guard.decision import Reason
from consumer_guard.guard.model import OPERATIONS, TARGET_KEYS, Operation
from consumer_guard.guard.request import is_canonical_uuid
from consumer_guard.telemetry.masking import MARK
from consumer_guard.telemetry.record import RECORDED_CREDENTIALS
from consumer_guard.telemetry.rendering import CUT, SCHEMA

_OUTCOMES = ('allow', 'deny', 'would allow', 'would deny')

#: Characters that are shown of a client's text.
_MAX_SHOWN = 60

#: JSON texts within JSON texts: a runtime's line around that of a formatter.
_MAX_NESTING = 6

#: Braces of a line that may begin a record.
_MAX_OBJECTS = 64


@dataclass(frozen=True, slots=True)
class Target:
    """A target as far as the record shows it.

    :ivar about: 'recorded owner', 'claimed owner' or 'asked owner'
    :ivar status: value of :class:`consumer_guard.guard.model.OwnerStatus`, or None
    :ivar known: the attributes that are shown
    :ivar masked: keys of those that are shown as a hash, or cut: none of the caller's
    :ivar canonical: whether the consumer's id is canonical; None where it is not
        shown
    """

    about: str
    status: str | None
    known: tuple[tuple[str, str], ...]
    masked: frozenset[str]
    canonical: bool | None = None

    def keep(self, keys: frozenset[str]) -> 'Target':
        """The target without the attributes that no rule reads."""
        known = tuple([pair for pair in self.known if pair[0] in keys])
        return dataclasses.replace(self, known=known, masked=self.masked & keys)


@dataclass(frozen=True, slots=True)
class Case:
    """The facts that a decision depends on.

    :ivar scope: '' where nobody was identified
    :ivar reason: None for one that this release does not know
    :ivar by: 'role', 'ownership', 'filter', or None for a refusal
    :ivar version: microversion, None when it was not one of placement's
    :ivar whole: whether the record names all targets
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
    :ivar rules_digest: :attr:`consumer_guard.rules.rulebook.Rulebook.digest` of the
        rules that decided; None where there were none, and before schema 2
    """

    case: Case
    allowed: bool
    service: str
    user_id: str
    project_id: str
    request_id: str
    rules_digest: str | None


def read_line(line: str) -> Record | None:
    """Read the record in a line of a log, wherever it stands.

    What a log format puts before and behind it does not matter, nor whether the line
    is JSON that holds the message as text, as oslo.log's JSON formatter, journald and
    container runtimes write it.

    :returns: None for a blank line, and for events other than decisions
    :raises ValueError: it is not a record, or not a complete one
    """
    if not line.strip():
        return None
    content = next(_find_events(line, _MAX_NESTING), None)
    if content is None:
        raise ValueError('no event')
    return _read_decision(content) if content['event'] == 'decision' else None


def _find_events(text: str, depth: int) -> Iterator[Mapping[str, Any]]:
    """The JSON objects with an event in a text, and in the texts of its objects."""
    decoder = json.JSONDecoder()
    start = text.find('{')
    for _ in range(_MAX_OBJECTS):
        if start < 0:
            return
        try:
            content, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find('{', start + 1)
            continue
        yield from _find_inside(content, depth)
        start = text.find('{', end)


def _find_inside(content: object, depth: int) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, dict):
        event = content.get('event')
        if isinstance(event, str) and '{' not in event:
            # Security: nothing in a record is read as another one; clients choose
            # texts.
            yield content
            return
        for value in content.values() if depth else ():
            yield from _find_inside(value, depth - 1)
    elif depth and isinstance(content, str):
        yield from _find_events(content, depth - 1)
    elif depth and isinstance(content, list):
        # journald writes a message with control characters as its bytes.
        with contextlib.suppress(TypeError, ValueError):
            text = bytes(content).decode(errors='replace')
            yield from _find_events(text, depth - 1)


def _read_decision(content: Mapping[str, Any]) -> Record:
    if content.get('schema', 1) not in range(1, SCHEMA + 1):
        raise ValueError('the schema is not known')
    outcome = _get_text(content, 'outcome')
    if outcome not in _OUTCOMES:
        raise ValueError('no known outcome')
    case = _read_case(content)
    ids = dict(case.credentials)
    words = (_get_text(content, 'user_agent') or '').split()
    return Record(
        case=case,
        allowed=outcome.endswith('allow'),
        service=make_printable(words[0]) if words else '-',
        user_id=make_printable(ids['user_id'] or '-'),
        project_id=make_printable(ids['project_id'] or '-'),
        request_id=make_printable(_get_text(content, 'request_id') or '-'),
        rules_digest=_get_text(content, 'rules_digest'),
    )


def _read_case(content: Mapping[str, Any]) -> Case:
    operation = _find_operation(_get_text(content, 'operation'))
    credentials = tuple(
        [(key, _get_text(content, key)) for key in RECORDED_CREDENTIALS]
    )
    scope = _get_text(content, 'scope') or ''
    roles = tuple(map(_check_text, _get_list(content, 'roles')))
    count = content.get('role_count', len(roles)) if 'roles' in content else None
    if scope and len(roles) != count:
        raise ValueError('roles are missing')
    own = frozenset([value for _, value in credentials[:2]])
    if any(value and value.endswith(CUT) for value in (*own, *roles)):
        raise ValueError('the credentials are cut')
    reason = _get_text(content, 'reason')
    targets = [_read_target(target, own) for target in _get_list(content, 'targets')]
    return Case(
        operation=operation,
        credentials=credentials,
        roles=roles,
        scope=scope,
        reason=next((known for known in Reason if known.value == reason), None),
        by=_get_text(content, 'by'),
        version=_read_version(_get_text(content, 'microversion')),
        targets=tuple(targets),
        whole=content.get('target_count', len(targets)) == len(targets),
    )


def _read_target(content: object, own: frozenset[str | None]) -> Target:
    if not isinstance(content, dict):
        raise ValueError('a target is not an object')
    shown = {key: _get_text(content, key) for key in sorted(TARGET_KEYS)}
    # Security: a client may claim an id that looks like a hash; it counts as a
    # hash, and decides nothing. So does a text that was cut; but a cut uuid is
    # certainly not canonical.
    masked = frozenset(
        [
            key
            for key, value in shown.items()
            if value
            and value not in own
            and (
                value.startswith(MARK)
                or (value.endswith(CUT) and key != 'consumer_uuid')
            )
        ]
    )
    known = {key: value for key, value in shown.items() if value and key not in masked}
    uuid = known.get('consumer_uuid')
    return Target(
        _get_text(content, 'about') or '',
        _get_text(content, 'standing'),
        tuple(known.items()),
        masked,
        is_canonical_uuid(uuid) if uuid is not None else None,
    )


def _find_operation(name: str | None) -> Operation:
    for operation in OPERATIONS:
        if operation.name == name:
            return operation
    raise ValueError('no known operation')


def _read_version(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    major, _, minor = text.partition('.')
    return int(major), int(minor)


def _get_text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    return None if value is None else _check_text(value)


def _check_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'{value!r:.40} is not text')
    return value


def _get_list(content: Mapping[str, Any], name: str) -> list[Any]:
    value = content.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f'{name} is not a list')
    return value


def make_printable(text: str) -> str:
    """A client's text for a terminal.

    Security: escape sequences in a user agent would reach the terminal.
    """
    return ''.join([char if char.isprintable() else '?' for char in text[:_MAX_SHOWN]])
