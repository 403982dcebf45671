# SPDX-License-Identifier: Apache-2.0
"""The policy files as the guard finds them, and how it is switched.

What the rules allow is for ``consumer-guard policy check``.
"""

import contextlib
from collections.abc import Collection, Sequence

from oslo_config import cfg

from consumer_guard import assembly
from consumer_guard.analysis.findings import Assessment, Finding, fail, note, ok, warn
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.policies import read_policy_files
from consumer_guard.doctor.probing import capture_warnings
from consumer_guard.guard.errors import PolicyFileError, PolicyLocked
from consumer_guard.guard.model import NAMESPACE
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.parsing import parse_file

_GROUP = '[consumer_guard]'


def check_policy_files(
    conf: cfg.ConfigOpts, settings: Settings, placement: cfg.ConfigOpts
) -> list[Finding]:
    """The policy files are usable; and the rulebook's warnings.

    :param placement: placement's configuration, with its ``[oslo_policy]``
    """
    main = conf.oslo_policy.policy_file
    path = conf.find_file(main)
    with capture_warnings('consumer_guard') as lines:
        files = assembly.watch_rule_files(conf, settings)
        locked = False
        try:
            files.current()
        except PolicyLocked:
            locked = True
    if locked or files.problem is not None:
        assessments = [
            fail(
                f'{files.problem}; a worker that starts now refuses guarded requests',
                'fix the file named in the finding',
            )
        ]
    elif lines:
        assessments = [warn(line, 'see consumer-guard policy check') for line in lines]
    else:
        assessments = [_assess_contents(read_policy_files(conf), placement)]
    return [one.at(str(path or main), 'policy files') for one in assessments]


def _assess_contents(
    texts: Sequence[PolicyText], placement: cfg.ConfigOpts
) -> Assessment:
    """Files with rules, and none of them the guard's, were meant for another service."""
    if not texts:
        return ok('no policy file: the defaults are in force')
    names = [rule.name for text in texts for rule in parse_file(text)]
    if not names or any(name.startswith(NAMESPACE) for name in names):
        return ok('usable')
    text = f'no rule of the guard ({NAMESPACE}...): its defaults are in force'
    with contextlib.suppress(PolicyFileError):
        if {*texts} <= {*read_policy_files(placement)}:
            return note(f'shared with placement: {text}')
    return warn(
        f'{len(names)} rules, but {text}',
        "check policy_file of [oslo_policy] in the guard's configuration",
    )


def check_enforcement(settings: Settings) -> Finding:
    """The guard refuses, or only records."""
    assessment = ok('enforce')
    if settings.shadow:
        assessment = warn(
            'shadow: decisions are recorded, nothing is refused',
            'set enforcement = enforce when the records show no unwanted refusals',
        )
    return assessment.at(_GROUP, 'enforcement')


def check_auth_strategy(
    settings: Settings, placement: cfg.ConfigOpts, applications: Collection[str | None]
) -> Finding:
    """Identities are proven, for the guard and for placement.

    :param applications: ``auth_strategy`` in the sections of the placement
        applications
    """
    trusting = []
    if settings.auth_strategy == 'noauth2':
        trusting.append(_GROUP)
    if 'noauth2' in applications:
        trusting.append('the paste section of placement')
    if placement.api.auth_strategy == 'noauth2' and (
        not applications or None in applications
    ):
        trusting.append("[api] of placement's configuration")
    if not trusting:
        return ok('keystone').at(_GROUP, 'auth_strategy')
    return fail(
        "noauth2: every client's claimed identity is trusted",
        'set auth_strategy = keystone; noauth2 is only for tests on loopback',
    ).at(', '.join(trusting), 'auth_strategy')
