# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard can-i``."""

import argparse
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from cliff import show

from consumer_guard import assembly
from consumer_guard.analysis.explanation import Explanation, explain
from consumer_guard.analysis.simulation import OneOwner, make_caller, make_request
from consumer_guard.assembly import read_rules
from consumer_guard.cmd import person, verdict
from consumer_guard.cmd.base import CommandFailed
from consumer_guard.config.loading import read_configuration
from consumer_guard.config.settings import Settings
from consumer_guard.generations.watch import GenerationWatch
from consumer_guard.guard import claims
from consumer_guard.guard.decision import Reason
from consumer_guard.guard.errors import RequestError
from consumer_guard.guard.model import Owner, OwnerLookup, OwnerStatus
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry import masking, metrics

#: Exit statuses; 2 is any GuardError (see :func:`consumer_guard.cmd.main.main`).
_ALLOWED, _REFUSED = 0, 1


class CanI(show.ShowOne):
    """Tell whether a caller may do something, why, and what the answer is.

    Decides as the deployed guard does, with the live policy files and the
    configured look-up of owners, and sends nothing to placement. Exit status: 0
    allowed, 1 refused, 2 it could not be asked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._status = _ALLOWED

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument('method', metavar='METHOD', help='GET, PUT, POST, DELETE')
        parser.add_argument(
            'path',
            metavar='PATH',
            help='as placement sees it, with its query: /allocations/UUID, '
            "/usages?project_id=ID; without the endpoint's host and prefix",
        )
        person.add_options(parser)
        group = parser.add_argument_group('what is asked')
        group.add_argument(
            '--microversion',
            metavar='1.N',
            default='latest',
            help='of placement (default: latest)',
        )
        group.add_argument('--body', metavar='FILE', help='the body of a PUT or POST')
        group = parser.add_argument_group('whose it is')
        group.add_argument(
            '--owner-project',
            metavar='ID',
            help='take every consumer for one of this project that holds '
            'allocations, and ask no database; a generation in the body is taken '
            'for the current one',
        )
        group.add_argument(
            '--owner-user', metavar='ID', help='with --owner-project: its user'
        )
        group.add_argument(
            '--owner-type', metavar='TYPE', help='with --owner-project: consumer type'
        )
        group.add_argument(
            '--show-owner',
            action='store_true',
            help="show the owner's ids and generation; look the owner up also where "
            'the decision does without',
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show the decision, and return it as the exit status."""
        super().run(parsed_args)
        return self._status

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Sequence[Any]]:
        """Decide and describe."""
        conf, settings = read_configuration(getattr(self.app_args, 'config_file', None))
        rulebook = read_rules(conf, settings)
        versions = tuple(assembly.find_versions())
        request = _make_request(parsed_args, settings, versions)
        caller = make_caller(person.read_person(parsed_args), settings.passage_role)
        if not caller.credentials['user_id']:
            raise CommandFailed('nobody asks: the user has no id')
        with _open_lookup(parsed_args, settings, request) as (lookup, watch):
            try:
                explanation = explain(
                    request,
                    caller,
                    rulebook=rulebook,
                    lookup=lookup,
                    obligations=watch,
                    settings=settings,
                    versions=versions,
                    show_owner=parsed_args.show_owner,
                )
            except RequestError as exc:
                raise CommandFailed(str(exc)) from None
        _demand_decided(explanation, parsed_args)
        self._status = _ALLOWED if explanation.allowed else _REFUSED
        key = None if parsed_args.show_owner else masking.make_key(settings.audit_key)
        shown = verdict.describe(
            request,
            caller,
            explanation,
            settings,
            masking.make_mask(caller.credentials, key),
        )
        return tuple(shown), tuple(shown.values())


def _make_request(
    parsed_args: argparse.Namespace, settings: Settings, versions: tuple[str, ...]
) -> GuardedRequest:
    method, path = parsed_args.method.upper(), parsed_args.path
    body = b''
    if parsed_args.body is not None:
        body = person.read_file(parsed_args.body, '--body')
    request = make_request(
        method,
        path,
        microversion=parsed_args.microversion,
        versions=versions,
        body=body,
        max_body_size=settings.max_body_size,
    )
    if request is None:
        raise CommandFailed(
            f'the guard does not look at {method} {path}: it reaches placement '
            'untouched'
        )
    if request.microversion is None:
        raise CommandFailed(
            f'--microversion {parsed_args.microversion}: placement has '
            f'{versions[0]} to {versions[-1]}'
        )
    return request


@contextlib.contextmanager
def _open_lookup(
    parsed_args: argparse.Namespace, settings: Settings, request: GuardedRequest
) -> Iterator[tuple[OwnerLookup, GenerationWatch | None]]:
    """The configured look-up, or one that knows the owner of the options."""
    if parsed_args.owner_project is not None:
        yield _suppose(parsed_args, settings, request), None
        return
    for name in ('owner_user', 'owner_type'):
        if getattr(parsed_args, name) is not None:
            raise CommandFailed(f'--{name.replace("_", "-")} needs --owner-project')
    lookup = assembly.make_lookup(settings)
    try:
        # Shadow's watch tells what it would do and rolls nothing.
        still = dataclasses.replace(settings, enforcement='shadow')
        yield lookup, assembly.make_watch(still, lookup, lookup, metrics.NONE)
    finally:
        lookup.close()


def _suppose(
    parsed_args: argparse.Namespace, settings: Settings, request: GuardedRequest
) -> OwnerLookup:
    if not parsed_args.owner_project:
        raise CommandFailed('--owner-project: a project has an id')
    generations = {}
    with contextlib.suppress(RequestError):
        # What cannot be read is told when it is decided.
        for claim in claims.read_write_body(request).claims:
            if claim.generation is not None:
                generations[claim.consumer_uuid] = int(claim.generation)
    nobodys = parsed_args.owner_project == settings.incomplete_consumer_project_id
    owner = Owner(
        '',
        OwnerStatus.UNOWNED if nobodys else OwnerStatus.RECORDED,
        None if nobodys else parsed_args.owner_project,
        parsed_args.owner_user,
        parsed_args.owner_type,
        generation=0,
        has_allocations=True,
    )
    return OneOwner(owner, generations)


def _demand_decided(explanation: Explanation, parsed_args: argparse.Namespace) -> None:
    reason = explanation.decision.reason
    if reason is Reason.UNAVAILABLE:
        raise CommandFailed(
            'the owner could not be looked up (options owner_lookup and connection '
            'of [consumer_guard]); --owner-project asks without a database'
        )
    writes = parsed_args.method.upper() in ('PUT', 'POST')
    if reason is Reason.UNREADABLE and writes and parsed_args.body is None:
        raise CommandFailed('this decision depends on the body: give --body FILE')
