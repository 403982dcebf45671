# SPDX-License-Identifier: Apache-2.0
"""The packages and what each may import, read from the source with ``ast``."""

import ast
import collections
import enum
import functools
import importlib
import pathlib
import sys
import types
import typing
import weakref
from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)

import pytest

import consumer_guard

ROOT = pathlib.Path(consumer_guard.__file__).parent
NAME = 'consumer_guard'

#: Every package and module of the root, and the libraries that it may know
#: beside the standard library. A package imports only packages further up in
#: this table, and ``guard`` imports nothing else of ours.
PACKAGES: dict[str, set[str]] = {
    'guard': {
        'microversion_parse',
        'oslo_context',
        'oslo_serialization',
        'webob',
    },
    'telemetry': {'statsd'},
    'generations': {'sqlalchemy'},
    'rules': {'oslo_config', 'oslo_policy', 'yaml'},
    'config': {'oslo_config', 'oslo_policy'},
    'owners': {'sqlalchemy', 'stevedore'},
    'testing': {'pytest'},
    'assembly': {'oslo_config', 'placement'},
    'analysis': {'oslo_policy', 'placement', 'webob', 'yaml', 'z3'},
    'backend': {
        'keystoneauth1',
        'microversion_parse',
        'oslo_config',
        'oslo_context',
        'oslo_middleware',
        'placement',
        'webob',
    },
    'middleware': set(),
    'healthcheck': {'oslo_config', 'oslo_middleware'},
    'wsgi': {'paste'},
    'doctor': {
        'keystoneauth1',
        'oslo_config',
        'oslo_policy',
        'paste',
        'sqlalchemy',
    },
    'cmd': {
        'cliff',
        'oslo_config',
        'oslo_policy',
        'oslo_upgradecheck',
        'sqlalchemy',
        'tqdm',
    },
}
ORDER = {name: number for number, name in enumerate(PACKAGES)}

#: Caches of modules and classes, and why they are no state between requests.
CACHES = {
    'guard.request.read_microversion': 'a pure function of the header; bounded',
}


