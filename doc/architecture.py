# SPDX-License-Identifier: Apache-2.0
"""The packages, the request path and the reading order, read from the source.

``tests/unit/test_house.py`` holds the order of the packages and the libraries
of each; everything else comes from the modules themselves, so that no page can
name a module that is gone or a size of the past.

    python -m doc.architecture OUT    write the tables and the drawing to OUT
"""

import ast
import csv
import io
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from doc import drawing

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
NAME = 'consumer_guard'

#: What this module imports is the request path.
REQUEST_PATH = 'guard.wsgi'
#: What a server, paste or oslo.middleware loads by name.
WAYS_IN = ('backend', 'healthcheck', 'middleware', 'wsgi.api')


class Module(NamedTuple):
    """One module of ours.

    :ivar name: dotted, without ``consumer_guard.``
    :ivar summary: the first sentence of its docstring
    :ivar lines: all of them, blank ones and comments too
    :ivar is_package: whether it is an ``__init__.py``
    :ivar imports: the modules of ours that it imports
    """

    name: str
    summary: str
    lines: int
    is_package: bool
    imports: frozenset[str]

    @property
    def package(self) -> str:
        """The part of the name before the first dot."""
        return self.name.partition('.')[0]

    @property
    def path(self) -> str:
        """Relative to the package's folder."""
        return self.name.replace('.', '/') + ('/' if self.is_package else '.py')


def read_modules(root: pathlib.Path = ROOT / NAME) -> dict[str, Module]:
    """Every module below a folder, by name; the folder's own is left out."""
    paths = {_name(path.relative_to(root)): path for path in root.rglob('*.py')}
    paths.pop('')
    return {
        name: _read(name, path, paths.keys()) for name, path in sorted(paths.items())
    }


def _name(path: pathlib.Path) -> str:
    parts = path.with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _read(name: str, path: pathlib.Path, known: Iterable[str]) -> Module:
    source = path.read_text(encoding='utf-8')
    tree = ast.parse(source)
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or '')
            imported |= {f'{node.module}.{alias.name}' for alias in node.names}
    own = {each.removeprefix(f'{NAME}.') for each in imported} & {*known}
    return Module(
        name,
        _first_sentence(ast.get_docstring(tree) or ''),
        len(source.splitlines()),
        path.name == '__init__.py',
        frozenset(own - {name}),
    )


def _first_sentence(docstring: str) -> str:
    paragraph = ' '.join(docstring.partition('\n\n')[0].split())
    return paragraph.partition('. ')[0].rstrip('.')


def read_packages(
    path: pathlib.Path = ROOT / 'tests' / 'unit' / 'test_house.py',
) -> dict[str, set[str]]:
    """The packages in their order, and the libraries that each may import."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == 'PACKAGES'
            and node.value is not None
        ):
            packages: dict[str, set[str]] = ast.literal_eval(node.value)
            return packages
    raise LookupError(f'{path} has no table PACKAGES')


def find_closure(modules: Mapping[str, Module], *roots: str) -> list[Module]:
    """All modules that importing some brings, packages without code aside."""
    found: set[str] = set()
    rest = [*roots]
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += modules[name].imports
    return [
        module
        for name, module in modules.items()
        if name in found and _has_code(module)
    ]


def _has_code(module: Module) -> bool:
    return not module.is_package or bool(module.imports)


def draw_packages(modules: Mapping[str, Module], packages: Sequence[str]) -> str:
    """The packages and their imports as SVG; see :func:`drawing.draw`."""
    serving = {module.package for module in find_closure(modules, *WAYS_IN)}
    boxes = []
    for package in packages:
        own = [module for module in modules.values() if module.package == package]
        lines = sum(module.lines for module in own)
        boxes.append(
            drawing.Box(
                package,
                f'{_count_modules(own)}, {lines} lines',
                frozenset(_imported_packages(own)),
                package in serving,
            )
        )
    return drawing.draw(boxes, 'The packages of consumer_guard and their imports')


def _imported_packages(modules: Iterable[Module]) -> set[str]:
    return {
        imported.partition('.')[0]
        for module in modules
        for imported in module.imports
        if imported.partition('.')[0] != module.package
    }


def _count_modules(modules: Iterable[Module]) -> str:
    count = sum(map(_has_code, modules))
    return f'{count} module' + ('s' if count != 1 else '')


def tabulate_packages(
    modules: Mapping[str, Module], packages: Mapping[str, set[str]]
) -> str:
    """Package, purpose, modules, lines, imported packages, libraries."""
    order = list(packages)
    rows = []
    for package, libraries in packages.items():
        own = [module for module in modules.values() if module.package == package]
        imported = sorted(_imported_packages(own), key=order.index)
        rows.append(
            (
                f'``{package}``',
                modules[package].summary,
                sum(map(_has_code, own)),
                sum(module.lines for module in own),
                ', '.join(imported),
                ', '.join(sorted(libraries)),
            )
        )
    total = sum(module.lines for module in modules.values())
    count = sum(map(_has_code, modules.values()))
    return _write([*rows, ('all', '', count, total, '', '')])


def tabulate_modules(modules: Iterable[Module]) -> str:
    """Module, lines, purpose; and the sum."""
    rows = [(f'``{module.path}``', module.lines, module.summary) for module in modules]
    return _write([*rows, (f'{len(rows)} modules', sum(row[1] for row in rows), '')])


def read_review(path: pathlib.Path = HERE / 'review.csv') -> list[tuple[str, str, str]]:
    """The hand-written part of the reading order: hour, module, what to check."""
    with path.open(newline='', encoding='utf-8') as file:
        return [(row[0], row[1], row[2]) for row in csv.reader(file)]


def tabulate_review(
    modules: Mapping[str, Module], review: Iterable[tuple[str, str, str]]
) -> dict[str, str]:
    """For each hour: module, lines, lines read so far, what to check."""
    rows: dict[str, list[tuple[object, ...]]] = {}
    read = 0
    for hour, name, question in review:
        module = modules[name]
        read += module.lines
        row = (f'``{module.path}``', module.lines, read, question)
        rows.setdefault(hour, []).append(row)
    return {hour: _write(some) for hour, some in rows.items()}


def _write(rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def write_all(out: pathlib.Path) -> None:
    """Write every table and the drawing."""
    modules = read_modules()
    packages = read_packages()
    closure = find_closure(modules, REQUEST_PATH)
    described = [module for module in modules.values() if _has_code(module)]
    for name, text in (
        ('packages.svg', draw_packages(modules, list(packages))),
        ('packages.csv', tabulate_packages(modules, packages)),
        ('modules.csv', tabulate_modules(described)),
        ('request-path.csv', tabulate_modules(closure)),
        *(
            (f'review-{hour}.csv', table)
            for hour, table in tabulate_review(modules, read_review()).items()
        ),
    ):
        (out / name).write_text(text, encoding='utf-8')


if __name__ == '__main__':
    write_all(pathlib.Path(sys.argv[1]))
