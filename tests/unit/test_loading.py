# SPDX-License-Identifier: Apache-2.0
"""Where options are read from, and every way to get them wrong."""

import pathlib

import pytest

from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.guard.errors import ConfigurationError

URL = 'sqlite:////nowhere.db'


@pytest.fixture(autouse=True)
def placement_conf(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """A placement that is configured elsewhere."""
    folder = tmp_path / 'placement'
    folder.mkdir()
    path = folder / 'placement.conf'
    path.write_text(f'[placement_database]\nconnection = {URL}\n')
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(folder))
    return path


def _load(**local_conf: str) -> Settings:
    return loading.load(loading.parse_files(local_conf), local_conf).settings


def _write(tmp_path: pathlib.Path, text: str) -> str:
    path = tmp_path / 'consumer-guard.conf'
    path.write_text(text)
    return str(path)


def test_without_options_the_defaults_are_those_documented() -> None:
    settings = _load()
    assert settings == Settings(
        enforcement='enforce',
        denial='forbid',
        owner_lookup='database',
        lookup_timeout=2.0,
        lookup_pool_size=5,
        connection=URL,
        auth_strategy='keystone',
        passage_role='consumer_guard_passage',
        incomplete_consumer_project_id='00000000-0000-0000-0000-000000000000',
        incomplete_consumer_user_id='00000000-0000-0000-0000-000000000000',
        max_body_size=2 * 2**20,
        hide_provider_generation=True,
        max_filtered_lists=4,
        policy_poll_interval=1.0,
        generation_limit=2147483647,
        generation_warning=100000000,
        generation_alarm=40000000,
        generation_reserve=3000000,
        generation_strategy='refuse',
        generation_roll_to=-2147483648,
        audit='denied',
    )


def test_placements_own_configuration_fills_in(placement_conf: pathlib.Path) -> None:
    placement_conf.write_text(
        '[placement_database]\n'
        'connection = mysql+pymysql://u:p@h/placement?charset=utf8\n'
        'connection_parameters = ssl_ca=/ca.pem\n'
        '[placement]\n'
        'incomplete_consumer_project_id = nobody\n'
        'incomplete_consumer_user_id = none\n'
    )
    settings = _load()
    assert settings.connection == (
        'mysql+pymysql://u:p@h/placement?charset=utf8&ssl_ca=/ca.pem'
    )
    assert settings.incomplete_consumer_project_id == 'nobody'
    assert settings.incomplete_consumer_user_id == 'none'


def test_placements_groups_in_the_same_file_come_first(tmp_path: pathlib.Path) -> None:
    path = _write(tmp_path, '[placement_database]\nconnection = sqlite:////same.db\n')
    assert _load(oslo_config_file=path).connection == 'sqlite:////same.db'


def test_the_group_wins_over_placement_and_paste_over_the_group(
    tmp_path: pathlib.Path,
) -> None:
    path = _write(
        tmp_path,
        '[consumer_guard]\nconnection = sqlite:////own.db\nlookup_timeout = 7\n',
    )
    settings = _load(oslo_config_file=path, lookup_timeout='3')
    assert settings.connection == 'sqlite:////own.db'
    assert settings.lookup_timeout == 3.0


def test_options_of_one_guard_do_not_change_another() -> None:
    first = _load(denial='conceal')
    assert (first.denial, _load().denial) == ('conceal', 'forbid')


@pytest.mark.parametrize(
    ('local_conf', 'named'),
    [
        ({'fail_open': '0'}, 'fail_open'),
        ({'enabled': 'false'}, 'enabled'),
        ({'audit_only': 'False'}, 'audit_only'),
        ({'policy_file': 'x'}, 'policy_file'),
        ({'enforcement': 'off'}, 'enforcement'),
        ({'enforcement': 'False'}, 'enforcement'),
        ({'denial': 'hide'}, 'denial'),
        ({'lookup_timeout': 'soon'}, 'lookup_timeout'),
        ({'lookup_timeout': '0'}, 'lookup_timeout'),
        ({'lookup_pool_size': '0'}, 'lookup_pool_size'),
        ({'max_body_size': '-1'}, 'max_body_size'),
        ({'audit': 'some'}, 'audit'),
        ({'auth_strategy': 'noauth'}, 'auth_strategy'),
        ({'passage_role': 'reader'}, 'passage_role'),
        ({'generation_strategy': 'ignore'}, 'generation_strategy'),
    ],
)
def test_a_bad_option_in_the_paste_section_is_an_error_that_names_it(
    local_conf: dict[str, str], named: str
) -> None:
    """Y20"""
    with pytest.raises(ConfigurationError, match=named):
        _load(**local_conf)


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('[consumer_guard]\nenforcment = shadow\n', 'enforcment'),
        ('[consumer_guard]\nenforcement = maybe\n', 'enforcement'),
        ('[consumer_guard]\nlookup_pool_size = many\n', 'lookup_pool_size'),
        ('[consumer_guard\n', 'consumer-guard.conf'),
        ('no section\n', 'consumer-guard.conf'),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(
    tmp_path: pathlib.Path, text: str, named: str
) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=named) as caught:
        _load(oslo_config_file=path)
    assert path in str(caught.value)


