# SPDX-License-Identifier: Apache-2.0
"""Makes the parts of a guard out of its settings."""

import functools
import importlib
from collections.abc import Sequence

from oslo_config import cfg

from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.generations.alarm import GenerationAlarm
from consumer_guard.generations.store import GenerationStore
from consumer_guard.generations.watch import GenerationWatch
from consumer_guard.guard import model
from consumer_guard.guard.authorizer import Authorizer, RuleSource
from consumer_guard.guard.errors import (
    ConfigurationError,
    PolicyFileError,
    PolicyLocked,
)
from consumer_guard.guard.model import OwnerGroups
from consumer_guard.guard.request import KNOWN_MICROVERSIONS
from consumer_guard.guard.responses import Application
from consumer_guard.guard.wsgi import ConsumerGuard, DecisionRecorder, Enforcement
from consumer_guard.owners.api import OwnerLookupSettings
from consumer_guard.owners.drivers import load_driver
from consumer_guard.owners.measured import MeasuredGroups, MeasuredLookup
from consumer_guard.rules.candidate import (
    CANDIDATE_FILE,
    CandidateRules,
    build_candidate,
    read_small_status,
)
from consumer_guard.rules.files import PolicyLocations
from consumer_guard.rules.reloading import ReloadedRules
from consumer_guard.rules.remote import EnforcerCaller
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.candidate_recorder import Candidate, CandidateRecorder
from consumer_guard.telemetry.journal import Journal
from consumer_guard.telemetry.metrics import NONE, Metrics, connect
from consumer_guard.telemetry.recorder import Recorder

#: Look-up time-outs that all the rulings of one request may take.
_PATIENCE = 5


def make_lookup_settings(settings: Settings) -> OwnerLookupSettings:
    """What a driver needs to know."""
    return OwnerLookupSettings(
        connection=settings.connection or '',
        timeout=settings.lookup_timeout,
        pool_size=settings.lookup_pool_size,
        nobodys_project_id=settings.incomplete_consumer_project_id,
        nobodys_user_id=settings.incomplete_consumer_user_id,
    )


def make_lookup(settings: Settings) -> model.OwnerLookup:
    """The driver that ``owner_lookup`` names; it opens no connection yet.

    :raises ConfigurationError: there is none, or it cannot use ``connection``
    """
    return load_driver(settings.owner_lookup, make_lookup_settings(settings))


def make_metrics(settings: Settings) -> Metrics:
    """Where figures go.

    :raises ConfigurationError: the package that sends them is missing
    """
    return connect(settings.statsd_host, settings.statsd_port, settings.statsd_prefix)


def measure(lookup: model.OwnerLookup, metrics: Metrics) -> model.OwnerLookup:
    """The look-up measured, where there are metrics."""
    if metrics is NONE:
        return lookup
    if isinstance(lookup, OwnerGroups):
        return MeasuredGroups(lookup, metrics)
    return MeasuredLookup(lookup, metrics)


def make_guard(
    application: Application,
    *,
    settings: Settings,
    rules: RuleSource,
    lookup: model.OwnerLookup,
    versions: Sequence[str],
    metrics: Metrics = NONE,
    candidate: Candidate | None = None,
) -> ConsumerGuard:
    """The middleware with all its parts.

    :param versions: placement's microversions, oldest first
    :param candidate: rules that are tried beside those in force
    :raises ConfigurationError: see :func:`make_watch`
    """
    measured = measure(lookup, metrics)
    return ConsumerGuard(
        application,
        enforcement=Enforcement(
            passage_role=settings.passage_role,
            shadow=settings.shadow,
            conceal=settings.conceal,
            believe_headers=settings.auth_strategy == 'noauth2',
            max_body_size=settings.max_body_size,
            hide_generations=settings.hide_provider_generation,
            max_filtered_lists=settings.max_filtered_lists,
        ),
        authorizer=make_authorizer(settings, rules, measured),
        obligations=make_watch(settings, lookup, measured, metrics),
        recorder=make_recorder(settings, lookup, metrics, candidate),
        versions=versions,
    )


