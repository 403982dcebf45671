# SPDX-License-Identifier: Apache-2.0
"""Two rules compared: all who gain, all who lose, and who is refused differently."""

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import z3

from consumer_guard.analysis.proof.cubes import Confirm, Cover, Finder
from consumer_guard.analysis.proof.domain import Domain, Example
from consumer_guard.analysis.proof.encoding import Encoder, joins_texts
from consumer_guard.analysis.proof.texts import make_texts
from consumer_guard.guard.model import Truth
from consumer_guard.rules import nodes

#: Executes a rule on an example.
Execute = Callable[[nodes.Node, Example], Truth]


class Effect(enum.Enum):
    """What new rules do to a caller."""

    GAIN = 'gains'
    LOSS = 'loses'
    #: Refused by both, but not with the same truth.
    OTHERWISE = 'is refused differently'


def classify_effect(old: Truth, new: Truth) -> Effect | None:
    """The effect of a change of truth; None where there is none."""
    if old is new:
        return None
    if new is Truth.YES:
        return Effect.GAIN
    return Effect.LOSS if old is Truth.YES else Effect.OTHERWISE


class Pass(NamedTuple):
    """One judgement of the rules, of several.

    :ivar strict: whether only those are affected whose answer is a definite one
        under both rules, and not left to a later pass
    """

    domain: Domain
    judge: Execute
    strict: bool = False


def compare_nodes(
    old: nodes.Node,
    new: nodes.Node,
    checks: Sequence[nodes.Node],
    passes: Sequence[Pass],
    given: nodes.Node | None = None,
    effects: Collection[Effect] = tuple(Effect),
) -> list[Mapping[Effect, Cover]]:
    """Compare two rules on domains that callers meet one after the other.

    :param checks: the leaves of both
    :param passes: those who are definitely affected in an earlier one are not found
        again in a later one
    :param given: what is true of all callers
    :param effects: those that are searched for
    :returns: in the order of the passes; the cover of each effect
    """
    texts = make_texts(joined=any(map(joins_texts, checks)))
    results: list[Mapping[Effect, Cover]] = []
    known: dict[Effect, list[Any]] = {effect: [] for effect in Effect}
    axioms: list[Any] = []
    for each in passes:
        encoder = Encoder(each.domain, checks, texts, axioms)
        if given is not None:
            encoder.require(encoder.encode(given)[0])
        formulas, definite = _make_formulas(encoder, old, new)
        if each.strict:
            formulas = definite
        finder = Finder(encoder, checks)
        results.append(
            {
                effect: finder.find(
                    formula,
                    _make_confirm(old, new, each, effect),
                    known[effect],
                    most=1 if effect is Effect.OTHERWISE else None,
                )
                for effect, formula in formulas.items()
                if effect in effects
            }
        )
        for effect, formula in definite.items():
            known[effect].append(formula)
        axioms += encoder.list_axioms()
    return results


def _make_formulas(
    encoder: Encoder, old: nodes.Node, new: nodes.Node
) -> tuple[dict[Effect, Any], dict[Effect, Any]]:
    """What each effect is, and what it is where both answers are definite."""
    (old_yes, old_no), (new_yes, new_no) = encoder.encode(old), encoder.encode(new)
    refused = z3.And(z3.Not(old_yes), z3.Not(new_yes))
    otherwise = {Effect.OTHERWISE: z3.And(refused, z3.Xor(old_no, new_no))}
    formulas = {
        Effect.GAIN: z3.And(new_yes, z3.Not(old_yes)),
        Effect.LOSS: z3.And(old_yes, z3.Not(new_yes)),
    }
    definite = {
        Effect.GAIN: z3.And(new_yes, old_no),
        Effect.LOSS: z3.And(old_yes, new_no),
    }
    return formulas | otherwise, definite | otherwise


def _make_confirm(
    old: nodes.Node, new: nodes.Node, each: Pass, effect: Effect
) -> Confirm:
    def confirm(example: Example) -> bool:
        truths = each.judge(old, example), each.judge(new, example)
        if each.strict and effect is not Effect.OTHERWISE and Truth.UNKNOWN in truths:
            return False
        return classify_effect(*truths) is effect

    return confirm
