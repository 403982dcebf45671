# SPDX-License-Identifier: Apache-2.0
"""No start prints a password, wherever it is written and whatever is in it.

A password is quoted by the errors of parsers below: oslo.config's, PasteDeploy's,
SQLAlchemy's. The start either goes on, or ends with a message that names the file
and the option, or the line.
"""

import importlib
import io
import logging
import pathlib
import re
import sys
import tempfile
import traceback
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer_guard import middleware
from consumer_guard.guard.errors import ConfigurationError

SECRET = 'sesame'
CHARACTERS = (
    '%',
    '%%',
    '%40',
    '%(',
    '$',
    '${',
    '$$',
    '@',
    ':',
    '/',
    '?',
    '#',
    '&',
    ' ',
)
BREAKS = ('\n', '\n  ', '\n\t', '\n\n')
PARTS = st.sampled_from(('', 'x', *CHARACTERS, *BREAKS))
PASSWORDS = st.tuples(PARTS, PARTS, PARTS).map(
    lambda parts: f'{parts[0]}{SECRET}{parts[1]}x{parts[2]}'
)
URLS = st.sampled_from(
    (
        'mysql+pymysql://user:{}@host/placement',
        'mysql+pymysql://user:{}@host:3306/placement?charset=utf8',
        'mysql+pymysql://user@host/placement?password={}',
        'postgresql+psycopg2://user@/placement?host=/run&password={}&sslmode=require',
        'mysql+pymysql://user:p@host:{}/placement',
        '{}',
    )
)

PASTE = f"""
[pipeline:main]
pipeline = consumer_guard app
[app:app]
paste.app_factory = {__name__}:make_application
[filter:consumer_guard]
use = egg:consumer-guard
"""


def make_application(_global_conf: object, **_local_conf: str) -> object:
    """Nothing to guard."""
    return lambda _environ, _start_response: []


class Host:
    """A host's configuration: placement's, the guard's, a paste file."""

    def __init__(self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.monkeypatch = monkeypatch
        self.guard = path / 'guard.conf'
        self.placement = path / 'placement.conf'
        self.paste = path / 'paste.ini'
        self.guard.write_text('')
        self.placement.write_text('[placement_database]\nconnection = sqlite://\n')
        monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(path))
        monkeypatch.setenv('CONSUMER_GUARD_PASTE_CONFIG', str(self.paste))

    def write(self, place: str, url: str) -> None:
        """Set the connection."""
        line = f'connection = {url}\n'
        if place == 'guard':
            self.guard.write_text(f'[consumer_guard]\n{line}')
        elif place == 'shared':
            self.guard.write_text(f'[placement_database]\n{line}')
        elif place == 'placement':
            self.placement.write_text(f'[placement_database]\n{line}')
        elif place == 'parameters':
            self.placement.write_text(
                '[placement_database]\nconnection = mysql+pymysql://user@host/db\n'
                f'connection_parameters = password={url}\n'
            )
        elif place == 'environment':
            self.monkeypatch.setenv('OS_CONSUMER_GUARD__CONNECTION', url)

    def start(self, place: str, url: str) -> None:
        """As a worker does, with a paste file or without."""
        self.write(place, url)
        if place != 'paste':
            middleware.filter_factory({}, oslo_config_file=str(self.guard))
            return
        self.paste.write_text(f'{PASTE}connection = {url}\n')
        sys.modules.pop('consumer_guard.wsgi.api', None)
        importlib.import_module('consumer_guard.wsgi.api')


PLACES = ('guard', 'shared', 'placement', 'parameters', 'environment', 'paste')


class Run(NamedTuple):
    """What a start printed.

    :ivar error: with its traceback; '' when the guard started
    """

    error: str
    log: str


def _start(place: str, url: str) -> Run:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger('consumer_guard')
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            pytest.MonkeyPatch.context() as patch,
        ):
            Host(pathlib.Path(folder), patch).start(place, url)
    except ConfigurationError:
        return Run(traceback.format_exc(), stream.getvalue())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return Run('', stream.getvalue())


@pytest.mark.parametrize('place', PLACES)
@settings(deadline=None)
@given(url=URLS, password=PASSWORDS)
def test_no_start_prints_a_password(place: str, url: str, password: str) -> None:
    """Y27"""
    run = _start(place, url.format(password))
    assert SECRET not in run.error
    assert SECRET not in run.log


@pytest.mark.parametrize('place', sorted({*PLACES} - {'parameters'}))
def test_a_password_that_is_quoted_as_the_messages_say_is_accepted(place: str) -> None:
    password = quote('%$@:/?#&', safe='') + SECRET
    if place == 'paste':
        password = password.replace('%', '%%')
    run = _start(place, f'mysql+pymysql://user:{password}@host/placement')
    assert run.error == ''
    assert 'look-up target mysql+pymysql://host/' in run.log


@pytest.mark.parametrize(
    ('place', 'value', 'named'),
    [
        ('guard', 'a$sesame', r"'connection' of \[consumer_guard\] in \S+/guard.conf"),
        ('shared', 'a$sesame', r'\[placement_database\] in \S+/guard.conf'),
        ('placement', 'a$sesame', r'\[placement_database\] in \S+/placement.conf'),
        ('parameters', 'a$sesame', "'connection_parameters' of"),
        ('environment', 'a$sesame', 'variable OS_CONSUMER_GUARD__CONNECTION'),
        ('paste', 'a$sesame', "'connection' of .* the paste section"),
        ('paste', 'a%sesame', r"paste.ini: option 'connection' of \[filter:consumer_"),
        ('guard', 'x://u:\n sesame@h/', r"'connection' of \S+ in \S+: .* on one line"),
        (
            'guard',
            'x://u:\nsesame@h/',
            r"guard.conf: line 3, after option 'connection'",
        ),
        ('guard', 'x://u:\nsesame:y@h/', "guard.conf: .* a line after 'connection'"),
        ('guard', 'x://u:\n\nsesame:y\n\n@h/', r'guard.conf: line 6: No'),
        (
            'placement',
            'mysql+pymysql://u:@sesame\n\nx@h:1/',
            r'it names no database; write it on one line \(connection is set in ',
        ),
        (
            'shared',
            'mariadb+pymysql://u:@sesame\n\nx@h:1/',
            r'it names no database; write it on one line \(connection is set in ',
        ),
        ('paste', 'x://u:\nsesame@h/', 'paste.ini: line 9'),
        (
            'paste',
            'x://u@h/?password=\nsesame:',
            "a line after 'connection' \\(not shown",
        ),
        ('guard', 'x://h/\nenforcment = shadow', "has the key 'enforcment'"),
        ('paste', 'x://h/\nenforcment = shadow', "has the key 'enforcment'"),
        ('guard', 'x://h/\ndenial = conceal\nnothing = 1', "has the key 'nothing'"),
        ('guard', 'mysql+pymysql://u@h/?read_timeout=x', 'is set in .*guard.conf'),
        ('guard', 'sesame', 'connection .* is set in .*guard.conf'),
    ],
)
def test_the_message_names_the_place(place: str, value: str, named: str) -> None:
    last = _start(place, value).error.strip().splitlines()[-1]
    assert last.startswith('consumer_guard.guard.errors.ConfigurationError: ')
    assert re.search(named, last), last
