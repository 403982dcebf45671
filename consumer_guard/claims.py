# SPDX-License-Identifier: Apache-2.0
"""What a body says of each consumer: owner, generation, whether it empties it.

The body is parsed as placement parses it: ``jsonutils.loads`` of the raw bytes
(UTF-8 whatever the charset says, the last of duplicate keys wins), and stays
readable, byte for byte, for the application behind.
"""

import copy
import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import webob
from oslo_serialization import jsonutils

from consumer_guard import model
from consumer_guard.errors import TooLarge, Unreadable
from consumer_guard.intake import Environ, GuardedRequest

#: PUT /allocations takes the owner along from 1.8.
_OWNER_IN_BODY = (1, 8)
#: PUT and POST /allocations carry the consumer generation from 1.28.
GENERATION_IN_BODY = (1, 28)

#: String(255) of projects.external_id and users.external_id, and maxLength of
#: placement's schemas.
_LONGEST_ID = 255


def read_body(environ: Environ, max_body_size: int) -> bytes:
    """Read the body as placement will, and leave it for placement to read.

    Whatever happens, ``wsgi.input`` gives the same bytes again afterwards, and
    no header of the request is changed.

    :param max_body_size: bytes; little more than that is ever held
    :raises TooLarge: the body is larger
    :raises Unreadable: the body is shorter than its CONTENT_LENGTH, that is no
        number, or the client went away
    """
    request = webob.Request(environ)
    try:
        length = request.content_length
    except ValueError:
        length = -1
    if length is not None and length < 0:
        raise Unreadable('The content length is not a length.')
    if not request.is_body_readable:
        return b''
    if length is not None and length > max_body_size:
        raise TooLarge(f'The body is larger than {max_body_size} bytes.')
    if environ.pop('webob.is_body_seekable', False):
        environ['wsgi.input'].seek(0)
    body = _read(environ, length, max_body_size + 1)
    if len(body) > max_body_size:
        raise TooLarge(f'The body is larger than {max_body_size} bytes.')
    if length is not None and len(body) < length:
        raise Unreadable('The body is shorter than its length says.')
    return body


def _read(environ: Environ, length: int | None, most: int) -> bytes:
    """Read the body, or the beginning of an endless one, and put it back.

    :param length: bytes, None for a chunked body, which ends by itself
    """
    stream = environ['wsgi.input']
    pieces: list[bytes] = []
    left = most if length is None else length
    ended = False
    try:
        while left > 0 and not ended:
            piece = stream.read(min(left, 65536))
            ended = not piece
            pieces.append(piece)
            left -= len(piece)
    except OSError:
        raise Unreadable('The body could not be read.') from None
    finally:
        # Security: what was judged is what is forwarded.
        body = b''.join(pieces)
        environ['wsgi.input'] = (
            io.BytesIO(body)
            if ended or length is not None
            else io.BufferedReader(_Rejoined(body, stream))
        )
    return body


