# SPDX-License-Identifier: Apache-2.0
"""Strategies for requests: valid ones of A's, bent in a few places each.

Ids are fixed, so that a found case can be written down.
"""

import dataclasses
import functools
import io
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from consumer_guard.guard.responses import DECOY
from tests.fuzz.bodies import ENCODINGS, Pairs, Raw, encode
from tests.fuzz.names import (
    ABSENT,
    ANOTHER_PROVIDER,
    BARE,
    FOREIGN,
    ORPHAN,
    OTHERS_PROJECT,
    OWN,
    OWN_PROJECT,
    OWN_TOO,
    OWN_USER,
    PROVIDER,
    UNOWNED,
    spellings,
)
from tests.fuzz.wire import Environ, make_environ

_T = TypeVar('_T')

CONSUMERS = (OWN, OWN_TOO, FOREIGN, UNOWNED, ORPHAN, BARE, ABSENT)
METHODS = ('GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS', 'get', 'PUT ')
MINORS = (0, 1, 7, 8, 9, 11, 12, 13, 15, 22, 23, 27, 28, 30, 33, 34, 37, 38, 39)

#: What is hung on paths.
_TAILS = (
    '\n',
    '\n\n',
    '\r\n',
    '/',
    '//',
    '/.',
    '/..',
    ' ',
    '%0A',
    '%20',
    '\x00',
    '\t',
    '\xa0',
    '\x85',
    '\xe9',
    ';v=1',
    '.json',
    '?',
    '#',
    '/allocations',
    '\n/allocations',
)
_HEADS = ('/', '//', '/.', '/placement', 'allocations', '\n', ' ', '/%2e', '/usages/..')

_TEMPLATES = (
    '/allocations/{}',
    '/allocations/{}',
    '/allocations/{}',
    '/resource_providers/{}/allocations',
    '/allocations',
    '/usages',
    '/reshaper',
    '/resource_providers/{}/usages',
    '/traits/{}',
    '',
    '/',
)
_BENDS: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ('append',),
    ('append',),
    ('prepend',),
    ('insert',),
    ('drop',),
    ('swap case',),
    ('replace',),
    ('insert', 'append'),
    ('replace', 'append'),
)


# Making a strategy costs more than drawing from it.
@functools.cache
def _below(number: int) -> st.SearchStrategy[int]:
    return st.integers(0, number - 1)


def pick(draw: st.DrawFn, options: Sequence[_T]) -> _T:
    """Draw one of them."""
    return options[draw(_below(len(options)))]


def once_in(draw: st.DrawFn, number: int) -> bool:
    """Whether this time is the one in so many; the simplest is not."""
    return draw(_below(number)) == number - 1


def _spelled(draw: st.DrawFn) -> str:
    return pick(draw, spellings(pick(draw, CONSUMERS)))


_any_text = st.text(st.characters(max_codepoint=255), max_size=40)


def _id(draw: st.DrawFn) -> str:
    kind = draw(_below(8))
    if kind == 0:
        return OWN
    if kind == 1:
        return pick(draw, CONSUMERS)
    if kind == 2:
        return DECOY
    if kind == 3:
        return draw(_any_text)
    return _spelled(draw)


def _path(draw: st.DrawFn) -> str:
    path = pick(draw, _TEMPLATES).replace('{}', _id(draw))
    for bend in pick(draw, _BENDS):
        path = _bend_path(draw, path, bend)
    return path


def _bend_path(draw: st.DrawFn, path: str, bend: str) -> str:
    if bend == 'append':
        return path + pick(draw, _TAILS)
    if bend == 'prepend':
        return pick(draw, _HEADS) + path
    place = draw(_below(len(path) + 1))
    if bend == 'insert':
        return path[:place] + pick(draw, _TAILS) + path[place:]
    if bend == 'drop':
        return path[:place] + path[place + 1 :]
    if bend == 'swap case':
        return path[:place] + path[place:].swapcase()
    return path[:place] + chr(draw(_below(256))) + path[place + 1 :]


@st.composite
def paths(draw: st.DrawFn) -> str:
    """A raw PATH_INFO, near to one of the guarded routes or far from it."""
    return _path(draw)


