# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard doctor``."""

import argparse
from collections.abc import Sequence
from typing import Any

from consumer_guard.analysis.findings import Finding, Severity, find_worst
from consumer_guard.cmd.base import CommandFailed, GuardLister
from consumer_guard.config import loading
from consumer_guard.doctor import endpoint, examination, worker


class Doctor(GuardLister):
    """Check the deployment around the guard, and show how to fix problems.

    Changes nothing. Exit status: 0: no problems; 1: warnings; 2: failures, or the
    configuration cannot be used.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The pipeline, other placements, and what to show."""
        parser.add_argument(
            '--paste-config',
            metavar='FILE',
            help='paste file to check (default: the one that the WSGI module loads: '
            f'{loading.PASTE_CONFIG_VARIABLE}, else {loading.PASTE_CONFIG})',
        )
        parser.add_argument(
            '--environment-of',
            metavar='PID',
            type=int,
            help='process id of a worker; read the configuration with the environment '
            'that it was started with',
        )
        parser.add_argument(
            '--placement-url',
            metavar='URL',
            action='append',
            default=[],
            help='check whether the placement at URL is guarded; may be repeated',
        )
        parser.add_argument(
            '--token-file',
            metavar='FILE',
            help='file with a token for --placement-url, of a user whose only role is '
            'reader',
        )
        parser.add_argument(
            '--no-keystone', action='store_true', help='do not query keystone for roles'
        )
        parser.add_argument(
            '--problems', action='store_true', help='show only warnings and failures'
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Run the checks; worst first."""
        token = _read_token(parsed_args.token_file)
        for url in parsed_args.placement_url:
            if not url.startswith(('http://', 'https://')):
                raise CommandFailed(
                    f'--placement-url {url} is not an http or https URL'
                )
        pid = parsed_args.environment_of
        with worker.use_environment(pid):
            deployment = examination.read_deployment(
                parsed_args.paste_config, self.config_file
            )
            findings = list(
                examination.examine(
                    deployment, with_keystone=not parsed_args.no_keystone, pid=pid
                )
            )
        for url in parsed_args.placement_url:
            findings += endpoint.check_endpoint(url, token)
        self.status = max(0, find_worst(findings) - Severity.NOTE)
        if parsed_args.problems:
            findings = self._keep_problems(findings)
        findings.sort(key=lambda finding: -finding.severity)
        return ('severity', 'check', 'where', 'finding', 'fix'), [
            (one.severity.name.lower(), one.subject, one.where, one.text, one.fix)
            for one in findings
        ]

    def _keep_problems(self, findings: Sequence[Finding]) -> list[Finding]:
        """Warnings and failures; without any, say what was checked."""
        problems = [one for one in findings if one.severity > Severity.NOTE]
        if not problems:
            checks = ', '.join(dict.fromkeys(one.subject for one in findings))
            skipped = sum(one.text.startswith('skipped') for one in findings)
            self.note(
                f'no problems in {len(findings)} results, {skipped} of them skipped; '
                f'checked: {checks}'
            )
        return problems


def _read_token(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, encoding='ascii') as file:
            token = file.read(65536).strip()
    except (OSError, ValueError) as exc:
        # Security: not the text, which may quote the token.
        raise CommandFailed(
            f'--token-file {path} cannot be read: {type(exc).__name__}'
        ) from None
    if not token or not token.isprintable() or ' ' in token:
        raise CommandFailed(f'--token-file {path} contains no token')
    return token
