# SPDX-License-Identifier: Apache-2.0
"""The few exceptions; :mod:`consumer_guard.guard.decision` has their HTTP status.

Messages of a :class:`RequestError` are shown to clients: they never carry
another owner's ids, generations or SQL.
"""


class GuardError(Exception):
    """All that consumer_guard raises by itself."""


class ConfigurationError(GuardError):
    """The configuration cannot be used; names the option and where it stands."""


class PolicyFileError(GuardError):
    """A policy file cannot be used; names the file and, if any, the rule."""


class RequestError(GuardError):
    """A request ends here; the message is for the client."""


class Unreadable(RequestError):
    """What only ownership could decide is not canonical or not readable."""


class TooLarge(RequestError):
    """The body is larger than ``max_body_size``."""


class OwnersUnavailable(RequestError):
    """The recorded owner could not be looked up."""


class PolicyLocked(RequestError):
    """There were no usable policy files since the start of the worker."""