microversions = st.one_of(
    st.sampled_from(MINORS).map(lambda minor: f'placement 1.{minor}'),
    st.sampled_from(
        (
            'placement latest',
            'placement LATEST',
            'PLACEMENT 1.38',
            'placement  1.38 ',
            'placement\t1.38',
            'placement 1.38, placement 1.0',
            'placement 1.0,placement 1.38',
            'compute 2.1, placement 1.28, volume 3.0',
            'placement 1.38,',
            'placement 1.38,placement',
            'placement',
            '1.38',
            'placement 1.038',
            'placement +1.38',
            'placement 1.3_8',
            'placement 1.-1',
            'placement 1.38.0',
            'placement 1.40',
            'placement 2.0',
            'placement 0.9',
            'placement 1.\u0663\u0668',
            'placement 1.\xb2',
            'placement 1.1e1',
            'placement ' + '9' * 5000 + '.0',
            'placement\xa01.38',
            'placement\x1c1.38',
            '\x0bplacement 1.38',
            ',' * 1000,
            '',
        )
    ),
    st.lists(
        st.tuples(
            st.sampled_from(('placement', 'Placement', 'compute', '')),
            st.sampled_from((' ', '\t', '', '  ', ',')),
            st.one_of(
                st.sampled_from(('1.0', '1.38', 'latest', '1.', '.1', 'x')),
                st.text(max_size=4),
            ),
        ).map(''.join),
        max_size=3,
    ).map(','.join),
)


_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    2,
    -1,
    2**31,
    2**63,
    Raw('1.0'),
    Raw('1e0'),
    Raw('10e-1'),
    Raw('-0'),
    Raw('-0.0'),
    Raw('1.5'),
    Raw('NaN'),
    Raw('Infinity'),
    Raw('-Infinity'),
    Raw('1e400'),
    Raw('1' * 400),
    Raw('1' * 5000),
    Raw('01'),
    Raw('0x1'),
    Raw("'1'"),
    Raw('"\\ud800"'),
    '',
    '1',
    ' ',
    OWN_PROJECT,
    OWN_PROJECT.upper(),
    OWN_PROJECT + ' ',
    OWN_PROJECT + '\x00',
    OTHERS_PROJECT,
    'x' * 255,
    'x' * 256,
    [],
    [OWN_PROJECT],
    {},
    {'a': 1},
)
_FIELDS: tuple[str, ...] = (
    'project_id',
    'user_id',
    'consumer_generation',
    'consumer_type',
    'allocations',
    'mappings',
    'Project_id',
    Raw('"\\u0070roject_id"'),
    Raw('"consumer\\u005fgeneration"'),
    'generation',
    'x',
)


def _claim(draw: st.DrawFn, minor: int, generation: int = 1) -> Pairs:
    """What a body says of one consumer; mostly as this microversion wants it."""
    resources = {'resources': {'VCPU': 1 + draw(_below(3))}}
    filled: Any = {PROVIDER: resources}
    if minor < 12:
        filled = [{'resource_provider': {'uuid': PROVIDER}} | resources]
    elif minor >= 28 and once_in(draw, 5):
        filled = {}
    pairs: list[tuple[Any, Any]] = [('allocations', filled)]
    if minor >= 8:
        pairs += [('project_id', OWN_PROJECT), ('user_id', OWN_USER)]
    if minor >= 28:
        pairs += [('consumer_generation', generation)]
    if minor >= 38:
        pairs += [('consumer_type', pick(draw, ('INSTANCE', 'MIGRATION')))]
    for _ in range(pick(draw, (0, 0, 0, 0, 1, 1, 1, 2))):
        _bend_claim(draw, pairs)
    return Pairs(pairs)


def _bend_claim(draw: st.DrawFn, pairs: list[tuple[Any, Any]]) -> None:
    bend = pick(draw, ('drop', 'replace', 'twice', 'add', 'claim'))
    place = draw(_below(len(pairs))) if pairs else 0
    if bend == 'drop' and pairs:
        del pairs[place]
    elif bend == 'replace' and pairs:
        pairs[place] = (pairs[place][0], pick(draw, _ODD))
    elif bend == 'twice' and pairs:
        pairs.insert(draw(_below(len(pairs))), (pairs[place][0], pick(draw, _ODD)))
    elif bend == 'claim':
        pairs.append(('project_id', pick(draw, (OTHERS_PROJECT, OWN_PROJECT))))
    else:
        pairs.insert(place, (pick(draw, _FIELDS), pick(draw, _ODD)))


