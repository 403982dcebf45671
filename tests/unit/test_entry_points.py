# SPDX-License-Identifier: Apache-2.0
"""The names in the contract exist and are what they say."""

import importlib.metadata

import pytest
from oslo_config import cfg
from oslo_policy import policy

EXPECTED = {
    ('console_scripts', 'consumer-guard'): 'consumer_guard.cmd.entry:run_commands',
    (
        'console_scripts',
        'consumer-guard-status',
    ): 'consumer_guard.cmd.entry:run_status',
    ('consumer_guard.commands', 'doctor'): 'consumer_guard.cmd.doctor:Doctor',
    (
        'oslo.middleware.healthcheck',
        'consumer_guard',
    ): 'consumer_guard.healthcheck:GuardHealthcheck',
    ('consumer_guard.commands', 'matrix'): 'consumer_guard.cmd.matrix:ShowMatrix',
    (
        'consumer_guard.matrix_formatter',
        'csv',
    ): 'cliff.formatters.commaseparated:CSVLister',
    (
        'consumer_guard.matrix_formatter',
        'json',
    ): 'cliff.formatters.json_format:JSONFormatter',
    (
        'consumer_guard.matrix_formatter',
        'markdown',
    ): 'consumer_guard.cmd.markdown:MarkdownFormatter',
    (
        'consumer_guard.matrix_formatter',
        'table',
    ): 'cliff.formatters.table:TableFormatter',
    (
        'consumer_guard.matrix_formatter',
        'value',
    ): 'cliff.formatters.value:ValueFormatter',
    (
        'consumer_guard.matrix_formatter',
        'yaml',
    ): 'cliff.formatters.yaml_format:YAMLFormatter',
    (
        'consumer_guard.commands',
        'policy_check',
    ): 'consumer_guard.cmd.policy:CheckPolicy',
    (
        'consumer_guard.commands',
        'policy_diff',
    ): 'consumer_guard.cmd.policy_diff:DiffPolicy',
    (
        'consumer_guard.commands',
        'policy_suggest',
    ): 'consumer_guard.cmd.policy_suggest:SuggestPolicy',
    ('consumer_guard.commands', 'can-i'): 'consumer_guard.cmd.can_i:CanI',
    (
        'consumer_guard.commands',
        'generation_list',
    ): 'consumer_guard.cmd.generation:ListGenerations',
    (
        'consumer_guard.commands',
        'generation_roll',
    ): 'consumer_guard.cmd.roll:RollGenerations',
    ('paste.filter_factory', 'main'): 'consumer_guard.middleware:filter_factory',
    ('paste.filter_factory', 'authtoken'): 'consumer_guard.backend:authtoken_factory',
    ('paste.filter_factory', 'noauth'): 'consumer_guard.backend:noauth_factory',
    (
        'paste.filter_factory',
        'request_log',
    ): 'consumer_guard.backend:request_log_factory',
    (
        'paste.filter_factory',
        'http_proxy_to_wsgi',
    ): 'consumer_guard.backend:http_proxy_to_wsgi_factory',
    ('paste.app_factory', 'placement'): 'consumer_guard.backend:app_factory',
    (
        'consumer_guard.owner_lookup',
        'database',
    ): 'consumer_guard.owners.database:DatabaseOwners',
    ('oslo.config.opts', 'consumer-guard'): 'consumer_guard.config.options:list_opts',
    (
        'oslo.policy.policies',
        'consumer-guard',
    ): 'consumer_guard.rules.defaults:list_rules',
    (
        'oslo.policy.enforcer',
        'consumer-guard',
    ): 'consumer_guard.cmd.enforcer:get_enforcer',
}


def _entry_points() -> dict[tuple[str, str], importlib.metadata.EntryPoint]:
    distribution = importlib.metadata.distribution('consumer-guard')
    return {(entry.group, entry.name): entry for entry in distribution.entry_points}


def test_the_package_has_exactly_the_expected_entry_points() -> None:
    assert {key: entry.value for key, entry in _entry_points().items()} == EXPECTED


@pytest.mark.parametrize('key', sorted(EXPECTED))
def test_each_entry_point_loads_something_callable(key: tuple[str, str]) -> None:
    assert callable(_entry_points()[key].load())


def test_the_tools_get_an_enforcer_with_our_rules() -> None:
    # As the tools do, before they ask for it.
    cfg.CONF([], default_config_files=[], default_config_dirs=[])
    enforcer = _entry_points()['oslo.policy.enforcer', 'consumer-guard'].load()()
    assert isinstance(enforcer, policy.Enforcer)
    assert 'consumer_guard:allocations:list' in enforcer.registered_rules
