# SPDX-License-Identifier: Apache-2.0
"""Loads a driver by its name."""

from importlib import metadata
from typing import cast

from stevedore import driver, exception

from consumer_guard.owners.api import (
    ConfigurationError,
    OwnerLookup,
    OwnerLookupSettings,
)

#: The group of the drivers' entry points.
ENTRY_POINTS = 'consumer_guard.owner_lookup'


def load_driver(name: str, settings: OwnerLookupSettings) -> OwnerLookup:
    """Make the driver of that name.

    :raises ConfigurationError: there is no driver of that name, or it cannot work
        with these settings
    """
    try:
        loaded: driver.DriverManager[OwnerLookup] = driver.DriverManager(
            ENTRY_POINTS, name, invoke_on_load=True, invoke_args=(settings,)
        )
    except exception.NoMatches:
        known = ', '.join(sorted(metadata.entry_points(group=ENTRY_POINTS).names))
        raise ConfigurationError(
            f'[consumer_guard] owner_lookup: unknown driver {name!r};'
            f' installed are: {known or "none, is consumer-guard installed?"}'
        ) from None
    except ConfigurationError:
        raise
    except Exception as error:
        # Security: neither the text nor the chain, which may quote the URL.
        raise ConfigurationError(
            f'[consumer_guard] owner_lookup: the driver {name!r} cannot be made'
            f' from the option connection ({type(error).__name__})'
        ) from None
    return cast(OwnerLookup, loaded.driver)
