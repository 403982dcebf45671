# SPDX-License-Identifier: Apache-2.0
"""The paste filter; see :mod:`consumer_guard.guard.wsgi` for what it does."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from consumer_guard import assembly
from consumer_guard.config import loading
from consumer_guard.guard.responses import Application
from consumer_guard.guard.wsgi import ConsumerGuard

LOG = logging.getLogger(__name__)


def filter_factory(
    global_conf: Mapping[str, Any] | None, **local_conf: str
) -> Callable[[Application], ConsumerGuard]:
    """Make the filter that paste asks for; also a plain Python wrapper.

    :param global_conf: paste's ``[DEFAULT]``; not looked at
    :param local_conf: where the configuration is, and options of the group
        ``[consumer_guard]`` that win over it
    :raises consumer_guard.guard.errors.ConfigurationError: naming what and where
    """
    conf = loading.parse_files(local_conf)
    settings = loading.load_settings(conf, local_conf)
    metrics = assembly.make_metrics(settings)
    lookup = assembly.make_lookup(settings)
    rules = assembly.watch_rule_files(conf, settings, metrics)
    if settings.auth_strategy == 'noauth2':
        LOG.warning(
            'auth_strategy = noauth2: identity headers are believed without proof; '
            'for development only'
        )
    versions = assembly.find_versions()

    def make(application: Application) -> ConsumerGuard:
        return assembly.make_guard(
            application,
            settings=settings,
            rules=rules,
            lookup=lookup,
            versions=versions,
            metrics=metrics,
        )

    return make
