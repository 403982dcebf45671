# SPDX-License-Identifier: Apache-2.0
"""Filters placement's list to the visible consumers, part by part to save memory."""

import io
import itertools
import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from email.utils import formatdate
from typing import Any

import webob

from consumer_guard.guard.identity import Environ
from consumer_guard.guard.responses import Application, StartResponse

LOG = logging.getLogger(__name__)

#: Headers that are about the whole body; placement itself sends none of them.
_DIGESTS = frozenset({'etag', 'content-md5', 'digest', 'content-digest', 'repr-digest'})

FindVisible = Callable[[Collection[str]], set[str]]

#: Bytes of a part that is parsed, about; its values take six times as much.
_PART = 8192

#: The most parts whose owners are looked up at once, of short lists a fifth: what is
#: looked up takes six times as much as its text.
_BATCH = 40

_BEGINNING = re.compile(rb'\s*\{\s*"allocations"\s*:\s*\{')
#: Between two consumers: the next one's value is an object.
_BETWEEN = re.compile(rb'\}(\s*,)\s*"[^"\\]*"\s*:\s*\{')


class _Unreadable(Exception):
    """The list is not what placement writes."""


def keep_visible(
    application: Application,
    make_filter: Callable[[], FindVisible],
    bad_gateway: Application,
) -> Application:
    """Wrap placement for a list of which the caller may see a part.

    :param make_filter: called for each list; which of some of its consumer ids may
        be seen; exceptions go through
    :param bad_gateway: answers when the list cannot be read
    """

    def filtered(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        response = webob.Request(environ).get_response(application)
        if not 400 <= response.status_code < 500:  # no consumers in those
            problem = None
            try:
                text = _extract_list(response)
                body = _write_visible(text, make_filter())
                headers = describe_body(response.headerlist, body)
                response.app_iter = [body]
                # Last, because webob would put a new Content-Length behind the others.
                response.headerlist = headers
            except _Unreadable as exc:
                problem = exc
            if problem is not None:
                LOG.error('A list cannot be filtered and is withheld: %s', problem)
                # As a server would let placement go (PEP 3333).
                getattr(response.app_iter, 'close', lambda: None)()
                return bad_gateway(environ, start_response)
        return response(environ, start_response)

    return filtered


def _extract_list(response: webob.Response) -> bytes:
    if response.status_code != 200:
        raise _Unreadable(f'its status is {response.status_code}')
    if response.content_type != 'application/json':
        raise _Unreadable(f'it is {response.content_type!r}')
    return response.body


def _write_visible(text: bytes, find_visible: FindVisible) -> bytes:
    """The list of the visible consumers: parsed, judged and written again."""
    written = io.BytesIO()
    written.write(b'{"allocations": {')
    separator = b''
    parts = ((part, [*consumers]) for part, consumers in _read_parts(text))
    size = max(1, min(_BATCH, len(text) // _PART // 5))
    while batch := [*itertools.islice(parts, size)]:
        visible = find_visible([*itertools.chain(*(ids for _, ids in batch))])
        for part, ids in batch:
            if visible.isdisjoint(ids):
                continue
            consumers = json.loads(part)
            shown = {uuid: consumers[uuid] for uuid in ids if uuid in visible}
            written.write(separator + json.dumps(shown)[1:-1].encode())
            separator = b', '
    # Security: the provider's generation moves with everybody's writes.
    written.write(b'}, "resource_provider_generation": null}')
    return written.getvalue()


def _read_parts(text: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The consumers of placement's list, some at a time: JSON, and what it says.

    Where the text of an object is cut at a comma, and both halves are texts of
    objects, their members are those of the whole: there is no other reading.
    """
    match = _BEGINNING.match(text)
    beginning, start = (match[0], match.end()) if match else (b'', 0)
    while beginning and (between := _BETWEEN.search(text, start + _PART)):
        part = b'{%b}' % text[start : between.start(1)]
        try:
            consumers = json.loads(part)
        except (ValueError, RecursionError):
            # Not between consumers after all: what is left is read as a whole.
            break
        yield part, consumers
        start = between.end(1)
    try:
        document = json.loads(beginning + text[start:])
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f'it is not JSON ({error})') from None
    # Security: a key that is not known here could name other consumers.
    if (
        not isinstance(document, dict)
        or set(document) != {'allocations', 'resource_provider_generation'}
        or not isinstance(document['allocations'], dict)
    ):
        raise _Unreadable('it has an unknown form')
    yield json.dumps(document['allocations']).encode(), document['allocations']


def describe_body(
    headers: Iterable[tuple[str, str]], body: bytes
) -> list[tuple[str, str]]:
    """The headers of an answer whose body is replaced.

    Security: the time of the newest allocation moves with everybody's writes.
    """
    changed = {
        'content-length': str(len(body)),
        'last-modified': formatdate(usegmt=True),
    }
    return [
        (name, changed.get(name.lower(), value))
        for name, value in headers
        if name.lower() not in _DIGESTS
    ]
