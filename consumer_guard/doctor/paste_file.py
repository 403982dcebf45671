# SPDX-License-Identifier: Apache-2.0
"""The pipelines of a paste file, read without building them.

PasteDeploy reads the file; the factories that it names are imported and never
called. A composite is followed through the names in its values, as urlmap does.
"""

import configparser
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paste.deploy import loadwsgi

from consumer_guard.config.places import explain_paste_error
from consumer_guard.guard.errors import ConfigurationError

#: Levels of sections that name each other.
_MAX_DEPTH = 20

#: Sections that build an application out of others.
_SERVABLE = ('pipeline', 'composite', 'composit', 'filter-app')

_UNUSABLE = (
    LookupError,
    ValueError,
    ImportError,
    AttributeError,
    TypeError,
    OSError,
    RecursionError,
    configparser.Error,
)


class PartKind(enum.Enum):
    """What a part of a pipeline is; the value is how its factory may begin."""

    GUARD = ('consumer_guard.middleware:filter_factory',)
    AUTHTOKEN = (
        'consumer_guard.backend.application:authtoken_factory',
        'keystonemiddleware.auth_token:',
        'placement.auth:filter_factory',
    )
    NOAUTH = (
        'consumer_guard.backend.application:noauth_factory',
        'placement.auth:NoAuth',
    )
    REQUEST_LOG = (
        'consumer_guard.backend.application:request_log_factory',
        'placement.requestlog:',
    )
    CORS = ('oslo_middleware.cors:',)
    PLACEMENT = ('consumer_guard.backend.application:app_factory',)
    OWN_PLACEMENT = ('placement.',)
    OTHER = ('',)

    @property
    def is_placement(self) -> bool:
        """Whether it is known to be placement's application."""
        return self in (PartKind.PLACEMENT, PartKind.OWN_PLACEMENT)


@dataclass(frozen=True, slots=True)
class Part:
    """A filter, or the application at the end.

    :ivar name: of its section
    :ivar factory: what makes it, ``module:name``
    :ivar options: of its section, with those that it inherits
    """

    name: str
    kind: PartKind
    factory: str
    options: Mapping[str, str]

    @property
    def is_own_authtoken(self) -> bool:
        """Whether it is auth_token over placement's own configuration."""
        plain = self.factory.startswith('keystonemiddleware.')
        return self.kind is PartKind.AUTHTOKEN and not plain


@dataclass(frozen=True, slots=True)
class Route:
    """One way through the file to an application, outermost part first.

    :ivar name: the section that it begins with, and the path of a composite
    :ivar choice: the key of a composite that may serve it or not; '' for none
    """

    name: str
    parts: tuple[Part, ...]
    choice: str = ''

    def find(self, kind: PartKind) -> int | None:
        """The position of the first part of that kind."""
        places = (at for at, part in enumerate(self.parts) if part.kind is kind)
        return next(places, None)

    @property
    def is_guarded(self) -> bool:
        """Whether a guard is on the way."""
        return self.find(PartKind.GUARD) is not None

    @property
    def leads_to_placement(self) -> bool:
        """Whether the application is placement, as far as is known."""
        return self.is_guarded or self.parts[-1].kind.is_placement


@dataclass(frozen=True, slots=True)
class Layout:
    """A paste file.

    :ivar served: what the WSGI module serves (``main``)
    :ivar others: what nothing in ``main`` leads to
    """

    path: str
    served: tuple[Route, ...]
    others: tuple[Route, ...]

    @property
    def guard_options(self) -> Mapping[str, str]:
        """The options of the first guard that is served; none without one."""
        parts = (part for route in self.served for part in route.parts)
        return next((part.options for part in parts if part.kind is PartKind.GUARD), {})


