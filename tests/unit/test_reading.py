# SPDX-License-Identifier: Apache-2.0
"""From rows to owners, with values."""

import json
from typing import Any

import pytest

from consumer_guard.guard.model import Owner, OwnerStatus
from consumer_guard.owners.reading import (
    OwnerReader,
    UnexpectedAnswer,
    count_references,
)
from consumer_guard.owners.statements import Row

READER = OwnerReader('nobody-p', 'nobody-u')
ROW = Row('a', 7, 3, 'p', 'u', 'VM', 'a')
OWNER = Owner('a', OwnerStatus.RECORDED, 'p', 'u', 'VM', 3, 7, True)
NONE = Row(None, None, None, None, None, None, None)


def read(*rows: Row, id_: str = 'a') -> Owner:
    return READER.read([id_], rows)[id_]


class TestRead:
    def test_a_recorded_consumer_has_an_owner(self) -> None:
        assert read(ROW) == OWNER

    def test_every_id_has_an_answer_and_no_other(self) -> None:
        rows = [ROW, ROW._replace(uuid='other', holder='other')]
        found = READER.read(['b', 'a'], rows)
        assert [*found] == ['b', 'a']
        assert found['b'] == Owner('b', OwnerStatus.ABSENT)

    @pytest.mark.parametrize('rows', [(), (NONE,)], ids=['no row', 'an empty row'])
    def test_nothing_recorded_is_absent(self, rows: tuple[Row, ...]) -> None:
        assert read(*rows) == Owner('a', OwnerStatus.ABSENT)

    def test_allocations_without_a_record_are_unowned(self) -> None:
        expected = Owner('a', OwnerStatus.UNOWNED, has_allocations=True)
        assert read(NONE._replace(holder='a')) == expected

    def test_a_record_without_allocations_holds_none(self) -> None:
        owner = read(ROW._replace(holder=None))
        assert owner == OWNER._replace(has_allocations=False)

    @pytest.mark.parametrize('project', [None, '', 'nobody-p'])
    def test_a_record_without_a_project_is_unowned(self, project: str | None) -> None:
        owner = read(ROW._replace(project=project))
        assert (owner.status, owner.project_id) == (OwnerStatus.UNOWNED, None)
        assert (owner.generation, owner.row_id) == (3, 7)

    @pytest.mark.parametrize('user', [None, '', 'nobody-u'])
    def test_a_record_without_a_user_is_recorded(self, user: str | None) -> None:
        owner = read(ROW._replace(user=user))
        assert (owner.status, owner.user_id) == (OwnerStatus.RECORDED, None)

    @pytest.mark.parametrize('name', [None, ''])
    def test_a_record_without_a_type_has_none(self, name: str | None) -> None:
        assert read(ROW._replace(type_name=name)).consumer_type is None

    @pytest.mark.parametrize('uuid', ['A', 'a ', '\xe1', 'a\0', 'b'])
    def test_the_row_of_another_spelling_is_not_taken(self, uuid: str) -> None:
        """D01: a collation calls them equal; nobody gets another's owner."""
        row = ROW._replace(uuid=uuid, holder=uuid)
        assert read(row) == Owner('a', OwnerStatus.ABSENT)
        assert read(row, id_=uuid).project_id == 'p'

    def test_allocations_of_another_spelling_are_not_taken(self) -> None:
        assert read(ROW._replace(holder='A')).has_allocations is False

    def test_a_row_that_comes_twice_is_one_consumer(self) -> None:
        assert read(ROW, ROW) == OWNER

    def test_two_consumers_of_one_id_have_no_owner(self) -> None:
        with pytest.raises(UnexpectedAnswer):
            read(ROW, ROW._replace(row_id=8))

    @pytest.mark.parametrize(
        ('column', 'value'),
        [
            ('row_id', None),
            ('row_id', '7'),
            ('row_id', True),
            ('generation', None),
            ('generation', '3'),
            ('generation', 3.0),
            ('project', 5),
            ('project', b'p'),
            ('user', 5),
            ('type_name', b'VM'),
        ],
    )
    def test_a_column_of_another_type_has_no_owner(
        self, column: str, value: Any
    ) -> None:
        """Text would be compared with it in the rules."""
        with pytest.raises(UnexpectedAnswer):
            read(ROW._replace(**{column: value}))


