# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard can-i --list``: all that one caller may do."""

import argparse
from collections.abc import Sequence
from typing import Any

from consumer_guard.analysis import prediction
from consumer_guard.analysis.access import (
    PROJECT_ID,
    USER_ID,
    CallerClass,
    Cell,
    Relation,
    compute_access,
    make_owners,
)
from consumer_guard.analysis.client import PlacementRules
from consumer_guard.cmd.base import CommandFailed
from consumer_guard.config.settings import Settings
from consumer_guard.guard import model
from consumer_guard.guard.model import Caller
from consumer_guard.rules.rulebook import Rulebook

#: Options that are about one request, and their values when they are not given.
_OF_ONE_REQUEST = (
    ('method', None),
    ('path', None),
    ('body', None),
    ('microversion', 'latest'),
    ('owner_project', None),
    ('owner_user', None),
    ('owner_type', None),
    ('show_owner', False),
)


def add_list_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks for all."""
    parser.add_argument(
        '--list',
        action='store_true',
        help='instead of a request: show everything the caller can do, with own, foreign, '
        'ownerless and unknown consumers',
    )


def check_options(parsed_args: argparse.Namespace) -> None:
    """Tell a request from a list of all.

    :raises CommandFailed: neither is requested, or both are
    """
    if not parsed_args.list:
        if parsed_args.method is None or parsed_args.path is None:
            raise CommandFailed('METHOD and PATH are missing; or give --list')
        return
    for name, missing in _OF_ONE_REQUEST:
        if getattr(parsed_args, name) != missing:
            shown = f'--{name.replace("_", "-")}'
            shown = name.upper() if name in ('method', 'path') else shown
            raise CommandFailed(f'{shown} and --list exclude each other')


def list_abilities(
    caller: Caller,
    rulebook: Rulebook,
    settings: Settings,
    placement: PlacementRules | None = None,
) -> dict[str, dict[str, Cell]]:
    """What a caller may do with each operation, by the relation of the consumer.

    :param placement: its own rules; without them the answers are the guard's alone
    :returns: without "owned" for a caller who has no project
    """
    project_id = caller.credentials['project_id']
    user_id = caller.credentials['user_id']
    cells = compute_access(
        rulebook,
        classes=[CallerClass('caller', caller)],
        conceal=settings.conceal,
        passage_role=settings.passage_role,
        nobodys_project_id=settings.incomplete_consumer_project_id,
        owners=make_owners(project_id or PROJECT_ID, user_id or USER_ID),
        placement=placement,
    )
    relations = [each for each in Relation if project_id or each is not Relation.OWNED]
    return {
        operation.name: {
            each.value: cells['caller', operation.name, each] for each in relations
        }
        for operation in model.OPERATIONS
    }


def describe_ability(cell: Cell, settings: Settings) -> dict[str, Any]:
    """One answer, as it is shown in data."""
    answer = cell.answer
    if settings.shadow:
        answer = f'{prediction.SHADOWED} {answer}'
    return {'allowed': cell.allowed, 'reason': cell.reason.value, 'answer': answer}


def format_abilities(described: dict[str, dict[str, Any]]) -> Sequence[str]:
    """Lines for people; one where it is the same with every consumer."""
    lines = {
        relation: f'{"yes" if each["allowed"] else "no"}: {each["answer"]}'
        for relation, each in described.items()
    }
    if len(set(lines.values())) == 1:
        return [f'all: {next(iter(lines.values()))}']
    return [f'{relation}: {line}' for relation, line in lines.items()]
