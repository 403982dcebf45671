# SPDX-License-Identifier: Apache-2.0
"""Policies of released services; ``tox -e proof``."""
