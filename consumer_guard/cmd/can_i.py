# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard can-i``."""

import argparse
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cliff import columns, show
from oslo_config import cfg

from consumer_guard import assembly
from consumer_guard.analysis import prediction
from consumer_guard.analysis.client import (
    ClientAnswer,
    Decider,
    PlacementRules,
    combine,
)
from consumer_guard.analysis.explanation import Explanation, explain
from consumer_guard.analysis.simulation import (
    KnownOwners,
    make_request,
    simulate_caller,
)
from consumer_guard.cmd import can_i_list, subject
from consumer_guard.cmd.base import CommandFailed, GuardCommand, read_file
from consumer_guard.cmd.pasted import strip_endpoint
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.policies import find_placement
from consumer_guard.doctor.probing import capture_warnings
from consumer_guard.generations.watch import GenerationWatch
from consumer_guard.guard import claims
from consumer_guard.guard.decision import Reason
from consumer_guard.guard.errors import RequestError
from consumer_guard.guard.model import Caller, Owner, OwnerLookup, OwnerStatus
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry import masking, metrics


class CanI(GuardCommand, show.ShowOne):
    """Check whether a caller can make a request, and show the answer and the reason.

    Decides as the deployed guard and placement do, with the live policy files of
    both and the configured look-up of owners, and sends nothing to placement. Exit
    status: 0 allowed, or listed; 1 refused; 2 the question could not be answered.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The request, the caller and the owner."""
        parser.add_argument(
            'method', nargs='?', metavar='METHOD', help='GET, PUT, POST, DELETE'
        )
        parser.add_argument(
            'path',
            nargs='?',
            metavar='PATH',
            help='path with query: /allocations/UUID, /usages?project_id=ID. Host and '
            'prefix of the endpoint are ignored',
        )
        can_i_list.add_list_option(parser)
        subject.add_options(parser)
        group = parser.add_argument_group('the request')
        group.add_argument(
            '--microversion',
            metavar='1.N',
            default='latest',
            help='microversion of placement (default: latest)',
        )
        group.add_argument(
            '--body', metavar='FILE', help='file with the body of a PUT or POST'
        )
        group = parser.add_argument_group('the owner')
        group.add_argument(
            '--owner-project',
            metavar='ID',
            help='assume that every consumer belongs to this project and holds '
            'allocations, and query no database; the generation in the body counts as '
            'current, and a consumer type as existing',
        )
        group.add_argument(
            '--owner-user', metavar='ID', help='with --owner-project: its user'
        )
        group.add_argument(
            '--owner-type', metavar='TYPE', help='with --owner-project: their type'
        )
        group.add_argument(
            '--show-owner',
            action='store_true',
            help="show the owner's ids and generation; look up the owner even if "
            'the decision does not need it',
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Sequence[Any]]:
        """Decide and describe."""
        can_i_list.check_options(parsed_args)
        conf, settings = self.read_configuration()
        rulebook = assembly.read_rules(conf, settings)
        caller = simulate_caller(
            subject.read_subject(parsed_args), settings.passage_role
        )
        if not caller.credentials['user_id']:
            raise CommandFailed('--user must not be empty')
        if parsed_args.list:
            placement = find_placement(conf)
            if placement.rules is None:
                self.note(f'consumer_guard alone; {placement.problem}')
            return _show_abilities(caller, rulebook, settings, placement.rules)
        return self._decide(conf, parsed_args, caller, rulebook, settings)

    def _decide(
        self,
        conf: cfg.ConfigOpts,
        parsed_args: argparse.Namespace,
        caller: Caller,
        rulebook: Rulebook,
        settings: Settings,
    ) -> tuple[Sequence[str], Sequence[Any]]:
        pasted = parsed_args.path
        parsed_args.path = strip_endpoint(pasted)
        versions = tuple(assembly.find_versions())
        request = _make_request(parsed_args, settings, versions)
        with _open_lookup(parsed_args, settings, request) as (lookup, watch):
            try:
                with capture_warnings('consumer_guard.owners') as failures:
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
                raise CommandFailed('; '.join(failures) or str(exc)) from None
        _demand_decided(explanation, parsed_args, failures)
        if parsed_args.path != pasted:
            self.note(f'decided for the path {parsed_args.path}')
        client, decided_by = _judge_both(conf, request, caller, explanation)
        self.status = 0 if client.allowed else 1
        key = None if parsed_args.show_owner else masking.make_key(settings.audit_key)
        mask = masking.make_mask(caller.credentials, key)
        shown = _describe_explanation(
            request, caller, explanation, settings, mask, client, decided_by
        )
        if explanation.document is None and parsed_args.formatter in ('shell', 'value'):
            shown['document'] = ''
        return tuple(shown), tuple(shown.values())


