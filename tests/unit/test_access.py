# SPDX-License-Identifier: Apache-2.0
"""The access table of the rules: every cell, and what moves it."""

import yaml

from consumer_guard.analysis import prediction
from consumer_guard.analysis.access import (
    CALLER_CLASSES,
    AccessTable,
    Relation,
    compute_access,
    make_role_classes,
)
from consumer_guard.guard import model
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.configuration import OWNER_RULES

LIST = 'allocations:list'
UPDATE = 'allocations:update'
PROVIDER = 'resource_providers:allocations:list'
NAMES = [one.name for one in CALLER_CLASSES]
OF_PROJECT = [name for name in NAMES if ' of the project' in name]


def make_rulebook(**rules: str) -> Rulebook:
    named = {model.NAMESPACE + name: text for name, text in rules.items()}
    return Rulebook.build([PolicyText('policy.yaml', yaml.safe_dump(named))])


def allowed(cells: AccessTable, operation: str) -> set[tuple[str, Relation]]:
    return {
        (name, relation)
        for (name, other, relation), cell in cells.items()
        if other == operation and cell.allowed
    }


def test_every_cell_is_there_in_order() -> None:
    cells = compute_access(make_rulebook())
    assert list(cells) == [
        (name, operation.name, relation)
        for name in NAMES
        for operation in model.OPERATIONS
        for relation in Relation
    ]
    assert len(set(NAMES)) == len(NAMES) == 15


def test_by_default_owners_may_only_list_and_read_usages() -> None:
    cells = compute_access(make_rulebook())
    everything = {(name, one) for name in ('admin', 'service') for one in Relation}
    own = {(name, Relation.OWNED) for name in OF_PROJECT}
    for operation in model.OPERATIONS:
        expected = everything
        if operation in (model.ALLOCATIONS_LIST, model.USAGES):
            expected = everything | own
        assert allowed(cells, operation.name) == expected


def test_with_owner_rules_members_write_and_readers_list_their_own() -> None:
    text = yaml.safe_dump(OWNER_RULES)
    cells = compute_access(Rulebook.build([PolicyText('policy.yaml', text)]))
    writers = {
        (name, Relation.OWNED) for name in OF_PROJECT if not name.startswith('reader')
    }
    roles = {(name, one) for name in ('admin', 'service') for one in Relation}
    assert allowed(cells, UPDATE) == roles | writers
    assert allowed(cells, 'allocations:manage') == roles | writers
    assert allowed(cells, 'allocations:delete') == roles
    assert allowed(cells, 'reshaper:reshape') == roles
    listed = {(name, Relation.OWNED) for name in OF_PROJECT}
    assert allowed(cells, PROVIDER) == roles | listed
    shown = cells['reader of the project', PROVIDER, Relation.FOREIGN]
    assert shown.outcome is Outcome.FILTER
    assert shown.answer == prediction.NOT_LISTED
    delete = cells['member of the project', 'allocations:delete', Relation.OWNED]
    assert delete.reason is Reason.NEVER


def test_users_are_told_apart() -> None:
    rule = 'role:reader and user_id:%(user_id)s'
    cells = compute_access(make_rulebook(**{LIST: rule, 'usages': rule}))
    own = {
        (name, Relation.OWNED)
        for name in (
            'manager of the project',
            'member of the project',
            'reader of the project',
            'no project',
        )
    }
    assert allowed(cells, LIST) == own
    assert allowed(cells, 'usages') == own


def test_open_to_all_is_not_open_to_other_scopes() -> None:
    cells = compute_access(make_rulebook(**{LIST: '@'}))
    expected = [name for name in NAMES if not name.startswith(('system', 'domain'))]
    assert len(expected) == 11
    assert allowed(cells, LIST) == {
        (name, one) for name in expected for one in Relation
    }


def test_an_operation_shut_to_all_is_denied_to_admins_too() -> None:
    cells = compute_access(make_rulebook(**{LIST: '!'}))
    assert allowed(cells, LIST) == set()
    assert cells['admin', LIST, Relation.OWNED].reason is Reason.DENIED


def test_conceal_hides_what_depends_on_the_owner() -> None:
    cells = compute_access(make_rulebook(), conceal=True)
    for relation in (Relation.FOREIGN, Relation.UNKNOWN, Relation.UNOWNED):
        cell = cells['reader of the project', LIST, relation]
        assert cell.answer == prediction.CONCEALED
        assert not cell.allowed
    assert cells['no roles', LIST, Relation.OWNED].answer == '403'
    assert cells['reader of the project', 'usages', Relation.FOREIGN].answer == '403'


def test_without_a_passage_role() -> None:
    cells = compute_access(make_rulebook(), passage_role='')
    cell = cells['reader of the project', LIST, Relation.OWNED]
    assert cell.answer == prediction.WITHOUT_PASSAGE


def test_roles_of_this_cloud() -> None:
    rules = make_rulebook(**{LIST: 'role:auditor'})
    classes = make_role_classes('auditor')
    cells = compute_access(rules, classes=classes, operations=[model.ALLOCATIONS_LIST])
    assert len(cells) == 8
    assert all(cell.outcome is Outcome.ROLE for cell in cells.values())


def test_a_check_that_asks_elsewhere_is_not_asked() -> None:
    cells = compute_access(make_rulebook(**{LIST: 'http://127.0.0.1:9/'}))
    assert allowed(cells, LIST) == set()
