# SPDX-License-Identifier: Apache-2.0
"""Placement's own auth_token, which answers 503 whenever keystone does not."""

import logging
from collections.abc import Mapping
from typing import Any

import webob.exc
from oslo_config import cfg

from consumer_guard.guard.responses import Application

LOG = logging.getLogger(__name__)


def make_authtoken(
    application: Application, options: Mapping[str, Any], conf: cfg.ConfigOpts
) -> Application:
    """Put placement's auth_token in front of an application.

    :param options: those of the paste section; they win over the file
    :param conf: placement's configuration
    """
    from keystoneauth1 import exceptions
    from placement import auth

    class AuthToken(auth.PlacementAuthProtocol):  # type: ignore[misc]  # untyped
        """auth_token lets some of keystoneauth's exceptions out.

        A time-out among them (keystonemiddleware 13.0): a keystone that hangs
        would make the server answer 500, and close the connection.
        """

        def fetch_token(self, *args: Any, **named: Any) -> Any:
            """Fetch the token's data.

            :raises webob.exc.HTTPServiceUnavailable: keystone does not answer
            """
            try:
                return super().fetch_token(*args, **named)
            except exceptions.ClientException as exc:
                reason = f'{type(exc).__name__}: {exc}'
            # After the except clause: formatters would add the text again.
            LOG.error('Keystone cannot validate a token: %s', reason)
            raise webob.exc.HTTPServiceUnavailable(
                'The Keystone service is temporarily unavailable.'
            )

    made: Application = AuthToken(application, {**options, 'oslo_config_config': conf})
    return made
