# SPDX-License-Identifier: Apache-2.0
"""The enforcer for oslo.policy's command line tools."""

from oslo_config import cfg
from oslo_policy import opts, policy

from consumer_guard.rules import defaults


def get_enforcer() -> policy.Enforcer:
    """Entry point ``oslo.policy.enforcer``.

    The tools parse their options into ``cfg.CONF`` and read them back, so
    this is the one place where the global object is the right one.
    """
    # The default is policy.json in oslo.policy before 4.5.
    opts.set_defaults(cfg.CONF, policy_file='policy.yaml')
    enforcer = policy.Enforcer(cfg.CONF)
    enforcer.register_defaults(defaults.list_rules())
    return enforcer
