# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard matrix`` without a placement: formats, page, comparison."""

import html.parser
import json
import pathlib
import re

import pytest
import yaml

from consumer_guard.analysis.access import CALLER_CLASSES, Relation
from consumer_guard.analysis.equivalence import Change
from consumer_guard.analysis.matrix import FIELDS, compare_cells
from consumer_guard.guard import model
from tests.commands import Cli, Commands
from tests.configuration import OWNER_RULES
from tests.hermetic import hide_placement

#: Where this machine has no placement.
ALONE = (
    "placement's configuration was not found here (OS_PLACEMENT_CONFIG_DIR): this "
    "shows the guard's rules alone\n"
)
CELLS = len(CALLER_CLASSES) * len(model.OPERATIONS) * len(Relation)


class MatrixCli(Cli):
    """A configuration and rules in a folder."""

    def rule(self, rules: dict[str, str]) -> None:
        self.write('policy.yaml', rules)

    def save(self, name: str = 'before.json') -> str:
        """Write the matrix as it is now."""
        run = self.run('matrix', '-f', 'json')
        assert run.status == 0, run.err
        path = self.folder / name
        path.write_text(run.out)
        return str(path)

    def page(self) -> str:
        path = self.folder / 'page.html'
        run = self.run('matrix', '--html', str(path))
        assert run.status == 0, run.err
        return path.read_text(encoding='utf-8')


