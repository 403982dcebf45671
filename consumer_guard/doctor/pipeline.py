# SPDX-License-Identifier: Apache-2.0
"""The order of the pipeline: what stands before the guard, and what behind."""

from collections.abc import Iterator

from oslo_config import cfg

from consumer_guard.doctor.findings import Finding, Severity
from consumer_guard.doctor.paste_file import Kind, Layout, Part, Route

_ORDER = '... request_log authtoken consumer_guard placement'


def examine(layout: Layout) -> list[Finding]:
    """Every route to placement that is served, and those that could be."""
    routes = [route for route in layout.served if route.leads_to_placement]
    findings = [check(layout, route) for route in routes for check in _CHECKS]
    if not routes:
        findings.append(
            Finding(
                Severity.FAILURE,
                'guard',
                f'{layout.path} [main]',
                'nothing that is served holds the guard or placement',
                f'write [pipeline:main] pipeline = {_ORDER}',
            )
        )
    findings.append(look_at_others(layout))
    return findings


def look_at_guard(layout: Layout, route: Route) -> Finding:
    """There is one guard on the way to placement."""
    where, count = _where(layout, route), _count(route, Kind.GUARD)
    if count == 1:
        return Finding(Severity.OK, 'guard', where, _spell(route))
    if count:
        return Finding(
            Severity.WARNING,
            'guard',
            where,
            f'the guard stands {count} times in: {_spell(route)}',
            'leave the last one only; each costs a look-up',
        )
    return Finding(
        Severity.FAILURE,
        'guard',
        where,
        f'placement is served without the guard: {_spell(route)}',
        f'write: {_ORDER}',
    )


def look_at_authentication(layout: Layout, route: Route) -> Finding:
    """auth_token proves the identity before the guard believes it."""
    check, where = 'authtoken', _where(layout, route)
    guard, end = route.find(Kind.GUARD), len(route.parts)
    before = route.parts[: end if guard is None else guard]
    if any(part.kind is Kind.NOAUTH for part in route.parts):
        return Finding(
            Severity.FAILURE,
            check,
            where,
            'noauth believes whoever says who he is',
            'replace it by authtoken; it is for trying out on loopback',
        )
    if any(part.kind is Kind.AUTHTOKEN for part in before):
        return Finding(Severity.OK, check, where, 'stands before consumer_guard')
    behind = any(part.kind is Kind.AUTHTOKEN for part in route.parts)
    state = 'stands behind consumer_guard' if behind else 'is missing'
    return Finding(
        Severity.FAILURE,
        check,
        where,
        f'authtoken {state}: nobody has a proven identity, guarded requests get 401',
        f'write: {_ORDER}',
    )


def look_at_request_log(layout: Layout, route: Route) -> Finding:
    """Refusals are logged, and carry the request id of the log."""
    check, where = 'request_log', _where(layout, route)
    guard, log = route.find(Kind.GUARD), route.find(Kind.REQUEST_LOG)
    if log is not None and (guard is None or log < guard):
        return Finding(Severity.OK, check, where, 'stands before consumer_guard')
    state = 'is missing' if log is None else 'stands behind consumer_guard'
    return Finding(
        Severity.WARNING,
        check,
        where,
        f'request_log {state}: refusals are not in the request log',
        f'write: {_ORDER}',
    )


def look_at_neighbour(layout: Layout, route: Route) -> Finding:
    """Nothing stands between the guard and placement's application."""
    check, where = 'behind the guard', _where(layout, route)
    guard, application = route.find(Kind.GUARD), route.parts[-1]
    if guard is None:
        return Finding(Severity.NOTE, check, where, 'there is no guard')
    between = route.parts[guard + 1 : -1]
    if any(part.kind is not Kind.GUARD for part in between):
        names = ' '.join(part.name for part in between)
        return Finding(
            Severity.FAILURE,
            check,
            where,
            f'between consumer_guard and {application.name} stands {names}, which '
            'can undo a decision',
            f'move it in front: {_ORDER}',
        )
    if application.kind is Kind.PLACEMENT:
        return Finding(Severity.OK, check, where, f'{application.name} follows')
    return Finding(
        Severity.NOTE,
        check,
        where,
        f'{application.name} is not egg:consumer-guard#placement: it cannot be told '
        'what it is, and an auth_token in it removes the passage role',
        'see the installation page, "In front of an unmodified placement"',
    )


_CHECKS = (
    look_at_guard,
    look_at_authentication,
    look_at_request_log,
    look_at_neighbour,
)


def look_at_others(layout: Layout) -> Finding:
    """No other section of the file serves placement without the guard."""
    check = 'other sections'
    open_ = [
        route.name
        for route in layout.others
        if route.leads_to_placement and not route.is_guarded
    ]
    if not open_:
        return Finding(
            Severity.OK, check, layout.path, 'none leads to placement past the guard'
        )
    names = ', '.join(f'[{name}]' for name in open_)
    return Finding(
        Severity.WARNING,
        check,
        layout.path,
        f'{names}: placement without the guard; not served by the WSGI module, but '
        'by whoever names it',
        'remove it from the file',
    )


def look_at_cors(layout: Layout, placement: cfg.ConfigOpts) -> Finding:
    """CORS that placement's own assembly would add is in the pipeline.

    :param placement: placement's configuration, with ``[cors] allowed_origin``
    """
    check = 'cors'
    wanted = bool(placement.cors.allowed_origin)
    for route in _placements(layout):
        where = _where(layout, route)
        cors = route.find(Kind.CORS)
        if cors is None and wanted:
            return Finding(
                Severity.WARNING,
                check,
                where,
                "[cors] allowed_origin is set in placement's configuration, but no "
                'cors filter is in the pipeline: browsers get no CORS headers',
                'put cors first in the pipeline',
            )
        if cors is not None and any(
            part.kind is Kind.AUTHTOKEN for part in route.parts[:cors]
        ):
            return Finding(
                Severity.WARNING,
                check,
                where,
                'cors stands behind authtoken: preflight requests carry no token '
                'and get 401',
                'put cors first in the pipeline',
            )
    text = 'in the pipeline' if wanted else "not configured in placement's [cors]"
    return Finding(Severity.OK, check, layout.path, text)


def list_applications(layout: Layout) -> Iterator[Part]:
    """The applications behind a served guard."""
    for route in _placements(layout):
        yield route.parts[-1]


def _placements(layout: Layout) -> Iterator[Route]:
    return (route for route in layout.served if route.leads_to_placement)


def _count(route: Route, kind: Kind) -> int:
    return sum(part.kind is kind for part in route.parts)


def _where(layout: Layout, route: Route) -> str:
    return f'{layout.path} [{route.name}]'


def _spell(route: Route) -> str:
    return ' '.join(part.name for part in route.parts)
