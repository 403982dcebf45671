# SPDX-License-Identifier: Apache-2.0
"""An explained decision, as a command shows it."""

from collections.abc import Iterable
from typing import Any

from cliff import columns

from consumer_guard.analysis.explanation import Explanation
from consumer_guard.analysis.prediction import SHADOWED
from consumer_guard.config.settings import Settings
from consumer_guard.guard.model import Caller, Owner, OwnerStatus
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.masking import Mask


class Shown(columns.FormattableColumn[Any]):
    """A value for machines, with lines for people."""

    def __init__(self, value: Any, lines: Iterable[str]) -> None:
        super().__init__(value)
        self._text = '\n'.join(lines)

    def human_readable(self) -> str:
        """The lines."""
        return self._text


def describe(
    request: GuardedRequest,
    caller: Caller,
    explanation: Explanation,
    settings: Settings,
    mask: Mask,
) -> dict[str, Any]:
    """What is shown, by field.

    :param mask: over the ids of owners
    """
    decision = explanation.decision
    rulings = [
        f'{ruling.about}: {ruling.truth.name.lower()}' for ruling in decision.rulings
    ]
    owners = [_describe_owner(owner, mask) for owner in explanation.owners.values()]
    document = explanation.document
    roles = sorted(caller.roles)
    version = '.'.join(map(str, request.microversion or ()))
    return {
        'allowed': Shown(explanation.allowed, ['yes' if explanation.allowed else 'no']),
        'reason': decision.reason.value,
        'answer': _describe_answer(explanation, settings),
        'rule': request.operation.rule,
        'rulings': Shown(rulings, rulings or ['none']),
        'trace': Shown(explanation.trace.as_dict(), explanation.trace.lines()),
        'owners': Shown(owners, map(_as_line, owners) if owners else ['not asked']),
        'roles': Shown(roles, [', '.join(roles) or 'none']),
        'scope': caller.scope,
        'microversion': version,
        'enforcement': settings.enforcement,
        'denial': settings.denial,
        'document': Shown(document, _as_lines(document)),
    }


def _describe_answer(explanation: Explanation, settings: Settings) -> str:
    answer = explanation.answer
    if explanation.listed is not None:
        there = 'are' if explanation.listed else 'are not'
        answer = f'{answer}; consumers of this owner {there} in it'
    return f'{SHADOWED} {answer}' if settings.shadow else answer


def _describe_owner(owner: Owner, mask: Mask) -> dict[str, Any]:
    """One recorded owner. Security: another's shows no more than a record does."""
    found: dict[str, Any] = {
        'consumer_uuid': owner.consumer_uuid,
        'standing': owner.status.value,
    }
    if owner.status is OwnerStatus.RECORDED:
        found['project_id'] = mask.hide(owner.project_id)
        found['user_id'] = mask.hide(owner.user_id)
        if found['project_id'] == owner.project_id:
            found['consumer_type'] = owner.consumer_type
            found['generation'] = owner.generation
            found['has_allocations'] = owner.has_allocations
    return found


_WORDS = {
    OwnerStatus.RECORDED.value: '',
    OwnerStatus.UNOWNED.value: "nobody's",
    OwnerStatus.ABSENT.value: 'not recorded',
}


def _as_line(owner: dict[str, Any]) -> str:
    words = [_WORDS[owner['standing']]]
    words += [
        f'{name.removesuffix("_id")} {owner[name]}'
        for name in ('project_id', 'user_id', 'generation')
        if owner.get(name) is not None
    ]
    return f'{owner["consumer_uuid"]}: {", ".join(filter(None, words))}'


def _as_lines(document: Any) -> list[str]:
    """The useful line of a refusal; "placement's" where placement answers."""
    if document is None:
        return ["placement's"]
    error = document['errors'][0]
    return [f'{error["title"]}: {error["detail"].strip().splitlines()[-1].strip()}']