@pytest.fixture
def guard(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> MatrixCli:
    hide_placement(monkeypatch, tmp_path)
    made = MatrixCli(tmp_path, 'consumer-guard.conf')
    made.configure()
    return made


def test_the_table_says_for_each_caller_what_is_allowed(guard: MatrixCli) -> None:
    run = guard.run('matrix')
    assert run.status == 0
    assert run.err == ALONE
    lines = run.out.splitlines()
    reader = next(line for line in lines if line.startswith('| reader of the project '))
    assert [cell.strip() for cell in reader.split('|')[1:-1]] == [
        *('reader of the project', 'owned', '-', '-', '-', '-', 'owned', '-'),
    ]
    admin = next(line for line in lines if line.startswith('| admin '))
    assert admin.count(' all ') == 7


def test_filtered_lists_are_named(guard: MatrixCli) -> None:
    guard.rule(OWNER_RULES)
    out = guard.run('matrix').out
    assert out.count('list of owned') == 5
    assert out.count('empty list') == 3


@pytest.mark.parametrize('rules', [{}, OWNER_RULES], ids=['default', 'owners'])
def test_a_table_of_eighty_columns_shows_the_same_access(
    guard: MatrixCli, rules: dict[str, str]
) -> None:
    guard.rule(rules)
    wide = guard.run('matrix', '-f', 'markdown').out.splitlines()
    names = [cell.strip() for cell in wide[0].split('|')[2:-1]]
    expected = set()
    for line in wide[2:]:
        caller, *accesses = [cell.strip() for cell in line.split('|')[1:-1]]
        allowed = {*zip(names, accesses, strict=True)}
        if len({*accesses}) > 1:
            allowed = {pair for pair in allowed if pair[1] != '-'}
        expected |= {(caller, *pair) for pair in allowed}
    shown, caller, access = set(), '', ''
    lines = guard.run('matrix', '--max-width', '80').out.splitlines()
    assert max(map(len, lines)) <= 80
    for line in lines[3:-1]:
        cells = [cell.strip() for cell in line.split('|')[1:-1]]
        caller, access = cells[0] or caller, cells[1] or access
        if cells[2] == 'resource_providers:':
            continue
        name = cells[2]
        if line.split('|')[3].startswith('   '):
            name = f'resource_providers:{name}'
        shown |= {
            (caller, each, access) for each in (names if name == 'all' else [name])
        }
    assert shown == expected


def test_markdown_has_one_line_for_each_class_of_callers(guard: MatrixCli) -> None:
    lines = guard.run('matrix', '-f', 'markdown').out.splitlines()
    assert lines[0].startswith('| caller | allocations:list |')
    assert set(lines[1]) == set('| -')
    assert len(lines) == 2 + len(CALLER_CLASSES)
    assert {line.count('|') for line in lines} == {9}


def test_markdown_cannot_be_broken_by_a_role(guard: MatrixCli) -> None:
    out = guard.run('matrix', '-f', 'markdown', '--role', 'a|b\\').out
    lines = out.splitlines()
    assert lines[-2].startswith('| a\\|b\\\\ of the project |')


def test_one_row_a_cell(guard: MatrixCli) -> None:
    rows = guard.run('matrix', '-f', 'json').json
    assert len(rows) == CELLS
    assert tuple(rows[0]) == FIELDS
    outcomes = {row['outcome'] for row in rows}
    assert outcomes == {'role', 'passage', 'refuse'}
    csv = guard.run('matrix', '-f', 'csv').out.splitlines()
    assert len(csv) == CELLS + 1


@pytest.mark.parametrize('options', [(), ('denial = conceal',), ('passage_role =',)])
def test_the_same_bytes_every_time(guard: MatrixCli, options: tuple[str, ...]) -> None:
    guard.configure(*options)
    for arguments in (('-f', 'json'), ('-f', 'csv'), (), ('-f', 'markdown')):
        first, second = (guard.run('matrix', *arguments) for _ in range(2))
        assert first == second
    assert guard.page() == guard.page()


def test_shadow_is_what_would_be(guard: MatrixCli) -> None:
    enforced = guard.run('matrix', '-f', 'json')
    guard.configure('enforcement = shadow')
    shadow = guard.run('matrix', '-f', 'json')
    assert shadow.out == enforced.out
    assert 'these are the decisions' in shadow.err
    assert 'Shadow mode' in guard.page()


def test_roles_of_the_rules_have_rows(guard: MatrixCli) -> None:
    guard.rule({'consumer_guard:usages': 'role:Auditor or role:consumer_guard_passage'})
    out = guard.run('matrix', '--role', 'Helpdesk', '--role', 'reader').out
    names = re.findall(r'^\| (\S.*? project) ', out, re.MULTILINE)
    assert names[-4:] == [
        'auditor of the project',
        'auditor of another project',
        'helpdesk of the project',
        'helpdesk of another project',
    ]
    assert 'passage' not in out


def test_checks_elsewhere_are_said_and_not_asked(guard: MatrixCli) -> None:
    guard.rule({'consumer_guard:usages': 'http://127.0.0.1:9/secret'})
    run = guard.run('matrix')
    assert run.status == 0
    assert 'rule of usages contains a remote check' in run.err
    assert 'secret' not in run.err


class TestCompare:
    def test_equal_matrices_differ_in_nothing_and_exit_with_zero(
        self, guard: MatrixCli
    ) -> None:
        run = guard.run('matrix', '--compare', guard.save(), '-f', 'json')
        assert run.status == 0
        assert run.json == []
        assert run.err == ALONE + f'0 of {CELLS} cells differ\n'

    def test_newly_allowed_comes_first(self, guard: MatrixCli) -> None:
        before = guard.save()
        guard.rule(
            {
                'consumer_guard:allocations:list': 'role:service',
                'consumer_guard:usages': 'role:reader',
                'consumer_guard:allocations:delete': 'role:reader and '
                'project_id:%(project_id)s or rule:consumer_guard:admin_or_service',
            }
        )
        run = guard.run('matrix', '--compare', before, '-f', 'json')
        assert run.status == 1
        changes = [row['change'] for row in run.json]
        order = ['newly allowed', 'newly refused', 'another way']
        assert changes == sorted(changes, key=order.index)
        assert set(changes) == set(order)
        assert run.json[0]['before'].startswith('refused: ')
        assert run.json[0]['now'].startswith('allowed: ')
        for row in run.json:
            if row['operation'] == 'allocations:delete':
                # Ownership never allows it: only the reason is another.
                assert row['change'] == 'another way'

    def test_differences_are_said_in_words_and_exit_with_one(
        self, guard: MatrixCli
    ) -> None:
        before = guard.save()
        guard.rule({'consumer_guard:reshaper:reshape': '@'})
        run = guard.run('matrix', '--compare', before)
        assert run.status == 1
        assert 'newly allowed' in run.out
        assert 'no roles' in run.out
        assert f'36 of {CELLS} cells differ' in run.err

    def test_conceal_is_a_difference(self, guard: MatrixCli) -> None:
        before = guard.save()
        guard.configure('denial = conceal')
        run = guard.run('matrix', '--compare', before, '-f', 'json')
        assert run.status == 1
        assert {row['change'] for row in run.json} == {'another way'}
        assert {row['operation'] for row in run.json} == {'allocations:list'}

    def test_rows_that_come_and_go(self, guard: MatrixCli) -> None:
        without = guard.save()
        guard.rule({'consumer_guard:usages': 'role:auditor'})
        having = guard.save('having.json')
        run = guard.run('matrix', '--compare', without, '-f', 'json')
        new = [row for row in run.json if row['caller'].startswith('auditor')]
        assert {row['before'] for row in new} == {''}
        assert {row['change'] for row in new if row['operation'] == 'usages'} == {
            'newly allowed'
        }
        guard.rule({})
        run = guard.run('matrix', '--compare', having, '-f', 'json')
        gone = [row for row in run.json if row['caller'].startswith('auditor')]
        assert {row['now'] for row in gone} == {''}
        assert {row['change'] for row in gone if row['operation'] == 'usages'} == {
            'newly refused'
        }

    def test_an_allowed_cell_that_appears_or_vanishes_is_a_change(self) -> None:
        row = ('a', 'b', 'owned', True, 'role', 'why', 'answer')
        assert compare_cells([], []) == []
        assert [one.change for one in compare_cells([], [row])] == [Change.ALLOWED]
        assert [one.change for one in compare_cells([row], [])] == [Change.REFUSED]


class TestBadInput:
    """One clear line, and status 2."""

    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('{', 'not JSON'),
            ('', 'not JSON'),
            ('{}', 'not a matrix'),
            ('[]', 'not a matrix'),
            ('[5]', 'not a matrix'),
            ('[{"caller": "x"}]', 'not a matrix'),
            (
                json.dumps([{name: [] for name in FIELDS}]),
                'neither text nor true or false',
            ),
        ],
    )
    def test_a_file_to_compare_that_is_no_matrix_stops_the_command(
        self, guard: MatrixCli, text: str, words: str
    ) -> None:
        path = guard.folder / 'before.json'
        path.write_text(text)
        run = guard.run('matrix', '--compare', str(path))
        run.assert_stopped('--compare', 'before.json', words)

    def test_no_file_to_compare(self, guard: MatrixCli) -> None:
        run = guard.run('matrix', '--compare', '/nowhere/x.json')
        run.assert_stopped('--compare /nowhere/x.json', 'No such file')

    def test_page_that_cannot_be_written(self, guard: MatrixCli) -> None:
        run = guard.run('matrix', '--html', '/nowhere/x.html')
        run.assert_stopped('--html /nowhere/x.html', 'No such file')

    @pytest.mark.parametrize('text', ['[', '5', '"consumer_guard:usage": "@"'])
    def test_a_policy_file_that_cannot_be_used_stops_the_command(
        self, guard: MatrixCli, text: str
    ) -> None:
        (guard.folder / 'policy.yaml').write_text(text)
        guard.run('matrix').assert_stopped('policy.yaml')

    def test_a_configuration_that_is_absent_stops_the_command(
        self, tmp_path: pathlib.Path
    ) -> None:
        Commands(tmp_path / 'absent.conf').run('matrix').assert_stopped('absent.conf')

    def test_an_option_that_is_not_valid_stops_the_command(
        self, guard: MatrixCli
    ) -> None:
        guard.configure('denial = maybe')
        guard.run('matrix').assert_stopped('denial')

    def test_an_unknown_format_is_refused_without_a_traceback(
        self, guard: MatrixCli
    ) -> None:
        run = guard.run('matrix', '-f', 'poem')
        assert run.status == 2
        assert 'Traceback' not in run.err