class TestGroup:
    def group(
        self, *consumers: tuple[Any, ...]
    ) -> list[tuple[dict[str, str], set[str]]]:
        values = [value for consumer in consumers for value in consumer]
        rows = [(json.dumps(values), len(consumers))]
        groups = READER.group(['a', 'b', 'c'], rows)
        return [(dict(target), {*some}) for target, some in groups]

    def test_consumers_of_one_owner_are_together(self) -> None:
        assert self.group(
            ('a', 'p', 'u', 'VM'), ('c', 'q', 'u', None), ('b', 'p', 'u', 'VM')
        ) == [
            ({'project_id': 'p', 'user_id': 'u', 'consumer_type': 'VM'}, {'a', 'b'}),
            ({'project_id': 'q', 'user_id': 'u'}, {'c'}),
        ]

    def test_only_what_was_read_is_in_a_target(self) -> None:
        assert self.group(('a', 'p')) == [({'project_id': 'p'}, {'a'})]

    @pytest.mark.parametrize('text', [None, '[]'])
    def test_no_row_is_no_group(self, text: str | None) -> None:
        assert READER.group(['a'], [(text, 0)]) == []

    @pytest.mark.parametrize('project', [None, '', 'nobody-p'])
    def test_consumers_without_a_project_are_in_no_group(
        self, project: str | None
    ) -> None:
        assert self.group(('a', project, 'u')) == []

    def test_nobodys_user_is_no_user(self) -> None:
        assert self.group(('a', 'p', 'nobody-u')) == [({'project_id': 'p'}, {'a'})]

    def test_other_spellings_are_in_no_group(self) -> None:
        assert self.group(('A', 'p'), ('a ', 'p')) == []

    def test_an_id_is_text_of_any_kind(self) -> None:
        rows = [(json.dumps(['a,b', 'p', '"]', 'q']), 2)]
        groups = READER.group(['a', 'b', 'a,b', '"]'], rows)
        assert groups == [({'project_id': 'p'}, ['a,b']), ({'project_id': 'q'}, ['"]'])]

    def test_a_row_that_comes_twice_is_one_consumer(self) -> None:
        assert self.group(('a', 'p'), ('a', 'p')) == [({'project_id': 'p'}, {'a'})]

    def test_a_consumer_of_two_owners_has_none(self) -> None:
        with pytest.raises(UnexpectedAnswer):
            self.group(('a', 'p'), ('a', 'q'))

    @pytest.mark.parametrize('owner', [(5,), ('p', 5), ('p', 'u', False)], ids=repr)
    def test_a_column_of_another_type_has_no_group(
        self, owner: tuple[Any, ...]
    ) -> None:
        with pytest.raises(UnexpectedAnswer):
            self.group(('a', *owner))

    @pytest.mark.parametrize('length', range(22))
    def test_an_answer_that_was_cut_is_none(self, length: int) -> None:
        """As MySQL cuts it, and puts the bracket behind."""
        whole = json.dumps(['a', 'p', 'b', 'q', 'c', 'p'], separators=(',', ':'))
        with pytest.raises((UnexpectedAnswer, ValueError)):
            READER.group(['a', 'b', 'c'], [(whole[:length] + ']', 3)])

    def test_an_answer_of_more_consumers_than_were_counted_is_none(self) -> None:
        values = ['a', 'p'] * 6
        with pytest.raises(UnexpectedAnswer):
            READER.group(['a'], [(json.dumps(values), 5)])


@pytest.mark.parametrize(
    ('keys', 'count'),
    [
        ([], 1),
        (['project_id'], 1),
        (['user_id'], 2),
        (['consumer_type'], 3),
        (['project_id', 'consumer_type', 'user_id'], 3),
        (['consumer_uuid', 'another'], 1),
    ],
)
def test_the_last_reference_that_a_rule_reads_counts(
    keys: list[str], count: int
) -> None:
    assert count_references(keys) == count
