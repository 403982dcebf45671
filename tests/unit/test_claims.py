# SPDX-License-Identifier: Apache-2.0
"""What a body claims of each consumer, as placement's schemas take it."""

import json
from typing import Any

import pytest

from consumer_guard.analysis.simulation import GivenPayload
from consumer_guard.guard import claims, model
from consumer_guard.guard.errors import Unreadable
from consumer_guard.guard.request import GuardedRequest

UUID = 'ca000000-0000-4000-8000-0000000000a1'
OTHER = 'cb000000-0000-4000-8000-0000000000b1'


def _request(
    operation: model.Operation = model.ALLOCATIONS_UPDATE,
    version: tuple[int, int] | None = (1, 38),
) -> GuardedRequest:
    uuid = UUID if operation is model.ALLOCATIONS_UPDATE else None
    return GuardedRequest(operation, uuid, None, version, GivenPayload())


CLAIM: dict[str, Any] = {
    'allocations': {'x': {'resources': {'VCPU': 1}}},
    'project_id': 'p',
    'user_id': 'u',
    'consumer_generation': 1,
    'consumer_type': 'INSTANCE',
}


class TestReadClaims:
    def test_a_put_claims_the_one_consumer_of_its_path(self) -> None:
        claim = model.Claim(UUID, 'p', 'u', 'INSTANCE', 1, False)
        assert claims.read_claims(_request(), CLAIM) == (claim,)

    def test_a_post_claims_every_consumer_of_its_document(self) -> None:
        request = _request(model.ALLOCATIONS_MANAGE)
        document = {UUID: CLAIM, OTHER: CLAIM | {'allocations': {}}}
        assert claims.read_claims(request, document) == (
            model.Claim(UUID, 'p', 'u', 'INSTANCE', 1, False),
            model.Claim(OTHER, 'p', 'u', 'INSTANCE', 1, True),
        )

    def test_reshape(self) -> None:
        """B27: the sub-document that placement takes the consumers from."""
        request = _request(model.RESHAPE)
        document = {'inventories': {OTHER: {}}, 'allocations': {UUID: CLAIM}}
        (claim,) = claims.read_claims(request, document)
        assert claim.consumer_uuid == UUID
        none = claims.read_claims(request, {'inventories': {}, 'allocations': {}})
        assert none == ()

    @pytest.mark.parametrize(
        ('version', 'project_id', 'generation'),
        [
            (None, None, None),
            ((1, 7), None, None),
            ((1, 8), 'p', None),
            ((1, 27), 'p', None),
            ((1, 28), 'p', 1),
        ],
    )
    def test_old_versions(
        self,
        version: tuple[int, int] | None,
        project_id: str | None,
        generation: object,
    ) -> None:
        """B17 G11: what the version's body carries counts, and nothing else."""
        document = CLAIM | {'allocations': [{}]}
        (claim,) = claims.read_claims(_request(version=version), document)
        assert claim.project_id == project_id
        assert claim.generation == generation
        assert not claim.empties
        claims.demand_canonical_claim(claim)

    def test_a_claim_may_leave_the_type_out(self) -> None:
        document = {key: CLAIM[key] for key in CLAIM if key != 'consumer_type'}
        (claim,) = claims.read_claims(_request(), document)
        assert claim.consumer_type is None

    @pytest.mark.parametrize('name', ['project_id', 'user_id'])
    @pytest.mark.parametrize('value', ['p', 'p' * 255])
    def test_an_id_has_at_least_one_and_at_most_255_characters(
        self, name: str, value: str
    ) -> None:
        (claim,) = claims.read_claims(_request(), CLAIM | {name: value})
        assert getattr(claim, name) == value

    @pytest.mark.parametrize(
        ('operation', 'document', 'what'),
        [
            (model.ALLOCATIONS_UPDATE, [], 'The body of a consumer'),
            (model.ALLOCATIONS_MANAGE, [], 'The body'),
            (model.ALLOCATIONS_MANAGE, {UUID: []}, 'The body of a consumer'),
            (model.RESHAPE, [], 'The body'),
            (model.RESHAPE, {'allocations': []}, 'The allocations'),
        ],
    )
    def test_an_error_names_what_is_no_object(
        self, operation: model.Operation, document: object, what: str
    ) -> None:
        with pytest.raises(Unreadable) as caught:
            claims.read_claims(_request(operation), document)
        assert str(caught.value) == f'{what} is not a JSON object.'

    @pytest.mark.parametrize('document', [None, [], 'x', 5, True, [CLAIM], {}])
    @pytest.mark.parametrize(
        'operation', [model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE]
    )
    def test_other_documents(
        self, operation: model.Operation, document: object
    ) -> None:
        """B12: never allowed by nothing to check."""
        with pytest.raises(Unreadable):
            claims.read_claims(_request(operation), document)

    @pytest.mark.parametrize('value', [None, [], 'x', 5, {}])
    def test_one_consumer_without_a_claim_makes_all_unreadable(
        self, value: object
    ) -> None:
        document = {UUID: CLAIM, OTHER: value}
        for operation, body in (
            (model.ALLOCATIONS_MANAGE, document),
            (model.RESHAPE, {'allocations': document}),
        ):
            with pytest.raises(Unreadable):
                claims.read_claims(_request(operation), body)

    @pytest.mark.parametrize('name', ['project_id', 'user_id'])
    @pytest.mark.parametrize(
        'value',
        [
            None,
            5,
            5.0,
            True,
            ['p'],
            {'a': 1},
            '',
            'p' * 256,
        ],
    )
    def test_other_ids(self, name: str, value: object) -> None:
        """B13: only text is compared with text."""
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), CLAIM | {name: value})

    @pytest.mark.parametrize('name', ['project_id', 'user_id'])
    @pytest.mark.parametrize(
        'value',
        [
            ' ',
            'p ',
            '\tp',
            'p\n',
            'p\x00',
            '\x7f',
            '\u00a0p',
            'p\u200b',
            '\u2028',
            '\ud800',
        ],
    )
    def test_odd_ids(self, name: str, value: str) -> None:
        """B13: placement takes them; for ownership there is one spelling only."""
        (claim,) = claims.read_claims(_request(), CLAIM | {name: value})
        assert getattr(claim, name) == value
        with pytest.raises(Unreadable) as caught:
            claims.demand_canonical_claim(claim)
        assert name in str(caught.value)
        assert value not in str(caught.value).replace(' ', '')

    @pytest.mark.parametrize('odd', [UUID.upper(), f'{UUID}\n', 'x', ''])
    def test_a_claim_of_an_odd_consumer_id_is_not_canonical(self, odd: str) -> None:
        request = _request(model.ALLOCATIONS_MANAGE)
        (claim,) = claims.read_claims(request, {odd: CLAIM})
        with pytest.raises(Unreadable, match='uuid'):
            claims.demand_canonical_claim(claim)

    def test_a_body_is_its_document_and_the_claims_in_it(self) -> None:
        request = _request()._replace(
            payload=GivenPayload(body=json.dumps(CLAIM).encode())
        )
        body = claims.read_write_body(request)
        assert body == model.Body(CLAIM, claims.read_claims(request, CLAIM))

    @pytest.mark.parametrize('name', ['project_id', 'user_id', 'consumer_generation'])
    def test_a_claim_that_lacks_a_member_is_unreadable(self, name: str) -> None:
        document = {key: value for key, value in CLAIM.items() if key != name}
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), document)

    @pytest.mark.parametrize('value', [5, True, ['X'], {}])
    def test_a_consumer_type_that_is_no_text_is_unreadable(self, value: object) -> None:
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), CLAIM | {'consumer_type': value})

    @pytest.mark.parametrize(
        ('text', 'expected'),
        [
            ('null', None),
            ('1', 1),
            ('1.0', 1),
            ('1e0', 1),
            ('-0.0', 0),
            ('-1', -1),
            ('1' + '0' * 400, 10**400),
            ('1e300', 1e300),
        ],
    )
    def test_generations(self, text: str, expected: object) -> None:
        """G06: read and compared as placement's schema and compare do."""
        document = CLAIM | {'consumer_generation': json.loads(text)}
        (claim,) = claims.read_claims(_request(), document)
        assert claim.generation == expected

    @pytest.mark.parametrize(
        'text', ['true', '"1"', '1.5', 'NaN', 'Infinity', '1e400', '[1]', '{}']
    )
    def test_other_generations(self, text: str) -> None:
        """G06"""
        document = CLAIM | {'consumer_generation': json.loads(text)}
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), document)

    @pytest.mark.parametrize('value', [None, 'x', 5, True])
    def test_allocations_of_another_type_are_unreadable(self, value: object) -> None:
        with pytest.raises(Unreadable):
            claims.read_claims(_request(), CLAIM | {'allocations': value})


def test_texts_tell_nothing() -> None:
    """X07: no value of a body comes back in an error."""
    for value in ('secret' * 50, ['secret']):
        with pytest.raises(Unreadable) as caught:
            claims.read_claims(_request(), CLAIM | {'project_id': value})
        assert 'secret' not in str(caught.value)


class TestNormalizeId:
    """The id under which placement looks a claim's consumer up."""

    @pytest.mark.parametrize(
        'spelling',
        [UUID, UUID.upper(), UUID.replace('-', ''), f'{{{UUID}}}', f'urn:uuid:{UUID}'],
    )
    def test_only_put_takes_other_spellings(self, spelling: str) -> None:
        put = _request(model.ALLOCATIONS_UPDATE)
        assert claims.normalize_id(put, spelling) == UUID
        for operation in (model.ALLOCATIONS_MANAGE, model.RESHAPE):
            assert claims.normalize_id(_request(operation), spelling) == spelling

    def test_what_is_no_uuid_stays_as_it_is(self) -> None:
        assert claims.normalize_id(_request(), 'x') == 'x'
