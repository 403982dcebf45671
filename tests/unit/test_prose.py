# SPDX-License-Identifier: Apache-2.0
"""The English of the documentation and of the messages: no word that HACKING.rst bans."""

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / 'consumer_guard'

#: Cute verbs, riddles and archaisms, with the form that is at fault.
BANNED = re.compile(
    r"""\b(
    told | tells? | telling | says? | said | saying | cured? | cures
    | stands? (?!\s for\b) | stood | spelt | spelled | spellings? | misspel\w+
    | look(s|ed|ing)? \s at | meant | mends? | mended | whom | hardly | veil\w*
    | somebody('s)? | nobody's | whatever | let(s)? \s (in|through)
    | at \s the \s most | must \s not \s grow | asks? \s elsewhere | unwatched
    | what \s is \s asked | naive \s way
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)

#: Pages, samples and release notes for operators and clients.
PAGES = sorted(
    page
    for page in [
        *(ROOT / name for name in ('README.rst', 'SECURITY.rst')),
        *(ROOT / 'doc/source').glob('*.rst'),
        *(ROOT / 'etc/consumer-guard').iterdir(),
        *(ROOT / 'releasenotes/notes').iterdir(),
    ]
    # Generated from the specification.
    if page.name != 'decision-table.rst'
)

#: Packages whose texts operators and clients read.
SOURCES = sorted(
    path
    for path in PACKAGE.rglob('*.py')
    if not {'testing', 'proof'} & {*path.relative_to(PACKAGE).parts}
)


def read_texts(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Line and text of every message: literals of more than two words.

    Docstrings count where ``cliff`` shows them, below ``consumer_guard/cmd``.
    """
    tree = ast.parse(path.read_text())
    shown = 'cmd' in path.parts
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if shown and isinstance(node, ast.ClassDef):
                continue
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                skipped.add(id(first.value))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in skipped:
            continue
        if isinstance(node.value, str) and node.value.count(' ') > 1:
            yield node.lineno, node.value


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_a_page_for_operators_has_no_banned_word(page: pathlib.Path) -> None:
    text = re.sub(r'``[^`]*``|:\w+:`[^`]*`', '``', page.read_text())
    found = [
        f'{page.name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}'
        for match in BANNED.finditer(text)
    ]
    assert not found


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: path.stem)
def test_a_message_has_no_banned_word(path: pathlib.Path) -> None:
    found = [
        f'{path.name}:{line}: {text!r}'
        for line, text in read_texts(path)
        if BANNED.search(text)
    ]
    assert not found


@pytest.mark.parametrize(
    'text',
    [
        "a nobody's consumer",
        'the log tells',
        'mend the file',
        'look at\nthe log',
        'whom only one allows',
    ],
)
def test_the_words_that_hacking_bans_are_found(text: str) -> None:
    assert BANNED.search(text)