@functools.cache
def _modules() -> Mapping[str, pathlib.Path]:
    """Every module by its name without ``consumer_guard.``."""
    found = {}
    for path in sorted(ROOT.rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        if parts[-1] == '__init__':
            parts = parts[:-1]
        found['.'.join(parts)] = path
    found.pop('')
    return types.MappingProxyType(found)


@functools.cache
def _walk(source: str) -> Sequence[ast.AST]:
    return [*ast.walk(ast.parse(source))]


def _imports(path: pathlib.Path) -> set[str]:
    names: set[str] = set()
    for node in _walk(path.read_text()):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            names.add(node.module)
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
        elif isinstance(node, ast.Call) and 'import_module' in ast.unparse(node.func):
            names |= {str(a.value) for a in node.args if isinstance(a, ast.Constant)}
    return names


def _own(path: pathlib.Path) -> set[str]:
    known = _modules()
    return {name.removeprefix(f'{NAME}.') for name in _imports(path)} & set(known)


def _package(module: str) -> str:
    return module.partition('.')[0]


def _closure(module: str) -> set[str]:
    """All modules of ours that importing one brings, empty packages aside."""
    modules = _modules()
    found: set[str] = set()
    rest = [module]
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += _own(modules[name])
    return {name for name in found if len(modules[name].read_text().splitlines()) > 1}


def _list_modules_of(package: str) -> list[tuple[str, pathlib.Path]]:
    return [pair for pair in _modules().items() if _package(pair[0]) == package]


def test_every_package_has_a_row() -> None:
    assert {*map(_package, _modules())} == {*PACKAGES}


@pytest.mark.parametrize('package', PACKAGES)
def test_imports_come_from_packages_further_up(package: str) -> None:
    for name, path in _list_modules_of(package):
        for other in _own(path):
            if _package(other) != package:
                assert ORDER[_package(other)] < ORDER[package], f'{name}: {other}'


def test_no_modules_import_each_other() -> None:
    modules = _modules()
    imported = {name: _own(path) - {name} for name, path in modules.items()}
    while imported:
        free = [name for name, others in imported.items() if not others]
        assert free, f'a circle among {sorted(imported)}'
        imported = {
            name: others - {*free}
            for name, others in imported.items()
            if name not in free
        }


@pytest.mark.parametrize('package', PACKAGES)
def test_a_package_knows_its_own_libraries_only(package: str) -> None:
    known = {
        library.partition('.')[0]
        for _, path in _list_modules_of(package)
        for library in _imports(path)
    }
    assert known - set(sys.stdlib_module_names) - {NAME} == PACKAGES[package]


def test_the_request_path_stands_alone_and_is_short() -> None:
    """All that importing the shell brings, to be read in an hour or two."""
    closure = _closure('guard.wsgi')
    assert {_package(name) for name in closure} == {'guard'}
    assert len(closure) <= 16
    lines = [len(_modules()[name].read_text().splitlines()) for name in closure]
    assert sum(lines) <= 2300


def test_what_ownership_allows_is_pure_and_one_page() -> None:
    path = _modules()['guard.ownership']
    assert len(path.read_text().splitlines()) <= 120
    libraries = {name.partition('.')[0] for name in _imports(path)}
    assert libraries <= {'collections', 'types', NAME}
    assert 'environ' not in path.read_text()


def test_the_proof_knows_nothing_of_placement_and_could_be_a_package() -> None:
    """Of ours it imports the rules' own nodes alone, and it names no consumer."""
    room = 'analysis.proof'
    known = {
        'guard.errors',
        'guard.model',
        'rules.compiler',
        'rules.leaves',
        'rules.nodes',
        'rules.remote',
        'rules.templates',
    }
    for name, path in _modules().items():
        if name.startswith(f'{room}.'):
            others = {other for other in _own(path) if not other.startswith(room)}
            assert others - {'guard', 'rules', 'analysis'} <= known, name
            text = path.read_text().replace('consumer_guard', '').lower()
            assert not [
                word
                for word in ('placement', 'consumer', 'allocation', 'target_keys')
                if word in text
            ], name


def _list_names(path: pathlib.Path) -> Iterator[str]:
    """The names that a module defines at its top level."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (one.id for one in node.targets if isinstance(one, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_no_name_stands_in_two_modules() -> None:
    """So that a name alone finds a thing; each module has a logger of its own."""
    places = collections.defaultdict(list)
    for module, path in _modules().items():
        for name in set(_list_names(path)) - {'LOG', '__all__'}:
            places[name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_placement_is_imported_only_when_asked_for() -> None:
    for name, path in _modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or '').startswith('placement'), name


def test_every_file_names_its_license() -> None:
    for path in ROOT.rglob('*.py'):
        first = path.read_text().splitlines()[0]
        assert first == '# SPDX-License-Identifier: Apache-2.0', path


@pytest.mark.parametrize('package', PACKAGES)
def test_modules_and_functions_stay_short(package: str) -> None:
    for name, path in _list_modules_of(package):
        source = path.read_text()
        assert len(source.splitlines()) <= 400, name
        for node in _walk(source):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                docstring = ast.get_docstring(node, clean=False) or ''
                length = node.end_lineno - node.lineno - docstring.count('\n')
                assert length < 45, f'{name}.{node.name}'


def _find_state(module: types.ModuleType, source: str) -> Iterator[str]:
    """What a module keeps: ``global``, mutable containers, caches.

    Looks at the module's own names and at those of its classes; not at what a
    tuple or an object holds.
    """
    for node in _walk(source):
        if isinstance(node, ast.Global):
            yield f'global {", ".join(node.names)}'
    owners: dict[str, object] = {module.__name__: module}
    for name, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__:
            owners[f'{module.__name__}.{name}'] = value
    for path, owner in owners.items():
        for name, value in vars(owner).items():
            # Those of Python: __path__, an enumeration's _member_map_, ...
            if name.endswith('_') or name == '_field_defaults':
                continue
            mutable = isinstance(value, MutableMapping | MutableSequence | MutableSet)
            # A cache of ours is its own module's, whoever imports it.
            home = getattr(value, '__module__', '')
            imported = home.startswith(f'{NAME}.') and home != module.__name__
            cached = hasattr(value, 'cache_info') and not imported
            if mutable or cached:
                yield f'{path}.{name}'


# The module for WSGI servers loads a pipeline when it is imported.
@pytest.mark.parametrize('package', PACKAGES)
def test_modules_keep_no_state(package: str) -> None:
    """A table is a tuple, a frozenset or a ``types.MappingProxyType``."""
    state = {
        found.removeprefix(f'{NAME}.')
        for name, path in _list_modules_of(package)
        if name != 'wsgi.api'  # is an application
        for found in _find_state(
            importlib.import_module(f'{NAME}.{name}'), path.read_text()
        )
    }
    assert state == {path for path in CACHES if _package(path) == package}


@pytest.mark.parametrize(
    'source',
    [
        'STATE = []',
        'STATE = {}',
        'STATE: set[str] = set()',
        'STATE = [one for one in ()]',
        'STATE = make()',
        'STATE = bytearray()',
        'STATE = collections.deque()',
        'STATE = collections.defaultdict(int)',
        'STATE = weakref.WeakValueDictionary()',
        'OTHER, STATE = 1, {}',
        'if True:\n    STATE = {}',
        'class Kept:\n    STATE = {}',
        'def count():\n    global STATE\n    STATE = 1',
        '@functools.lru_cache\ndef STATE(): ...',
        'STATE = functools.cache(make)',
        'class Kept:\n    @functools.cache\n    def STATE(self): ...',
    ],
)
def test_planted_state_is_noticed(source: str) -> None:
    module = types.ModuleType('planted')
    module.__dict__.update(
        collections=collections, functools=functools, weakref=weakref, make=dict
    )
    assert list(_find_state(module, '')) == []
    exec(source, module.__dict__)  # noqa: S102 - planted by this test
    assert [
        path.split('.')[-1].split()[-1] for path in _find_state(module, source)
    ] == ['STATE']


def test_planted_tables_are_no_state() -> None:
    source = (
        'TABLE = types.MappingProxyType({1: 2})\n'
        'NAMES = frozenset({1})\n'
        'ROWS = (1, 2)\n'
        'class Colour(enum.Enum):\n    RED = 1\n'
        'class Pair(typing.NamedTuple):\n    left: int = 1\n'
    )
    module = types.ModuleType('planted')
    module.__dict__.update(types=types, enum=enum, typing=typing)
    exec(source, module.__dict__)  # noqa: S102 - planted by this test
    assert list(_find_state(module, source)) == []


#: Classes whose fields change, and why.
GROWING = {
    'analysis.evidence.Evidence': 'collects while it reads records',
    'analysis.replay.ReplaySummary': 'counts while it reads records',
    'owners.watchdog._Watched': 'the connections in use',
}


@pytest.mark.parametrize('package', PACKAGES)
def test_dataclasses_are_frozen_and_have_slots(package: str) -> None:
    for class_, mark in _list_dataclasses(package):
        assert isinstance(mark, ast.Call)
        on = {word.arg for word in mark.keywords if ast.unparse(word.value) == 'True'}
        assert 'slots' in on, class_
        assert ('frozen' in on) is (class_ not in GROWING), class_


def _list_dataclasses(package: str) -> Iterator[tuple[str, ast.expr]]:
    """Each with its decorator."""
    for name, path in _list_modules_of(package):
        for node in _walk(path.read_text()):
            for mark in node.decorator_list if isinstance(node, ast.ClassDef) else ():
                if 'dataclass' in ast.unparse(mark):
                    assert isinstance(node, ast.ClassDef)
                    yield f'{name}.{node.name}', mark


# The tests themselves ----------------------------------------------------------

TESTS = pathlib.Path(__file__).parent.parent

#: Packages whose modules have test files of their names.
TESTED = ('guard', 'rules', 'generations', 'owners', 'telemetry')

#: Modules whose calls in a parameter make a test's id another one in each process.
UNSTEADY = frozenset(
    (
        'datetime',
        'gzip',
        'os',
        'random',
        'secrets',
        'socket',
        'tempfile',
        'time',
        'uuid',
    )
)


def _does_something(source: str) -> bool:
    """Whether a function of the module has more than a docstring."""
    return any(
        isinstance(node, ast.FunctionDef)
        and not (
            len(node.body) == 1
            and isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
        )
        for node in _walk(source)
    )


@pytest.mark.parametrize('package', TESTED)
def test_a_module_that_decides_has_a_test_file_of_its_name(package: str) -> None:
    for name, path in _list_modules_of(package):
        if _does_something(path.read_text()):
            tests = TESTS / 'unit' / f'test_{name.rpartition(".")[2]}.py'
            assert tests.is_file(), tests


def _find_short_names(source: str) -> Iterator[str]:
    """Test functions whose name says too little, and that say nothing else."""
    for node in _walk(source):
        if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
            words = node.name.split('_')[1:]
            if len(words) < 4 and not ast.get_docstring(node):
                yield node.name


def _find_unsteady_ids(source: str) -> Iterator[str]:
    """Parameters that are computed from a clock, by chance, or in a set's order."""
    for node in _walk(source):
        if not isinstance(node, ast.Call):
            continue
        if not ast.unparse(node.func).endswith(('mark.parametrize', 'pytest.fixture')):
            continue
        values = [*node.args[1:2]]
        values += [k.value for k in node.keywords if k.arg in ('argvalues', 'params')]
        for value in values:
            if isinstance(value, ast.Set | ast.SetComp):
                yield ast.unparse(value)
            for call in ast.walk(value):
                if isinstance(call, ast.Call) and not call.keywords:
                    function = ast.unparse(call.func)
                    if function.partition('.')[0] in UNSTEADY:
                        yield ast.unparse(call)


TEST_FILES = sorted(
    str(path.relative_to(TESTS)) for path in TESTS.rglob('*.py') if path.is_file()
)


@pytest.mark.parametrize('find', [_find_short_names, _find_unsteady_ids])
def test_each_test_says_what_it_expects_and_has_the_same_id_in_every_process(
    find: Callable[[str], Iterator[str]],
) -> None:
    found = {name: [*find((TESTS / name).read_text())] for name in TEST_FILES}
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize(
    'values', ['{1, 2}', '[gzip.compress(x)]', '[uuid.uuid4()]', '[time.time() + 1]']
)
def test_a_planted_id_that_changes_is_noticed(values: str) -> None:
    source = f"@pytest.mark.parametrize('x', {values})\ndef test_x(x): ..."
    assert len(list(_find_unsteady_ids(source))) == 1
    assert list(_find_unsteady_ids(source.replace(values, '[1, 2]'))) == []


def _find_bad_ids(ids: Iterable[str]) -> list[str]:
    """Ids that a terminal, a file name or a report does not take as they are."""
    return [id_ for id_ in ids if len(id_) > 200 or not id_.isprintable()]


def test_ids_are_short_and_printable(request: pytest.FixtureRequest) -> None:
    """That workers collect equal ones is compared by pytest-xdist, in every run."""
    assert _find_bad_ids(item.nodeid for item in request.session.items) == []


@pytest.mark.parametrize('id_', ['x' * 201, 'a\nb', '\x1b[1m', 'a\u2028b'])
def test_a_planted_id_that_cannot_be_printed_is_noticed(id_: str) -> None:
    assert _find_bad_ids([id_, 'x' * 200, 'test_x[\u00e9]']) == [id_]


def test_a_planted_name_that_says_nothing_is_noticed() -> None:
    assert list(_find_short_names('def test_x(): ...')) == ['test_x']
    assert list(_find_short_names('def test_x(): """It is x."""')) == []
    assert list(_find_short_names('def test_x_is_not_y(): ...')) == []
