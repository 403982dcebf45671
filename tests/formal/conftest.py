# SPDX-License-Identifier: Apache-2.0
"""The database and the tokens of the functional tests."""

from tests.functional.conftest import database, deploy, tokens

__all__ = ['database', 'deploy', 'tokens']