class _Rejoined(io.RawIOBase):
    """Bytes that were read already, then the rest of their stream."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head.read(len(buffer)) or self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def parse_body(body: bytes) -> Any:
    """Parse a body with placement's own parser.

    :raises Unreadable: not JSON, not UTF-8, or nested too deeply
    """
    try:
        return jsonutils.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable('The body is not readable as JSON.') from None


def read_claims(request: GuardedRequest, document: Any) -> tuple[model.Claim, ...]:
    """Take the claims out of a parsed body of a write.

    :param document: what :func:`parse_body` returned
    :returns: one claim a consumer; at least one but for a reshape
    :raises Unreadable: the document has not the form that placement accepts
        at this microversion, as far as owner, generation and ids go
    """
    if request.operation is model.ALLOCATIONS_MANAGE:
        parts = dict(_as_object(document, 'The body'))
        if not parts:
            raise Unreadable('The body names no consumer.')
    elif request.operation is model.RESHAPE:
        whole = _as_object(document, 'The body')
        parts = dict(_as_object(whole.get('allocations'), 'The allocations'))
    else:
        parts = {request.consumer_uuid or '': document}
    version = request.microversion or (1, 0)
    return tuple([_read_claim(key, part, version) for key, part in parts.items()])


def _read_claim(consumer_uuid: str, part: Any, version: tuple[int, int]) -> model.Claim:
    claim = _as_object(part, 'The body of a consumer')
    allocations = claim.get('allocations')
    if not isinstance(allocations, dict | list):
        raise Unreadable('The body of a consumer has no allocations.')
    project_id = user_id = None
    if version >= _OWNER_IN_BODY:
        project_id = _read_id(claim, 'project_id')
        user_id = _read_id(claim, 'user_id')
    generation = None
    if version >= GENERATION_IN_BODY:
        generation = _read_generation(claim)
    consumer_type = claim.get('consumer_type')
    if consumer_type is not None and not isinstance(consumer_type, str):
        raise Unreadable('The consumer_type is not a string.')
    return model.Claim(
        consumer_uuid=consumer_uuid,
        project_id=project_id,
        user_id=user_id,
        consumer_type=consumer_type,
        generation=generation,
        empties=not allocations,
    )


def _as_object(document: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise Unreadable(f'{what} is not a JSON object.')
    return document


def _read_id(claim: Mapping[str, Any], name: str) -> str:
    value = claim.get(name)
    # Security: a policy check compares text; 5 would equal '5'.
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_ID:
        raise Unreadable(
            f'The {name} of a consumer is not a string of 1 to {_LONGEST_ID} '
            'characters.'
        )
    # Security: databases cut NUL off or fold it; no id of keystone has one.
    if not value.isprintable() or value != value.strip():
        raise Unreadable(f'The {name} of a consumer is not canonical.')
    return value


def _read_generation(claim: Mapping[str, Any]) -> float | None:
    if 'consumer_generation' not in claim:
        raise Unreadable('A consumer has no consumer_generation.')
    value = claim['consumer_generation']
    # As placement's schema (integer or null): 1.0 is an integer, true is not.
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable('The consumer_generation is not an integer.')
    if isinstance(value, float) and not value.is_integer():
        raise Unreadable('The consumer_generation is not an integer.')
    return value


@dataclass(frozen=True, slots=True)
class Body:
    """A body that was read: the parsed document and what it claims."""

    document: Any
    claims: tuple[model.Claim, ...]


def take_body(request: GuardedRequest, max_body_size: int) -> Body:
    """Read, parse and take the claims of a write.

    :raises TooLarge: see :func:`read_body`
    :raises Unreadable: see :func:`read_body` and :func:`read_claims`
    """
    document = parse_body(read_body(request.environ, max_body_size))
    return Body(document, read_claims(request, document))


def spell_stored(request: GuardedRequest, consumer_uuid: str) -> str:
    """The id as placement will look it up: only PUT canonicalises."""
    if request.operation is not model.ALLOCATIONS_UPDATE:
        return consumer_uuid
    try:
        return str(uuid.UUID(consumer_uuid))
    except ValueError:
        return consumer_uuid


def replace_generations(
    request: GuardedRequest, body: Body, generations: Mapping[str, int]
) -> None:
    """Make the request carry other consumer generations.

    Serialised from the judged parse, never patched as text; the caller's
    document is not changed. Below 1.28 bodies carry none and stay as they are.

    :param generations: by consumer id, as the body or the path spells it
    """
    if (request.microversion or (1, 0)) < GENERATION_IN_BODY:
        return
    document = copy.deepcopy(body.document)
    if request.operation is model.ALLOCATIONS_UPDATE:
        parts = dict.fromkeys(generations, document)
    elif request.operation is model.RESHAPE:
        parts = document['allocations']
    else:
        parts = document
    for consumer_uuid, generation in generations.items():
        parts[consumer_uuid]['consumer_generation'] = generation
    content = jsonutils.dump_as_bytes(document)
    request.environ['wsgi.input'] = io.BytesIO(content)
    if request.environ.get('CONTENT_LENGTH'):
        request.environ['CONTENT_LENGTH'] = str(len(content))
