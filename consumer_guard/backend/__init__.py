# SPDX-License-Identifier: Apache-2.0
"""Placement behind the guard: the factories that paste files name."""

from consumer_guard.backend.application import (
    app_factory,
    authtoken_factory,
    http_proxy_to_wsgi_factory,
    noauth_factory,
    request_log_factory,
)

__all__ = [
    'app_factory',
    'authtoken_factory',
    'http_proxy_to_wsgi_factory',
    'noauth_factory',
    'request_log_factory',
]