def _document(draw: st.DrawFn, path: str, minor: int) -> Any:
    """A document for PUT, POST or reshape, by the path that it is sent to."""
    if once_in(draw, 20):
        return pick(draw, _ODD)
    if path.startswith('/allocations/'):
        return _claim(draw, minor, 7 if OWN_TOO in path else 1)
    keys = pick(draw, _KEYS)
    if once_in(draw, 5):
        keys = (*keys, _spelled(draw))
    parts = Pairs(
        [(key, _claim(draw, minor, 7 if key == OWN_TOO else 1)) for key in keys]
    )
    if not path.startswith('/reshaper'):
        return parts
    whole: list[tuple[str, Any]] = [('inventories', _INVENTORIES)]
    whole.append(('allocations', parts))
    if once_in(draw, 5):
        whole.insert(0, ('allocations', pick(draw, _ODD)))
    return Pairs(whole)


_KEYS: tuple[tuple[str, ...], ...] = (
    (OWN,),
    (OWN_TOO,),
    (OWN, OWN_TOO),
    (OWN, OWN),
    (OWN, FOREIGN),
    (FOREIGN, OWN),
    (),
)
_INVENTORIES = {
    ANOTHER_PROVIDER: {
        'resource_provider_generation': 1,
        'inventories': {'VCPU': {'total': 100}},
    }
}
_ENCODINGS = (*['utf-8'] * 60, *ENCODINGS)
_some_bytes = st.binary(max_size=3)


def _body(draw: st.DrawFn, path: str, minor: int) -> bytes:
    """The bytes of a body, mostly JSON in UTF-8."""
    document = _document(draw, path, minor)
    body = ENCODINGS[pick(draw, _ENCODINGS)](encode(document))
    if once_in(draw, 24):
        place = draw(_below(len(body) + 1))
        body = body[:place] + draw(_some_bytes) + body[place + 1 :]
    return body


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, int, bytes]:
    """A path that takes a body, a minor version, and the bytes for them."""
    path = pick(draw, (f'/allocations/{OWN}', '/allocations', '/reshaper'))
    minor = pick(draw, _MINORS)
    return path, minor, _body(draw, path, minor)


_HEADERS = (
    ('X-Roles', 'admin'),
    ('X-Role', 'admin,consumer_guard_passage'),
    ('X-Service-Roles', 'service, Consumer_Guard_Passage'),
    ('X-Roles', 'consumer_guard_passage'),
    ('X-Project-Id', OTHERS_PROJECT),
    ('X-Tenant-Id', OTHERS_PROJECT),
    ('X-User-Id', 'admin'),
    ('X-Identity-Status', 'Confirmed'),
    ('X-Is-Admin-Project', 'True'),
    ('OpenStack-System-Scope', 'all'),
    ('X-HTTP-Method-Override', 'DELETE'),
    ('X-Original-URL', f'/allocations/{FOREIGN}'),
    ('Accept', 'text/html'),
    ('Accept', '*/*;q=0'),
    ('Accept-Encoding', 'gzip'),
    ('If-None-Match', '*'),
    ('If-Modified-Since', 'Thu, 01 Jan 1970 00:00:00 GMT'),
    ('Range', 'bytes=0-1'),
    ('Content-Encoding', 'gzip'),
    ('Expect', '100-continue'),
    ('Transfer-Encoding', 'chunked'),
)

_PARAMETERS = (
    f'project_id={OWN_PROJECT}',
    f'project_id={OTHERS_PROJECT}',
    f'%70roject_id={OTHERS_PROJECT}',
    f'project%5Fid={OTHERS_PROJECT}',
    f'project_id={OWN_PROJECT}%20',
    f'project_id={OWN_PROJECT.upper()}',
    f'+project_id={OTHERS_PROJECT}',
    f'project_id={OWN_PROJECT}%00',
    f'project_id={OWN_PROJECT}%0A',
    f'user_id={OWN_USER}',
    'user_id=',
    'user_id=a&user_id=b',
    'consumer_type=all',
    'consumer_type=unknown',
    'consumer_type=INSTANCE',
    'project_id',
    'project_id=%E9',
    'project_id=\xe9',
    'a=%E9',
    '=',
    'x=1',
)
_odd_parameter = st.text(
    st.characters(min_codepoint=33, max_codepoint=255), max_size=12
)


def _query(draw: st.DrawFn) -> str:
    if once_in(draw, 2):
        return _PARAMETERS[0]
    parts = [pick(draw, _PARAMETERS) for _ in range(draw(_below(4)))]
    if once_in(draw, 4):
        parts.append(draw(_odd_parameter))
    return pick(draw, '&&&;').join(parts)


#: How the server tells the length of the body.
FRAMINGS = (
    'exact',
    'chunked',
    'both',
    'absent',
    'shorter',
    'longer',
    'zero',
    'empty',
    'garbage',
    'negative',
    'blank',
    'seekable',
)


