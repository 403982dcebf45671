# SPDX-License-Identifier: Apache-2.0
"""Both services' policy files, found as the services find them."""

from collections.abc import Sequence
from typing import NamedTuple

from oslo_config import cfg
from oslo_policy import opts as policy_opts

from consumer_guard.analysis.client import PlacementRules
from consumer_guard.analysis.lint.linter import Policies
from consumer_guard.analysis.lint.rulesets import find_registered
from consumer_guard.analysis.source import read_paths
from consumer_guard.config import loading
from consumer_guard.config.places import list_files
from consumer_guard.guard.errors import ConfigurationError, PolicyFileError
from consumer_guard.rules.files import PolicyLocations, PolicyText


def read_policy_files(conf: cfg.ConfigOpts) -> list[PolicyText]:
    """The policy files of ``[oslo_policy]``, as oslo.policy finds them.

    :raises PolicyFileError: one cannot be read, or the configured one is
        missing
    """
    name = conf.oslo_policy.policy_file
    locations = PolicyLocations(conf.find_file, name, conf.oslo_policy.policy_dirs)
    try:
        seen = locations.take_snapshot()
        if seen.main is None and loading.is_set(conf, 'policy_file', 'oslo_policy'):
            raise PolicyFileError(
                f'{name}: file not found (option policy_file of [oslo_policy])'
            )
        return seen.read()
    except OSError as error:
        raise PolicyFileError(
            f'{error.filename or name}: cannot be read: {error.strerror}'
        ) from None


def parse_placement_policy() -> cfg.ConfigOpts:
    """Placement's configuration with its ``[oslo_policy]``.

    :raises ConfigurationError: a file is missing or broken
    """
    return loading.parse_placement(dict(policy_opts.list_opts()))


def read_policies(
    conf: cfg.ConfigOpts,
    files: Sequence[str] = (),
    placements: Sequence[str] = (),
    placement: cfg.ConfigOpts | None = None,
) -> Policies:
    """The policy files of both services.

    :param conf: the guard's configuration
    :param files: the guard's, in the place of those that it finds
    :param placements: placement's, in the place of those that it finds
    :param placement: its configuration, where it has been read
    :raises PolicyFileError: a file cannot be read
    :raises ConfigurationError: placement's configuration is missing or broken
    """
    new_alone = True
    if placements:
        texts = read_paths(placements)
    else:
        placement = placement or parse_placement_policy()
        texts = read_policy_files(placement)
        new_alone = placement.oslo_policy.enforce_new_defaults
    return Policies(
        ours=read_paths(files) if files else read_policy_files(conf),
        placements=texts,
        registered=find_registered(),
        passage_role=conf.consumer_guard.passage_role,
        new_alone=new_alone,
    )


class FoundPlacement(NamedTuple):
    """Placement's rules, as far as they are found.

    :ivar problem: why there are none, in one line
    """

    rules: PlacementRules | None
    problem: str = ''


def find_placement(
    conf: cfg.ConfigOpts, placements: Sequence[str] = ()
) -> FoundPlacement:
    """Placement's rules in force, where this machine has its configuration.

    :param conf: the guard's configuration
    :param placements: placement's policy files, in the place of those that it finds
    :raises PolicyFileError: one of ``placements`` cannot be used
    """
    try:
        # Without any configuration of placement its defaults prove nothing: they may
        # be in force on no machine at all.
        if not placements and not list_files(parse_placement_policy()):
            return FoundPlacement(
                None,
                "placement's configuration was not found here (OS_PLACEMENT_CONFIG_DIR)",
            )
        rules = PlacementRules.build(read_policies(conf, (), placements))
    except (ConfigurationError, PolicyFileError) as error:
        if placements:
            raise
        return FoundPlacement(None, ' '.join(str(error).split()))
    problem = '' if rules else 'placement is not installed here'
    return FoundPlacement(rules, problem)