def test_a_misspelt_option_in_a_directory_is_an_error_that_names_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / '.consumer-guard' / 'consumer-guard.conf.d'
    folder.mkdir(parents=True)
    (folder / 'more.conf').write_text('[consumer_guard]\nenforcment = shadow\n')
    (folder.parent / 'consumer-guard.conf').touch()
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(ConfigurationError, match=r'more\.conf.*enforcment'):
        _load()


def test_a_missing_file_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigurationError, match=r'/nowhere/guard\.conf'):
        _load(oslo_config_file='/nowhere/guard.conf')


def test_no_database_at_all_is_an_error(placement_conf: pathlib.Path) -> None:
    """F02"""
    placement_conf.write_text('')
    with pytest.raises(ConfigurationError, match='connection'):
        _load()


def test_the_environment_wins_over_a_file_and_paste_over_the_environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, '[consumer_guard]\ndenial = forbid\naudit = all\n')
    monkeypatch.setenv('OS_CONSUMER_GUARD__DENIAL', 'conceal')
    monkeypatch.setenv('OS_CONSUMER_GUARD__AUDIT', 'none')
    settings = _load(oslo_config_file=path, audit='denied')
    assert (settings.denial, settings.audit) == ('conceal', 'denied')


def test_placements_connection_in_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As placement itself does."""
    monkeypatch.setenv('OS_PLACEMENT_DATABASE__CONNECTION', 'sqlite:////variable.db')
    assert _load().connection == 'sqlite:////variable.db'


@pytest.mark.parametrize('name', ['ENFORCMENT', 'enforcement', 'FAIL_OPEN', ''])
def test_a_misspelt_variable_of_the_environment_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Y26"""
    monkeypatch.setenv(f'OS_CONSUMER_GUARD__{name}', 'shadow')
    with pytest.raises(ConfigurationError, match=f'OS_CONSUMER_GUARD__{name} '):
        _load()


def test_a_bad_value_is_an_error_that_names_the_variable_and_not_the_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, '[consumer_guard]\nlookup_pool_size = 4\n')
    monkeypatch.setenv('OS_CONSUMER_GUARD__LOOKUP_POOL_SIZE', 'many')
    with pytest.raises(ConfigurationError) as caught:
        _load(oslo_config_file=path)
    assert str(caught.value) == (
        "option 'lookup_pool_size' of [consumer_guard] in the environment variable "
        'OS_CONSUMER_GUARD__LOOKUP_POOL_SIZE: invalid literal for int() with base 10: '
        "'many'"
    )


def test_a_contradiction_is_an_error_that_names_the_place_of_each_option(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, '[consumer_guard]\ngeneration_alarm = 5000\n')
    monkeypatch.setenv('OS_CONSUMER_GUARD__GENERATION_WARNING', '4000')
    with pytest.raises(ConfigurationError) as caught:
        _load(oslo_config_file=path, generation_reserve='3000')
    message = str(caught.value)
    assert f'generation_alarm is set in {path}' in message
    assert 'generation_reserve is set in the paste section' in message
    assert 'generation_warning is set in the environment variable OS_' in message


def test_an_error_about_a_default_names_no_place() -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(generation_limit='100')
    assert 'generation_limit is set in the paste section' in str(caught.value)
    assert 'generation_roll_to is set' not in str(caught.value)


def test_a_value_on_several_lines_is_an_error(tmp_path: pathlib.Path) -> None:
    path = _write(tmp_path, '[consumer_guard]\nstatsd_prefix = a\n  b\n')
    with pytest.raises(ConfigurationError, match=r"'statsd_prefix' .* on one line"):
        _load(oslo_config_file=path)


def test_a_connection_in_the_file_needs_no_configuration_of_placement(
    tmp_path: pathlib.Path, placement_conf: pathlib.Path
) -> None:
    """Where the ids of nobody are set as well."""
    placement_conf.write_text('broken')
    path = _write(
        tmp_path,
        '[consumer_guard]\nconnection = sqlite:////own.db\n'
        '[placement]\nincomplete_consumer_project_id = nobody\n'
        'incomplete_consumer_user_id = none\n',
    )
    assert _load(oslo_config_file=path).connection == 'sqlite:////own.db'
