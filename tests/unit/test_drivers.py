# SPDX-License-Identifier: Apache-2.0
"""Drivers by their names, and starts that fail without a word of the secret."""

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import stevedore

from consumer_guard.guard import errors
from consumer_guard.guard.model import OwnerStatus
from consumer_guard.owners import api
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.database import DatabaseOwners
from consumer_guard.owners.drivers import load_driver
from tests.rows import NOBODY, Tables

SECRET = 'Wonderful-17'
C1 = 'c1c1c1c1-0000-4000-8000-00000000000a'


def settings(url: str) -> OwnerLookupSettings:
    return OwnerLookupSettings(url, 2.0, 2, NOBODY, NOBODY)


def test_the_driver_of_that_name_is_made_with_the_settings(
    tmp_path: Path, make_sqlite: Callable[[Path], str]
) -> None:
    url = make_sqlite(tmp_path / 'placement.db')
    Tables(url).consume(C1)
    lookup = load_driver('database', settings(url))
    assert isinstance(lookup, DatabaseOwners)
    assert lookup.find([C1])[C1].status is OwnerStatus.RECORDED
    lookup.close()


def test_an_unknown_name_stops_the_start_and_the_known_ones_are_named() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        load_driver('datebase', settings('sqlite://'))
    assert "owner_lookup: unknown driver 'datebase'" in str(caught.value)
    assert str(caught.value).endswith('installed are: database')


def test_the_author_of_a_driver_gets_every_name_of_the_api() -> None:
    names = {name for name in vars(api) if name[0].isupper()}
    assert set(api.__all__) == names


BAD_URLS = [
    '',
    SECRET,
    f'//user:{SECRET}@host/placement',
    f'postgresql://user:{SECRET}@host:port/placement',
    f'nosuchdb://user:{SECRET}@host/placement',
    f'postgresql+nosuch://user:{SECRET}@host/placement',
    f'oracle://user:{SECRET}@host/placement',
    f'postgresql+pg8000://user:{SECRET}@host/placement',
    f'mysql+mysqldb://user:{SECRET}@host/placement',
    f'sqlite://user:{SECRET}@host/placement',
]


@pytest.mark.parametrize('url', BAD_URLS, ids=lambda url: url.replace(SECRET, '*'))
def test_a_bad_url_stops_the_start_and_stays_secret(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for missing in ('MySQLdb', 'oracledb', 'cx_Oracle', 'pg8000'):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(errors.ConfigurationError) as caught:
        load_driver('database', settings(url))
    assert '[consumer_guard] connection' in str(caught.value)
    whole = ''.join(traceback.format_exception(caught.value)) + caplog.text
    assert SECRET not in whole


def test_what_another_driver_raises_stays_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / 'consumer_guard_odd-1.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: odd\nVersion: 1\n')
    (info / 'entry_points.txt').write_text(
        '[consumer_guard.owner_lookup]\nodd = consumer_guard_odd:make\n'
    )
    (tmp_path / 'consumer_guard_odd.py').write_text(
        'def make(settings):\n    raise ValueError(settings.connection)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(stevedore.ExtensionManager, 'ENTRY_POINT_CACHE', {})
    with pytest.raises(errors.ConfigurationError) as caught:
        load_driver('odd', settings(SECRET))
    assert str(caught.value).endswith('(ValueError)')
    assert SECRET not in ''.join(traceback.format_exception(caught.value))
