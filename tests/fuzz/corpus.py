# SPDX-License-Identifier: Apache-2.0
"""Requests that are always tried: the valid ones, and bent ones that once hurt.

Whatever the long run finds is added here.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hypothesis import example

from tests.fuzz import names
from tests.fuzz.bodies import ENCODINGS, Pairs, Raw, encode
from tests.fuzz.requests import FRAMINGS, Request

_Test = TypeVar('_Test', bound=Callable[..., Any])


def claim(*more: tuple[Any, Any], generation: Any = 1, minor: int = 38) -> Pairs:
    """A body of A's for one consumer; later pairs win."""
    pairs: list[tuple[Any, Any]] = [
        ('allocations', {names.PROVIDER: {'resources': {'VCPU': 1}}}),
        ('project_id', names.OWN_PROJECT),
        ('user_id', names.OWN_USER),
        ('consumer_generation', generation),
    ]
    if minor >= 38:
        pairs.append(('consumer_type', 'INSTANCE'))
    return Pairs([*pairs, *more])


#: More of a claim: what may be said twice, and how numbers may be spelt.
_MORE: tuple[tuple[tuple[Any, Any], ...], ...] = (
    (),
    (('allocations', {}),),
    (('project_id', names.OTHERS_PROJECT),),
    (('project_id', names.OTHERS_PROJECT), ('project_id', names.OWN_PROJECT)),
    ((Raw('"\\u0070roject_id"'), names.OTHERS_PROJECT),),
    (('project_id', names.OWN_PROJECT + ' '),),
    (('project_id', [names.OWN_PROJECT]),),
    (('user_id', names.OTHERS_USER),),
    (('consumer_generation', None),),
    (('consumer_generation', 2),),
    (('consumer_generation', 2), ('consumer_generation', 1)),
    *[
        (('consumer_generation', Raw(number)),)
        for number in ('1.0', '1e0', '10e-1', 'true', '"1"', 'NaN', '1e400', '01')
    ],
)


def _bodies() -> Iterator[tuple[str, str, Any]]:
    """(method, path, document) of writes."""
    for more in _MORE:
        yield 'PUT', f'/allocations/{names.OWN}', claim(*more)
        yield 'POST', '/allocations', Pairs([(names.OWN, claim(*more))])
    for uuid in (names.FOREIGN, names.UNOWNED, names.ORPHAN, names.BARE, names.ABSENT):
        for generation in (1, None):
            written = claim(generation=generation)
            yield 'PUT', f'/allocations/{uuid}', written
            both = [(names.OWN, claim()), (uuid, written)]
            yield 'POST', '/allocations', Pairs(both)
            yield 'POST', '/allocations', Pairs(both[::-1])
    for trap in names.TRAPS:
        yield 'PUT', f'/allocations/{trap}', claim()
        yield 'POST', '/allocations', Pairs([(trap, claim())])
    twice = [(names.OWN, claim()), (names.OWN, claim(generation=2))]
    yield 'POST', '/allocations', Pairs(twice)
    yield 'POST', '/allocations', Pairs(twice[::-1])
    yield 'POST', '/allocations', Pairs([])
    inventory = {'resource_provider_generation': 1, 'inventories': {}}
    reshape: list[tuple[str, Any]] = [
        ('inventories', {names.ANOTHER_PROVIDER: inventory}),
        ('allocations', {names.OWN: claim()}),
    ]
    yield 'POST', '/reshaper', Pairs(reshape)
    yield 'POST', '/reshaper', Pairs([*reshape, ('allocations', {})])


def _requests() -> Iterator[Request]:
    for method, path, document in _bodies():
        yield Request(method, path, body=encode(document).encode())
    body = encode(claim()).encode()
    for framing in FRAMINGS:
        yield Request('PUT', f'/allocations/{names.OWN}', body=body, framing=framing)
        many = encode(Pairs([(names.OWN, claim())])).encode()
        yield Request('POST', '/allocations', body=many, framing=framing)
    # Refused before a handler is chosen, but after a roll.
    yield Request('PUT', f'/allocations/{names.OWN}', body=body, content_type=None)
    for write in ENCODINGS.values():
        yield Request('PUT', f'/allocations/{names.OWN}', body=write(encode(claim())))
    old = encode(claim(minor=28)).encode()
    for version in ('1.38, placement 1.28', '1.28, placement 1.38', '1.27', '1.28'):
        yield Request(
            'PUT', f'/allocations/{names.OWN}', version=f'placement {version}', body=old
        )
    for version in ('1.99', 'x'):
        yield Request(
            'GET', f'/allocations/{names.OWN}', version=f'placement {version}'
        )
    for uuid in (names.OWN, names.ABSENT, names.UNOWNED, names.BARE, *names.TRAPS):
        yield Request('GET', f'/allocations/{uuid}')
        yield Request('DELETE', f'/allocations/{uuid}')
    yield Request('GET', f'/allocations/{names.FOREIGN}')
    own, others = names.OWN_PROJECT, names.OTHERS_PROJECT
    for query in (
        f'project_id={own}',
        f'project_id={others}',
        f'project_id={own}&project_id={others}',
        f'project_id={own};project_id={others}',
        f'project_id={own}&%70roject_id={others}',
        f'project_id={own}&user_id=a&user_id=b',
    ):
        yield Request('GET', '/usages', query=query)
    lists = f'/resource_providers/{names.PROVIDER}/allocations'
    for path in (lists, lists + '\n', lists.upper()):
        yield Request('GET', path, version='placement 1.15')


CORPUS: tuple[Request, ...] = tuple(_requests())


def with_corpus(every: int = 1) -> Callable[[_Test], _Test]:
    """Try the corpus first; for a test whose argument is ``request``.

    :param every: only one in so many
    """

    def decorate(test: _Test) -> _Test:
        for request in CORPUS[::every]:
            test = example(request=request)(test)
        return test

    return decorate
