# SPDX-License-Identifier: Apache-2.0
"""A configuration as a service has it: parsed, here of nothing."""

from oslo_config import cfg


def parse_nothing() -> cfg.ConfigOpts:
    """Every option at its default; oslo.policy before 6 asks for a parsed one."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    return conf
