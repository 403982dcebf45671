# SPDX-License-Identifier: Apache-2.0
"""Settings that contradict themselves, and secrets in them."""

from typing import Any

import pytest

from consumer_guard.config.options import OPTS
from consumer_guard.config.settings import Settings
from consumer_guard.guard.errors import ConfigurationError

URL = 'mysql+pymysql://user:sesame@host/placement'


def make_settings(**options: Any) -> Settings:
    """The defaults, with these options."""
    defaults = {option.dest: option.default for option in OPTS}
    return Settings(**{**defaults, 'connection': URL, **options})


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'passage_role': 'a,b'}, 'passage_role'),
        ({'passage_role': 'Admin'}, 'passage_role'),
        ({'passage_role': 'service'}, 'passage_role'),
        ({'passage_role': 'reader'}, 'passage_role'),
        ({'passage_role': 'two words'}, 'passage_role'),
        ({'passage_role': 'pässage'}, 'passage_role'),
        ({'generation_limit': 2**31}, 'generation_limit'),
        ({'generation_reserve': 50_000_000}, 'generation_reserve'),
        ({'generation_alarm': 200_000_000}, 'generation_alarm'),
        ({'generation_roll_to': 2_100_000_000}, 'generation_roll_to'),
        ({'generation_roll_to': -(2**31) - 1}, 'generation_roll_to'),
        ({'connection': None}, 'connection'),
        ({'connection': ''}, 'connection'),
    ],
)
def test_a_contradiction_is_an_error_that_names_the_option(
    options: dict[str, Any], named: str
) -> None:
    """Y20, F02"""
    with pytest.raises(ConfigurationError, match=named):
        make_settings(**options)


def test_an_empty_passage_role_is_accepted() -> None:
    assert make_settings(passage_role='').passage_role == ''


def test_a_driver_of_its_own_needs_no_connection() -> None:
    settings = make_settings(owner_lookup='other', connection=None)
    assert settings.connection is None


def test_secrets_are_not_in_the_representation() -> None:
    settings = make_settings(audit_key='abracadabra')
    assert 'sesame' not in repr(settings)
    assert 'abracadabra' not in repr(settings)


def test_modes_are_named_by_their_options() -> None:
    plain = make_settings()
    assert (plain.shadow, plain.conceal) == (False, False)
    other = make_settings(enforcement='shadow', denial='conceal')
    assert (other.shadow, other.conceal) == (True, True)
