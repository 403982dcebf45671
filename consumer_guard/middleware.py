# SPDX-License-Identifier: Apache-2.0
"""The paste filter; see :mod:`consumer_guard.guard.wsgi` for what it does."""

from collections.abc import Callable, Mapping
from typing import Any

from consumer_guard import assembly
from consumer_guard.config import loading, startup
from consumer_guard.guard.responses import Application
from consumer_guard.guard.wsgi import ConsumerGuard


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
    configuration = loading.load(conf, local_conf)
    settings = configuration.settings
    with configuration.naming_places():
        metrics = assembly.make_metrics(settings)
        lookup = assembly.make_lookup(settings)
    startup.announce(configuration)
    rules = assembly.watch_rule_files(conf, settings, metrics)
    candidate = assembly.watch_candidate(conf, settings)
    versions = assembly.find_versions()

    def make(application: Application) -> ConsumerGuard:
        with configuration.naming_places():
            return assembly.make_guard(
                application,
                settings=settings,
                rules=rules,
                lookup=lookup,
                versions=versions,
                metrics=metrics,
                candidate=candidate,
            )

    return make
