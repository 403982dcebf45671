# SPDX-License-Identifier: Apache-2.0
"""The policy files as the guard finds them, and how it is switched.

What the rules allow is for ``consumer-guard policy check``.
"""

import os
import stat
from collections.abc import Iterable

from oslo_config import cfg

from consumer_guard import assembly
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.findings import Finding, Severity, listen
from consumer_guard.guard.errors import PolicyLocked


def look_at_files(conf: cfg.ConfigOpts, settings: Settings) -> list[Finding]:
    """The policy files are usable; and what the rulebook warns of."""
    check, main = 'policy files', conf.oslo_policy.policy_file
    there = conf.find_file(main)
    where = str(there or main)
    with listen('consumer_guard') as warned:
        files = assembly.watch_rule_files(conf, settings)
        locked = False
        try:
            files.current()
        except PolicyLocked:
            locked = True
    if locked or files.problem is not None:
        return [
            Finding(
                Severity.FAILURE,
                check,
                where,
                f'{files.problem}; a worker that starts now refuses guarded requests',
                'mend the file that is named',
            )
        ]
    found = [
        Finding(Severity.WARNING, check, where, line, 'see consumer-guard policy check')
        for line in warned
    ]
    text = 'usable' if there else 'no main file: the defaults are in force'
    return found or [Finding(Severity.OK, check, where, text)]


def look_at_modes(paths: Iterable[str]) -> Finding:
    """No file that decides can be written by everybody."""
    check = 'file modes'
    there = [path for path in paths if os.path.exists(path)]
    open_ = [path for path in there if os.stat(path).st_mode & stat.S_IWOTH]
    if not open_:
        return Finding(
            Severity.OK, check, ', '.join(there), 'not writable by everybody'
        )
    names = ', '.join(open_)
    return Finding(
        Severity.FAILURE, check, names, 'everybody can write it', f'chmod o-w {names}'
    )


def look_at_enforcement(settings: Settings) -> Finding:
    """The guard refuses, or only records."""
    check, where = 'enforcement', '[consumer_guard]'
    if not settings.shadow:
        return Finding(Severity.OK, check, where, 'enforce')
    return Finding(
        Severity.WARNING,
        check,
        where,
        'shadow: everything is recorded and nothing refused',
        'set enforcement = enforce when the records are as they should be',
    )


def look_at_auth_strategy(
    settings: Settings, placement: cfg.ConfigOpts, said: Iterable[str | None]
) -> Finding:
    """Identities are proven, for the guard and for placement.

    :param said: ``auth_strategy`` in the sections of the placement applications
    """
    check, trusting = 'auth_strategy', []
    if settings.auth_strategy == 'noauth2':
        trusting.append('[consumer_guard]')
    applications = list(said)
    if 'noauth2' in applications:
        trusting.append('the paste section of placement')
    if placement.api.auth_strategy == 'noauth2' and (
        not applications or None in applications
    ):
        trusting.append("[api] of placement's configuration")
    if not trusting:
        return Finding(Severity.OK, check, '[consumer_guard]', 'keystone')
    return Finding(
        Severity.FAILURE,
        check,
        ', '.join(trusting),
        'noauth2: whoever connects is whom he says',
        'set auth_strategy = keystone; noauth2 is for trying out on loopback',
    )