class Reader(html.parser.HTMLParser):
    """What a page holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class TestPage:
    def test_every_cell_says_what_it_is(self, guard: MatrixCli) -> None:
        buttons = Reader(guard.page()).all('button')
        assert len(buttons) == CELLS
        labels = {button['aria-label'] for button in buttons}
        assert len(labels) == CELLS
        assert 'reader of the project, usages, foreign: refused' in labels
        for button in buttons:
            assert button['data-reason']
            assert button['data-answer']

    def test_it_needs_nothing_else(self, guard: MatrixCli) -> None:
        page = guard.page()
        for _, attributes in Reader(page).tags:
            assert not {'src', 'href', 'srcset', 'action'} & set(attributes)
        assert 'url(' not in page
        assert '@import' not in page
        assert '://' not in page

    def test_rules_are_text(self, guard: MatrixCli) -> None:
        """A rule of an operator's cannot become a tag."""
        guard.rule({'consumer_guard:usages': 'role:<script>alert(1)</script>&"\''})
        page = guard.page()
        assert '<script>alert' not in page
        assert len(Reader(page).all('script')) == 1
        assert '&lt;script&gt;alert(1)&lt;/script&gt;&amp;' in page

    def test_every_header_of_the_tables_says_its_scope(self, guard: MatrixCli) -> None:
        headers = Reader(guard.page()).all('th')
        scopes = [header.get('scope') for header in headers]
        assert scopes.count('colgroup') == len(model.OPERATIONS)
        assert scopes.count('row') == len(CALLER_CLASSES) + len(model.OPERATIONS)
        assert None not in scopes

    def test_conceal_has_its_own_sign(self, guard: MatrixCli) -> None:
        assert 'answered as if unknown' not in guard.page()
        guard.configure('denial = conceal')
        assert 'answered as if unknown' in guard.page()


