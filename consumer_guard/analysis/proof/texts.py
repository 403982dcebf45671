# SPDX-License-Identifier: Apache-2.0
"""Texts as terms of the solver: names that are equal or not, or real strings.

Where rules compare whole texts only, names are enough, and the solver always
decides. Strings are for templates that join texts (``x-%(key)s``).
"""

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import z3

#: The last character that z3's strings can hold.
_LAST = '\U0002ffff'
_ESCAPE = re.compile(r'\\u\{([0-9a-fA-F]+)\}')

#: Spellings of one text that are tried when letters' case does not matter.
_MAX_SPELLINGS = 64


class Texts(Protocol):
    """Makes terms, and reads them from a model."""

    sort: z3.SortRef

    def literal(self, text: str) -> z3.ExprRef:
        """A text that a rule has."""

    def join(self, parts: list[z3.ExprRef]) -> z3.ExprRef:
        """Several texts in a row."""

    def list_axioms(self, lower: z3.FuncDeclRef | None) -> Iterable[z3.BoolRef]:
        """What holds of the literals.

        :param lower: ``str.lower`` where it is used
        """

    def read(
        self,
        model: z3.ModelRef,
        terms: Mapping[str, z3.ExprRef],
        lower: z3.FuncDeclRef | None,
    ) -> dict[str, str]:
        """A text for each term, equal where the model has them equal."""


class StringTexts:
    """Real strings of z3."""

    def __init__(self) -> None:
        self.sort: z3.SortRef = z3.StringSort()
        self._literals: set[str] = set()

    def literal(self, text: str) -> z3.ExprRef:
        """As z3 writes it.

        :raises z3.Z3Exception: a character is beyond z3's strings
        """
        if any(char > _LAST for char in text):
            raise z3.Z3Exception('a character is outside the range of z3')
        self._literals.add(text)
        value: z3.ExprRef = z3.StringVal(text.replace('\\', '\\u{5c}'))
        return value

    def join(self, parts: list[z3.ExprRef]) -> z3.ExprRef:
        """Concatenation."""
        joined: z3.ExprRef = z3.Concat(*parts)
        return joined

    def list_axioms(self, lower: z3.FuncDeclRef | None) -> Iterable[z3.BoolRef]:
        """Lower case, of the literals alone."""
        if lower is None:
            return []
        known = sorted({each for text in self._literals for each in _with_lower(text)})
        return [
            lower(self.literal(text)) == self.literal(text.lower()) for text in known
        ]

    def read(
        self,
        model: z3.ModelRef,
        terms: Mapping[str, z3.ExprRef],
        lower: z3.FuncDeclRef | None,  # noqa: ARG002 - the protocol's
    ) -> dict[str, str]:
        """The strings themselves."""
        return {name: self._read_one(model, term) for name, term in terms.items()}

    @staticmethod
    def _read_one(model: z3.ModelRef, term: z3.ExprRef) -> str:
        written = model.eval(term, model_completion=True).as_string()
        return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), written)


class NamedTexts:
    """Texts of which only equality is known."""

    def __init__(self) -> None:
        self.sort: z3.SortRef = z3.DeclareSort('Text')
        self._literals: dict[str, z3.ExprRef] = {}

    def literal(self, text: str) -> z3.ExprRef:
        """A constant of this text."""
        if text not in self._literals:
            self._literals[text] = z3.Const(f'"{text}"', self.sort)
        return self._literals[text]

    def join(self, parts: list[z3.ExprRef]) -> z3.ExprRef:
        """Not for these."""
        raise NotImplementedError

    def list_axioms(self, lower: z3.FuncDeclRef | None) -> Iterable[z3.BoolRef]:
        """No two literals are equal; and their lower case."""
        axioms = []
        if lower is not None:
            for text in list(self._literals):
                for each in _with_lower(text):
                    image = self.literal(each.lower())
                    axioms.append(lower(self.literal(each)) == image)
        if len(self._literals) > 1:
            axioms.append(z3.Distinct(*self._literals.values()))
        return axioms

    def read(
        self,
        model: z3.ModelRef,
        terms: Mapping[str, z3.ExprRef],
        lower: z3.FuncDeclRef | None,
    ) -> dict[str, str]:
        """Literals where they are equal to one, invented texts elsewhere."""

        def name(term: z3.ExprRef) -> str:
            return str(model.eval(term, model_completion=True))

        texts = {name(term): text for text, term in self._literals.items()}
        for hint, term in terms.items():
            if name(term) in texts:
                continue
            base = hint
            if lower is not None:
                image = name(lower(term))
                if image not in texts and image != name(term):
                    texts[image] = _choose([hint], texts.values())
                base = texts.get(image, hint)
            texts[name(term)] = _choose(list_spellings(base), texts.values())
        return {hint: texts[name(term)] for hint, term in terms.items()}


def _with_lower(text: str) -> set[str]:
    return {text, text.lower()}


def list_spellings(text: str) -> Iterator[str]:
    """The text with other cases of its letters, itself first."""
    cases = [sorted({char, char.lower(), char.upper()}, reverse=True) for char in text]
    spelled = (''.join(chars) for chars in itertools.product(*cases))
    for other in itertools.islice(itertools.chain([text], spelled), _MAX_SPELLINGS):
        if other.lower() == text.lower():
            yield other


def _choose(candidates: Iterable[str], taken: Collection[str]) -> str:
    """The first that is not taken, or one like the last."""
    last = ''
    for last in candidates:
        if last not in taken:
            return last
    while last in taken:
        last += '-x'
    return last


def make_texts(*, joined: bool) -> Texts:
    """Terms for some rules.

    :param joined: whether a template joins texts
    """
    return StringTexts() if joined else NamedTexts()


def is_true(model: z3.ModelRef, formula: Any) -> bool:
    """Whether a formula holds in a model."""
    return bool(z3.is_true(model.eval(formula, model_completion=True)))
