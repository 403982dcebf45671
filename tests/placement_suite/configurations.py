# SPDX-License-Identifier: Apache-2.0
"""How the guard stands before placement in each run of its tests."""

import json
from dataclasses import dataclass
from pathlib import Path

from consumer_guard.guard import model

#: The tests that the short form runs: of consumers, and of the answers to bad
#: tokens and microversions.
SHORT = (
    r'\.test_api\.(allocations(?!-bug|-legacy)|reshaper(?!-legacy)|usage(?!-legacy)'
    r'|consumer-types|microversion|confirm-auth)',
)


@dataclass(frozen=True)
class Configuration:
    """One way to put the guard before placement.

    :ivar position: ``after`` placement's authentication or in ``front`` of all
    :ivar rule: the text of all seven rules
    :ivar passes: whether exactly the tests pass that pass without the guard;
        else some that pass without it have to fail
    """

    name: str
    position: str
    enforcement: str
    rule: str
    passes: bool = True

    def write(self, folder: Path) -> None:
        """Write consumer-guard.conf and the policy file."""
        (folder / 'consumer-guard.conf').write_text(
            '[consumer_guard]\n'
            'auth_strategy = noauth2\n'
            'audit = all\n'
            f'enforcement = {self.enforcement}\n'
            '[oslo_policy]\n'
            f'policy_file = {folder / "policy.yaml"}\n'
        )
        rules = {operation.rule: self.rule for operation in model.OPERATIONS}
        # JSON is YAML.
        (folder / 'policy.yaml').write_text(json.dumps(rules))


#: Left to the owner, so that shadow mode has everything to do: bodies are read
#: and owners looked up, and nearly everything would be refused.
_OWNERS_ONLY = 'role:reader and project_id:%(project_id)s'

CONFIGURATIONS = (
    # Placement's test users mostly have no role at all.
    Configuration('enforce-after', 'after', 'enforce', '@'),
    Configuration('shadow-front', 'front', 'shadow', _OWNERS_ONLY),
    Configuration('shadow-after', 'after', 'shadow', _OWNERS_ONLY),
    # The proof that the guard is there: these do fail.
    Configuration('refuse-after', 'after', 'enforce', '!', passes=False),
)
