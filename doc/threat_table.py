# SPDX-License-Identifier: Apache-2.0
"""The table of threats: what is tried, what the guard does, which tests prove it.

``threats.csv`` says the first two; the tests are those that name the id. A test
names an id in its own text, or through a table of the module that it uses.

    python -m doc.threat_table            the table as CSV
    python -m doc.threat_table --missing  the ids that no test names
"""

import argparse
import ast
import csv
import io
import pathlib
import re
import sys
from collections.abc import Iterator

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parent / 'tests'
ROWS = HERE / 'threats.csv'

_ID = re.compile(r'\b[A-Z]\d\db?\b')


def read_rows() -> list[tuple[str, str, str]]:
    """The hand-written part: id, what is tried, what the guard does."""
    with ROWS.open(newline='', encoding='utf-8') as file:
        return [(row[0], row[1], row[2]) for row in csv.reader(file)]


def find_tests() -> dict[str, list[str]]:
    """The tests that name each id, as ``file::name`` below tests/."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob('test_*.py')):
        source = path.read_text(encoding='utf-8')
        where = path.relative_to(TESTS).as_posix()
        for name, text in _named_texts(source):
            for key in dict.fromkeys(_ID.findall(text)):
                place = f'{where}::{name}'
                if place not in found.setdefault(key, []):
                    found[key].append(place)
    return found


def _named_texts(source: str) -> Iterator[tuple[str, str]]:
    """Every test of a module with its text and that of the tables it uses."""
    tree = ast.parse(source)
    lines = source.splitlines()
    tables = {
        target.id: _text(lines, node)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in getattr(node, 'targets', [getattr(node, 'target', None)])
        if isinstance(target, ast.Name)
    }
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            about = ast.get_docstring(node) or ''
            if about:
                yield node.name, about
        for test in _tests(node):
            text = _text(lines, test)
            words = set(re.findall(r'\w+', text))
            used = [table for name, table in tables.items() if name in words]
            prefix = f'{node.name}::' if isinstance(node, ast.ClassDef) else ''
            yield prefix + test.name, '\n'.join([text, *used])


def _tests(node: ast.stmt) -> list[ast.FunctionDef]:
    inner = node.body if isinstance(node, ast.ClassDef) else [node]
    return [
        one
        for one in inner
        if isinstance(one, ast.FunctionDef) and one.name.startswith('test_')
    ]


def _text(lines: list[str], node: ast.stmt) -> str:
    decorators = getattr(node, 'decorator_list', [])
    first = min([node.lineno, *(one.lineno for one in decorators)])
    return '\n'.join(lines[first - 1 : node.end_lineno])


def make_table() -> str:
    """The whole table as CSV, its cells as reStructuredText."""
    tests = find_tests()
    out = io.StringIO()
    writer = csv.writer(out)
    for key, tried, done in read_rows():
        proof = '\n'.join(f'| ``{test}``' for test in tests.get(key, []))
        writer.writerow([key, tried, done, proof])
    return out.getvalue()


def main() -> int:
    """Print the table, or what is missing; status 1 when something is."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--missing', action='store_true', help='ids without a test')
    if not parser.parse_args().missing:
        sys.stdout.write(make_table())
        return 0
    tests = find_tests()
    missing = [key for key, _, _ in read_rows() if key not in tests]
    sys.stdout.write(''.join(f'{key}\n' for key in missing))
    return 1 if missing else 0


if __name__ == '__main__':
    sys.exit(main())