def _show_abilities(
    caller: Caller,
    rulebook: Rulebook,
    settings: Settings,
    placement: PlacementRules | None,
) -> tuple[Sequence[str], Sequence[Any]]:
    """One field per operation."""
    shown = {}
    abilities = can_i_list.list_abilities(caller, rulebook, settings, placement)
    for name, cells in abilities.items():
        described = {
            relation: can_i_list.describe_ability(cell, settings)
            for relation, cell in cells.items()
        }
        shown[name] = _FormattedValue(described, can_i_list.format_abilities(described))
    return tuple(shown), tuple(shown.values())


def _judge_both(
    conf: cfg.ConfigOpts,
    request: GuardedRequest,
    caller: Caller,
    explanation: Explanation,
) -> tuple[ClientAnswer, str]:
    """What the client gets from the guard and placement, and who decided."""
    placement = find_placement(conf)
    outcome = explanation.decision.outcome
    client = combine(placement.rules, request, caller, outcome, explanation.answer)
    if client.decider is Decider.GUARD_ALONE and placement.rules is None:
        return client, f'consumer_guard alone; {placement.problem}'
    return client, client.decider.value


def _make_request(
    parsed_args: argparse.Namespace, settings: Settings, versions: tuple[str, ...]
) -> GuardedRequest:
    method, path = parsed_args.method.upper(), parsed_args.path
    body = b''
    if parsed_args.body is not None:
        body = read_file(parsed_args.body, '--body')
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
            f'{method} {path} is not guarded: the guard forwards it unchanged'
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
        # In shadow mode the watch decides and moves no generation.
        shadow = dataclasses.replace(settings, enforcement='shadow')
        yield lookup, assembly.make_watch(shadow, lookup, lookup, metrics.NONE)
    finally:
        lookup.close()


def _suppose(
    parsed_args: argparse.Namespace, settings: Settings, request: GuardedRequest
) -> OwnerLookup:
    """A look-up in which the owner of the options owns every consumer."""
    if not parsed_args.owner_project:
        raise CommandFailed('--owner-project must not be empty')
    unowned = parsed_args.owner_project == settings.incomplete_consumer_project_id
    owner = Owner(
        '',
        OwnerStatus.UNOWNED if unowned else OwnerStatus.RECORDED,
        None if unowned else parsed_args.owner_project,
        parsed_args.owner_user,
        parsed_args.owner_type,
        generation=0,
        has_allocations=True,
    )
    owners = {}
    with contextlib.suppress(RequestError):
        # The decision reports what cannot be read.
        for claim in claims.read_write_body(request).claims:
            if claim.generation is not None:
                owners[claim.consumer_uuid] = owner._replace(
                    consumer_uuid=claim.consumer_uuid, generation=int(claim.generation)
                )
    return KnownOwners(owners, owner)


def _demand_decided(
    explanation: Explanation,
    parsed_args: argparse.Namespace,
    failures: Sequence[str],
) -> None:
    """:param failures: warnings of the look-up"""
    reason = explanation.decision.reason
    if reason is Reason.UNAVAILABLE:
        raise CommandFailed(
            f'{"; ".join(failures) or "the owner could not be looked up"} (options '
            'owner_lookup and connection of [consumer_guard]); use --owner-project '
            'to decide without a database'
        )
    writes = parsed_args.method.upper() in ('PUT', 'POST')
    if reason is Reason.UNREADABLE and writes and parsed_args.body is None:
        raise CommandFailed('this decision depends on the body: pass --body FILE')


