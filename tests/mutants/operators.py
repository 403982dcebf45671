# SPDX-License-Identifier: Apache-2.0
"""Operators that cosmic-ray lacks, and the selection of its own that is used."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import parso
from cosmic_ray.operators import (
    boolean_replacer,
    break_continue,
    comparison_operator_replacement,
    number_replacer,
    unary_operator_replacement,
    zero_iteration_for_loop,
)
from cosmic_ray.operators.operator import Example, Operator

#: Negations and limits. Other exchanges of comparisons fail along with these.
_COMPARISONS = (
    'Eq_NotEq',
    'NotEq_Eq',
    'Is_IsNot',
    'IsNot_Is',
    'Lt_LtE',
    'Lt_GtE',
    'LtE_Lt',
    'LtE_Gt',
    'Gt_GtE',
    'Gt_LtE',
    'GtE_Gt',
    'GtE_Lt',
)
#: Statements that can be left out of a function without making it another one.
_REMOVABLE = frozenset(
    ('expr_stmt', 'atom_expr', 'power', 'raise_stmt', 'del_stmt', 'await')
)


class _Replacement(Operator):  # type: ignore[misc]
    """An operator that gives the texts to replace a node by."""

    #: Before and after, for the tests.
    EXAMPLES: Sequence[tuple[str, str]] = ()

    def texts(self, node: Any) -> Sequence[str]:
        """What the node becomes, one text for each mutant."""
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """The node's own position, once for each mutant."""
        for _ in self.texts(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Parse the text in the node's place."""
        text = self.texts(node)[index]
        return parso.parse(node.get_first_leaf().prefix + text)

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        """As cosmic-ray wants them."""
        return tuple(Example(*pair) for pair in cls.EXAMPLES)


def _code(nodes: Sequence[Any]) -> str:
    """Their text, without comments before the first one."""
    texts = [node.get_code(include_prefix=n > 0) for n, node in enumerate(nodes)]
    return ''.join(texts).strip()


def _without(children: Sequence[Any], index: int) -> str:
    """The children without one and the separator beside it."""
    start = index - 1 if index else 0
    return _code([*children[:start], *children[start + 2 :]])


class NegateMembership(_Replacement):
    """``in`` and ``not in``."""

    EXAMPLES = (('a in b', 'a not in b'), ('a not in b', 'a in b'))

    def texts(self, node: Any) -> Sequence[str]:
        """One, if the operator is the whole comparison's."""
        if node.type != 'comparison' or len(node.children) != 3:
            return ()
        left, operator, right = node.children
        other = {'in': 'not in', 'not in': 'in'}.get(
            ' '.join(_code([operator]).split())
        )
        return (f'{_code([left])} {other}{right.get_code()}',) if other else ()


class DropOperand(_Replacement):
    """One operand of ``and`` or ``or`` is left out."""

    EXAMPLES = (('a and b', 'b'), ('a or b or c', 'a or c'))

    def texts(self, node: Any) -> Sequence[str]:
        """One for each operand."""
        if node.type not in ('and_test', 'or_test'):
            return ()
        count = len(node.children)
        return [f'({_without(node.children, i)})' for i in range(0, count, 2)]


class DropStatement(_Replacement):
    """A statement of a function becomes ``pass``; not a docstring."""

    EXAMPLES = (('def f():\n    g()\n', 'def f():\n    pass\n'),)

    def texts(self, node: Any) -> Sequence[str]:
        """One, without the end of the line."""
        if node.type != 'simple_stmt' or len(node.children) != 2:
            return ()
        if parso.python.tree.search_ancestor(node, 'funcdef') is None:
            return ()
        return ('pass\n',) if node.children[0].type in _REMOVABLE else ()


class ReturnNone(_Replacement):
    """``return None``, whatever was returned."""

    EXAMPLES = (('def f(): return 1\n', 'def f(): return None\n'),)

    def texts(self, node: Any) -> Sequence[str]:
        """One, where something else is returned."""
        if node.type != 'return_stmt' or len(node.children) < 2:
            return ()
        return () if _code(node.children[1:]) == 'None' else ('return None',)


class DropKeyword(_Replacement):
    """One keyword argument of a call is left out."""

    EXAMPLES = (('f(a=1)', 'f()'), ('f(a, b=1)', 'f(a)'))

    def texts(self, node: Any) -> Sequence[str]:
        """One for each keyword argument."""
        if node.type == 'trailer' and len(node.children) == 3:
            return ('()',) if _is_keyword(node.children[1]) else ()
        if node.type != 'arglist':
            return ()
        children = node.children
        return [
            _without(children, index)
            for index in range(0, len(children), 2)
            if _is_keyword(children[index])
        ]


def _is_keyword(node: Any) -> bool:
    return bool(node.type == 'argument' and _code(node.children[1:2]) == '=')


class CatchNothing(_Replacement):
    """An ``except`` does not catch one of its exceptions."""

    EXAMPLES = (
        ('try: f()\nexcept A: pass', 'try: f()\nexcept (): pass'),
        ('try: f()\nexcept (A, B): pass', 'try: f()\nexcept (B,): pass'),
        ('try: f()\nexcept BaseException: g()', 'try: f()\nexcept Exception: g()'),
    )

    def texts(self, node: Any) -> Sequence[str]:
        """One for each exception; what ends a thread is one more."""
        if node.type != 'except_clause':
            return ()
        caught, rest = node.children[1], node.children[2:]
        tail = f' {_code(rest)}' if rest else ''
        if caught.type != 'atom' or caught.children[1].type != 'testlist_comp':
            narrow = (f'except Exception{tail}',)
            return (
                f'except (){tail}',
                *(narrow if _code([caught]) == 'BaseException' else ()),
            )
        names = caught.children[1].children
        count = len(names)
        return [f'except ({_without(names, i)},){tail}' for i in range(0, count, 2)]


class RaiseOther(_Replacement):
    """Raise what nobody catches as a refusal."""

    EXAMPLES = (('raise A(b)', 'raise ArithmeticError'),)

    def texts(self, node: Any) -> Sequence[str]:
        """One, where an exception is named."""
        if node.type != 'raise_stmt' or len(node.children) < 2:
            return ()
        return ('raise ArithmeticError',)


class KeepChain(_Replacement):
    """Not ``from None``: the exception that was handled is shown, too."""

    EXAMPLES = (('raise A from None', 'raise A'),)

    def texts(self, node: Any) -> Sequence[str]:
        """One, where the chain is cut."""
        if node.type != 'raise_stmt' or _code(node.children[-2:]) != 'from None':
            return ()
        text = _code(node.children[:-2])
        # A request's error ends in an answer, and is not logged with its chain.
        return () if re.match('raise _?(Unreadable|TooLarge)', text) else (text,)


class DecideAlways(_Replacement):
    """A condition that is always met, or never."""

    EXAMPLES = (
        ('if a: b()', 'if True: b()'),
        ('if a: b()', 'if False: b()'),
        ('c = a if b else d', 'c = a if False else d'),
        ('e = [a for a in b if c]', 'e = [a for a in b if True]'),
    )

    def texts(self, node: Any) -> Sequence[str]:
        """Two for each condition; one of a loop, which has to end."""
        before = node.get_previous_sibling() if node.parent is not None else None
        word = before.value if before is not None and before.type == 'keyword' else ''
        if word not in ('if', 'elif', 'while') or node.type == 'keyword':
            return ()
        return ('False',) if word == 'while' else ('True', 'False')


class DropElement(_Replacement):
    """One element of a tuple, a list, a set or a table is left out."""

    EXAMPLES = (
        ('a = (b, c)', 'a = (c,)'),
        ('a = [b, c, d]', 'a = [b, d,]'),
        ('a = {b: c, d: e}', 'a = {d: e,}'),
    )

    def texts(self, node: Any) -> Sequence[str]:
        """One for each element, if there are two or more."""
        if node.type not in ('testlist_comp', 'dictorsetmaker'):
            return ()
        # A type: Callable[[A, B], C].
        if parso.python.tree.search_ancestor(node, 'subscriptlist') is not None:
            return ()
        elements: list[list[Any]] = [[]]
        for child in node.children:
            if child.type == 'operator' and child.value == ',':
                elements.append([])
            else:
                elements[-1].append(child)
        texts = [_code(element) for element in elements if element]
        if len(texts) < 2:
            return ()
        return [
            ', '.join([*texts[:index], *texts[index + 1 :]]) + ','
            for index in range(len(texts))
        ]


class ReplaceString(_Replacement):
    """Another string; not in docstrings, annotations and texts for people."""

    EXAMPLES = (("a = 'b'", "a = 'XXb'"), ("a = b'c'", "a = b'XXc'"))

    def texts(self, node: Any) -> Sequence[str]:
        """One for each literal that is compared, looked up or handed on."""
        if node.type != 'string' or _is_prose(node):
            return ()
        value = node.value
        place = value.index(value[-1]) + 1
        return (f'{value[:place]}XX{value[place:]}',)


#: What is called with texts for people.
_SPEAKING = frozenset(('LOG', 'logging', 'Refusal', 'Wording', '_State'))


def _is_prose(node: Any) -> bool:
    # The second one: what a function returns.
    if node.value.endswith(('"""', "'''")) or node.parent.type == 'funcdef':
        return True
    for kind in ('raise_stmt', 'annassign', 'tfpdef', 'param'):
        if parso.python.tree.search_ancestor(node, kind) is not None:
            return True
    call = node
    while call := parso.python.tree.search_ancestor(call, 'atom_expr'):
        if _code(call.children[:1]) in _SPEAKING:
            return True
    return False


OPERATORS: Sequence[Any] = (
    *(
        getattr(comparison_operator_replacement, f'ReplaceComparisonOperator_{name}')
        for name in _COMPARISONS
    ),
    boolean_replacer.ReplaceTrueWithFalse,
    boolean_replacer.ReplaceFalseWithTrue,
    boolean_replacer.ReplaceAndWithOr,
    boolean_replacer.ReplaceOrWithAnd,
    boolean_replacer.AddNot,
    break_continue.ReplaceBreakWithContinue,
    break_continue.ReplaceContinueWithBreak,
    number_replacer.NumberReplacer,
    unary_operator_replacement.ReplaceUnaryOperator_Delete_Not,
    zero_iteration_for_loop.ZeroIterationForLoop,
    NegateMembership,
    DropOperand,
    DropStatement,
    ReturnNone,
    DropKeyword,
    CatchNothing,
    RaiseOther,
    KeepChain,
    DecideAlways,
    DropElement,
    ReplaceString,
)
