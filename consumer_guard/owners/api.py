# SPDX-License-Identifier: Apache-2.0
"""Where recorded owners come from: drivers, chosen by name.

A driver is an entry point of the namespace :data:`DRIVERS`: a callable that
takes an :class:`OwnerLookupSettings` and returns a
:class:`consumer_guard.guard.model.OwnerLookup`.
"""

from dataclasses import dataclass, field
from importlib import metadata
from typing import cast

from stevedore import driver, exception

from consumer_guard.guard import errors, model

DRIVERS = 'consumer_guard.owner_lookup'


@dataclass(frozen=True, slots=True)
class OwnerLookupSettings:
    """What a driver is told.

    :ivar connection: SQLAlchemy URL of placement's database, with its password
    :ivar timeout: seconds; bounds each of waiting for a connection of the pool,
        connecting, and the statement
    :ivar pool_size: the most connections held at a time, at least 1
    :ivar nobodys_project_id: the project id that means "nobody's"
    :ivar nobodys_user_id: the user id that means "nobody's"
    """

    # Security: settings end up in tracebacks and debug logs, the URL must not.
    connection: str = field(repr=False)
    timeout: float
    pool_size: int
    nobodys_project_id: str
    nobodys_user_id: str


def load_driver(name: str, settings: OwnerLookupSettings) -> model.OwnerLookup:
    """Make the driver of that name.

    :raises consumer_guard.guard.errors.ConfigurationError: there is no driver of
        that name, or it cannot work with these settings
    """
    try:
        loaded: driver.DriverManager[model.OwnerLookup] = driver.DriverManager(
            DRIVERS, name, invoke_on_load=True, invoke_args=(settings,)
        )
    except exception.NoMatches:
        known = ', '.join(sorted(metadata.entry_points(group=DRIVERS).names))
        raise errors.ConfigurationError(
            f'[consumer_guard] owner_lookup: there is no driver {name!r};'
            f' there are: {known or "none, is consumer-guard installed?"}'
        ) from None
    except errors.ConfigurationError:
        raise
    except Exception as error:
        # Security: neither the text nor the chain, which may quote the URL.
        raise errors.ConfigurationError(
            f'[consumer_guard] owner_lookup: the driver {name!r} cannot be made'
            f' from the option connection ({type(error).__name__})'
        ) from None
    return cast(model.OwnerLookup, loaded.driver)
