# SPDX-License-Identifier: Apache-2.0
"""The order of the pipeline: what comes before the guard, and what after."""

import types
from collections.abc import Callable, Iterator, Mapping

from oslo_config import cfg

from consumer_guard.analysis.findings import (
    Assessment,
    Finding,
    Severity,
    fail,
    note,
    ok,
    warn,
)
from consumer_guard.doctor.paste_file import Layout, Part, PartKind, Route

_ORDER = '... request_log authtoken consumer_guard placement'
_FIX_ORDER = f'write: {_ORDER}'


def list_checks_of_pipeline() -> list[str]:
    """The names of the checks that need a paste file."""
    return [*_CHECKS, 'other sections', 'cors', 'auth_token']


def check_pipeline(layout: Layout) -> list[Finding]:
    """Every route to placement that is served, and those that could be."""
    routes = [*_list_placements(layout)]
    # Without a sound key, the composite serves an unsound one for certain.
    may_be_sound = any(route.choice and _is_sound(route) for route in routes)
    findings = [
        (_assess_choice(route, check(route)) if may_be_sound else check(route)).at(
            _place(layout, route), name
        )
        for route in routes
        for name, check in _CHECKS.items()
    ]
    if not findings:
        skipped = note('skipped: no route leads to placement')
        findings = [skipped.at(f'{layout.path} [main]', name) for name in _CHECKS]
        findings[0] = fail(
            'no served section contains the guard or placement',
            f'write [pipeline:main] pipeline = {_ORDER}',
        ).at(f'{layout.path} [main]', 'guard')
    findings.append(_check_others(layout).at(layout.path, 'other sections'))
    return findings


def _is_sound(route: Route) -> bool:
    return all(
        check(route).severity is not Severity.FAILURE for check in _CHECKS.values()
    )


def _assess_choice(route: Route, assessment: Assessment) -> Assessment:
    """A composite of an unknown factory may serve one of its keys alone."""
    if not route.choice or assessment.severity is not Severity.FAILURE:
        return assessment
    return warn(
        f'if the composite selects the key {route.choice}: {assessment.text}',
        f'{assessment.fix}; or remove the key',
    )


def _check_guard(route: Route) -> Assessment:
    """There is one guard on the way to placement."""
    count = sum(part.kind is PartKind.GUARD for part in route.parts)
    names = _names_of(route.parts)
    if count == 1:
        return ok(names)
    if count:
        return warn(
            f'the guard appears {count} times in: {names}',
            'keep only the last one; each costs a look-up',
        )
    return fail(f'placement is served without the guard: {names}', _FIX_ORDER)


def _check_authtoken(route: Route) -> Assessment:
    """auth_token proves the identity before the guard believes it."""
    if route.find(PartKind.NOAUTH) is not None:
        return fail(
            "noauth trusts every client's claimed identity",
            'replace it with authtoken; noauth is only for tests on loopback',
        )
    place = _place_before_guard(route, PartKind.AUTHTOKEN)
    if place is None:
        return ok('comes before consumer_guard')
    return fail(
        f'authtoken {place}: no identity is proven, and guarded requests get 401',
        _FIX_ORDER,
    )


def _check_request_log(route: Route) -> Assessment:
    """Refusals are logged, and carry the request id of the log."""
    place = _place_before_guard(route, PartKind.REQUEST_LOG)
    if place is None:
        return ok('comes before consumer_guard')
    return warn(f'request_log {place}: refusals are not in the request log', _FIX_ORDER)


def _place_before_guard(route: Route, kind: PartKind) -> str | None:
    """Where the first part of that kind is instead; None when it is before."""
    guard, at = route.find(PartKind.GUARD), route.find(kind)
    if at is None:
        return 'is missing'
    return None if guard is None or at < guard else 'comes after consumer_guard'


def _check_neighbour(route: Route) -> Assessment:
    """Nothing is between the guard and placement's application."""
    guard, application = route.find(PartKind.GUARD), route.parts[-1]
    if guard is None:
        return note('the guard is missing')
    between = route.parts[guard + 1 : -1]
    if any(part.kind is not PartKind.GUARD for part in between):
        return fail(
            f'{_names_of(between)} between consumer_guard and {application.name} can '
            'undo a decision',
            f'move it in front: {_ORDER}',
        )
    if application.kind is PartKind.PLACEMENT:
        return ok(f'{application.name} follows')
    return note(
        f'{application.name} is not egg:consumer-guard#placement: its content is '
        'unknown, and an auth_token in it removes the passage role',
        'see the installation page, "In front of an unmodified placement"',
    )


_CHECKS: Mapping[str, Callable[[Route], Assessment]] = types.MappingProxyType(
    {
        'guard': _check_guard,
        'authtoken': _check_authtoken,
        'request_log': _check_request_log,
        'behind the guard': _check_neighbour,
    }
)


def _check_others(layout: Layout) -> Assessment:
    """No other section of the file serves placement without the guard."""
    open_ = [
        f'[{route.name}]'
        for route in layout.others
        if route.leads_to_placement and not route.is_guarded
    ]
    if not open_:
        return ok('none bypasses the guard')
    return warn(
        f'{", ".join(open_)}: placement without the guard; not served by the WSGI '
        'module, but available to any process that names it',
        'remove it from the file',
    )


def check_cors(layout: Layout, placement: cfg.ConfigOpts) -> Finding:
    """CORS that placement's own assembly would add is in the pipeline.

    :param placement: placement's configuration, with ``[cors] allowed_origin``
    """
    wanted = bool(placement.cors.allowed_origin)
    for route in _list_placements(layout):
        cors, authtoken = route.find(PartKind.CORS), route.find(PartKind.AUTHTOKEN)
        text = None
        if cors is None and wanted:
            text = (
                "[cors] allowed_origin is set in placement's configuration, but no "
                'cors filter is in the pipeline: browsers get no CORS headers'
            )
        elif cors is not None and authtoken is not None and authtoken < cors:
            text = (
                'cors comes after authtoken: preflight requests carry no token '
                'and get 401'
            )
        if text is not None:
            assessment = warn(text, 'put cors first in the pipeline')
            return assessment.at(_place(layout, route), 'cors')
    text = 'in the pipeline' if wanted else "not configured in placement's [cors]"
    return ok(text).at(layout.path, 'cors')


def list_applications(layout: Layout) -> Iterator[Part]:
    """The applications behind a served guard."""
    for route in _list_placements(layout):
        yield route.parts[-1]


def _list_placements(layout: Layout) -> Iterator[Route]:
    return (route for route in layout.served if route.leads_to_placement)


def _place(layout: Layout, route: Route) -> str:
    return f'{layout.path} [{route.name}]'


def _names_of(parts: tuple[Part, ...]) -> str:
    return ' '.join(part.name for part in parts)
