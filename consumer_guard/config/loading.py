# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration of one guard, once, into frozen Settings.

Every guard reads into an ``oslo.config`` object of its own: two differently
configured guards in one process share nothing.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from oslo_config import cfg
from oslo_policy import opts as policy_opts

from consumer_guard.config import places as places_of
from consumer_guard.config.options import GROUP, MISSING_ID, OPTS
from consumer_guard.config.places import Place
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
            cfg.StrOpt('connection_parameters', default='', secret=True),
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
            f'paste configuration {path} does not exist; set {PASTE_CONFIG_VARIABLE} '
            'to use another file'
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


@dataclass(frozen=True, slots=True)
class Configuration:
    """The options of one guard.

    :ivar places: where those that are set are written, by option
    """

    settings: Settings
    places: Mapping[str, str]

    @contextlib.contextmanager
    def naming_places(self) -> Iterator[None]:
        """Add to an error where the options that it names are written.

        :raises ConfigurationError: what was raised, with the places
        """
        try:
            yield
        except ConfigurationError as exc:
            raise _name_places(exc, self.places) from None


def load(conf: cfg.ConfigOpts, local_conf: Mapping[str, str]) -> Configuration:
    """Freeze the options of one guard.

    :param conf: of :func:`parse_files`
    :param local_conf: the keys of the paste section; an option of the group
        that stands here wins over the environment, which wins over the files
    :raises ConfigurationError: for an unknown key, a value of the wrong type,
        a contradiction, or no database at all; it names the option and the place
    """
    _refuse_unknown_options(conf)
    places = places_of.find_places(conf, _OWN_OPTIONS, GROUP)
    places.update(_override(conf, local_conf))
    values = {
        name: places_of.read_option(conf, option, GROUP, places.get(name))
        for name, option in _OWN_OPTIONS.items()
    }
    names = {name: place.name for name, place in places.items()}
    _take_from_placement(conf, values, names)
    if any(name not in names for name, _ in _SHARED):
        _take_from_placement(parse_placement(), values, names)
    try:
        return Configuration(Settings(**values), MappingProxyType(names))
    except ConfigurationError as exc:
        raise _name_places(exc, names) from None


_OWN_OPTIONS = MappingProxyType({option.dest: option for option in OPTS})


def _override(conf: cfg.ConfigOpts, local_conf: Mapping[str, str]) -> dict[str, Place]:
    """Let the paste section win."""
    section = 'the paste section of consumer_guard'
    options = {key: [str(value)] for key, value in local_conf.items()}
    known = sorted([*_OWN_OPTIONS, *LOCATION_KEYS])
    unknown = places_of.find_unknown(options, known)
    if unknown is not None:
        raise ConfigurationError(
            f'{section} has {unknown}, which is not an option of [{GROUP}]; '
            f'known are {", ".join(known)}'
        )
    places = {}
    for key in {*local_conf} & {*_OWN_OPTIONS}:
        places[key] = Place(section, str(local_conf[key]))
        try:
            conf.set_override(key, local_conf[key], group=GROUP)
        except ValueError as exc:
            reason = places_of.explain_value(_OWN_OPTIONS[key], places[key], exc)
            raise places_of.make_error(
                _OWN_OPTIONS[key], GROUP, places[key], reason
            ) from None
    return places


def _name_places(
    error: ConfigurationError, places: Mapping[str, str]
) -> ConfigurationError:
    words = {*re.findall(r'\w+', str(error))}
    named = [f'{name} is set in {places[name]}' for name in places if name in words]
    return ConfigurationError(f'{error} ({"; ".join(named)})' if named else str(error))


#: Options that placement's own configuration has, too, and in which group.
_SHARED = (
    ('connection', 'placement_database'),
    ('incomplete_consumer_project_id', 'placement'),
    ('incomplete_consumer_user_id', 'placement'),
)


def _take_from_placement(
    conf: cfg.ConfigOpts, values: dict[str, Any], names: dict[str, str]
) -> None:
    """Fill in what is not set from placement's own groups, and where it is set.

    First those of the same file (an operator may keep both in one), then those
    of the files that placement itself would find.
    """
    for name, group in _SHARED:
        place = places_of.find_place(conf, name, group)
        if name in names or place is None:
            continue
        values[name] = read_placement_option(conf, name, group)
        names[name] = f'[{group}] in {place.name}'
        parameters = name == 'connection' and read_placement_option(
            conf, 'connection_parameters', group
        )
        if parameters:
            # As oslo.db builds the URL.
            values[name] += f'{"&" if "?" in values[name] else "?"}{parameters}'


def read_placement_option(conf: cfg.ConfigOpts, name: str, group: str) -> Any:
    """An option of placement's own.

    :param conf: one that has it registered
    :raises ConfigurationError: names the option and where it is set
    """
    option = next(option for option in _PLACEMENT_OPTS[group] if option.dest == name)
    place = places_of.find_place(conf, name, group)
    return places_of.read_option(conf, option, group, place)


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
    if 'oslo_policy' in conf:
        # The default is policy.json in oslo.policy before 4.5.
        conf.set_default('policy_file', 'policy.yaml', group='oslo_policy')
    try:
        conf([], project=project, prog=prog, default_config_files=files)
    except cfg.ConfigFileParseError as exc:
        raise ConfigurationError(places_of.explain_failure(exc)) from None
    except (cfg.Error, ValueError, OSError) as exc:
        where = ', '.join(files or [f'the configuration of {project}'])
        reason = places_of.explain_failure(exc)
        raise ConfigurationError(f'cannot read {where}: {reason}') from None
    return conf


def _refuse_unknown_options(conf: cfg.ConfigOpts) -> None:
    """Refuse a misspelt option; oslo.config ignores it."""
    known = f'known are {", ".join(sorted(_OWN_OPTIONS))}'
    for path in places_of.list_files(conf):
        section = places_of.read_sections(path).get(GROUP, {})
        text = pathlib.Path(path).read_text(encoding='utf-8')
        unknown = places_of.find_unknown(section, _OWN_OPTIONS, text)
        if unknown is not None:
            raise ConfigurationError(
                f'{path}: [{GROUP}] has {unknown}, which is not an option; {known}'
            )
    prefix = places_of.name_variable('', GROUP)
    variables = {places_of.name_variable(name, GROUP) for name in _OWN_OPTIONS}
    for variable in sorted({*os.environ} - variables):
        if variable.startswith(prefix):
            raise ConfigurationError(
                f'the environment variable {variable} sets no option of [{GROUP}]; '
                f'{known}'
            )


def is_set(conf: cfg.ConfigOpts, name: str, group: str) -> bool:
    """Whether an option has a value that somebody configured."""
    return places_of.find_place(conf, name, group) is not None
