# SPDX-License-Identifier: Apache-2.0
"""Every cell of the matrix is what placement behind the guard really answers."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import webtest
import yaml

from consumer_guard.analysis import prediction
from consumer_guard.analysis.access import (
    FOREIGN_PROJECT_ID,
    FOREIGN_USER_ID,
    PROJECT_ID,
    USER_ID,
    CallerClass,
    Cell,
    Relation,
)
from consumer_guard.analysis.client import PlacementRules
from consumer_guard.analysis.lint.linter import Policies
from consumer_guard.analysis.lint.rulesets import find_registered
from consumer_guard.analysis.matrix import Matrix, make_matrix
from consumer_guard.guard import model
from consumer_guard.guard.decision import Outcome, Reason
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.administrator import SUMS_VERSION, VERSION, User
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment
from tests.rows import NOBODY
from tests.scenery import Scene

#: Rules that read everything there is, and differ by user, type and project.
MIXED_RULES = {
    'consumer_guard:allocations:list': 'rule:consumer_guard:admin_or_service'
    ' or role:reader and user_id:%(user_id)s',
    'consumer_guard:allocations:update': 'role:admin or role:member and'
    " not project_id:%(project_id)s and 'INSTANCE':%(consumer_type)s",
    'consumer_guard:allocations:manage': 'role:admin or role:auditor',
    'consumer_guard:resource_providers:allocations:list': 'role:admin or'
    ' not project_id:%(project_id)s',
    'consumer_guard:usages': 'role:admin or user_id:%(user_id)s',
    'consumer_guard:allocations:delete': '@',
    'consumer_guard:reshaper:reshape': 'role:admin or is_admin_project:True and'
    ' role:reader',
}

OWNERS = {
    Relation.OWNED: User((), PROJECT_ID, USER_ID),
    Relation.FOREIGN: User((), FOREIGN_PROJECT_ID, FOREIGN_USER_ID),
}


#: Placement by its sample, by its defaults, and by odd rules.
PLACEMENTS: dict[str, dict[str, str]] = {
    'opened': {
        'placement:allocations:list': 'rule:admin_or_service_api'
        ' or role:consumer_guard_passage',
    },
    'defaults': {},
    'odd': {
        'placement:allocations:list': 'role:reader and project_id:%(project_id)s',
        'placement:allocations:update': 'not role:consumer_guard_passage',
        'placement:allocations:delete': 'user_id:%(user_id)s and not role:service',
        'placement:allocations:manage': 'rule:nowhere or domain_id:%(domain_id)s',
        'placement:resource_providers:allocations:list': 'role:consumer_guard_passage'
        ' or not domain_id:None',
        'placement:usages': 'not project_id:%(project_id)s',
        'placement:reshaper:reshape': '',
    },
}


def make(
    rules: dict[str, str], conceal: bool, placement: dict[str, str] | None = None
) -> Matrix:
    text = '\n'.join(f'"{name}": "{rule}"' for name, rule in rules.items())
    return make_matrix(
        Rulebook.build([PolicyText('policy.yaml', text)]),
        (),
        conceal=conceal,
        passage_role='consumer_guard_passage',
        nobodys_project_id=NOBODY,
        placement=None if placement is None else make_placement(placement),
    )


def make_placement(rules: dict[str, str]) -> PlacementRules | None:
    return PlacementRules.build(
        Policies(
            ours=[],
            placements=[PolicyText('placement.yaml', yaml.safe_dump(rules))],
            registered=find_registered(),
            passage_role='consumer_guard_passage',
        )
    )


class MatrixScene(Scene):
    """Owners as the matrix names them, with a consumer of each relation."""

    def __init__(self, deployed: Deployment) -> None:
        super().__init__(deployed)
        self._consumers: dict[Relation, str] = {}

    def find(self, relation: Relation) -> str:
        """A consumer at generation 1, or none for UNKNOWN."""
        if relation not in self._consumers:
            self._consumers[relation] = self._add(relation)
        return self._consumers[relation]

    def make_user(self, one: CallerClass) -> User:
        credentials = one.caller.credentials
        scope = one.caller.scope
        if scope == 'project' and not credentials['project_id']:
            scope = 'none'
        user = User(
            tuple(credentials['roles']),
            credentials['project_id'],
            user_id=credentials['user_id'],
            scope=scope,
        )
        self.deployed.tokens.issue(user)
        return user

    def _add(self, relation: Relation) -> str:
        if relation is Relation.UNKNOWN:
            return str(uuid.uuid4())
        if relation in OWNERS:
            return self.deployed.add_consumer(self.provider, OWNERS[relation])
        return self.deployed.add_ownerless(self.provider)

    def ask(
        self, user: User, operation: model.Operation, relation: Relation, consumer: str
    ) -> webtest.TestResponse:
        claimed = OWNERS.get(relation, OWNERS[Relation.OWNED])
        generation = None if relation is Relation.UNKNOWN else 1
        claim = self.claim(claimed, generation=generation)
        path = operation.path.format(consumer_uuid=consumer, uuid=self.provider)
        body: Any = None
        version = VERSION
        if operation is model.ALLOCATIONS_UPDATE:
            body = claim
        elif operation is model.ALLOCATIONS_MANAGE:
            body = {consumer: claim}
        elif operation is model.RESHAPE:
            body = self.deployed.make_reshape(self.provider, {consumer: claim})
        elif operation is model.USAGES:
            path += '?' + self._query(relation)
            version = SUMS_VERSION
        answer = self.deployed.request(
            operation.method, path, user, version=version, body=body
        )
        # A write that placement refuses was sealed before: its generation has moved.
        refused_behind = 'Policy does not allow placement:' in answer.text
        if operation.writes and (answer.status_int < 400 or refused_behind):
            del self._consumers[relation]
        return answer

    def _query(self, relation: Relation) -> str:
        owner = OWNERS.get(relation)
        if owner is not None:
            return f'project_id={owner.project_id}&user_id={owner.user_id}'
        return f'project_id={NOBODY if relation is Relation.UNOWNED else "9" * 32}'


def assert_is(
    cell: Cell, answer: webtest.TestResponse, operation: model.Operation, consumer: str
) -> None:
    """Whether the answer is what the cell says."""
    if cell.placement_refuses:
        assert not cell.allowed
        assert answer.status_int == 403
        assert 'Policy does not allow placement:' in answer.text
        return
    if cell.outcome is Outcome.REFUSE:
        assert not cell.allowed
        if cell.answer == prediction.CONCEALED:
            assert answer.status_int == 200
            assert answer.json == {'allocations': {}}
            return
        assert answer.status_int == int(cell.answer)
        assert 'Policy does not allow consumer_guard' in answer.text
        return
    if cell.outcome is Outcome.FILTER:
        assert answer.status_int == 200
        assert answer.json['resource_provider_generation'] is None
        assert (consumer in answer.json['allocations']) is cell.allowed
        assert cell.allowed is (cell.reason is Reason.OWNER)
        return
    assert cell.allowed
    if operation is model.PROVIDER_ALLOCATIONS_LIST:
        assert answer.json['resource_provider_generation'] is not None
    # Deleting what is not there is placement's own 404.
    assert answer.status_int in (200, 204) or (
        operation is model.ALLOCATIONS_DELETE and answer.status_int == 404
    ), answer.text


@pytest.mark.parametrize(
    ('rules', 'denial'),
    [({}, 'forbid'), (OWNER_RULES, 'conceal'), (MIXED_RULES, 'forbid')],
    ids=['defaults', 'owners', 'mixed'],
)
def test_every_cell_of_the_matrix_is_what_the_guard_answers(
    deploy: Callable[..., Deployment],
    rules: dict[str, str],
    denial: str,
) -> None:
    matrix = make(rules, denial == 'conceal')
    assert_all_cells(
        matrix, MatrixScene(deploy(rules=rules, options={'denial': denial}))
    )


@pytest.mark.parametrize('name', sorted(PLACEMENTS))
@pytest.mark.parametrize('rules', [OWNER_RULES, MIXED_RULES], ids=['owners', 'mixed'])
def test_every_cell_is_what_the_guard_and_placement_answer_together(
    deploy: Callable[..., Deployment], rules: dict[str, str], name: str
) -> None:
    placement = PLACEMENTS[name]
    scene = MatrixScene(deploy(rules=rules, placement_rules=placement))
    matrix = make(rules, conceal=False, placement=placement)
    assert_all_cells(matrix, scene)
    assert any(cell.placement_refuses for cell in matrix.cells.values())


def assert_all_cells(matrix: Matrix, scene: MatrixScene) -> None:
    for one in matrix.classes:
        user = scene.make_user(one)
        for operation in model.OPERATIONS:
            for relation in Relation:
                consumer = scene.find(relation)
                answer = scene.ask(user, operation, relation, consumer)
                cell = matrix.cells[one.name, operation.name, relation]
                try:
                    assert_is(cell, answer, operation, consumer)
                except AssertionError as wrong:
                    where = f'{one.name}, {operation.name}, {relation.value}'
                    raise AssertionError(f'{where}: {cell}: {answer.text}') from wrong
