# SPDX-License-Identifier: Apache-2.0
"""Two rules compared: all who gain, all who lose, and who is refused otherwise."""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import z3

from consumer_guard.analysis.proof.cubes import Cover, Finder
from consumer_guard.analysis.proof.domain import Domain, Example
from consumer_guard.analysis.proof.encoding import Encoder, joins_texts
from consumer_guard.analysis.proof.texts import make_texts
from consumer_guard.guard.model import Truth
from consumer_guard.rules import nodes

#: Executes a rule on an example.
Judge = Callable[[nodes.Node, Example], Truth]


class Effect(enum.Enum):
    """What new rules do to a caller."""

    GAIN = 'gains'
    LOSS = 'loses'
    #: Refused by both, but not with the same truth.
    OTHERWISE = 'is refused otherwise'


def classify_effect(old: Truth, new: Truth) -> Effect | None:
    """The effect of a change of truth; None where there is none."""
    if old is new:
        return None
    if new is Truth.YES:
        return Effect.GAIN
    return Effect.LOSS if old is Truth.YES else Effect.OTHERWISE


def compare_nodes(
    old: nodes.Node,
    new: nodes.Node,
    checks: Sequence[nodes.Node],
    passes: Sequence[tuple[Domain, Judge]],
    given: nodes.Node | None = None,
) -> list[Mapping[Effect, Cover]]:
    """Compare two rules on domains that callers meet one after the other.

    :param checks: the leaves of both
    :param passes: those who are affected in an earlier one, whatever the target
        is, are not found again in a later one
    :param given: what is true of all callers
    :returns: in the order of the domains; the cover of each effect
    """
    texts = make_texts(joined=any(map(joins_texts, checks)))
    results: list[Mapping[Effect, Cover]] = []
    known: dict[Effect, list[Any]] = {}
    axioms: list[Any] = []
    for domain, judge in passes:
        encoder = Encoder(domain, checks, texts, axioms)
        if given is not None:
            encoder.require(encoder.encode(given)[0])
        (old_yes, old_no), (new_yes, new_no) = encoder.encode(old), encoder.encode(new)
        refused = z3.And(z3.Not(old_yes), z3.Not(new_yes))
        formulas = {
            Effect.GAIN: z3.And(new_yes, z3.Not(old_yes)),
            Effect.LOSS: z3.And(old_yes, z3.Not(new_yes)),
            Effect.OTHERWISE: z3.And(refused, z3.Xor(old_no, new_no)),
        }

        def confirm(example: Example, effect: Effect, judge: Judge = judge) -> bool:
            return classify_effect(judge(old, example), judge(new, example)) is effect

        finder = Finder(encoder, checks)
        results.append(
            {
                effect: finder.find(
                    formula,
                    lambda example, effect=effect: confirm(example, effect),  # type: ignore[misc]
                    known.get(effect, []),
                    most=1 if effect is Effect.OTHERWISE else None,
                )
                for effect, formula in formulas.items()
            }
        )
        for effect, formula in (
            (Effect.GAIN, z3.And(new_yes, old_no)),
            (Effect.LOSS, z3.And(old_yes, new_no)),
            (Effect.OTHERWISE, formulas[Effect.OTHERWISE]),
        ):
            known.setdefault(effect, []).append(formula)
        axioms += encoder.list_axioms()
    return results
