# SPDX-License-Identifier: Apache-2.0
"""Every route that placement declares is guarded or on the list of exempt ones.

A new route of a later placement fails here instead of slipping by.
"""

from placement import handler

from consumer_guard.guard import model
from consumer_guard.guard.request import match_operation

#: (method, route): nothing about consumers in them. Read in placement 16;
#: /resource_providers/{uuid}/usages sums over everybody and names nobody.
EXEMPT = {
    ('GET', '/'),
    ('GET', ''),
    ('GET', '/resource_classes'),
    ('POST', '/resource_classes'),
    ('GET', '/resource_classes/{name}'),
    ('PUT', '/resource_classes/{name}'),
    ('DELETE', '/resource_classes/{name}'),
    ('GET', '/resource_providers'),
    ('POST', '/resource_providers'),
    ('GET', '/resource_providers/{uuid}'),
    ('PUT', '/resource_providers/{uuid}'),
    ('DELETE', '/resource_providers/{uuid}'),
    ('GET', '/resource_providers/{uuid}/inventories'),
    ('POST', '/resource_providers/{uuid}/inventories'),
    ('PUT', '/resource_providers/{uuid}/inventories'),
    ('DELETE', '/resource_providers/{uuid}/inventories'),
    ('GET', '/resource_providers/{uuid}/inventories/{resource_class}'),
    ('PUT', '/resource_providers/{uuid}/inventories/{resource_class}'),
    ('DELETE', '/resource_providers/{uuid}/inventories/{resource_class}'),
    ('GET', '/resource_providers/{uuid}/usages'),
    ('GET', '/resource_providers/{uuid}/aggregates'),
    ('PUT', '/resource_providers/{uuid}/aggregates'),
    ('GET', '/allocation_candidates'),
    ('GET', '/traits'),
    ('GET', '/traits/{name}'),
    ('PUT', '/traits/{name}'),
    ('DELETE', '/traits/{name}'),
    ('GET', '/resource_providers/{uuid}/traits'),
    ('PUT', '/resource_providers/{uuid}/traits'),
    ('DELETE', '/resource_providers/{uuid}/traits'),
}


def _declared() -> set[tuple[str, str]]:
    return {
        (method, route)
        for route, methods in handler.ROUTE_DECLARATIONS.items()
        for method in methods
    }


def test_every_route_is_guarded_or_exempt() -> None:
    guarded = {(operation.method, operation.path) for operation in model.OPERATIONS}
    assert _declared() == guarded | EXEMPT
    assert not guarded & EXEMPT


def test_the_guard_recognises_what_it_names() -> None:
    values = {'consumer_uuid': 'c', 'uuid': 'u', 'name': 'n', 'resource_class': 'r'}
    for method, route in _declared():
        found = match_operation(method, route.format(**values))
        if (method, route) in EXEMPT:
            assert found is None
        else:
            assert found is not None
            assert (found[0].method, found[0].path) == (method, route)