class _Loader(loadwsgi.ConfigLoader):  # type: ignore[misc]  # untyped upstream
    """Keeps the name by which a context was requested."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.requested: set[str] = set()

    def get_context(
        self, object_type: Any, name: str | None = None, global_conf: Any = None
    ) -> Any:
        context = super().get_context(object_type, name, global_conf)
        self.requested.add(name or 'main')
        context.named = name
        inner = getattr(context, 'next_context', None)
        if inner is not None and object_type is not None:
            inner.named = name
        return context


def read_layout(path: str) -> Layout:
    """Read a paste file.

    :raises ConfigurationError: it cannot be read, or ``main`` cannot be built
    """
    try:
        loader = _Loader(path)
        served = tuple(_follow(loader.get_context(loadwsgi.APP, 'main'), 'main', 0))
    except configparser.Error as exc:
        raise ConfigurationError(explain_paste_error(path, exc)) from None
    except _UNUSABLE as exc:
        text = ' '.join(str(exc).split()).strip('\'"') or type(exc).__name__
        raise ConfigurationError(f'{path}: {text}') from None
    return Layout(path, served, tuple(_read_others(loader)))


def _read_others(loader: _Loader) -> Iterator[Route]:
    """Pipelines and composites that ``main`` does not use."""
    for section in loader.parser.sections():
        prefix, _, name = section.partition(':')
        if prefix not in _SERVABLE or name in loader.requested:
            continue
        try:
            context = loader.get_context(loadwsgi.APP, name)
            yield from _follow(context, section, 0)
        except _UNUSABLE:
            continue  # nobody can serve it


def _follow(context: Any, name: str, depth: int) -> Iterator[Route]:
    """The routes of an application."""
    if depth > _MAX_DEPTH:
        raise ConfigurationError(f'{name}: sections refer to each other')
    kind = context.object_type
    if kind is loadwsgi.PIPELINE:
        front = [part for each in context.filter_contexts for part in _flatten(each)]
        yield from _prepend(front, context.app_context, name, depth)
    elif kind in (loadwsgi.FILTER_WITH, loadwsgi.FILTER_APP):
        front = _flatten(context.filter_context)
        yield from _prepend(front, context.next_context, name, depth)
    elif context.protocol in ('paste.composite_factory', 'paste.composit_factory'):
        is_map = 'urlmap' in _name_factory(context)
        for key, value in context.local_conf.items():
            for below in _follow_value(context, value):
                for route in _follow(below, f'{name} {key}', depth + 1):
                    choice = route.choice if is_map else route.choice or key
                    yield Route(route.name, route.parts, choice)
    else:
        yield Route(name, (_make_part(context),))


def _follow_value(context: Any, value: str) -> Iterator[Any]:
    """The application, or the pipeline in a word, that a composite names."""
    loader, conf = context.loader, context.global_conf
    pipeline = loadwsgi.LoaderContext(None, loadwsgi.PIPELINE, None, conf, {}, loader)
    words = value.split()
    if not words:
        return
    try:
        pipeline.app_context = loader.get_context(loadwsgi.APP, words[-1], conf)
        pipeline.filter_contexts = [
            loader.get_context(loadwsgi.FILTER, word, conf) for word in words[:-1]
        ]
    except LookupError:
        return  # an option of the composite, or nothing that it could serve
    yield pipeline


def _prepend(front: list[Part], below: Any, name: str, depth: int) -> Iterator[Route]:
    for route in _follow(below, name, depth + 1):
        yield Route(route.name, (*front, *route.parts), route.choice)


def _flatten(context: Any) -> list[Part]:
    """A filter and what is around it, outermost first."""
    if context.object_type is loadwsgi.FILTER_WITH:
        outer = _flatten(context.filter_context)
        return [*outer, *_flatten(context.next_context)]
    return [_make_part(context)]


def _name_factory(context: Any) -> str:
    made = context.object
    module = getattr(made, '__module__', type(made).__module__)
    return f'{module}:{getattr(made, "__qualname__", "")}'


def _make_part(context: Any) -> Part:
    factory = _name_factory(context)
    kind = next(kind for kind in PartKind if factory.startswith(kind.value))
    name = getattr(context, 'named', None) or context.entry_point_name or factory
    return Part(name, kind, factory, dict(context.local_conf))
