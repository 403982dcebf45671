# SPDX-License-Identifier: Apache-2.0
"""Whether the guard's log lines are written anywhere.

oslo.log sets up the process from placement's configuration: by a file of
``logging.config.fileConfig`` (``log_config_append``), else by options. The file is
read as text here, and nothing is set up.
"""

import configparser
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from oslo_config import cfg

from consumer_guard.analysis.findings import Assessment, Finding, fail, ok, warn

#: Loggers, the level that they log at, and what is lost with it.
_LINES = (
    ('consumer_guard.audit', logging.INFO, 'decision records are lost'),
    ('consumer_guard', logging.ERROR, 'errors of the guard are lost'),
)

#: What is read of placement's configuration (names of oslo.log 6).
LOG_OPTIONS: Sequence[cfg.Opt] = (
    cfg.StrOpt('log_config_append', deprecated_name='log_config'),
    cfg.ListOpt('default_log_levels', default=[]),
)


class _Logger(NamedTuple):
    """One section of the file.

    :ivar level: 0 for that of the logger above
    :ivar handlers: the levels of those that write, 0 for all lines
    """

    level: int
    propagate: bool
    handlers: tuple[int, ...]


def check_logs(placement: cfg.ConfigOpts) -> list[Finding]:
    """Decision records and errors reach a handler.

    :param placement: placement's configuration, with :data:`LOG_OPTIONS`
    """
    options = placement.DEFAULT
    path = options.log_config_append
    where = path or "placement's [DEFAULT]"
    if not path:
        loggers = _read_levels(options.default_log_levels)
    else:
        try:
            loggers = _read_loggers(placement.find_file(path) or path)
        except (configparser.Error, OSError, LookupError, ValueError) as exc:
            reason = getattr(exc, 'strerror', None) or type(exc).__name__
            assessment = fail(
                f'log_config_append cannot be used ({reason}): placement cannot start',
                'fix the file',
            )
            return [assessment.at(where, 'logging')]
    lost = [
        warn(
            f'the logger {name} has no output (at {logging.getLevelName(level)}): '
            f'{loss}',
            f'add a handler and set the level of the logger {name} to '
            f'{logging.getLevelName(level)}',
        )
        for name, level, loss in _LINES
        if not _is_written(name, level, loggers)
    ]
    found: list[Assessment] = lost or [
        ok('decision records and errors reach a handler')
    ]
    return [each.at(where, 'logging') for each in found]


def _read_levels(pairs: Sequence[str]) -> dict[str, _Logger]:
    """``default_log_levels``; the root logger writes at INFO."""
    loggers = {'': _Logger(logging.INFO, True, (0,))}
    for pair in pairs:
        name, _, level = pair.partition('=')
        loggers[name.strip()] = _Logger(_find_level(level), True, ())
    return loggers


def _read_loggers(path: str) -> dict[str, _Logger]:
    """The loggers of a file by their names; '' is the root.

    :raises LookupError: a section is missing
    """
    parser = configparser.ConfigParser()
    with open(path, encoding='utf-8') as file:
        parser.read_file(file)
    loggers = {}
    for key in _split(parser['loggers']['keys']):
        section = parser[f'logger_{key}']
        handlers = [parser[f'handler_{each}'] for each in _split(section['handlers'])]
        loggers['' if key == 'root' else section.get('qualname', key)] = _Logger(
            _find_level(section.get('level', 'NOTSET')),
            section.get('propagate', '1').strip() != '0',
            tuple(
                _find_level(each.get('level', 'NOTSET'))
                for each in handlers
                if 'NullHandler' not in each.get('class', '')
            ),
        )
    return loggers


def _split(text: str) -> Iterator[str]:
    return (word for word in map(str.strip, text.split(',')) if word)


def _find_level(name: str) -> int:
    level: object = logging.getLevelName(name.strip().upper())
    return level if isinstance(level, int) else logging.NOTSET


def _is_written(name: str, level: int, loggers: Mapping[str, _Logger]) -> bool:
    """As ``logging`` does it: the nearest level counts, then every handler above."""
    chain = [loggers[each] for each in _list_above(name) if each in loggers]
    if next((each.level for each in chain if each.level), logging.WARNING) > level:
        return False
    for each in chain:
        if any(handler <= level for handler in each.handlers):
            return True
        if not each.propagate:
            return False
    return False


def _list_above(name: str) -> Iterator[str]:
    """The logger and those above it; '' is the root."""
    while name:
        yield name
        name = name.rpartition('.')[0]
    yield ''
