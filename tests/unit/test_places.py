# SPDX-License-Identifier: Apache-2.0
"""Where options are set, as oslo.config has it, and what is said of mistakes."""

import pathlib

import pytest
from oslo_config import cfg

from consumer_guard.config import loading, places
from consumer_guard.config.options import GROUP
from consumer_guard.guard.errors import ConfigurationError

VARIABLE = 'OS_CONSUMER_GUARD__LOOKUP_POOL_SIZE'


class Folder:
    """A configuration file, and a directory of more."""

    def __init__(self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = path / '.consumer-guard'
        self.main = self.directory / 'consumer-guard.conf'
        self.more = self.directory / 'consumer-guard.conf.d'
        self.more.mkdir(parents=True)
        monkeypatch.setenv('HOME', str(path))

    def parse(self) -> cfg.ConfigOpts:
        """As a guard without a file of its own does."""
        return loading.parse_files({})


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


def _write(path: pathlib.Path, *values: int, section: str = GROUP) -> None:
    lines = [f'lookup_pool_size = {value}' for value in values]
    path.write_text('\n'.join([f'[{section}]', *lines, '']))


def _find(conf: cfg.ConfigOpts) -> tuple[str, int] | None:
    """The place of the option, and the value that is in force."""
    place = places.find_place(conf, 'lookup_pool_size', GROUP)
    if place is None:
        return None
    assert place.text == str(conf[GROUP].lookup_pool_size)
    return place.name, conf[GROUP].lookup_pool_size


def test_an_option_that_nobody_sets_has_no_place(folder: Folder) -> None:
    folder.main.write_text('[consumer_guard]\nenforcement = shadow\n')
    assert _find(folder.parse()) is None


def test_the_last_value_of_a_file_is_in_force(folder: Folder) -> None:
    _write(folder.main, 6, 7)
    assert _find(folder.parse()) == (str(folder.main), 7)


def test_the_last_file_of_the_directory_that_sets_the_option_is_named(
    folder: Folder,
) -> None:
    """The last one that has the section sets another option."""
    _write(folder.main, 6)
    _write(folder.more / '10.conf', 7)
    _write(folder.more / '20.conf', 8)
    (folder.more / '30.conf').write_text('[consumer_guard]\nenforcement = shadow\n')
    assert _find(folder.parse()) == (str(folder.more / '20.conf'), 8)


def test_a_section_in_capitals_counts(folder: Folder) -> None:
    _write(folder.main, 6, section='Consumer_Guard')
    assert _find(folder.parse()) == (str(folder.main), 6)


def test_the_environment_wins_over_files(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(folder.main, 6)
    monkeypatch.setenv(VARIABLE, '9')
    assert _find(folder.parse()) == (f'the environment variable {VARIABLE}', 9)


def test_a_place_keeps_its_text_out_of_its_representation() -> None:
    assert 'sesame' not in repr(places.Place('a file', 'sesame'))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            '[consumer_guard]\nconnection = x\nsesame\n',
            "line 3, after option 'connection'",
        ),
        ('[consumer_guard]\n  sesame\n', 'line 2: Unexpected continuation line'),
        ('sesame = x\n', 'line 1: Section must be started'),
        ('[consumer_guard\nsesame', 'line 1: Invalid section'),
        ('[consumer_guard]\nconnection = x\n= sesame\n', 'line 3'),
    ],
)
def test_a_line_that_cannot_be_parsed_is_named_by_its_number(
    folder: Folder, text: str, message: str
) -> None:
    folder.main.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        folder.parse()
    assert str(folder.main) in str(caught.value)
    assert 'sesame' not in str(caught.value)


@pytest.mark.parametrize(
    ('section', 'shown'),
    [
        ({'known': ['x']}, None),
        ({'fail_open': ['0']}, "the key 'fail_open'"),
        ({'known': ['x'], 'fail_open': ['0']}, "the key 'fail_open'"),
        ({'known': ['x'], 'sesame': ['y@host/db']}, "a line after 'known' (not shown"),
        ({'ses&ame': ['x']}, 'a line (not shown'),
    ],
)
def test_an_unknown_key_is_shown_unless_it_may_be_the_rest_of_a_secret(
    section: dict[str, list[str]], shown: str | None
) -> None:
    unknown = places.find_unknown(section, {'known'})
    assert (unknown or '').startswith(shown or '')
    assert (unknown is None) is (shown is None)


def test_an_unknown_key_with_a_colon_is_not_shown() -> None:
    """It may be the rest of a URL, which goes on in a line of its own."""
    text = '[consumer_guard]\nknown = scheme://user:ses\name:x\n'
    unknown = places.find_unknown({'known': ['x'], 'ame': ['x']}, {'known'}, text)
    assert unknown == "a line after 'known' (not shown; write each value on one line)"
