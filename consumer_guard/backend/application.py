# SPDX-License-Identifier: Apache-2.0
"""Placement's application, its authentication and its request log, for paste.

Built of placement's public names and placement's own configuration, found as
placement finds it (``OS_PLACEMENT_CONFIG_DIR``). Placement is imported only
when one of the factories is called.
"""

import configparser
import functools
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oslo_config import cfg

from consumer_guard.backend.authtoken import make_authtoken
from consumer_guard.backend.requestlog import RequestLog, remove_identity
from consumer_guard.config import loading, places
from consumer_guard.config.options import GROUP
from consumer_guard.guard import identity, responses
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.responses import Application, Refusal, StartResponse

LOG = logging.getLogger(__name__)

Filter = Callable[[Application], Application]

#: Placement serves its versions document there without authentication
#: (placement/auth.py); probes of load balancers rely on it.
_OPEN_PATHS = ('', '/')


class IdentityGate:
    """Answers 401 to whoever has not proven an identity.

    Security: placement without its own authentication believes X-User-Id and
    X-Roles from anybody; a pipeline without authtoken has to be closed.
    """

    def __init__(self, application: Application, versions: list[str]) -> None:
        self._application = application
        self._refuser = responses.Refuser(versions)

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Call placement for a proven identity, or for its root."""
        if identity.is_proven(environ):
            return self._application(environ, start_response)
        if environ.get('PATH_INFO', '') in _OPEN_PATHS:
            # Security: placement would name this user in its request log.
            remove_identity(environ)
            return self._application(environ, start_response)
        made_id = identity.ensure_request_id(environ)
        refuse = self._refuser.refuse(
            Refusal(401, 'No proven identity.'), show_request_id=made_id
        )
        return refuse(environ, start_response)


def app_factory(
    global_conf: Mapping[str, Any] | None, **local_conf: str
) -> Application:
    """Placement's application without its own authentication (paste).

    One such application a process: placement's policy and its database are
    process globals.

    :param local_conf: ``auth_strategy``, else that of the ``[consumer_guard]``
        of ``oslo_config_file``, else that of placement's ``[api]``; with
        ``noauth2`` no proof of an identity is required
    :raises ConfigurationError: placement's configuration cannot be used
    """
    unknown = set(local_conf) - {'auth_strategy', *loading.LOCATION_KEYS}
    if unknown:
        raise ConfigurationError(
            f'the paste section of the placement application has the unknown key '
            f"'{min(unknown)}'"
        )
    conf = _read_placement_conf()
    strategy = _read_auth_strategy(conf, local_conf)

    from microversion_parse import middleware as microversion_middleware
    from placement import (
        auth,
        db_api,
        deploy,
        fault_wrap,
        handler,
        microversion,
        policy,
        util,
    )

    db_api.configure(conf)
    application: Application = handler.PlacementHandler(config=conf)
    application = microversion_middleware.MicroversionMiddleware(
        application,
        microversion.SERVICE_TYPE,
        microversion.VERSIONS,
        json_error_formatter=util.json_error_formatter,
    )
    application = fault_wrap.FaultWrapper(application)
    application = auth.PlacementKeystoneContext(application)
    policy.init(conf)
    deploy.update_database(conf)
    _warn_of_what_is_left_out(conf, global_conf or {})
    if strategy == 'noauth2':
        LOG.warning(
            'auth_strategy = noauth2: the placement application trusts identity '
            'headers without proof; for development only'
        )
        return application
    return IdentityGate(application, microversion.VERSIONS)


def authtoken_factory(
    global_conf: Mapping[str, Any] | None, **local_conf: str
) -> Filter:
    """Placement's own auth_token over placement's configuration (paste).

    ``GET /`` stays open, unlike behind plain auth_token.
    """
    conf = _read_placement_conf()
    return functools.partial(make_authtoken, options=local_conf, conf=conf)


def noauth_factory(global_conf: Mapping[str, Any] | None, **local_conf: str) -> Filter:
    """Placement's own stand-in for auth_token, for development only (paste)."""
    from placement import auth

    made: Filter = auth.NoAuthMiddleware
    return made