@pytest.fixture
def placed(guard: MatrixCli, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Placement's configuration folder, with a policy file that has no rules."""
    folder = guard.folder / 'placement'
    folder.mkdir()
    policy = folder / 'policy.yaml'
    policy.write_text('{}')
    conf = f'[oslo_policy]\npolicy_file = {policy}\n'
    (folder / 'placement.conf').write_text(conf)
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(folder))
    return folder


def test_what_placement_refuses_is_refused_and_the_answer_says_so(
    guard: MatrixCli, placed: pathlib.Path
) -> None:
    """By its defaults: owners without the passage role, and an admin's reshape."""
    run = guard.run('matrix', '-f', 'json')
    cells = {
        (row['caller'], row['operation'], row['relation']): row for row in run.json
    }
    for cell in (
        cells['admin', 'reshaper:reshape', 'owned'],
        cells['reader of the project', 'allocations:list', 'owned'],
    ):
        assert cell['allowed'] is False
        assert cell['answer'].startswith('403 from placement: its rule placement:')
    assert cells['service', 'reshaper:reshape', 'owned']['allowed'] is True
    assert cells['reader of the project', 'usages', 'owned']['allowed'] is True
    assert 'reshaper:reshape: placement refuses what the guard allows: admin' in run.err
    rules = {'placement:allocations:list': 'role:consumer_guard_passage'}
    (placed / 'policy.yaml').write_text(yaml.safe_dump(rules))
    run = guard.run('matrix', '-f', 'json')
    allowed = {
        (row['caller'], row['relation'])
        for row in run.json
        if row['operation'] == 'allocations:list' and row['allowed']
    }
    assert ('reader of the project', 'owned') in allowed
    assert not [who for who, _ in allowed if who in ('admin', 'service')]


def test_the_page_shows_what_placement_refuses_as_refused(
    guard: MatrixCli, placed: pathlib.Path
) -> None:
    assert '403 from placement: its rule placement:reshaper:reshape' in guard.page()


def test_a_policy_file_of_placement_that_cannot_be_read_is_named(
    guard: MatrixCli, placed: pathlib.Path
) -> None:
    (placed / 'policy.yaml').write_text('{[')
    run = guard.run('matrix')
    assert run.status == 0
    assert 'policy.yaml' in run.err
    assert "this shows the guard's rules alone" in run.err
