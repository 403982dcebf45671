# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration of one guard, once, into frozen Settings.

Every guard reads into an ``oslo.config`` object of its own: two differently
configured guards in one process share nothing.
"""

import glob
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from oslo_config import cfg
from oslo_policy import opts as policy_opts

from consumer_guard.config.options import GROUP, MISSING_ID, OPTS
from consumer_guard.config.settings import Settings
from consumer_guard.guard.errors import ConfigurationError

#: The paste file of the WSGI module, and the variable that names another.
PASTE_CONFIG = '/etc/consumer-guard/api-paste.ini'
PASTE_CONFIG_VARIABLE = 'CONSUMER_GUARD_PASTE_CONFIG'

#: Keys of a paste section that name the configuration, as in oslo.middleware.
LOCATION_KEYS = ('oslo_config_file', 'oslo_config_project', 'oslo_config_program')

# What is read of placement's own configuration, without importing placement
# (names and defaults of placement 16, placement/conf).
_PLACEMENT_OPTS: Mapping[str, Sequence[cfg.Opt]] = MappingProxyType(
    {
        'placement_database': (
            cfg.StrOpt('connection', secret=True),
            cfg.StrOpt('connection_parameters', default=''),
        ),
        'placement': (
            cfg.StrOpt('incomplete_consumer_project_id', default=MISSING_ID),
            cfg.StrOpt('incomplete_consumer_user_id', default=MISSING_ID),
        ),
    }
)


def find_paste_config() -> str:
    """Absolute path of the paste file that the WSGI module loads.

    :raises ConfigurationError: there is no such file
    """
    path = os.path.abspath(os.environ.get(PASTE_CONFIG_VARIABLE, PASTE_CONFIG))
    if not os.path.isfile(path):
        raise ConfigurationError(
            f'there is no paste configuration {path}; {PASTE_CONFIG_VARIABLE} '
            'names another'
        )
    return path


def parse_files(local_conf: Mapping[str, str]) -> cfg.ConfigOpts:
    """Read the configuration that a paste section points to.

    :param local_conf: the keys of the paste section; only
        :data:`LOCATION_KEYS` are used
    :raises ConfigurationError: naming the file that is missing or broken
    """
    path = local_conf.get('oslo_config_file')
    conf = cfg.ConfigOpts()
    conf.register_opts(OPTS, group=GROUP)
    for group, options in _PLACEMENT_OPTS.items():
        conf.register_opts(options, group=group)
    policy_opts.set_defaults(conf)
    project = local_conf.get('oslo_config_project', 'consumer-guard')
    return _parse(
        conf,
        project=project,
        prog=local_conf.get('oslo_config_program', project),
        files=None if path is None else [path],
    )


def load_settings(conf: cfg.ConfigOpts, local_conf: Mapping[str, str]) -> Settings:
    """Freeze the options of one guard.

    :param conf: of :func:`parse_files`
    :param local_conf: the keys of the paste section; an option of the group
        that stands here wins over the file
    :raises ConfigurationError: for an unknown key, a value of the wrong type,
        a contradiction, or no database at all; it names the option
    """
    names = {option.dest for option in OPTS}
    _refuse_unknown_options(conf, names)
    for key, value in local_conf.items():
        if key in LOCATION_KEYS:
            continue
        if key not in names:
            raise ConfigurationError(
                f"the paste section of consumer_guard has the key '{key}', which "
                f'is not an option of [{GROUP}]; known are '
                f'{", ".join(sorted([*names, *LOCATION_KEYS]))}'
            )
        try:
            conf.set_override(key, value, group=GROUP)
        except ValueError as exc:
            # Security: the message of a secret option would show its value.
            reason = 'bad value' if key in _SECRET else str(exc)
            raise ConfigurationError(
                f"option '{key}' in the paste section of consumer_guard: {reason}"
            ) from None
    try:
        values: dict[str, Any] = {name: conf[GROUP][name] for name in sorted(names)}
    except (ValueError, cfg.Error) as exc:
        raise ConfigurationError(f'[{GROUP}] in {_files_of(conf)}: {exc}') from None
    _take_from_placement(conf, values)
    return Settings(**values)


def read_configuration(config_file: str | None) -> tuple[cfg.ConfigOpts, Settings]:
    """The configuration of a guard that reads this file, for commands.

    :param config_file: None for the one that oslo.config finds
    :raises ConfigurationError: it cannot be used
    """
    local_conf = {} if config_file is None else {'oslo_config_file': config_file}
    conf = parse_files(local_conf)
    return conf, load_settings(conf, local_conf)


_SECRET = frozenset({option.dest for option in OPTS if option.secret})


def _take_from_placement(conf: cfg.ConfigOpts, values: dict[str, Any]) -> None:
    """Fill in what is not set from placement's own configuration.

    First the same file (an operator may keep both in one), then the files
    that placement itself would find.
    """
    missing = [name for name in _SHARED if not is_set(conf, name, GROUP)]
    missing = _fill_in(values, missing, conf)
    if missing:
        _fill_in(values, missing, parse_placement())


def _fill_in(
    values: dict[str, Any], missing: list[str], source: cfg.ConfigOpts
) -> list[str]:
    """Take what placement's groups have; return the names still missing."""
    left = []
    for name in missing:
        group = 'placement_database' if name == 'connection' else 'placement'
        if not is_set(source, name, group):
            left.append(name)
        elif name == 'connection':
            values[name] = _with_parameters(source)
        else:
            values[name] = source[group][name]
    return left


