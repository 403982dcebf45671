# SPDX-License-Identifier: Apache-2.0
"""The samples of etc/, copied to a folder of a test's own and filled in."""

import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import yaml

ETC = pathlib.Path(__file__).parent.parent / 'etc' / 'consumer-guard'

#: Placement's rules opened the naive way: only the guard decides.
NAIVE_RULES = {
    f'placement:{name}': '@'
    for name in (
        'allocations:list',
        'allocations:update',
        'allocations:delete',
        'allocations:manage',
        'resource_providers:allocations:list',
        'usages',
        'reshaper:reshape',
    )
}

#: Placement's rules for everything that the guard can open to owners.
OPEN_RULES = {
    f'placement:{name}': 'rule:admin_or_service_api or role:consumer_guard_passage'
    for name in (
        'allocations:list',
        'allocations:update',
        'allocations:delete',
        'allocations:manage',
        'resource_providers:allocations:list',
    )
}

#: The guard's rules with owner writes and filtered lists opened.
OWNER_RULES = {
    f'consumer_guard:{name}': 'rule:consumer_guard:admin_or_service'
    f' or rule:consumer_guard:{owner}'
    for name, owner in (
        ('allocations:update', 'owner_member'),
        ('allocations:manage', 'owner_member'),
        ('allocations:delete', 'owner_member'),
        ('reshaper:reshape', 'owner_member'),
        ('resource_providers:allocations:list', 'owner_reader'),
    )
}


class Configuration:
    """The files of a guard and of the placement behind it, over one database.

    :ivar folder: everything, copied from the samples
    :ivar policy: the guard's policy file
    :ivar placement: placement's own configuration folder, in ``folder``
    """

    def __init__(
        self,
        folder: pathlib.Path,
        database: str,
        *,
        options: Mapping[str, object] | None = None,
        rules: Mapping[str, Any] | None = None,
        placement_rules: Mapping[str, str] | None = None,
        placement_options: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """Write the files.

        :param folder: made where it is missing
        :param database: URL of placement's
        :param options: of ``[consumer_guard]``
        :param rules: of the guard, instead of its defaults
        :param placement_rules: of placement, instead of the sample's
        :param placement_options: more of placement's, by group
        """
        self.folder = folder
        self.policy = folder / 'policy.yaml'
        self.placement = folder / 'placement'
        shutil.copytree(ETC, folder, dirs_exist_ok=True)
        self.placement.mkdir(exist_ok=True)
        write_options(folder, **(options or {}))
        if rules is not None:
            self.write_rules(rules)
        self.write_placement(database, placement_options or {})
        policy = self.placement / 'policy.yaml'
        if placement_rules is None:
            shutil.copy(ETC / 'placement-policy.yaml', policy)
        else:
            policy.write_text(yaml.safe_dump(dict(placement_rules)))

    def write_rules(self, rules: Mapping[str, Any]) -> None:
        """Write the guard's policy file."""
        self.policy.write_text(yaml.safe_dump(dict(rules)))

    def write_placement(
        self, database: str, options: Mapping[str, Mapping[str, object]]
    ) -> None:
        """Write placement.conf; a group of ``options`` adds to what it must have."""
        groups: dict[str, Mapping[str, object]] = {
            # Thrown away: no file has to reach a disk.
            'placement_database': {
                'connection': database,
                'sqlite_synchronous': False,
            },
            'oslo_policy': {'policy_file': self.placement / 'policy.yaml'},
        }
        for group, values in options.items():
            groups[group] = {**groups.get(group, {}), **values}
        (self.placement / 'placement.conf').write_text(_format(groups))


def write_options(folder: pathlib.Path, **options: object) -> None:
    """Write the guard's options; they are read when a pipeline is loaded."""
    (folder / 'consumer-guard.conf').write_text(_format({'consumer_guard': options}))


def make_environment(
    folder: pathlib.Path, pipeline: str = 'api-paste.ini'
) -> dict[str, str]:
    """What tells a process where a configuration is."""
    return {
        'OS_PLACEMENT_CONFIG_DIR': str(folder / 'placement'),
        'CONSUMER_GUARD_PASTE_CONFIG': str(folder / pipeline),
    }


def _format(groups: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for group, options in groups.items():
        lines.append(f'[{group}]')
        lines += [f'{name} = {value}' for name, value in options.items()]
    return '\n'.join([*lines, ''])
