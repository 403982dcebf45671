# SPDX-License-Identifier: Apache-2.0
"""What all tests share: the profile of the properties."""

from tests import profiles

profiles.load()
