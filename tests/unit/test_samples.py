# SPDX-License-Identifier: Apache-2.0
"""The samples in etc/ are what the generators write today, and work."""

import pathlib

import yaml
from oslo_config import cfg, generator
from oslo_policy import generator as policy_generator
from oslo_policy import policy
from placement import policies as placement_policies

from consumer_guard.config.options import OPTS
from consumer_guard.rules import defaults
from consumer_guard.rules.rulebook import PolicyText, Rulebook

ROOT = pathlib.Path(__file__).parent.parent.parent
ETC = ROOT / 'etc' / 'consumer-guard'


def test_the_configuration_is_fresh(tmp_path: pathlib.Path) -> None:
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    written = tmp_path / 'sample.conf'
    conf(
        [
            '--config-file',
            str(ROOT / 'tools' / 'config-generator.conf'),
            '--output-file',
            str(written),
        ]
    )
    generator.generate(conf)
    assert written.read_text() == (ETC / 'consumer-guard.conf').read_text()


def test_the_policy_is_fresh(tmp_path: pathlib.Path) -> None:
    written = tmp_path / 'policy.yaml'
    policy_generator.generate_sample(
        [
            '--config-file',
            str(ROOT / 'tools' / 'policy-generator.conf'),
            '--output-file',
            str(written),
        ],
        conf=cfg.ConfigOpts(),
    )
    assert written.read_text() == (ETC / 'policy.yaml').read_text()


def test_every_option_is_in_the_sample() -> None:
    text = (ETC / 'consumer-guard.conf').read_text()
    for option in OPTS:
        assert f'#{option.name} =' in text


def test_the_policy_sample_says_the_defaults() -> None:
    """Y19: exactly the registered rules, documented, and their check strings."""
    text = (ETC / 'policy.yaml').read_text()
    uncommented = '\n'.join(
        line.removeprefix('#') for line in text.splitlines() if line.startswith('#"')
    )
    assert yaml.safe_load(uncommented) == {
        rule.name: rule.check_str for rule in defaults.list_rules()
    }
    assert Rulebook.build([PolicyText('sample', uncommented)]).names


def test_the_rules_for_placement_are_placements() -> None:
    """Every rule in it, commented ones too, is a rule of placement's."""
    known = {rule.name for rule in placement_policies.list_rules()}
    text = (ETC / 'placement-policy.yaml').read_text()
    lines = [line.removeprefix('# ') for line in text.splitlines()]
    rules = yaml.safe_load('\n'.join(line for line in lines if line.startswith('"')))
    assert rules
    for name, check in rules.items():
        assert name in known
        assert 'role:consumer_guard_passage' in check
        assert not isinstance(policy.RuleDefault(name, check).check, str)
