# SPDX-License-Identifier: Apache-2.0
"""The policy files as the guard finds them, and how it is switched.

What the rules allow is for ``consumer-guard policy check``.
"""

import os
import stat
from collections.abc import Collection, Iterable

from oslo_config import cfg

from consumer_guard import assembly
from consumer_guard.analysis.findings import Finding, fail, ok, warn
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.probing import capture_warnings
from consumer_guard.guard.errors import PolicyLocked

_GROUP = '[consumer_guard]'


def check_policy_files(conf: cfg.ConfigOpts, settings: Settings) -> list[Finding]:
    """The policy files are usable; and the rulebook's warnings."""
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
                'mend the file that is named',
            )
        ]
    elif lines:
        assessments = [warn(line, 'see consumer-guard policy check') for line in lines]
    else:
        text = 'usable' if path else 'no main file: the defaults are in force'
        assessments = [ok(text)]
    return [one.at(str(path or main), 'policy files') for one in assessments]


def check_modes(paths: Iterable[str]) -> Finding:
    """No file that decides can be written by everybody."""
    existing = [path for path in paths if os.path.exists(path)]
    open_ = [path for path in existing if os.stat(path).st_mode & stat.S_IWOTH]
    if not open_:
        return ok('not writable by everybody').at(', '.join(existing), 'file modes')
    names = ', '.join(open_)
    return fail('everybody can write it', f'chmod o-w {names}').at(names, 'file modes')


def check_enforcement(settings: Settings) -> Finding:
    """The guard refuses, or only records."""
    assessment = ok('enforce')
    if settings.shadow:
        assessment = warn(
            'shadow: everything is recorded and nothing refused',
            'set enforcement = enforce when the records are as they should be',
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
        'noauth2: whoever connects is whom he says',
        'set auth_strategy = keystone; noauth2 is for trying out on loopback',
    ).at(', '.join(trusting), 'auth_strategy')
