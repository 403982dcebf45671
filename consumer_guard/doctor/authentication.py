# SPDX-License-Identifier: Apache-2.0
"""Whether auth_token in the pipeline has what it needs to validate a token."""

from collections.abc import Iterator

from oslo_config import cfg

from consumer_guard.analysis.findings import Assessment, Finding, fail, note, ok, warn
from consumer_guard.config import places
from consumer_guard.doctor.paste_file import Layout, Part, PartKind
from consumer_guard.guard.errors import ConfigurationError

_TOKENS = 'keystone_authtoken'

#: Options that say how auth_token gets a token of its own; one is needed
#: (keystonemiddleware 13, keystoneauth1 5).
_CREDENTIALS = ('auth_type', 'auth_plugin', 'auth_section', 'auth_url')

#: Keys by which auth_token in a paste section finds a configuration file.
_LOCATIONS = ('oslo_config_file', 'oslo_config_project')

_FIX = (
    'use egg:consumer-guard#authtoken, or set oslo_config_project and oslo_config_file'
)


def check_authentication(layout: Layout, placement: cfg.ConfigOpts) -> list[Finding]:
    """Every auth_token in front of a served guard.

    :param placement: placement's configuration
    """
    findings = [
        assessment.at(f'{layout.path} [filter:{part.name}]', 'auth_token')
        for part in _list_parts(layout)
        for assessment in _check_part(part, placement)
    ]
    return findings or [
        note('skipped: no auth_token is served').at(layout.path, 'auth_token')
    ]


def _list_parts(layout: Layout) -> Iterator[Part]:
    seen = set()
    for route in layout.served:
        for part in route.parts if route.leads_to_placement else ():
            if part.kind is PartKind.AUTHTOKEN and part.name not in seen:
                seen.add(part.name)
                yield part


def _check_part(part: Part, placement: cfg.ConfigOpts) -> Iterator[Assessment]:
    options = {key: [value] for key, value in part.options.items()}
    if part.is_own_authtoken:
        options = _read_group(placement) | options
    else:
        yield warn(
            f'{part.name} is the plain auth_token of keystonemiddleware: GET / '
            'requires a token, and load balancer probes get 401',
            'use egg:consumer-guard#authtoken',
        )
        try:
            options = _read_other(part) | options
        except ConfigurationError as exc:
            yield fail(str(exc), _FIX)
            return
    if not any(''.join(options.get(name, ())).strip() for name in _CREDENTIALS):
        yield fail(
            f'auth_token in [filter:{part.name}] has no configuration ([{_TOKENS}] '
            'sets '
            f'none of {", ".join(_CREDENTIALS)}): every request gets an error',
            f'set the credentials in [{_TOKENS}] of placement.conf'
            if part.is_own_authtoken
            else _FIX,
        )
        return
    if not options.get('service_type'):
        yield note(
            f'service_type is not set in [{_TOKENS}]: application credentials that '
            'have access rules get 401',
            'set service_type = placement',
        )
        return
    yield ok('configured')


def _read_group(conf: cfg.ConfigOpts) -> dict[str, list[str]]:
    """The options of the group as they are written."""
    values: dict[str, list[str]] = {}
    for path in places.list_files(conf):
        values |= places.read_sections(path).get(_TOKENS, {})
    return values


def _read_other(part: Part) -> dict[str, list[str]]:
    """The group in the configuration that a paste section names.

    :raises ConfigurationError: the file cannot be read
    """
    if not any(key in part.options for key in _LOCATIONS):
        return {}
    conf = cfg.ConfigOpts()
    path = part.options.get('oslo_config_file')
    try:
        conf(
            [],
            project=part.options.get('oslo_config_project'),
            prog=part.options.get('oslo_config_program'),
            default_config_files=[path] if path else None,
        )
    except (cfg.Error, ValueError, OSError) as exc:
        raise ConfigurationError(
            f'[filter:{part.name}]: {places.explain_failure(exc)}'
        ) from None
    return _read_group(conf)
