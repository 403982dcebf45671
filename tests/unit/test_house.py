# SPDX-License-Identifier: Apache-2.0
"""The floors of the house: a module imports only from lower floors.

Read from the source with ``ast``; a module that stands on no floor fails.
"""

import ast
import pathlib
import sys

import pytest

import consumer_guard

ROOT = pathlib.Path(consumer_guard.__file__).parent

#: Lower floors first; modules of one floor do not know each other.
FLOORS = (
    ('errors', 'generations', 'groups', 'templates', 'veil', 'diagnosis'),
    ('model', 'settings', 'sightings'),
    (
        'opts',
        'policies',
        'identity',
        'intake',
        'checks',
        'owners',
        'metrics',
    ),
    (
        'configuration',
        'bodies',
        'responses',
        'atoms',
        'foreign',
        'rehearsal',
        'generation_alarm',
    ),
    ('claims', 'owners.watchdog', 'owners.prepared'),
    ('owners.engine', 'owners.statements', 'owners.counters', 'owners.asking'),
    ('owners.reading',),
    (
        'decision',
        'generation_watch',
        'checktrees',
        'owners.database',
        'caller_classes',
        'trace',
    ),
    ('deliberation', 'audit', 'records', 'refusals', 'rulebook'),
    ('guard', 'rulefiles', 'answers', 'observer'),
    ('writes', 'survey'),
    ('vocabulary',),
    ('worlds', 'matrix'),
    ('equivalence', 'worldtexts', 'recorded', 'written', 'lint.findings', 'lint.trees'),
    ('rejudge', 'lint.leaves', 'lint.rulesets', 'lint.callers', 'lint.deprecated'),
    ('replay', 'lint.texts', 'lint.ours', 'lint.placement'),
    ('policychanges', 'lint.files', 'lint.across'),
    ('lint.everything',),
    ('assembly', 'authtoken'),
    (
        'middleware',
        'backend',
        'healthcheck',
        'diagnosis.layout',
        'diagnosis.database',
        'diagnosis.keystone',
        'diagnosis.placement',
        'diagnosis.policy',
    ),
    ('diagnosis.pipeline', 'diagnosis.rows', 'diagnosis.mysql', 'explanation'),
    ('wsgi.api', 'cmd.enforcer', 'cmd.database'),
    (
        'cmd.doctor',
        'cmd.listing',
        'cmd.person',
        'cmd.rules',
        'cmd.verdict',
        'cmd.markdown',
        'cmd.matrix_page',
    ),
    (
        'cmd.generation',
        'cmd.status',
        'cmd.main',
        'cmd.policy',
        'cmd.policy_diff',
        'cmd.can_i',
        'cmd.matrix',
    ),
)

#: What a module may know beside the standard library and lower floors.
LIBRARIES = {
    'model': set(),
    'errors': set(),
    'settings': set(),
    'opts': {'oslo_config'},
    'configuration': {'oslo_config', 'oslo_policy'},
    'policies': {'oslo_policy'},
    'identity': {'oslo_context'},
    'intake': {'microversion_parse', 'webob'},
    'bodies': {'oslo_serialization', 'webob'},
    'claims': {'oslo_serialization'},
    'guard': set(),
    'deliberation': set(),
    'writes': set(),
    'generations': set(),
    'generation_watch': set(),
    'refusals': set(),
    'templates': set(),
    'rulefiles': set(),
    'rehearsal': set(),
    'answers': set(),
    'caller_classes': set(),
    'survey': set(),
    'trace': set(),
    'explanation': {'webob'},
    'matrix': set(),
    'cmd.matrix_page': set(),
    'cmd.markdown': {'cliff'},
    'owners.database': {'sqlalchemy'},
    'audit': set(),
    'metrics': set(),
    'observer': set(),
    'records': set(),
    'veil': set(),
    'responses': {'microversion_parse', 'webob'},
    'decision': set(),
    'assembly': {'oslo_config'},
    'authtoken': {'keystoneauth1', 'oslo_config', 'placement', 'webob'},
    'vocabulary': set(),
    'worlds': set(),
    'worldtexts': set(),
    'equivalence': set(),
    'recorded': set(),
    'rejudge': set(),
    'replay': set(),
    'policychanges': set(),
    'written': {'yaml'},
    'lint.findings': set(),
    'lint.trees': {'oslo_policy'},
    'lint.leaves': set(),
    'lint.rulesets': set(),
    'lint.callers': set(),
    'lint.texts': set(),
    'lint.files': set(),
    'lint.ours': set(),
    'lint.placement': set(),
    'lint.across': set(),
    'lint.deprecated': {'oslo_policy'},
    'lint.everything': {'oslo_policy'},
    'middleware': set(),
    'backend': {'microversion_parse', 'oslo_config', 'oslo_middleware', 'placement'},
    'wsgi.api': {'paste'},
    'healthcheck': {'oslo_config', 'oslo_middleware'},
    'diagnosis': set(),
    'diagnosis.layout': {'paste'},
    'diagnosis.pipeline': {'oslo_config'},
    'diagnosis.database': {'sqlalchemy'},
    'diagnosis.rows': {'sqlalchemy'},
    'diagnosis.mysql': {'sqlalchemy'},
    'diagnosis.keystone': {'keystoneauth1', 'oslo_config'},
    'diagnosis.placement': {'keystoneauth1'},
    'diagnosis.policy': {'oslo_config'},
    'cmd.enforcer': {'oslo_config', 'oslo_policy'},
}


def _modules() -> dict[str, pathlib.Path]:
    found = {}
    for path in sorted(ROOT.rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        if parts[-1] == '__init__':
            parts = parts[:-1]
        found['.'.join(parts)] = path
    found.pop('')
    return {
        name: path
        for name, path in found.items()
        if len(path.read_text().splitlines()) > 1
    }


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


def _own(names: set[str]) -> set[str]:
    known = set(_modules())
    stripped = {name.removeprefix('consumer_guard.') for name in names}
    return stripped & known


MODULES = sorted(_modules())
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}


@pytest.mark.parametrize('name', MODULES)
def test_imports_come_from_lower_floors(name: str) -> None:
    for other in _own(_imports(_modules()[name])) - {name}:
        assert FLOOR_OF[other] < FLOOR_OF[name], f'{name} imports {other}'


@pytest.mark.parametrize('name', sorted(LIBRARIES))
def test_libraries(name: str) -> None:
    roots = {known.partition('.')[0] for known in _imports(_modules()[name])}
    foreign = roots - set(sys.stdlib_module_names) - {'consumer_guard'}
    assert foreign <= LIBRARIES[name]


def test_placement_is_imported_only_when_asked() -> None:
    for name, path in _modules().items():
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or '').startswith('placement'), name


def test_every_file_says_its_license() -> None:
    for path in ROOT.rglob('*.py'):
        first = path.read_text().splitlines()[0]
        assert first == '# SPDX-License-Identifier: Apache-2.0', path


@pytest.mark.parametrize('name', MODULES)
def test_files_and_functions_stay_short(name: str) -> None:
    source = _modules()[name].read_text()
    assert len(source.splitlines()) <= 255
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            docstring = ast.get_docstring(node, clean=False) or ''
            length = node.end_lineno - node.lineno - docstring.count('\n')
            assert length < 45, f'{name}.{node.name}'


@pytest.mark.parametrize('name', MODULES)
def test_no_module_state(name: str) -> None:
    """No ``global``, and no name at module level that is not a constant."""
    tree = ast.parse(_modules()[name].read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
