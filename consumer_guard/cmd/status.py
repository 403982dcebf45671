# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard-status upgrade check``: the doctor's checks, in groups."""

import sys
import types
from collections.abc import Callable, Iterable, Sequence

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from oslo_upgradecheck.upgradecheck import Code, Result

from consumer_guard.analysis.findings import Finding, Severity, find_worst
from consumer_guard.cmd.terminal import shown_output
from consumer_guard.config import places
from consumer_guard.doctor import database, examination, keystone
from consumer_guard.doctor.examination import Deployment
from consumer_guard.guard.errors import GuardError
from consumer_guard.telemetry.version import find_guard_version

_CODES = types.MappingProxyType(
    {
        Severity.OK: Code.SUCCESS,
        Severity.NOTE: Code.SUCCESS,
        Severity.WARNING: Code.WARNING,
        Severity.FAILURE: Code.FAILURE,
    }
)


def _examine_pipeline(deployment: Deployment) -> Iterable[Finding]:
    return examination.examine_pipeline(deployment) if deployment.layout else ()


def _examine_passage_role(deployment: Deployment) -> Iterable[Finding]:
    role = deployment.settings.passage_role
    return [keystone.check_passage_role(deployment.placement, role)]


class Checks(upgradecheck.UpgradeCommands):
    """What must be right before the guard is started or upgraded."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """:param conf: parsed when the checks run; has ``--config-file``"""
        super().__init__()
        self._conf = conf

    def _check(self, examine: Callable[[Deployment], Iterable[Finding]]) -> Result:
        try:
            files = self._conf.config_file or [None]
            deployment = examination.read_deployment(None, files[0])
            return make_result(list(examine(deployment)))
        except GuardError as exc:
            return Result(Code.FAILURE, str(exc))

    def _check_database(self, names: Iterable[str]) -> Result:
        """:param names: of :func:`examination.list_database_checks`"""

        def examine(deployment: Deployment) -> list[Finding]:
            settings = deployment.settings
            if not settings.connection:
                return []
            known = examination.list_database_checks(deployment)
            checks = {name: known[name] for name in names}
            with database.open_database(settings) as engine:
                return database.run_checks(engine, settings, checks)

        return self._check(examine)

    _upgrade_checks = (
        ('SQL mode', (_check_database, {'names': ['sql_mode']})),
        ('Generations', (_check_database, {'names': ['generations']})),
        (
            'Database rights',
            (_check_database, {'names': ['SELECT', 'UPDATE(generation)']}),
        ),
        ('Newest rows', (_check_database, {'names': ['primary', 'wsrep_sync_wait']})),
        ('Pipeline', (_check, {'examine': _examine_pipeline})),
        ('Policy files', (_check, {'examine': examination.examine_policies})),
        ('Passage role', (_check, {'examine': _examine_passage_role})),
    )


def make_result(findings: Sequence[Finding]) -> Result:
    """One result of several findings: the worst code, and all but the good ones."""
    details = '; '.join(
        f'{one.text} ({one.fix})' if one.fix else one.text
        for one in findings
        if one.severity is not Severity.OK
    )
    return Result(_CODES[find_worst(findings)], details)


def check_upgrade(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status of oslo.upgradecheck."""
    conf = cfg.ConfigOpts()
    upgradecheck.register_cli_options(conf, Checks(conf))
    arguments = list(sys.argv[1:] if argv is None else argv)
    with shown_output():
        try:
            # The checks find the guard's files as the guard does.
            conf(
                arguments,
                version=f'consumer-guard-status {find_guard_version()}',
                default_config_files=[],
                default_config_dirs=[],
            )
        except (cfg.Error, ValueError, OSError) as exc:
            # Security: explained without the line, which may hold a password.
            print(f'--config-file: {places.explain_failure(exc)}', file=sys.stderr)
            return 2
        return upgradecheck.run(conf)


if __name__ == '__main__':
    sys.exit(check_upgrade())
