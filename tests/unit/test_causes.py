# SPDX-License-Identifier: Apache-2.0
"""The cause of a database's failure is shown; passwords and rows are not."""

import ast
import pathlib
import uuid

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import consumer_guard
from consumer_guard.owners.causes import describe_failure

MASK = '***'

URL = sa.make_url(
    'mysql+pymysql://nova:sesame@db.example.org/placement?ssl_key_password=tulip'
)


class Failed(Exception):
    """A driver's error."""


class FailedInSql(Failed):
    """One of PostgreSQL's."""

    sqlstate = '22P02'


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (
            Failed(
                2003, "Can't connect to MySQL server on 'db.example.org' (timed out)"
            ),
            "Can't connect to MySQL server on 'db.example.org' (timed out) (2003)",
        ),
        (
            Failed(
                1045, "Access denied for user 'nova'@'10.0.0.1' (using password: YES)"
            ),
            "Access denied for user 'nova'@'10.0.0.1' (using password: YES) (1045)",
        ),
        (
            Failed('FATAL:  password authentication failed for user "nova"\n'),
            'FATAL: password authentication failed for user "nova" (28P01)',
        ),
        (
            Failed(1146, "Table 'placement.consumers' doesn't exist"),
            "Table 'placement.consumers' doesn't exist (1146)",
        ),
        (
            Failed(1062, "Duplicate entry 'it's mine' for key 'consumers.uuid'"),
            f"Duplicate entry '{MASK}' for key 'consumers.uuid' (1062)",
        ),
        (
            FailedInSql('invalid input syntax: "a "quoted" word"\nLINE 1: SELECT'),
            f"invalid input syntax: '{MASK}' (22P02)",
        ),
        (Failed('Key (uuid)=(mine) exists'), f'Key (uuid)=({MASK}) (Failed)'),
        (Failed('an open "quotation of a row'), f"an open '{MASK}' (Failed)"),
        (
            Failed(f'consumer {uuid.UUID(int=7)} is late'),
            f'consumer {MASK} is late (Failed)',
        ),
        (Failed(f'project {uuid.UUID(int=7).hex} is'), f'project {MASK} is (Failed)'),
        (Failed('the password is sesame'), f'the password is {MASK} (Failed)'),
        (Failed('the key has tulip'), f'the key has {MASK} (Failed)'),
        (Failed('a\x1b[31mline\r'), 'a [31mline (Failed)'),
        (Failed(), 'Failed'),
        (Failed(b'bytes'), 'Failed'),
        (Failed('08S01', 'the line'), 'the line (Failed)'),
        (
            Failed(1146, "Table 'placement.resource_providers' doesn't exist"),
            "Table 'placement.resource_providers' doesn't exist (1146)",
        ),
        # Secrets between quotation marks are masked as secrets.
        (
            Failed("neither 'sesame' nor 'tulip' opens it"),
            f"neither '{MASK}' nor '{MASK}' opens it (Failed)",
        ),
        # One mark alone: the name before it may be part of what it quotes.
        (
            Failed("the row 'nova' is \" in 'placement' there"),
            f"the row '{MASK}' (Failed)",
        ),
        (
            Failed("user 'nova' has 'a row' there"),
            f"user 'nova' has '{MASK}' there (Failed)",
        ),
    ],
)
def test_the_first_line_and_the_number_are_shown(error: Exception, line: str) -> None:
    assert describe_failure(error, URL) == line


@pytest.mark.parametrize(
    ('said', 'state'),
    [
        ('connection to server at "::1" failed: Connection refused', 'ECONNREFUSED'),
        (
            'connection to server on socket "/run/pg/.s.PGSQL.5432" failed: '
            'Connection refused',
            'ECONNREFUSED',
        ),
        ('could not connect: Connection timed out', 'ETIMEDOUT'),
        ('connection failed: timeout expired', 'ETIMEDOUT'),
        ('connection failed: No route to host', 'EHOSTUNREACH'),
        ('could not translate: Name or service not known', 'EAI_NONAME'),
        ('Temporary failure in name resolution', 'EAI_AGAIN'),
        ('FATAL:  password authentication failed for user "nova"', '28P01'),
        ('FATAL:  no pg_hba.conf entry for host "::1"', '28000'),
        ('FATAL:  role "nova" does not exist', '28000'),
        ('FATAL:  database "placement" does not exist', '3D000'),
        ('FATAL:  sorry, too many clients already', '53300'),
        ('FATAL:  remaining connection slots are reserved', '53300'),
        ('FATAL:  the database system is starting up', '57P03'),
        ('FATAL:  unsupported startup parameter: options', '08P01'),
        ('SSL error: certificate verify failed', 'CERTIFICATE_VERIFY_FAILED'),
        ('something else', 'Failed'),
    ],
)
def test_a_failed_connection_of_libpq_gets_its_state(said: str, state: str) -> None:
    """It is not in the exception. The line is shown: it quotes the operator's names."""
    line = ' '.join(said.split())
    assert describe_failure(Failed(said), URL) == f'{line} ({state})'


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('pgcode', '57014'),
        ('sqlstate', '57014'),
        ('sqlite_errorname', 'SQLITE_BUSY'),
    ],
)
def test_the_state_that_a_driver_names_is_shown(name: str, value: str) -> None:
    error = Failed('it is late')
    setattr(error, name, value)
    assert describe_failure(error, URL) == f'it is late ({value})'


