# SPDX-License-Identifier: Apache-2.0
"""What the documentation names is there, and what it has to name is named."""

import ast
import importlib.metadata
import pathlib
import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import pytest
import yaml

from doc import architecture, drawing, lanes

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob('*.rst'), *(ROOT / 'doc' / 'source').rglob('*.rst')])
MODULES = architecture.read_modules()
PACKAGES = architecture.read_packages()

#: Loggers that have the names of no module.
LOGGERS = {'consumer_guard.audit'}

Needs = Mapping[str, frozenset[str]]


def _find(pattern: str) -> list[tuple[str, str]]:
    """Each page with each match of the pattern's only group."""
    return [
        (page.relative_to(ROOT).as_posix(), match)
        for page in PAGES
        for match in dict.fromkeys(re.findall(pattern, page.read_text()))
    ]


@pytest.mark.parametrize('name', sorted(MODULES))
def test_every_module_states_its_purpose(name: str) -> None:
    assert MODULES[name].summary


def _package_imports() -> Needs:
    imports: dict[str, set[str]] = {package: set() for package in PACKAGES}
    for module in MODULES.values():
        imports[module.package] |= {
            name.partition('.')[0] for name in module.imports
        } - {module.package}
    return {package: frozenset(names) for package, names in imports.items()}


def _reach(needs: Needs, label: str) -> set[str]:
    below = set(needs[label])
    return below.union(*(_reach(needs, each) for each in below))


def test_the_drawing_loses_no_import() -> None:
    imports = _package_imports()
    reduced = drawing.reduce(imports)
    for package in PACKAGES:
        assert reduced[package] <= imports[package]
        assert _reach(reduced, package) == _reach(imports, package)


def test_the_drawing_has_a_box_per_package() -> None:
    svg = ElementTree.fromstring(architecture.draw_packages(MODULES, [*PACKAGES]))  # noqa: S314 - our own text
    texts = {each.text for each in svg.iter('{http://www.w3.org/2000/svg}text')}
    assert {*PACKAGES} <= texts


@pytest.mark.parametrize(
    ('needs', 'layers', 'reduced'),
    [
        ({'a': '', 'b': 'a'}, {'a': 0, 'b': 1}, {'a': '', 'b': 'a'}),
        (
            {'a': '', 'b': 'a', 'c': 'ab'},
            {'a': 0, 'b': 1, 'c': 2},
            {'a': '', 'b': 'a', 'c': 'b'},
        ),
        (
            {'a': '', 'b': 'a', 'c': 'a', 'd': 'abc'},
            {'a': 0, 'b': 1, 'c': 1, 'd': 2},
            {'a': '', 'b': 'a', 'c': 'a', 'd': 'bc'},
        ),
    ],
    ids=['pair', 'chain', 'diamond'],
)
def test_arrows_that_follow_from_others_are_left_out(
    needs: Mapping[str, str], layers: Mapping[str, int], reduced: Mapping[str, str]
) -> None:
    as_sets = {label: frozenset(others) for label, others in needs.items()}
    assert drawing.find_layers(as_sets) == layers
    assert drawing.reduce(as_sets) == {
        label: frozenset(others) for label, others in reduced.items()
    }


def test_a_circle_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match='a circle among a, b'):
        drawing.reduce({'a': frozenset('b'), 'b': frozenset('a'), 'c': frozenset()})


def test_the_reading_order_leaves_nothing_out() -> None:
    """The request path, and what it is handed: rules, owners, generations."""
    read = [name for _, name, _ in architecture.read_review()]
    assert len(read) == len({*read})
    wanted = {
        module.name
        for module in MODULES.values()
        if module.package in ('guard', 'rules', 'owners', 'generations')
        and not module.is_package
    }
    assert {*read} == wanted


def test_the_page_on_testing_names_every_folder_of_tests() -> None:
    text = (ROOT / 'doc' / 'source' / 'contributor' / 'testing.rst').read_text()
    folders = {path.parent.name for path in (ROOT / 'tests').glob('*/*.py')}
    assert folders == {name for name in folders if f'``tests/{name}``' in text}


LANES = {name for lane in lanes.read_lanes() for name in lane.names}


def test_every_lane_of_the_check_exists() -> None:
    script = (ROOT / '.ci' / 'run').read_text()
    assert {*lanes.read_check(script)} <= LANES


@pytest.mark.parametrize(
    ('pattern', 'names'),
    [
        ('py3', ('py3',)),
        ('old{1,2}', ('old1', 'old2')),
        ('{a,b}-{c,d}', ('a-c', 'a-d', 'b-c', 'b-d')),
    ],
)
def test_a_section_expands_to_its_environments(
    pattern: str, names: tuple[str, ...]
) -> None:
    assert lanes.expand(pattern) == names


@pytest.mark.parametrize(
    ('page', 'named'), _find(r'tox(?: run)?(?: -q)? -e ([\w,.-]*[\w])')
)
def test_a_lane_that_a_page_names_exists(page: str, named: str) -> None:
    pythons = {'py311', 'py312', 'py313'}
    assert {*named.split(',')} <= LANES | pythons, page


@pytest.mark.parametrize(
    ('page', 'named'),
    _find(r'``((?:bench|consumer_guard|doc|etc|tests|tools)/[^`\s]*)``'),
)
def test_a_path_that_a_page_names_exists(page: str, named: str) -> None:
    path, *names = named.split('::')
    matches = [*ROOT.glob(path)]
    assert matches, page
    for name in names:
        assert re.search(rf'^\s*(def|class) {name}\b', matches[0].read_text(), re.M)


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (each.id for each in targets if isinstance(each, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def _is_defined(dotted: str) -> bool:
    """Whether it is a module of ours, or a name of one."""
    parts = dotted.split('.')
    for end in range(len(parts), 0, -1):
        name = '.'.join(parts[:end])
        if name in MODULES:
            rest = parts[end:]
            path = ROOT / 'consumer_guard' / MODULES[name].path
            source = path / '__init__.py' if MODULES[name].is_package else path
            return not rest or rest[0] in {*_defined(ast.parse(source.read_text()))}
    return False


def _groups() -> set[str]:
    return {
        point.group
        for point in importlib.metadata.distribution('consumer-guard').entry_points
    }


@pytest.mark.parametrize(
    ('page', 'named'), _find(r'\bconsumer_guard\.((?:\w+[.:])*\w+)(?![\w/*.-]*\()')
)
def test_a_name_that_a_page_uses_is_defined(page: str, named: str) -> None:
    if f'consumer_guard.{named}' not in LOGGERS | _groups():
        assert _is_defined(named.replace(':', '.')), page


def test_hooks_have_the_versions_of_tox() -> None:
    wanted = (ROOT / 'tox.ini').read_text()
    config = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())
    (repo,) = config['repos']
    assert repo['repo'] == 'local'
    versions = {
        version
        for hook in repo['hooks']
        for version in hook.get('additional_dependencies', ())
    }
    assert versions
    for version in versions:
        assert version in wanted


def test_bindep_lists_what_the_lanes_install() -> None:
    script = (ROOT / 'tools' / 'install-databases.sh').read_text()
    installed = ' '.join(re.findall(r'missing="\$missing ([^"]+)"', script)).split()
    lines = (ROOT / 'bindep.txt').read_text().splitlines()
    listed = {line.split()[0] for line in lines if line and not line.startswith('#')}
    assert installed
    assert {*installed} <= listed