_SHARED = (
    'connection',
    'incomplete_consumer_project_id',
    'incomplete_consumer_user_id',
)


def parse_placement(
    more: Mapping[str, Sequence[cfg.Opt]] | None = None,
) -> cfg.ConfigOpts:
    """Placement's configuration, found as placement.wsgi finds it.

    :param more: options to be read beside the database and nobody's ids, by
        group
    :raises ConfigurationError: naming the file that is missing or broken
    """
    directory = os.environ.get('OS_PLACEMENT_CONFIG_DIR', '').strip()
    conf = cfg.ConfigOpts()
    for options_of in (_PLACEMENT_OPTS, more or {}):
        for group, options in options_of.items():
            conf.register_opts(options, group=group)
    files = [os.path.join(directory, 'placement.conf')] if directory else None
    return _parse(conf, project='placement', prog=None, files=files)


def _parse(
    conf: cfg.ConfigOpts,
    *,
    project: str,
    prog: str | None,
    files: list[str] | None,
) -> cfg.ConfigOpts:
    try:
        conf([], project=project, prog=prog, default_config_files=files)
    except (cfg.Error, ValueError, OSError) as exc:
        where = ', '.join(files or [f'the configuration of {project}'])
        raise ConfigurationError(f'cannot read {where}: {exc}') from None
    return conf


def _refuse_unknown_options(conf: cfg.ConfigOpts, names: set[str]) -> None:
    """Refuse a misspelt option in a file; oslo.config ignores it."""
    for path in _files(conf):
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(path, sections).parse()
        unknown = sorted(set(sections.get(GROUP, ())) - names)
        if unknown:
            raise ConfigurationError(
                f"{path}: [{GROUP}] has no option '{unknown[0]}'; known are "
                f'{", ".join(sorted(names))}'
            )


def is_set(conf: cfg.ConfigOpts, name: str, group: str) -> bool:
    """Whether an option has a value that somebody configured."""
    location = conf.get_location(name, group)
    return location is not None and location.location is not cfg.Locations.opt_default


def _with_parameters(conf: cfg.ConfigOpts) -> str:
    """The URL as oslo.db builds it of connection and connection_parameters."""
    url: str = conf.placement_database.connection
    parameters: str = conf.placement_database.connection_parameters
    if not parameters:
        return url
    return f'{url}{"&" if "?" in url else "?"}{parameters}'


def _files(conf: cfg.ConfigOpts) -> list[str]:
    """The files that oslo.config has read, those of its directories too."""
    files = list(conf.config_file or [])
    for directory in conf.config_dir or []:
        files += sorted(glob.glob(os.path.join(directory, '*.conf')))
    return files


def _files_of(conf: cfg.ConfigOpts) -> str:
    return ', '.join(_files(conf) or ['no file'])
