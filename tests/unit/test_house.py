# SPDX-License-Identifier: Apache-2.0
"""The packages and what each may import, read from the source with ``ast``."""

import ast
import pathlib
import sys

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
    'rules': {'oslo_config', 'oslo_policy'},
    'config': {'oslo_config', 'oslo_policy'},
    'owners': {'sqlalchemy', 'stevedore'},
    'testing': {'pytest'},
    'assembly': {'oslo_config', 'placement'},
    'analysis': {'oslo_policy', 'webob', 'yaml'},
    'backend': {
        'keystoneauth1',
        'microversion_parse',
        'oslo_config',
        'oslo_middleware',
        'placement',
        'webob',
    },
    'middleware': set(),
    'healthcheck': {'oslo_config', 'oslo_middleware'},
    'wsgi': {'paste'},
    'doctor': {'keystoneauth1', 'oslo_config', 'paste', 'sqlalchemy'},
    'cmd': {
        'cliff',
        'jinja2',
        'oslo_config',
        'oslo_log',
        'oslo_policy',
        'oslo_upgradecheck',
        'pbr',
        'sqlalchemy',
    },
}
ORDER = {name: number for number, name in enumerate(PACKAGES)}


def _modules() -> dict[str, pathlib.Path]:
    """Every module by its name without ``consumer_guard.``."""
    found = {}
    for path in sorted(ROOT.rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        if parts[-1] == '__init__':
            parts = parts[:-1]
        found['.'.join(parts)] = path
    found.pop('')
    return found


def _imports(path: pathlib.Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            names.add(node.module)
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
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


MODULES = sorted(_modules())


def test_every_package_has_a_row() -> None:
    assert {_package(name) for name in MODULES} == set(PACKAGES)


@pytest.mark.parametrize('name', MODULES)
def test_imports_come_from_packages_further_up(name: str) -> None:
    for other in _own(_modules()[name]):
        if _package(other) != _package(name):
            assert ORDER[_package(other)] < ORDER[_package(name)], other


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


@pytest.mark.parametrize('name', sorted(PACKAGES))
def test_a_package_knows_its_own_libraries_only(name: str) -> None:
    known = {
        library.partition('.')[0]
        for module, path in _modules().items()
        if _package(module) == name
        for library in _imports(path)
    }
    assert known - set(sys.stdlib_module_names) - {NAME} <= PACKAGES[name]


def test_placement_is_imported_only_when_asked_for() -> None:
    for name, path in _modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or '').startswith('placement'), name


def test_every_file_names_its_license() -> None:
    for path in ROOT.rglob('*.py'):
        first = path.read_text().splitlines()[0]
        assert first == '# SPDX-License-Identifier: Apache-2.0', path


@pytest.mark.parametrize('name', MODULES)
def test_modules_and_functions_stay_short(name: str) -> None:
    source = _modules()[name].read_text()
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            docstring = ast.get_docstring(node, clean=False) or ''
            length = node.end_lineno - node.lineno - docstring.count('\n')
            assert length < 45, f'{name}.{node.name}'
