# SPDX-License-Identifier: Apache-2.0
"""All callers and targets for which a formula holds, as prime implicants."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import z3

from consumer_guard.analysis.proof.domain import Example
from consumer_guard.analysis.proof.encoding import Encoder
from consumer_guard.analysis.proof.literals import Literal, Sign
from consumer_guard.rules import leaves, nodes

#: How long the solver may take for one question, in ms.
_QUESTION_MS = 5000

#: Cubes that are found, those aside that differ from one in a role alone.
_MAX_CUBES = 100

#: Examples that may fail before it is undecided; each teaches the solver a text.
_MAX_FAILURES = 20

#: Executes an example; whether it does what is searched for.
Confirm = Callable[[Example], bool]


class Cube(NamedTuple):
    """Some who are affected: all for whom each of the literals holds.

    :ivar literals: none can be left out
    :ivar example: one of them, executed
    """

    literals: tuple[Literal, ...]
    example: Example


@dataclass(frozen=True, slots=True)
class Cover:
    """All who are affected.

    :ivar decided: whether there is nobody else
    """

    cubes: tuple[Cube, ...]
    decided: bool


class Finder:
    """Finds the cubes of formulas over one set of checks.

    :param checks: the leaves of the rules, in the order in which they are shown
    """

    def __init__(self, encoder: Encoder, checks: Sequence[nodes.Node]) -> None:
        self._encoder = encoder
        self._checks = [
            leaf
            for leaf in checks
            if not isinstance(leaf, leaves.Constant)
            and not all(map(z3.is_false, encoder.encode(leaf)))
        ]

    def find(
        self,
        formula: Any,
        confirm: Confirm,
        besides: Sequence[Any] = (),
        most: int | None = None,
    ) -> Cover:
        """All who make a formula of the checks true.

        :param confirm: executes an example; whether it does what the formula says
        :param besides: formulas of those who need not be found
        :param most: as many cubes are enough
        """
        search = _Search(self._encoder, self._checks, formula, besides, confirm)
        cubes = tuple(itertools.islice(search.list_cubes(), most))
        return Cover(cubes, search.decided)


class _Search:
    """One run; lives no longer than :meth:`Finder.find`.

    :ivar decided: whether all cubes were found
    """

    def __init__(
        self,
        encoder: Encoder,
        checks: Sequence[nodes.Node],
        formula: Any,
        besides: Sequence[Any],
        confirm: Confirm,
    ) -> None:
        self._encoder, self._checks, self._confirm = encoder, checks, confirm
        self._solver, self._opposite = z3.SimpleSolver(), z3.SimpleSolver()
        for solver in (self._solver, self._opposite):
            solver.set('timeout', _QUESTION_MS)
            solver.add(*encoder.list_axioms())
        self._solver.add(formula, *map(z3.Not, besides))
        self._opposite.add(z3.Not(formula))
        self._proxies: dict[tuple[int, Sign], Any] = {}
        self.decided = True

    def list_cubes(self) -> Iterator[Cube]:
        """The cubes, until nobody is left or it takes too long."""
        failures, learnt = 0, set[str]()
        for _ in range(_MAX_CUBES):
            answer = self._solver.check()
            if answer == z3.unsat:
                return
            if answer == z3.unknown or failures > _MAX_FAILURES:
                break
            model = self._solver.model()
            example = self._encoder.read_example(model)
            literals = self._read_literals(model)
            if self._confirm(example):
                cube = Cube(self._generalize(literals, example), example)
                for found in (cube, *self._list_siblings(cube)):
                    self._exclude(found.literals)
                    yield found
                continue
            failures += 1
            lessons = self._encoder.list_lessons(example, learnt)
            if not lessons:
                self.decided = False
                self._exclude(literals)
            self._solver.add(*lessons)
            self._opposite.add(*lessons)
        self.decided = False

    def _list_siblings(self, cube: Cube) -> Iterator[Cube]:
        """The same with another role in the place of the one that it needs."""
        held = [one for one in cube.literals if _needs_role(one)]
        if len(held) != 1 or self._encoder.names_roles:
            return
        (old,) = held
        rest = [one for one in cube.literals if one is not old]
        named = {id(one.leaf) for one in cube.literals}
        for leaf in self._checks:
            if not isinstance(leaf, leaves.HasRole) or id(leaf) in named:
                continue
            core = self._find_core([*rest, Literal(leaf, Sign.YES)])
            if core is not None and len(core) == len(cube.literals):
                example = _toggle(_toggle(cube.example, old.leaf), leaf)
                if self._confirm(example):
                    yield Cube((*rest, Literal(leaf, Sign.YES)), example)

    def _read_literals(self, model: z3.ModelRef) -> tuple[Literal, ...]:
        """The truth of each check; an unknown one takes two."""
        literals = []
        for leaf in self._checks:
            yes, no = (
                z3.is_true(model.eval(formula, model_completion=True))
                for formula in self._encoder.encode(leaf)
            )
            signs = (
                [Sign.YES] if yes else [Sign.NO] if no else [Sign.NOT_YES, Sign.NOT_NO]
            )
            literals += [Literal(leaf, sign) for sign in signs]
        return tuple(literals)

    def _exclude(self, literals: Sequence[Literal]) -> None:
        self._solver.add(
            z3.Not(z3.And([self._encoder.make_formula(*one) for one in literals]))
        )

    def _generalize(
        self, literals: Sequence[Literal], example: Example
    ) -> tuple[Literal, ...]:
        """Leave out what is not needed: first what takes most words."""
        kept = self._find_core(literals)
        if kept is None:
            return tuple(literals)
        needed = {id(one) for one in kept if self._is_needed(one, example)}
        for literal in sorted(kept, key=_weigh_literal, reverse=True):
            if literal in kept and id(literal) not in needed:
                rest = [one for one in kept if one is not literal]
                kept = self._find_core(rest) or kept
        for index, literal in enumerate(kept):
            if literal.sign is Sign.NO and not isinstance(literal.leaf, leaves.HasRole):
                weaker = Literal(literal.leaf, Sign.NOT_YES)
                tried = [*kept[:index], weaker, *kept[index + 1 :]]
                kept = tried if self._find_core(tried) is not None else kept
        return tuple(kept)

    def _is_needed(self, literal: Literal, example: Example) -> bool:
        """Whether an example shows that a literal about a role cannot be left out.

        Executed, which is faster than to ask the solver: rules may have thousands.
        """
        if not isinstance(literal.leaf, leaves.HasRole) or self._encoder.names_roles:
            return False
        return not self._confirm(_toggle(example, literal.leaf))

    def _find_core(self, literals: Sequence[Literal]) -> list[Literal] | None:
        """Literals that suffice among these; None when these do not."""
        proxies = [self._assume(one) for one in literals]
        if self._opposite.check(*proxies) != z3.unsat:
            return None
        core = {each.get_id() for each in self._opposite.unsat_core()}
        return [
            one
            for one, proxy in zip(literals, proxies, strict=True)
            if proxy.get_id() in core
        ]

    def _assume(self, literal: Literal) -> Any:
        key = id(literal.leaf), literal.sign
        if key not in self._proxies:
            proxy = z3.Bool(f'{literal.sign.value}: {literal.leaf}')
            self._opposite.add(z3.Implies(proxy, self._encoder.make_formula(*literal)))
            self._proxies[key] = proxy
        return self._proxies[key]


def _needs_role(literal: Literal) -> bool:
    return isinstance(literal.leaf, leaves.HasRole) and literal.sign is Sign.YES


def _toggle(example: Example, leaf: nodes.Node) -> Example:
    """The same caller with a role more or less."""
    name = str(getattr(leaf, 'name', ''))
    roles = example.credentials['roles']
    others = [role for role in roles if role.lower() != name]
    roles = others if len(others) < len(roles) else [*roles, name]
    credentials = {**example.credentials, 'roles': roles}
    return Example(credentials, example.target, example.answers)


def _weigh_literal(literal: Literal) -> tuple[bool, bool]:
    """Checks of other things than roles weigh most, then what is not true."""
    is_role = isinstance(literal.leaf, leaves.HasRole)
    return not is_role, literal.sign is not Sign.YES
