# SPDX-License-Identifier: Apache-2.0
"""Three nodes of a Galera cluster; ``CONSUMER_GUARD_TEST_GALERA`` starts them."""