if TYPE_CHECKING:
    _Column = columns.FormattableColumn[Any]
else:  # no generic class up to cliff 4.7
    _Column = columns.FormattableColumn


class _FormattedValue(_Column):
    """A value for machines, with lines for people."""

    def __init__(self, value: Any, lines: Iterable[str]) -> None:
        super().__init__(value)
        self._text = '\n'.join(lines)

    def human_readable(self) -> str:
        return self._text


def _describe_explanation(
    request: GuardedRequest,
    caller: Caller,
    explanation: Explanation,
    settings: Settings,
    mask: masking.Mask,
    client: ClientAnswer,
    decided_by: str,
) -> dict[str, Any]:
    """The fields that are shown.

    :param mask: over the ids of owners
    :param client: the answer of the guard and placement together
    """
    decision, document = explanation.decision, explanation.document
    rulings = [f'{each.about}: {each.truth.name.lower()}' for each in decision.rulings]
    owners = [_describe_owner(each, mask) for each in explanation.owners.values()]
    roles = sorted(caller.roles)
    answer = client.answer
    if explanation.listed is not None and client.allowed:
        verb = 'are' if explanation.listed else 'are not'
        answer = f'{answer}; consumers of this owner {verb} included'
    if settings.shadow:
        answer = f'{prediction.SHADOWED} {answer}'
    return {
        'allowed': _FormattedValue(client.allowed, ['yes' if client.allowed else 'no']),
        'decided_by': decided_by,
        'reason': decision.reason.value,
        'answer': answer,
        'rule': request.operation.rule,
        'rulings': _FormattedValue(rulings, rulings or ['none']),
        'trace': _FormattedValue(
            explanation.trace.as_dict(), explanation.trace.lines()
        ),
        'owners': _FormattedValue(
            owners, map(_format_owner, owners) if owners else ['not looked up']
        ),
        'roles': _FormattedValue(roles, [', '.join(roles) or 'none']),
        'scope': caller.scope,
        'microversion': '.'.join(map(str, request.microversion or ())),
        'enforcement': settings.enforcement,
        'denial': settings.denial,
        'document': _FormattedValue(document, [_format_document(document)]),
    }


def _describe_owner(owner: Owner, mask: masking.Mask) -> dict[str, Any]:
    """One recorded owner. Security: another's shows no more than a record does."""
    shown: dict[str, Any] = {
        'consumer_uuid': owner.consumer_uuid,
        'standing': owner.status.value,
    }
    if owner.status is OwnerStatus.RECORDED:
        shown['project_id'] = mask.hide(owner.project_id)
        shown['user_id'] = mask.hide(owner.user_id)
        if shown['project_id'] == owner.project_id:
            shown['consumer_type'] = owner.consumer_type
            shown['generation'] = owner.generation
            shown['has_allocations'] = owner.has_allocations
    return shown


def _format_owner(shown: dict[str, Any]) -> str:
    words = [
        f'{name.removesuffix("_id")} {shown[name]}'
        for name in ('project_id', 'user_id', 'generation')
        if shown.get(name) is not None
    ]
    if shown['standing'] == OwnerStatus.UNOWNED.value:
        words = ['ownerless']
    elif shown['standing'] == OwnerStatus.ABSENT.value:
        words = ['not recorded']
    return f'{shown["consumer_uuid"]}: {", ".join(words)}'


def _format_document(document: Any) -> str:
    """The useful line of a refusal; "placement's" where placement answers."""
    if document is None:
        return "placement's"
    error = document['errors'][0]
    return f'{error["title"]}: {error["detail"].strip().splitlines()[-1].strip()}'