def make_recorder(
    settings: Settings,
    lookup: model.OwnerLookup,
    metrics: Metrics,
    candidate: Candidate | None,
) -> DecisionRecorder:
    """What counts and records decisions, and what candidate rules would change.

    :raises ConfigurationError: the unmasked file exists and is not private
    """
    journal = Journal(settings.audit_key or '', settings.audit_unmasked_file, metrics)
    parts = (settings.audit, settings.enforcement, journal, metrics, lookup)
    if candidate is None or (settings.audit == 'none' and metrics is NONE):
        return Recorder(*parts)
    return CandidateRecorder(candidate, *parts)


def make_authorizer(
    settings: Settings, rules: RuleSource, lookup: model.OwnerLookup
) -> Authorizer:
    """What decides, with the patience of the settings."""
    return Authorizer(rules, lookup, patience=_PATIENCE * settings.lookup_timeout)


def make_watch(
    settings: Settings,
    driver: model.OwnerLookup,
    lookup: model.OwnerLookup,
    metrics: Metrics,
) -> GenerationWatch:
    """The watch over generations that the settings ask for.

    :param driver: moves generations, where it can
    :param lookup: the same, measured
    :raises ConfigurationError: ``roll`` with a driver that cannot swap
    """
    rolls = settings.generation_strategy == 'roll'
    store = driver if isinstance(driver, GenerationStore) else None
    if rolls and store is None:
        raise ConfigurationError(
            "option 'generation_strategy' of [consumer_guard] is roll, but the "
            f"driver '{settings.owner_lookup}' of option 'owner_lookup' cannot "
            'compare and swap'
        )
    return GenerationWatch(
        settings.thresholds,
        lookup,
        GenerationAlarm(settings.thresholds, metrics),
        store=store,
        roll_to=settings.generation_roll_to if rolls else None,
        acts=not settings.shadow,
    )


def watch_rule_files(
    conf: cfg.ConfigOpts, settings: Settings, metrics: Metrics = NONE
) -> ReloadedRules:
    """The policy files of ``[oslo_policy]``, found as oslo.policy finds them.

    A check that asks elsewhere waits as long as a look-up, unless
    ``[oslo_policy] remote_timeout`` says otherwise (oslo.policy: 60 seconds).
    Before oslo.policy 4.5 nothing bounds it.
    """
    if 'remote_timeout' in conf.oslo_policy:
        conf.set_default('remote_timeout', settings.lookup_timeout, group='oslo_policy')
    return ReloadedRules(
        PolicyLocations(
            conf.find_file,
            conf.oslo_policy.policy_file,
            tuple(conf.oslo_policy.policy_dirs),
        ),
        policy_file_is_explicit=loading.is_set(conf, 'policy_file', 'oslo_policy'),
        poll_interval=settings.policy_poll_interval,
        metrics=metrics,
        build=functools.partial(Rulebook.build, remote=EnforcerCaller(conf)),
    )


def watch_candidate(conf: cfg.ConfigOpts, settings: Settings) -> CandidateRules | None:
    """The rules of ``candidate_policy_file``; None where it is not set."""
    if not settings.candidate_policy_file:
        return None
    return CandidateRules(
        ReloadedRules(
            PolicyLocations(
                conf.find_file, settings.candidate_policy_file, (), read_small_status
            ),
            policy_file_is_explicit=True,
            poll_interval=settings.policy_poll_interval,
            wording=CANDIDATE_FILE,
            build=build_candidate,
        )
    )


def read_rules(conf: cfg.ConfigOpts, settings: Settings) -> Rulebook:
    """The rules that a worker would start with now.

    :raises PolicyFileError: the policy files cannot be used; names the file
    """
    files = watch_rule_files(conf, settings)
    try:
        return files.current()
    except PolicyLocked:
        # YAML's own message has several lines.
        problem = ' '.join((files.problem or '').split())
        raise PolicyFileError(f'policy files: {problem}') from None


def find_versions() -> Sequence[str]:
    """Placement's own list of microversions, where placement is installed."""
    try:
        placement = importlib.import_module('placement.microversion')
    except ImportError:
        return KNOWN_MICROVERSIONS
    versions: Sequence[str] = placement.VERSIONS
    return versions
