# SPDX-License-Identifier: Apache-2.0
"""Makes the parts of a guard out of its settings."""

import functools
import importlib
from collections.abc import Sequence

from oslo_config import cfg

from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.generations.store import GenerationStore
from consumer_guard.generations.watch import GenerationWatch
from consumer_guard.guard import model
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.guard.groups import OwnerGroups
from consumer_guard.guard.request import KNOWN_MICROVERSIONS
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.drivers import load_driver
from consumer_guard.rules.reloading import ReloadedRules
from consumer_guard.rules.remote import EnforcerCaller
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry import metrics
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.recorder import Recorder


def make_lookup(settings: Settings) -> model.OwnerLookup:
    """The driver that ``owner_lookup`` names; it opens no connection yet.

    :raises ConfigurationError: there is none, or it cannot use ``connection``
    """
    return load_driver(
        settings.owner_lookup,
        OwnerLookupSettings(
            connection=settings.connection or '',
            timeout=settings.lookup_timeout,
            pool_size=settings.lookup_pool_size,
            nobodys_project_id=settings.incomplete_consumer_project_id,
            nobodys_user_id=settings.incomplete_consumer_user_id,
        ),
    )


def make_metrics(settings: Settings) -> metrics.Metrics:
    """Where figures go.

    :raises ConfigurationError: the package that sends them is missing
    """
    return metrics.connect(
        settings.statsd_host, settings.statsd_port, settings.statsd_prefix
    )


def measure(lookup: model.OwnerLookup, told: metrics.Metrics) -> model.OwnerLookup:
    """The look-up with its time told, where anybody listens."""
    if told is metrics.NONE:
        return lookup
    if isinstance(lookup, OwnerGroups):
        return metrics.MeasuredGroups(lookup, told)
    return metrics.MeasuredLookup(lookup, told)


def make_recorder(
    settings: Settings, lookup: model.OwnerLookup, told: metrics.Metrics
) -> Recorder:
    """What writes the records and counts."""
    return Recorder(
        settings.audit,
        settings.enforcement,
        Journal(settings.audit_key or '', settings.audit_unmasked_file, told),
        told,
        lookup,
        settings.max_body_size,
    )


def make_watch(
    settings: Settings,
    driver: model.OwnerLookup,
    lookup: model.OwnerLookup,
    told: metrics.Metrics,
) -> GenerationWatch:
    """The watch over generations that the settings ask for.

    :param driver: rolls
    :param lookup: the same, its time told
    :raises ConfigurationError: ``roll`` with a driver that cannot swap
    """
    store = None
    if settings.generation_strategy == 'roll':
        if not isinstance(driver, GenerationStore):
            raise ConfigurationError(
                "option 'generation_strategy' of [consumer_guard] is roll, but the "
                f"driver '{settings.owner_lookup}' of option 'owner_lookup' cannot "
                'compare and swap'
            )
        store = driver
    return GenerationWatch(
        settings.thresholds,
        lookup,
        store=store,
        roll_to=settings.generation_roll_to,
        max_body_size=settings.max_body_size,
        acts=not settings.shadow,
        metrics=told,
    )


def watch_rule_files(
    conf: cfg.ConfigOpts, settings: Settings, told: metrics.Metrics = metrics.NONE
) -> ReloadedRules:
    """The policy files of ``[oslo_policy]``, found as oslo.policy finds them.

    A check that asks elsewhere waits as long as a look-up, unless
    ``[oslo_policy] remote_timeout`` says otherwise (oslo.policy: 60 seconds).
    """
    conf.set_default('remote_timeout', settings.lookup_timeout, group='oslo_policy')
    return ReloadedRules(
        find_file=conf.find_file,
        policy_file=conf.oslo_policy.policy_file,
        policy_file_is_explicit=loading.is_set(conf, 'policy_file', 'oslo_policy'),
        policy_dirs=tuple(conf.oslo_policy.policy_dirs),
        poll_interval=settings.policy_poll_interval,
        told=told,
        build=functools.partial(Rulebook.build, asker=EnforcerCaller(conf)),
    )


def find_versions() -> Sequence[str]:
    """Placement's own list of microversions, where placement is installed."""
    try:
        placement = importlib.import_module('placement.microversion')
    except ImportError:
        return KNOWN_MICROVERSIONS
    versions: Sequence[str] = placement.VERSIONS
    return versions
