# SPDX-License-Identifier: Apache-2.0
"""What a guard says of itself when it starts."""

import logging
import re

from consumer_guard.config.loading import Configuration
from consumer_guard.config.options import OPTS
from consumer_guard.telemetry.version import find_guard_version

LOG = logging.getLogger(__name__)

# Security: of a URL only what cannot be a password, and nothing of one that is
# written in a way that could be read otherwise (an '@', '/' or '?' in a password
# that is not quoted): driver, host, port, and the path to the first '?'.
_URL = re.compile(
    r'(?P<driver>[\w+.-]+)://(?:[^@/?#\s]*@)?'
    r'(?P<target>(?:\[[\w:.%]*\]|[\w.-]*)(?::\d+)?(?:/[^@?#\s]*)?)(?:[?#][^@\s]*)?'
)

#: Options whose values every start shows.
_ALWAYS = ('enforcement', 'denial', 'passage_role', 'auth_strategy', 'owner_lookup')


def announce(configuration: Configuration) -> None:
    """Log once how the guard is set up: one line, and a warning for each risk.

    Values of secret options are not shown.
    """
    settings, places = configuration.settings, configuration.places
    shown = [f'{name}={getattr(settings, name)!r}' for name in _ALWAYS]
    LOG.info(
        'consumer_guard %s starts: %s, look-up target %s; options changed from their '
        'defaults: %s',
        find_guard_version(),
        ', '.join(shown),
        describe_target(settings.connection),
        ', '.join(list_changed(configuration)) or 'none',
    )
    if settings.shadow:
        LOG.warning(
            'enforcement = shadow (%s): decisions are recorded, nothing is refused',
            places.get('enforcement'),
        )
    if settings.auth_strategy == 'noauth2':
        LOG.warning(
            'auth_strategy = noauth2 (%s): identity headers are trusted without proof; '
            'for development only',
            places.get('auth_strategy'),
        )


def list_changed(configuration: Configuration) -> list[str]:
    """The options that are not at their defaults, each with the place that sets it.

    Security: the values of secret options are left out.
    """
    changed = []
    for option in OPTS:
        name = option.dest
        value = getattr(configuration.settings, name)
        if value != option.default and name in configuration.places:
            text = name if option.secret else f'{name}={value!r}'
            changed.append(f'{text} ({configuration.places[name]})')
    return changed


def describe_target(connection: str | None) -> str:
    """Where the owners are looked up, without user, password and parameters."""
    if not connection:
        return 'unknown to the guard'
    url = _URL.fullmatch(connection)
    if url is None:
        return 'not shown'
    return f'{url["driver"]}://{url["target"]}'
