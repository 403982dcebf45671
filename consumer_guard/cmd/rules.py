# SPDX-License-Identifier: Apache-2.0
"""The live rules, for commands."""

from oslo_config import cfg

from consumer_guard import assembly
from consumer_guard.cmd.database import CommandFailed
from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.guard.errors import PolicyLocked
from consumer_guard.rules.rulebook import Rulebook


def read_configuration(config_file: str | None) -> tuple[cfg.ConfigOpts, Settings]:
    """The configuration of a guard that reads this file.

    :raises consumer_guard.guard.errors.ConfigurationError: it cannot be used
    """
    local_conf = {} if config_file is None else {'oslo_config_file': config_file}
    conf = loading.parse_files(local_conf)
    return conf, loading.load_settings(conf, local_conf)


def read_rules(conf: cfg.ConfigOpts, settings: Settings) -> Rulebook:
    """The rules that a worker would start with now.

    :raises CommandFailed: the policy files cannot be used; names the file
    """
    files = assembly.watch_rule_files(conf, settings)
    try:
        return files.current()
    except PolicyLocked:
        # What YAML says of a mistake has several lines.
        problem = ' '.join((files.problem or '').split())
        raise CommandFailed(f'policy files: {problem}') from None
