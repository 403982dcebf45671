# SPDX-License-Identifier: Apache-2.0
"""The contract of a driver, as tests that its author runs with pytest.

In ``conftest.py``, for messages that show the values::

    pytest.register_assert_rewrite('consumer_guard.testing')

A subclass per driver, of the contracts that it is to keep::

    from consumer_guard.testing import OwnerLookupContract

    class TestDirectoryOwners(OwnerLookupContract):
        @pytest.fixture
        def source(self):
            return DirectorySource()
"""

from consumer_guard.testing.lookups import OwnerGroupsContract, OwnerLookupContract
from consumer_guard.testing.sources import NOBODY, Consumer, OwnerSource
from consumer_guard.testing.writes import (
    ConsumerTypesContract,
    GenerationStoreContract,
    OwnerWriteContract,
)

__all__ = [
    'NOBODY',
    'Consumer',
    'ConsumerTypesContract',
    'GenerationStoreContract',
    'OwnerGroupsContract',
    'OwnerLookupContract',
    'OwnerSource',
    'OwnerWriteContract',
]