def test_why_a_file_of_sqlite_cannot_be_opened_is_shown(tmp_path: pathlib.Path) -> None:
    error = Failed('unable to open database file')
    missing = sa.URL.create('sqlite', database=str(tmp_path / 'placement.db'))
    no_file = 'unable to open database file: No such file or directory (Failed)'
    assert describe_failure(error, missing) == no_file
    assert describe_failure(error, sa.make_url('sqlite://')) == no_file
    there = sa.URL.create('sqlite', database=str(tmp_path))
    assert describe_failure(error, there) == (
        'unable to open database file: its directory or the file itself is not '
        'accessible (Failed)'
    )
    assert describe_failure(error) == 'unable to open database file (Failed)'
    assert describe_failure(Failed('is late'), missing) == 'is late (Failed)'


def test_a_line_is_cut_after_300_characters() -> None:
    assert describe_failure(Failed('x' * 300)) == f'{"x" * 300} (Failed)'
    assert describe_failure(Failed('x' * 301)) == f'{"x" * 300}... (Failed)'


def test_a_secret_that_has_another_one_in_it_is_masked_whole() -> None:
    url = URL.set(query={'ssl_key_password': ('sesame-street', 'a-sesame-seed')})
    error = Failed('sesame-street, a-sesame-seed and sesame')
    assert describe_failure(error, url) == f'{MASK}, {MASK} and {MASK} (Failed)'


def test_an_empty_secret_is_not_masked_between_all_characters() -> None:
    url = URL.set(query={'ssl_key_password': ''})
    assert describe_failure(Failed('is late'), url) == 'is late (Failed)'


def test_a_secret_is_masked_as_each_way_of_quoting_writes_it() -> None:
    url = URL.set(password='a b+c/d')
    for text in ('a b+c/d', 'a b+c%2Fd', 'a%20b%2Bc%2Fd'):
        assert describe_failure(Failed(f'bad {text}'), url) == f'bad {MASK} (Failed)'


def test_without_a_password_none_is_masked() -> None:
    error = Failed('None of them')
    url = sa.make_url('mysql+pymysql://nova@db.example.org/placement')
    assert describe_failure(error, url) == 'None of them (Failed)'


@pytest.mark.parametrize(
    'name',
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
    ],
)
def test_a_parameter_that_holds_no_secret_is_shown(name: str) -> None:
    url = URL.set(query={name: 'tulip'})
    assert describe_failure(Failed('of tulip'), url) == 'of tulip (Failed)'


def test_nothing_is_named_without_a_url() -> None:
    error = Failed(1049, "Unknown database 'placement2'")
    assert describe_failure(error) == f"Unknown database '{MASK}' (1049)"


ROWS = st.text('ab\'"`() =\\', min_size=1).map(lambda text: f'sesame{text}tulip')


@given(
    ROWS,
    st.sampled_from(
        (
            "Duplicate entry '{}' for key 'x'",
            'invalid input: "{}"',
            "near '{}' at line 1",
            'Key (uuid)=({}) exists',
            'no such column: `{}`',
        )
    ),
)
def test_quoted_rows_are_never_shown(row: str, text: str) -> None:
    """Whatever quotation marks are in the row; the URL has neither of its words."""
    url = sa.make_url('mysql+pymysql://nova@db.example.org/placement')
    shown = describe_failure(Failed(1, text.format(row)), url)
    assert 'sesame' not in shown
    assert 'tulip' not in shown


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4))
def test_the_password_is_never_shown_as_it_is_or_quoted(password: str) -> None:
    url = URL.set(password=f'X{password}X')
    quoted = url.render_as_string(False).partition(':')[2].partition('@')[0]
    for text in (f'bad X{password}X in it', f'bad {quoted} in it'):
        line = ' '.join(describe_failure(Failed(text), url).split())
        assert f'X{password}X' not in line
        assert quoted not in line


def _name_call(node: ast.AST) -> str:
    """Of a call: ``LOG.error``, or the name of a function or method; else ''."""
    if not isinstance(node, ast.Call):
        return ''
    text = ast.unparse(node.func)
    return text if text.startswith('LOG.') else text.rpartition('.')[2]


def _list_logging_handlers() -> list[str]:
    """Where a line of WARNING or above is logged inside an ``except`` clause.

    Also by a function of the same module that the clause calls.
    """
    found = []
    root = pathlib.Path(consumer_guard.__file__).parent
    for path in root.rglob('*.py'):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        calls = {
            node.name: {_name_call(each) for each in ast.walk(node)}
            for node in nodes
            if isinstance(node, ast.FunctionDef)
        }
        loud = {'LOG.warning', 'LOG.error', 'LOG.critical'}
        while more := {name for name in calls if calls[name] & loud} - loud:
            loud |= more
        found += [
            f'{path.relative_to(root)}:{node.lineno}'
            for handler in nodes
            if isinstance(handler, ast.ExceptHandler)
            for node in ast.walk(handler)
            if isinstance(node, ast.Call) and _name_call(node) in loud
        ]
    return found


def test_no_warning_is_logged_while_an_exception_is_handled() -> None:
    """oslo.log adds the text of that exception to the line, whatever is in it."""
    assert _list_logging_handlers() == []
