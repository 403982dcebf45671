# SPDX-License-Identifier: Apache-2.0
"""Why a database failed, for operators: in commands and in the log alike.

A driver's first line says it best. Security: it may quote a password, a value of a
row or a statement. Quoted text is shown only where it is a name that the operator
wrote (host, account, database) or one of placement's schema; whatever looks like an
id, and every secret of the URL, is masked.
"""

import itertools
import os
import re
import types
import urllib.parse
from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from consumer_guard.generations.store import Kind
from consumer_guard.owners.statements import TABLES

MASK = '***'

#: Characters of a driver's line that are shown.
_LONGEST_LINE = 300

#: Tables and columns that the guard and its commands name.
_SCHEMA = frozenset([*TABLES, Kind.PROVIDER.value, *itertools.chain(*TABLES.values())])

#: SQLSTATEs of failed connections, which libpq has in its text only (source:
#: PostgreSQL, appendix A; errno(3) for the network's).
_LIBPQ: Mapping[str, str] = types.MappingProxyType(
    {
        'Connection refused': 'ECONNREFUSED',
        'Connection timed out': 'ETIMEDOUT',
        'timeout expired': 'ETIMEDOUT',
        'No route to host': 'EHOSTUNREACH',
        'Name or service not known': 'EAI_NONAME',
        'Temporary failure in name resolution': 'EAI_AGAIN',
        'password authentication failed': '28P01',
        'no pg_hba.conf entry': '28000',
        'role "': '28000',
        'database "': '3D000',
        'too many clients': '53300',
        'remaining connection slots': '53300',
        'the database system is': '57P03',
        'unsupported startup parameter': '08P01',
        'certificate verify failed': 'CERTIFICATE_VERIFY_FAILED',
    }
)

#: Parameters of URLs that hold no secret.
_PLAIN_PARAMETERS = frozenset(
    [
        'charset',
        'host',
        'port',
        'mode',
        'uri',
        'user',
        'dbname',
        'sslmode',
        'sslrootcert',
        'ssl_ca',
        'ssl_cert',
        'unix_socket',
        'connect_timeout',
        'read_timeout',
        'write_timeout',
    ]
)

_SOCKET = r'/[\w./-]*/\.s\.PGSQL\.\d+'

# An apostrophe inside a word ("can't") quotes nothing.
_MARK = re.compile(r"""(?<!\w)'|'(?!\w)|["`]""")
_ROW_VALUES = re.compile(r'=\(.*')
_ID = re.compile(r'[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}')


def describe_failure(error: BaseException, url: sa.URL | None = None) -> str:
    """One line: the driver's first one, masked, and its SQLSTATE or number.

    :param url: of the database; without it no name of the operator's is shown
    """
    below = getattr(error, 'orig', None) or error
    line = _mask(_read_line(below), url)
    if 'unable to open database file' in line and url is not None:
        line = f'{line}: {_explain_path(url.database or "")}'
    return f'{line} ({_find_code(below)})' if line else _find_code(below)


def _read_line(error: BaseException) -> str:
    """The first line of an error's text, without the number before it."""
    texts = [each for each in error.args if isinstance(each, str)]
    lines = (texts[-1] if texts else '').strip().splitlines()
    line = ' '.join(lines[0].split()) if lines else ''
    return ''.join(char if char.isprintable() else ' ' for char in line)


def _find_code(error: BaseException) -> str:
    """SQLSTATE, number of MySQL, name of SQLite, errno; else the kind of the error."""
    first = next(iter(error.args), None)
    # MySQL's number says more than its SQLSTATE.
    if isinstance(first, int):
        return str(first)
    for name in ('pgcode', 'sqlstate', 'sqlite_errorname'):
        if code := getattr(error, name, None):
            return str(code)
    known = (code for words, code in _LIBPQ.items() if words in str(error))
    return next(known, type(error).__name__)


def _explain_path(path: str) -> str:
    """Why SQLite cannot open a file."""
    try:
        os.stat(path)
    except OSError as exc:
        return str(exc.strerror)
    return 'its directory or the file itself is not accessible'


def _mask(line: str, url: sa.URL | None) -> str:
    for secret in _list_secrets(url):
        line = line.replace(secret, MASK)
    line = _ROW_VALUES.sub(f'=({MASK})', line)
    names = [re.escape(name) for name in (*_SCHEMA, *_list_names(url), MASK)]
    shown = [*_compile_shown(names).finditer(line)]
    inside = [range(*quoted.span()) for quoted in shown]
    marks = [
        mark.start()
        for mark in _MARK.finditer(line)
        if not any(mark.start() in span for span in inside)
    ]
    if marks:
        # Security: a quoted text may hold quotation marks; where it ends is not
        # known, so all up to the last one is masked. An odd one means that a name
        # was part of such a text.
        odd = len(marks) % 2
        start = min([*marks, *(span.start for span in inside if odd)])
        end = len(line) if odd else marks[-1] + 1
        line = f"{line[:start]}'{MASK}'{line[end:]}"
    line = _ID.sub(MASK, line)
    return line if len(line) <= _LONGEST_LINE else f'{line[:_LONGEST_LINE]}...'


def _compile_shown(names: list[str]) -> re.Pattern[str]:
    """Quoted names of the operator's and of the schema, addresses and sockets."""
    name = '|'.join(names)
    texts = (
        rf'(?:{name})(?:\.(?:{name}))*|[\d.]+|[\da-f:]*:[\da-f:]*|localhost|{_SOCKET}'
    )
    return re.compile(rf"""(?P<mark>(?<!\w)'|["`])(?:{texts})(?P=mark)(?!\w)""")


def _list_names(url: sa.URL | None) -> Iterator[str]:
    """What the operator calls the host, the account and the database."""
    if url is not None:
        yield from (each for each in (url.host, url.username, url.database) if each)


def _list_secrets(url: sa.URL | None) -> list[str]:
    """The password and the values of parameters, as they are and as in the URL."""
    if url is None:
        return []
    values = {str(url.password)} if url.password else set[str]()
    for key, value in url.query.items():
        if key not in _PLAIN_PARAMETERS:
            values.update([value] if isinstance(value, str) else value)
    quoted = {
        urllib.parse.quote(value, safe=safe) for value in values for safe in (' +', '')
    }
    return sorted({*values, *quoted} - {''}, key=len, reverse=True)