@dataclasses.dataclass(frozen=True)
class Request:
    """One request, apart from who sends it."""

    method: str = 'GET'
    path: str = f'/allocations/{OWN}'
    query: str = ''
    version: str | None = 'placement 1.38'
    content_type: str | None = 'application/json'
    body: bytes | None = None
    framing: str = 'exact'
    headers: tuple[tuple[str, str], ...] = ()

    def environ(self, token: str | None) -> Environ:
        """A fresh environ; each stream can be read once."""
        made = make_environ(
            self.method,
            self.path,
            query=self.query,
            token=token,
            version=None,
            body=self.body,
            content_type=self.content_type,
            headers=dict(self.headers),
        )
        if self.version is not None:
            made['HTTP_OPENSTACK_API_VERSION'] = self.version
        if self.body is not None:
            made |= _frame(self.framing, self.body)
            if made['CONTENT_LENGTH'] is None:
                del made['CONTENT_LENGTH']
        return made

    @property
    def text(self) -> str:
        """All that the client said, as the secrets in it are no news to him."""
        parts = (self.path, self.query, repr(self.headers), repr(self.body or b''))
        return '\n'.join(parts)


_any_version = st.none() | microversions


def _frame(framing: str, body: bytes) -> Environ:
    size = len(body)
    lengths = {
        'exact': str(size),
        'both': str(size),
        'seekable': str(size),
        'shorter': str(max(0, size - 1)),
        'longer': str(size + 3),
        'zero': '0',
        'empty': '',
        'garbage': '1x',
        'negative': '-1',
        'blank': f' {size} ',
    }
    framed: Environ = {'CONTENT_LENGTH': lengths.get(framing)}
    stream: Any = io.BytesIO(body)
    if framing == 'seekable':
        framed['webob.is_body_seekable'] = True
        stream.seek(size // 2)
    else:
        stream = io.BufferedReader(Pipe(body))
    framed['wsgi.input'] = stream
    if framing in ('chunked', 'both', 'zero', 'empty'):
        framed['wsgi.input_terminated'] = True
    return framed


class Pipe(io.RawIOBase):
    """A socket: gives a little at a time, cannot seek, ends where it ends."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._body.read(min(len(buffer), 4096))
        buffer[: len(data)] = data
        return len(data)


_ROUTES = (
    ('GET', f'/allocations/{OWN}'),
    ('PUT', f'/allocations/{OWN}'),
    ('PUT', f'/allocations/{OWN_TOO}'),
    ('POST', '/allocations'),
    ('POST', '/allocations'),
    ('GET', '/usages'),
    ('GET', f'/resource_providers/{PROVIDER}/allocations'),
    ('DELETE', f'/allocations/{OWN}'),
    ('POST', '/reshaper'),
)
_CONTENT_TYPES = (
    None,
    '',
    'text/plain',
    'application/JSON',
    'application/json; charset=utf-16',
    'application/json;charset=nosuch',
    'application/json;charset=unicode_escape',
    'application/x-www-form-urlencoded',
)
_MINORS = (*MINORS, *[28, 34, 38] * 10)


def _route(draw: st.DrawFn) -> tuple[str, str]:
    kind = draw(_below(5))
    if kind <= 1:
        return pick(draw, _ROUTES)
    if kind == 2:
        return pick(draw, METHODS), _path(draw)
    if kind == 3:
        return pick(draw, METHODS[:4]), _path(draw)
    return pick(draw, METHODS[:4]), f'/allocations/{_spelled(draw)}'


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A whole request; most parts as a member of A would send them."""
    method, path = _route(draw)
    minor = pick(draw, _MINORS)
    version: str | None = f'placement 1.{minor}'
    if once_in(draw, 10):
        version = draw(_any_version)
    body = None
    if method not in ('GET', 'DELETE') or once_in(draw, 10):
        body = _body(draw, path, minor)
    framing = 'exact'
    if body is not None and once_in(draw, 5):
        framing = pick(draw, FRAMINGS)
    content_type: str | None = 'application/json'
    if once_in(draw, 16):
        content_type = pick(draw, _CONTENT_TYPES)
    query = ''
    if path.startswith('/usages') or once_in(draw, 16):
        query = _query(draw)
    headers: tuple[tuple[str, str], ...] = ()
    if once_in(draw, 6):
        headers = (pick(draw, _HEADERS), pick(draw, _HEADERS))
    return Request(method, path, query, version, content_type, body, framing, headers)
