# SPDX-License-Identifier: Apache-2.0
"""P1, P2, P3 and P7: the guard without a database behind it."""

import contextlib
import functools
from typing import Any

from oslo_context import context

from bench import cerbos, machine, peers, results, scene, stores, timing
from bench.results import Chapter, Finding
from bench.scene import NoOperation, Nothing
from bench.straightforward import StraightforwardGuard
from tests.administrator import make_claim

CONSUMER = 'c1c1c1c1-0000-4000-8000-00000000000a'


def _caller(application: Any, environ: scene.Environ) -> timing.Call:
    """Call an application with a copy of the environ."""

    def start(_status: str, _headers: Any) -> None:
        pass

    def once() -> object:
        return application(environ.copy(), start)

    return once


def pass_through(effort: timing.Effort) -> Chapter:
    """P1: a route that is not about consumers."""
    with scene.make_scene() as place:
        requests = scene.Requests()
        environ = requests.make(scene.ADMIN, '/resource_providers')
        behind = Nothing()
        no_operation, guard = 'through a class that does nothing', 'through the guard'
        straight = 'through a straightforward guard'
        samples = timing.measure(
            {
                'the application alone': _caller(behind, environ),
                no_operation: _caller(NoOperation(behind), environ),
                guard: _caller(place.guard(behind), environ),
                straight: _caller(StraightforwardGuard(behind, 'sqlite://'), environ),
            },
            effort.scaled(rounds=2),
            control=no_operation,
        )
    table = results.make_table(
        'A call that is not about consumers',
        samples,
        ours=[guard],
        base=no_operation,
        conditions='GET /resource_providers, an application that does nothing',
    )
    return Chapter(
        'P1',
        'Pass-through',
        (
            Finding(
                'above a class that does nothing', results.over(table, guard), 1.0, 'µs'
            ),
            results.noise(table),
        ),
        (table,),
    )


def decide(effort: timing.Effort) -> Chapter:
    """P2: one decision, beside everybody else's."""
    case = peers.OWN
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(peers.check_server())
        made = {
            'the guard': peers.make_guard(),
            'cedarpy': peers.make_cedar(),
            'pycasbin': peers.make_casbin(),
            'oslo.policy authorize': peers.make_authorize(),
            'oslo.policy with an http: check': peers.make_http_check(port),
        }
        program = cerbos.find_cerbos()
        if program is None:
            print('Cerbos is left out: npm could not install it')
        else:
            served = stack.enter_context(cerbos.run_cerbos(program))
            made['Cerbos over HTTP'] = cerbos.make_cerbos(served)
        peers.check_answers(made)
        samples = timing.measure(
            {name: functools.partial(peer, case) for name, peer in made.items()},
            effort,
            control='oslo.policy authorize',
        )
    table = results.make_table(
        'A reader of the owning project may read: one decision',
        samples,
        ours=['the guard'],
        base='oslo.policy authorize',
        conditions='the default rule, nested, with its scope; for HTTP the'
        " client's CPU only",
    )
    ours = results.find(table, 'the guard').cost.median
    nearest = min(
        row.cost.median for row in table.rows if row.role is not results.Role.OURS
    )
    return Chapter(
        'P2',
        'A decision',
        (
            Finding('one decision', ours, 3.0, 'µs'),
            Finding('times faster than the fastest peer', nearest / ours, 10, '', True),
            results.noise(table),
        ),
        (table,),
    )


def privileged_read(effort: timing.Effort) -> Chapter:
    """P3 without placement: what the guard does for a role-holder's read."""
    with scene.make_scene() as place:
        requests = scene.Requests()
        environ = requests.make(scene.SERVICE, f'/allocations/{CONSUMER}')
        behind = Nothing()
        alone, guard = 'the application alone', 'through the guard, audit off'
        straight = 'RequestContext.from_environ alone'

        def read_context() -> object:
            return context.RequestContext.from_environ(environ.copy(), overwrite=False)

        samples = timing.measure(
            {
                alone: _caller(behind, environ),
                guard: _caller(place.guard(behind), environ),
                'through the guard, audit all': _caller(
                    place.guard(behind, audit='all'), environ
                ),
                straight: read_context,
            },
            effort.scaled(rounds=2),
            control=alone,
        )
    table = results.make_table(
        "A service's read",
        samples,
        ours=[guard, 'through the guard, audit all'],
        base=alone,
        conditions='GET /allocations/{c}, no SQL; audit all without a handler',
    )
    return Chapter(
        'P3',
        'Privileged read',
        (
            Finding('the whole guard', results.over(table, guard), 15.0, 'µs'),
            Finding(
                f'{straight} here, over the {machine.FROM_ENVIRON} µs where the goals'
                ' were set',
                results.find(table, straight).cost.median / machine.FROM_ENVIRON,
                None,
                'times',
            ),
            results.noise(table),
        ),
        (table,),
    )


def privileged_write(effort: timing.Effort) -> Chapter:
    """P7 without placement: a service's PUT, its body parsed once."""
    with scene.make_scene() as place:
        requests = scene.Requests()
        environ = requests.make(scene.SERVICE, f'/allocations/{CONSUMER}', method='PUT')
        claim = make_claim(stores.provider(stores.WRITABLE), scene.OWNER, 1)

        def caller(application: Any) -> timing.Call:
            prepared = scene.with_body(environ, claim)
            stream = prepared['wsgi.input']

            def once() -> object:
                stream.seek(0)
                return application(prepared.copy(), lambda *_: None)

            return once

        behind = Nothing()
        alone, guard = 'the application alone', 'through the guard'
        samples = timing.measure(
            {alone: caller(behind), guard: caller(place.guard(behind))},
            effort.scaled(rounds=2),
            control=alone,
        )
    table = results.make_table(
        "A service's write",
        samples,
        ours=[guard],
        base=alone,
        conditions='PUT /allocations/{c} at 1.38, one provider, one class; no SQL',
    )
    return Chapter(
        'P7',
        'Privileged write',
        (
            Finding('the whole guard', results.over(table, guard), None, 'µs'),
            results.noise(table),
        ),
        (table,),
    )
