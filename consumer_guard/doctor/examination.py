# SPDX-License-Identifier: Apache-2.0
"""Everything that is checked around one guard, from its paste file to keystone."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass

from oslo_config import cfg

from consumer_guard import assembly
from consumer_guard.analysis.findings import Finding, note, ok, warn
from consumer_guard.config import loading
from consumer_guard.config.options import GROUP
from consumer_guard.config.settings import Settings
from consumer_guard.config.startup import list_changed
from consumer_guard.doctor import (
    authentication,
    cluster,
    database,
    files,
    fit,
    keystone,
    logs,
    pipeline,
    policy,
    rows,
)
from consumer_guard.doctor.paste_file import Layout, read_layout
from consumer_guard.guard.errors import ConfigurationError, PolicyFileError
from consumer_guard.guard.model import OPERATIONS, Ownership


@dataclass(frozen=True, slots=True)
class Deployment:
    """The files and options of one guard.

    :ivar layout: the paste file; None where there is none
    :ivar conf: the guard's configuration, and what is made of it
    :ivar own_account: ``connection`` is not placement's
    :ivar placement: placement's configuration
    """

    layout: Layout | None
    conf: cfg.ConfigOpts
    configuration: loading.Configuration
    own_account: bool
    placement: cfg.ConfigOpts

    @property
    def settings(self) -> Settings:
        """The options of ``[consumer_guard]``."""
        return self.configuration.settings


def read_deployment(paste_config: str | None, config_file: str | None) -> Deployment:
    """Read the configuration as the guard in the pipeline would.

    :param paste_config: None for that of the WSGI module
    :param config_file: wins over ``oslo_config_file`` of the pipeline
    :raises ConfigurationError: it cannot be used; names what and where
    """
    layout = _read_pipeline(paste_config)
    local_conf = dict(layout.guard_options) if layout is not None else {}
    if config_file is not None:
        local_conf['oslo_config_file'] = config_file
    conf = loading.parse_files(local_conf)
    own = 'connection' in local_conf or loading.is_set(conf, 'connection', GROUP)
    configuration = loading.load(conf, local_conf)
    placement = keystone.read_placement_conf()
    return Deployment(layout, conf, configuration, own, placement)


def _read_pipeline(paste_config: str | None) -> Layout | None:
    if paste_config is not None:
        if not os.path.isfile(paste_config):
            raise ConfigurationError(f'--paste-config {paste_config}: file not found')
        return read_layout(os.path.abspath(paste_config))
    try:
        path = loading.find_paste_config()
    except ConfigurationError:
        if loading.PASTE_CONFIG_VARIABLE in os.environ:
            raise
        return None
    return read_layout(path)


def examine(
    deployment: Deployment, *, with_keystone: bool, pid: int | None = None
) -> Iterator[Finding]:
    """All the checks but those of another placement.

    :param pid: the worker whose environment is used
    """
    settings = deployment.settings
    yield from examine_pipeline(deployment)
    yield from examine_files(deployment, pid)
    yield policy.check_enforcement(settings)
    yield from examine_policies(deployment)
    yield from examine_database(deployment)
    yield keystone.check_token_cache(deployment.placement)
    if with_keystone:
        yield keystone.check_passage_role(deployment.placement, settings.passage_role)


def examine_pipeline(deployment: Deployment) -> Iterator[Finding]:
    """The paste file, and its authentication."""
    layout = deployment.layout
    applications = []
    if layout is None:
        yield warn(
            'file not found: the WSGI module cannot start, and no pipeline was checked',
            f'pass --paste-config, or set {loading.PASTE_CONFIG_VARIABLE}',
        ).at(loading.PASTE_CONFIG, 'pipeline')
        for name in pipeline.list_checks_of_pipeline():
            yield note('skipped: no paste file').at(loading.PASTE_CONFIG, name)
    else:
        yield ok('read').at(layout.path, 'pipeline')
        yield from pipeline.check_pipeline(layout)
        yield pipeline.check_cors(layout, deployment.placement)
        yield from authentication.check_authentication(layout, deployment.placement)
        applications = [
            part.options.get('auth_strategy')
            for part in pipeline.list_applications(layout)
        ]
    yield policy.check_auth_strategy(
        deployment.settings, deployment.placement, applications
    )


def examine_files(deployment: Deployment, pid: int | None) -> Iterator[Finding]:
    """What workers read, and who else can read and write it."""
    confs = (deployment.conf, deployment.placement)
    deployed = files.list_deployed(deployment.layout, confs)
    changed = ', '.join(list_changed(deployment.configuration)) or 'none'
    yield ok(f'options changed from their defaults: {changed}').at(
        ', '.join(deployed.list_all()), 'configuration'
    )
    yield files.check_environment(os.environ, pid)
    yield from logs.check_logs(deployment.placement)
    yield from files.check_files(deployed, deployment.layout)


def examine_policies(deployment: Deployment) -> Iterator[Finding]:
    """The guard's policy files, and whether placement's fit them."""
    yield from policy.check_policy_files(
        deployment.conf, deployment.settings, deployment.placement
    )
    yield from fit.check_fit(deployment.conf, deployment.placement)


def list_database_checks(deployment: Deployment) -> dict[str, database.Check]:
    """The checks of the database, by the name that is shown."""
    owners_write = _owners_write(deployment)
    return {
        'primary': database.check_primary,
        'SELECT': database.check_select,
        'UPDATE(generation)': functools.partial(
            database.check_rights, owners_write=owners_write
        ),
        'pooler': cluster.check_pooler,
        'sql_mode': functools.partial(
            database.check_sql_mode,
            mode=deployment.placement.placement_database.mysql_sql_mode,
        ),
        'wsrep_sync_wait': database.check_galera,
        'causal wait': cluster.check_causal_wait,
        'writing nodes': functools.partial(
            cluster.check_writing_nodes, owners_write=owners_write
        ),
        "placement's reads": functools.partial(
            cluster.check_placement_reads, placement=deployment.placement
        ),
        'generations': rows.check_generations,
        'ownerless consumers': rows.check_nobodys_consumers,
        'unrecorded consumers': rows.check_unrecorded_allocations,
        'twin consumers': rows.check_twin_consumers,
        'more rights': functools.partial(
            database.check_excess, own_account=deployment.own_account
        ),
    }


def _owners_write(deployment: Deployment) -> bool:
    """Whether a rule of a write looks at the owner; False without usable rules."""
    try:
        rulebook = assembly.read_rules(deployment.conf, deployment.settings)
    except PolicyFileError:
        # A finding of its own.
        return False
    return any(
        operation.ownership is Ownership.SEALED_WRITE and rulebook.reads(operation.rule)
        for operation in OPERATIONS
    )


def examine_database(deployment: Deployment) -> list[Finding]:
    """The database of the look-ups; skipped where another driver looks up."""
    settings = deployment.settings
    if not settings.connection:
        text = (
            f'skipped: owner_lookup is {settings.owner_lookup}, and connection is not '
            'set'
        )
        names = ('database', *list_database_checks(deployment))
        return [note(text).at('option connection', name) for name in names]
    checks = list_database_checks(deployment)
    with database.open_database(settings, database.CHECK_TIMEOUT) as engine:
        return database.run_checks(engine, settings, checks)
