# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard doctor``."""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cliff import lister
from oslo_config import cfg

from consumer_guard.cmd.database import CommandFailed, open_database
from consumer_guard.config import loading
from consumer_guard.config.options import GROUP
from consumer_guard.config.settings import Settings
from consumer_guard.doctor import (
    database,
    endpoint,
    keystone,
    mysql,
    pipeline,
    policy,
    rows,
)
from consumer_guard.doctor.findings import Finding, Severity, find_worst
from consumer_guard.doctor.paste_file import Layout, read_layout
from consumer_guard.guard.errors import ConfigurationError

_COLUMNS = ('severity', 'check', 'where', 'finding', 'cure')

DATABASE_CHECKS: tuple[database.Check, ...] = (
    database.look_at_primary,
    database.look_at_select,
    database.look_at_rights,
    mysql.look_at_sql_mode,
    mysql.look_at_galera,
    rows.look_at_generations,
    rows.look_at_nobodys_consumers,
    rows.look_at_unrecorded_allocations,
    rows.look_at_twin_consumers,
)


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is looked at.

    :ivar layout: the paste file; None where there is none
    :ivar conf: the guard's configuration, and ``settings`` made of it
    :ivar own_account: ``connection`` is not placement's
    :ivar placement: placement's configuration
    """

    layout: Layout | None
    conf: cfg.ConfigOpts
    settings: Settings
    own_account: bool
    placement: cfg.ConfigOpts


class Doctor(lister.Lister):
    """Look at everything around the guard, and say what to do about it.

    Reads only. Exit status: 0 all is well, 1 there are warnings, 2 there are
    failures or the configuration cannot be used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._worst = Severity.OK

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            '--paste-config',
            metavar='FILE',
            help='the pipeline (default: the one of the WSGI module, named by '
            f'{loading.PASTE_CONFIG_VARIABLE}, else {loading.PASTE_CONFIG})',
        )
        parser.add_argument(
            '--placement-url',
            metavar='URL',
            action='append',
            default=[],
            help='a placement that answers elsewhere: is it guarded? (repeatable)',
        )
        parser.add_argument(
            '--token-file',
            metavar='FILE',
            help='holds a token for --placement-url, of a reader without other roles',
        )
        parser.add_argument(
            '--no-keystone', action='store_true', help='do not ask keystone for roles'
        )
        parser.add_argument(
            '--problems', action='store_true', help='leave out what is well'
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the findings, and return the exit status."""
        super().run(parsed_args)
        return max(0, int(self._worst) - int(Severity.NOTE))

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Run the checks; worst first."""
        token = _read_token(parsed_args.token_file)
        for url in parsed_args.placement_url:
            if not url.startswith(('http://', 'https://')):
                raise CommandFailed(f'--placement-url {url} is no http or https URL')
        patient = admit(
            parsed_args.paste_config, getattr(self.app_args, 'config_file', None)
        )
        found = list(examine(patient, ask_keystone=not parsed_args.no_keystone))
        for url in parsed_args.placement_url:
            found += endpoint.examine(url, token)
        self._worst = find_worst(found)
        if parsed_args.problems:
            found = [one for one in found if one.severity > Severity.NOTE]
        found.sort(key=lambda finding: -finding.severity)
        return _COLUMNS, [
            (one.severity.name.lower(), one.check, one.where, one.text, one.cure)
            for one in found
        ]


def admit(paste_config: str | None, config_file: str | None) -> Deployed:
    """Read the configuration as the guard in the pipeline would.

    :param paste_config: None for that of the WSGI module
    :param config_file: wins over ``oslo_config_file`` of the pipeline
    :raises ConfigurationError: it cannot be used; names what and where
    """
    layout = _read_pipeline(paste_config)
    said = (layout.guard_options if layout is not None else None) or {}
    local_conf = dict(said)
    if config_file is not None:
        local_conf['oslo_config_file'] = config_file
    conf = loading.parse_files(local_conf)
    own = 'connection' in local_conf or loading.is_set(conf, 'connection', GROUP)
    settings = loading.load_settings(conf, local_conf)
    return Deployed(layout, conf, settings, own, keystone.read_placement())


def _read_pipeline(paste_config: str | None) -> Layout | None:
    if paste_config is not None:
        if not os.path.isfile(paste_config):
            raise ConfigurationError(f'--paste-config: there is no file {paste_config}')
        return read_layout(os.path.abspath(paste_config))
    try:
        path = loading.find_paste_config()
    except ConfigurationError:
        if loading.PASTE_CONFIG_VARIABLE in os.environ:
            raise
        return None
    return read_layout(path)


def examine(patient: Deployed, *, ask_keystone: bool) -> Iterator[Finding]:
    """All the checks but those of another placement."""
    yield from examine_pipeline(patient)
    yield policy.look_at_enforcement(patient.settings)
    yield from policy.look_at_files(patient.conf, patient.settings)
    yield from examine_database(patient)
    yield keystone.look_at_token_cache(patient.placement)
    if ask_keystone:
        yield keystone.look_at_passage_role(
            patient.placement, patient.settings.passage_role
        )


def examine_pipeline(patient: Deployed) -> Iterator[Finding]:
    """The paste file, and what it says of authentication."""
    layout = patient.layout
    applications = []
    paths = list(patient.conf.config_file or [])
    if layout is None:
        yield Finding(
            Severity.WARNING,
            'pipeline',
            loading.PASTE_CONFIG,
            'there is no such file: the WSGI module does not start, and the order of '
            'another pipeline could not be looked at',
            f'give --paste-config, or set {loading.PASTE_CONFIG_VARIABLE}',
        )
    else:
        yield from pipeline.examine(layout)
        yield pipeline.look_at_cors(layout, patient.placement)
        applications = [
            part.options.get('auth_strategy')
            for part in pipeline.list_applications(layout)
        ]
        paths.append(layout.path)
    yield policy.look_at_modes(paths)
    yield policy.look_at_auth_strategy(
        patient.settings, patient.placement, applications
    )


def examine_database(patient: Deployed) -> list[Finding]:
    """The database of the look-ups; none where another driver looks up."""
    settings = patient.settings
    if not settings.connection:
        return [
            Finding(
                Severity.NOTE,
                'database',
                'option connection',
                f'not set: owner_lookup is {settings.owner_lookup}, the rows could not '
                'be looked at',
            )
        ]

    def look_at_more_rights(engine: Any, _settings: Settings) -> Finding:
        return database.look_at_excess(engine, patient.own_account)

    with open_database(settings, database.PATIENCE) as engine:
        checks = (*DATABASE_CHECKS, look_at_more_rights)
        return database.examine(engine, settings, checks)


def _read_token(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, encoding='ascii') as file:
            token = file.read(65536).strip()
    except (OSError, ValueError) as exc:
        # Security: not the text, which may quote the token.
        raise CommandFailed(
            f'--token-file {path} cannot be read: {type(exc).__name__}'
        ) from None
    if not token or not token.isprintable() or ' ' in token:
        raise CommandFailed(f'--token-file {path} holds no token')
    return token
