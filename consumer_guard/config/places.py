# SPDX-License-Identifier: Apache-2.0
"""Where the value of an option is written, and messages about it.

Security: messages name files, options and lines. They never show what stands
there where it may be a password, or the rest of one.
"""

import configparser
import difflib
import glob
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg, iniparser

from consumer_guard.config.options import OPTS
from consumer_guard.guard.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is written.

    :ivar name: for messages
    :ivar text: the value as it is written
    """

    name: str
    text: str = field(repr=False)


def find_place(conf: cfg.ConfigOpts, name: str, group: str) -> Place | None:
    """Where an option is set; None where it has its default. See :func:`find_places`."""
    return find_places(conf, (name,), group).get(name)


def find_places(
    conf: cfg.ConfigOpts, names: Iterable[str], group: str
) -> dict[str, Place]:
    """Where each of some options is set; without those that have their defaults.

    As oslo.config does it: a variable of the environment wins over the last file
    that sets the option. Its ``get_location`` names the last file that has the
    section, whether it sets the option or not.

    :raises ConfigurationError: see :func:`read_sections`
    """
    written = [(path, read_sections(path).get(group, {})) for path in list_files(conf)]
    places = {}
    for name in names:
        variable = name_variable(name, group)
        found = [
            Place(path, options[name][-1])
            for path, options in written
            if options.get(name)
        ]
        if variable in os.environ:
            where = f'the environment variable {variable}'
            found.append(Place(where, os.environ[variable]))
        if found:
            places[name] = found[-1]
    return places


def name_variable(name: str, group: str) -> str:
    """The variable of the environment that sets an option (oslo.config's rule)."""
    return f'OS_{group}__{name}'.upper()


def list_files(conf: cfg.ConfigOpts) -> list[str]:
    """The files that oslo.config has read; later ones win."""
    files = list(conf.config_file or [])
    for directory in conf.config_dir or []:
        files += sorted(glob.glob(os.path.join(directory, '*.conf')))
    return files


def read_sections(path: str) -> Mapping[str, Mapping[str, list[str]]]:
    """The sections of a file by name, which oslo.config compares in lower case.

    :raises ConfigurationError: names the line, and the option before it
    """
    sections: dict[str, dict[str, list[str]]] = {}
    parser = cfg.ConfigParser(path, sections)
    try:
        parser.parse()
    except iniparser.ParseError as exc:
        *_, before = ('', *sections.get(parser.section or '', {}))
        # Security: another name may be a part of a secret that has line breaks.
        after = f', after option {before!r}' if before in _OWN_KEYS else ''
        raise ConfigurationError(
            f'{path}: line {exc.lineno}{after}: {exc.msg}'
        ) from None
    merged: dict[str, dict[str, list[str]]] = {}
    for name, options in sections.items():
        merged.setdefault(name.lower(), {}).update(options)
    return merged


def read_option(
    conf: cfg.ConfigOpts, option: cfg.Opt, group: str, place: Place | None
) -> Any:
    """The value of an option.

    :param place: where it is set
    :raises ConfigurationError: names the option and the place
    """
    try:
        value = conf[group][option.dest]
    except (ValueError, cfg.Error, RecursionError) as exc:
        reason = explain_value(option, place, exc)
        raise make_error(option, group, place, reason) from None
    if isinstance(value, str) and '\n' in value:
        raise make_error(option, group, place, 'the value must fit on one line')
    return value


def make_error(
    option: cfg.Opt, group: str, place: Place | None, reason: str
) -> ConfigurationError:
    """An error that names the option and where it is set."""
    where = place.name if place else 'the code'
    return ConfigurationError(
        f"option '{option.dest}' of [{group}] in {where}: {reason}"
    )


def explain_value(option: cfg.Opt, place: Place | None, error: Exception) -> str:
    """What is wrong with a value; the value itself is shown if it is no secret."""
    if isinstance(error, ValueError) and option.secret:
        return 'bad value'
    if isinstance(error, ValueError) and isinstance(error, cfg.Error) and place:
        try:
            option.type(place.text)
        except ValueError as exc:
            return str(exc)
    return explain_failure(error)


def explain_failure(error: Exception) -> str:
    """Why a configuration cannot be read, without the line that cannot be parsed."""
    if isinstance(error, cfg.ConfigFileParseError):
        try:
            read_sections(error.config_file)
        except ConfigurationError as exc:
            return str(exc)
        return 'it was written meanwhile'
    if isinstance(error, UnicodeDecodeError):
        return 'not UTF-8 text'
    if isinstance(error, _SUBSTITUTION_ERRORS):
        # They quote what follows the character.
        return "'$' begins the name of another option; write '$$' for the character"
    return str(error)


_SUBSTITUTION_ERRORS = (
    cfg.NoSuchOptError,
    cfg.NoSuchGroupError,
    cfg.TemplateSubstitutionError,
    RecursionError,
)


def find_unknown(
    section: Mapping[str, Sequence[str]], known: Collection[str], text: str = ''
) -> str | None:
    """What a section has that is no option, for messages; None for nothing.

    Security: it may be the rest of a secret that goes on in a line of its own. What
    has a colon, or the ``@`` before the host of a URL, or comes after a secret and
    resembles no option, is not shown.

    :param text: the file, where it is known
    """
    before = ''
    for key, values in section.items():
        if key not in known:
            colon = re.search(rf'^{re.escape(key)}\s*:', text, re.MULTILINE)
            named = before not in _SECRET or difflib.get_close_matches(key, known)
            if (
                named
                and key.isidentifier()
                and '@' not in ''.join(values)
                and not colon
            ):
                return f"the key '{key}'"
            after = f' after {before!r}' if before else ''
            return f'a line{after} (not shown; write each value on one line)'
        before = key
    return None


def explain_paste_error(path: str, error: configparser.Error) -> str:
    """What is wrong with a paste file."""
    option, section = getattr(error, 'option', None), getattr(error, 'section', None)
    line = getattr(error, 'lineno', None)
    # Security: another name may be a part of a secret that has line breaks.
    known = option in _OWN_KEYS | _PASTE_KEYS
    shown = f"option '{option}'" if known else 'an option'
    if isinstance(error, configparser.InterpolationError):
        reference = getattr(error, 'reference', None)
        named = f' {reference!r}, which does not exist' if reference else ''
        return (
            f"{path}: {shown} of [{section}]: '%' begins the name of "
            f'another option{named if known and option not in _SECRET else ""}; '
            "write '%%' for the character"
        )
    if isinstance(error, configparser.ParsingError):
        lines = [number for number, _ in getattr(error, 'errors', ())] or [line]
        return f'{path}: line {lines[0]}: is neither a section nor an option'
    if section is not None:
        what = f'{shown} of [{section}]' if option else f'section [{section}]'
        return f'{path}: line {line}: {what} is there twice'
    return f'{path}: {type(error).__name__}'


_OWN_KEYS = frozenset({option.dest for option in OPTS})
# Of any section of a paste file.
_PASTE_KEYS = frozenset({'use', 'pipeline', 'filter-with', 'filters', 'apps'})
_SECRET = frozenset({option.dest for option in OPTS if option.secret})