def request_log_factory(
    global_conf: Mapping[str, Any] | None, **local_conf: str
) -> Filter:
    """Placement's request log: request id, default Accept, one line (paste)."""
    return RequestLog


def http_proxy_to_wsgi_factory(
    global_conf: Mapping[str, Any] | None, **local_conf: str
) -> Filter:
    """oslo.middleware's HTTPProxyToWSGI over placement's configuration (paste).

    Its own factory would not find what ``OS_PLACEMENT_CONFIG_DIR`` names.
    """
    from oslo_middleware import HTTPProxyToWSGI

    return functools.partial(HTTPProxyToWSGI, conf=_read_placement_conf())


def _read_placement_conf() -> cfg.ConfigOpts:
    """Placement's configuration, as placement.wsgi.init_application reads it."""
    try:
        from placement import conf as placement_conf
        from placement import wsgi
    except ImportError as exc:
        raise ConfigurationError(
            'the pipeline names placement, which cannot be imported '
            f'({exc}); install consumer-guard[placement]'
        ) from None
    directory = os.environ.get('OS_PLACEMENT_CONFIG_DIR', '').strip()
    files = [os.path.join(directory, wsgi.CONFIG_FILE)] if directory else None
    conf = cfg.ConfigOpts()
    placement_conf.register_opts(conf)
    try:
        conf([], project='placement', default_config_files=files)
        # Read here so that a missing connection stops the start.
        loading.read_placement_option(conf, 'connection', 'placement_database')
    except (cfg.Error, ValueError, OSError) as exc:
        raise ConfigurationError(
            f"placement's configuration ({', '.join(files or ['default places'])}; "
            f'directory set by OS_PLACEMENT_CONFIG_DIR) cannot be used: '
            f'{places.explain_failure(exc)}'
        ) from None
    wsgi.setup_logging(conf)
    return conf


def _read_auth_strategy(conf: cfg.ConfigOpts, local_conf: Mapping[str, str]) -> str:
    strategy = local_conf.get('auth_strategy')
    if strategy is None and 'oslo_config_file' in local_conf:
        own = loading.parse_files(local_conf)
        if loading.is_set(own, 'auth_strategy', GROUP):
            strategy = own[GROUP].auth_strategy
    if strategy is None:
        strategy = conf.api.auth_strategy
    if strategy not in ('keystone', 'noauth2'):
        raise ConfigurationError(
            "option 'auth_strategy' in the paste section of the placement "
            f'application is {strategy!r}; it must be keystone or noauth2'
        )
    return str(strategy)


def _has_cors_filter(global_conf: Mapping[str, Any]) -> bool:
    """Whether a pipeline of the paste file names a filter of oslo's CORS."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read(str(global_conf.get('__file__', '')))
    named = {
        name
        for section in parser.sections()
        if section.startswith('pipeline:')
        for name in parser.get(section, 'pipeline', fallback='').split()
    }
    return any(
        'cors' in value.lower()
        for name in named
        if parser.has_section(f'filter:{name}')
        for value in dict(parser.items(f'filter:{name}')).values()
    )


def _warn_of_what_is_left_out(
    conf: cfg.ConfigOpts, global_conf: Mapping[str, Any]
) -> None:
    """Placement's own assembly would add these; here they are filters."""
    if conf.cors.allowed_origin and not _has_cors_filter(global_conf):
        LOG.warning(
            "[cors] allowed_origin is set in placement's configuration: add "
            'the filter cors to the paste pipeline'
        )
    if 'profiler' in conf and conf.profiler.enabled:
        LOG.warning(
            "[profiler] is enabled in placement's configuration: add the filter "
            'of osprofiler to the paste pipeline'
        )
