# SPDX-License-Identifier: Apache-2.0
"""Rules as formulas: for each check one for "yes" and one for "no".

Source of what checks mean: :mod:`consumer_guard.rules.leaves` for
:attr:`Logic.KLEENE`, ``oslo_policy/_checks.py`` (oslo.policy 6) for the others.
Roles are free booleans, a target key is (exists, text), a credential (exists, is
None, text), a template the concatenation of its parts, a remote check free.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import z3

from consumer_guard.analysis.proof.domain import Domain, Example, Logic, Values
from consumer_guard.analysis.proof.literals import Sign
from consumer_guard.analysis.proof.scopes import TokenScope
from consumer_guard.analysis.proof.structure import Certain
from consumer_guard.analysis.proof.texts import (
    StringTexts,
    Texts,
    is_true,
    list_spellings,
    make_texts,
)
from consumer_guard.guard.model import Truth
from consumer_guard.rules import leaves, nodes
from consumer_guard.rules.remote import Remote
from consumer_guard.rules.templates import Template

#: Formulas of "yes" and "no"; neither holds where the check is unknown.
Formulas = tuple[Any, Any]

_TRUE, _FALSE = z3.BoolVal(True), z3.BoolVal(False)
_NONE = 'None'
_ROLES = 'roles'
_SYSTEM, _SYSTEM_SCOPE = 'system', 'system_scope'


def joins_texts(leaf: nodes.Node) -> bool:
    """Whether a leaf has a template of more than one key or one text."""
    right = getattr(leaf, 'right', None)
    return right is not None and bool(right.keys) and right.key is None


class Encoder:
    """One run: the formulas of some rules over the same callers and targets.

    :param checks: all leaves of the rules
    :param texts: shared by encoders of one solver
    :param axioms: those of other encoders whose formulas are used together
    :ivar names_roles: whether texts are compared with names of roles
    """

    def __init__(
        self,
        domain: Domain,
        checks: Iterable[nodes.Node],
        texts: Texts | None = None,
        axioms: Iterable[Any] = (),
    ) -> None:
        self._domain = domain
        self._leaves = tuple(checks)
        joined = any(map(joins_texts, self._leaves))
        self.texts = texts or make_texts(joined=joined)
        self._side: list[Any] = [*axioms]
        self._memo: dict[int, tuple[nodes.Node, Formulas]] = {}
        self._keys: dict[str, Formulas] = {}
        self._credentials: dict[str, tuple[Any, Any, Any]] = {}
        self._answers: dict[str, Formulas] = {}
        self._items: dict[str, list[tuple[Any, Template]]] = {_ROLES: []}
        self._named: list[tuple[Any, Template]] = []
        self.names_roles = any(map(self._names_role, self._leaves))
        sort = self.texts.sort
        self._has = z3.Function('has', sort, z3.BoolSort())
        self._lower: Any = None
        if self.names_roles:
            self._lower = z3.Function('lower', sort, sort)

    @staticmethod
    def _names_role(leaf: nodes.Node) -> bool:
        """Whether a leaf's text, and no name of a role, is a caller's role."""
        if isinstance(leaf, leaves.CredentialIs):
            return leaf.path[0] == _ROLES
        return isinstance(leaf, leaves.HasRoleNamed)

    def list_axioms(self) -> list[Any]:
        """What holds of all callers and targets; after all rules are encoded."""
        axioms = [*self._side]
        if self.names_roles:
            axioms += [
                self._has(self.texts.literal(leaf.name)) == _make_role(leaf)
                for leaf in self._leaves
                if isinstance(leaf, leaves.HasRole)
            ]
        return [*axioms, *self.texts.list_axioms(self._lower)]

    def encode(self, node: nodes.Node) -> Formulas:
        """The formulas of a rule, of a part of it, or of a leaf."""
        known = self._memo.get(id(node))
        if known is None:
            # The node is kept, so that no other one can get its id.
            known = self._memo[id(node)] = node, self._encode(node)
        return known[1]

    def make_formula(self, leaf: nodes.Node, sign: Sign) -> Any:
        """What a literal says."""
        yes, no = self.encode(leaf)
        if sign is Sign.YES:
            return yes
        if sign is Sign.NO:
            return no
        return z3.Not(yes if sign is Sign.NOT_YES else no)

    def _encode(self, node: nodes.Node) -> Formulas:
        if isinstance(node, nodes.Reference):
            return self.encode(node.node)
        if isinstance(node, nodes.Not):
            yes, no = self.encode(node.node)
            return no, yes
        if isinstance(node, Certain):
            yes, _ = self.encode(node.node)
            return yes, z3.Not(yes)
        if isinstance(node, nodes.AllOf | nodes.AnyOf):
            pairs = [self.encode(operand) for operand in node.nodes]
            yes, no = [one for one, _ in pairs], [one for _, one in pairs]
            if isinstance(node, nodes.AllOf):
                return z3.And(yes), z3.Or(no)
            return z3.Or(yes), z3.And(no)
        yes, no = self._encode_leaf(node)
        return (yes, no) if self._domain.logic is Logic.KLEENE else (yes, z3.Not(yes))

    def _encode_leaf(self, leaf: nodes.Node) -> Formulas:
        if isinstance(leaf, leaves.Constant):
            if leaf.truth is Truth.UNKNOWN and self._domain.logic is not Logic.KLEENE:
                return self._answer(leaf)  # oslo.policy raises, or does odd things
            truths = leaf.truth is Truth.YES, leaf.truth is Truth.NO
            return z3.BoolVal(truths[0]), z3.BoolVal(truths[1])
        if isinstance(leaf, leaves.HasRole):
            has = _make_role(leaf)
            return has, z3.Not(has)
        if isinstance(leaf, Remote):
            return self._answer(leaf) if self._domain.remote else (_FALSE, _FALSE)
        if isinstance(leaf, TokenScope):
            return self._encode_scope(leaf)
        if isinstance(leaf, leaves.LiteralIs):
            known, right = self._fill(leaf.right)
            same = right == self.texts.literal(leaf.left)
            return z3.And(known, same), z3.And(known, z3.Not(same))
        if isinstance(leaf, leaves.HasRoleNamed):
            return self._encode_named(leaf)
        if not isinstance(leaf, leaves.CredentialIs):
            raise TypeError(type(leaf).__name__)
        return self._encode_credential(leaf)

    def _answer(self, leaf: nodes.Node) -> Formulas:
        name = str(leaf)
        if name not in self._answers:
            pair = z3.Bool(f'{name} is true'), z3.Bool(f'{name} is false')
            self._side.append(z3.Not(z3.And(*pair)))
            self._answers[name] = pair
        return self._answers[name]

    def _key(self, name: str) -> Formulas:
        """Whether a target key exists, and its text."""
        if name not in self._keys:
            exists: Any = z3.Bool(f'target {name}')
            text = z3.Const(f'target.{name}', self.texts.sort)
            domain = self._domain
            # Constants, not axioms: encoders of several domains share the names.
            if name in domain.required:
                exists = _TRUE
            elif domain.optional is not None and name not in domain.optional:
                exists = _FALSE
            if domain.logic is Logic.KLEENE:
                self._side.append(text != self.texts.literal(''))
            if not domain.may_be_none:
                self._side.append(text != self.texts.literal(_NONE))
            self._keys[name] = exists, text
        return self._keys[name]

    def _fill(self, right: Template) -> Formulas:
        """Whether all keys of a right side exist, and its text."""
        exist, parts = [], []
        for index, part in enumerate(right.parts):
            if index % 2:
                exists, text = self._key(part)
                exist.append(exists)
                parts.append(text)
            elif part:
                parts.append(self.texts.literal(part))
        if not parts:
            return _TRUE, self.texts.literal('')
        text = parts[0] if len(parts) == 1 else self.texts.join(parts)
        return z3.And(exist), text

    def _encode_named(self, leaf: leaves.HasRoleNamed) -> Formulas:
        known, right = self._fill(leaf.right)
        has = self._has(self._lower(right))
        self._named.append((has, leaf.right))
        return z3.And(known, has, self._is_value(right)), z3.And(known, z3.Not(has))

    def _is_value(self, text: Any) -> Any:
        """Whether a text may be equal to another one; '' may not for the guard."""
        if self._domain.logic is Logic.KLEENE:
            return text != self.texts.literal('')
        return _TRUE

    def _encode_credential(self, leaf: leaves.CredentialIs) -> Formulas:
        known, right = self._fill(leaf.right)
        name, *rest = leaf.path
        kleene = self._domain.logic is Logic.KLEENE
        if name in self._domain.lists:
            if rest:
                # An item is text, not a mapping: the guard's unknown.
                some = self._has_items(name) if kleene else _FALSE
                return _FALSE, z3.And(known, z3.Not(some))
            return self._encode_item(name, leaf.right)
        known_names = self._domain.credentials
        if known_names is not None and name not in known_names:
            return _FALSE, known
        if known_names is not None and rest:
            return _FALSE, _FALSE
        exists, none, text = self.get_credential('.'.join(leaf.path))
        same = z3.And(z3.Not(none), text == right)
        both_none = z3.And(none, right == self.texts.literal(_NONE))
        if not kleene:
            if self._domain.logic is Logic.OSLO:
                same = z3.Or(same, both_none)
            return z3.And(known, exists, same), _FALSE
        empty = self.texts.literal('')
        equal = z3.Or(same, both_none)
        yes = z3.And(known, exists, same, right != empty)
        return yes, z3.And(known, z3.Not(z3.And(exists, equal)))

    def get_credential(self, name: str) -> tuple[Any, Any, Any]:
        """Whether a credential exists, whether it is None, and its text."""
        if name not in self._credentials:
            exists, none = z3.Bool(f'exists {name}'), z3.Bool(f'none {name}')
            text = z3.Const(f'caller.{name}', self.texts.sort)
            if self._domain.credentials is not None:
                exists, values = _TRUE, self._domain.credentials[name]
                if values is Values.NONE:
                    none = _TRUE
                elif values is not Values.TEXT_OR_NONE:
                    none = _FALSE
                if values is Values.FLAG:
                    flags = [text == self.texts.literal(str(x)) for x in (True, False)]
                    self._side.append(z3.Or(flags))
            self._credentials[name] = exists, none, text
            if name == _SYSTEM and self._domain.logic is not Logic.KLEENE:
                # oslo.policy sets it from the other one.
                _, _, scope = self.get_credential(_SYSTEM_SCOPE)
                same = z3.And(exists, z3.Not(none), text == scope)
                self._side.append(z3.Implies(self._has_value(_SYSTEM_SCOPE), same))
        return self._credentials[name]

    def _has_value(self, name: str) -> Any:
        """Whether a credential is true for Python."""
        exists, none, text = self.get_credential(name)
        return z3.And(exists, z3.Not(none), text != self.texts.literal(''))

    def _encode_scope(self, leaf: TokenScope) -> Formulas:
        system = self._has_value('system')
        domain = z3.And(z3.Not(system), self._has_value('domain_id'))
        formulas = {'system': system, 'domain': domain}
        yes = formulas.get(leaf.scope, z3.Not(z3.Or(system, domain)))
        return yes, z3.Not(yes)

    def _has_items(self, name: str) -> Any:
        self._items.setdefault(name, [])
        return z3.Bool(f'items {name}')

    def _encode_item(self, name: str, template: Template) -> Formulas:
        known, right = self._fill(template)
        holds = z3.Function(f'in {name}', self.texts.sort, z3.BoolSort())
        self._side.append(z3.Implies(holds(right), self._has_items(name)))
        if name == _ROLES:
            has = self._has(self._lower(right))
            self._side.append(z3.Implies(holds(right), has))
        self._items[name].append((holds(right), template))
        yes = z3.And(known, holds(right), self._is_value(right))
        return yes, z3.And(known, z3.Not(holds(right)))

    def require(self, formula: Any) -> None:
        """Leave out the callers and targets for which a formula does not hold."""
        self._side.append(formula)

    @property
    def keys(self) -> Mapping[str, Formulas]:
        """The target keys that were met: whether they exist, and their texts."""
        return self._keys

    @property
    def credentials(self) -> Mapping[str, tuple[Any, Any, Any]]:
        """The credentials that were met, see :meth:`get_credential`."""
        return {**self._credentials}

    def list_lessons(self, example: Example, learnt: set[str]) -> list[Any]:
        """What the solver does not know of the texts of an example that failed.

        :param learnt: texts that it knows already; more are added
        """
        if self._lower is None or not isinstance(self.texts, StringTexts):
            return []
        filled = {fill_right(right, example.target) for _, right in self._named}
        filled |= {fill_right(right, example.target) for right in self._list_rights()}
        new = sorted({text for text in filled if text is not None} - learnt)
        learnt |= {*new}
        return [
            self._lower(self.texts.literal(text)) == self.texts.literal(text.lower())
            for text in new
        ]

    def _list_rights(self) -> list[Template]:
        return [right for _, right in self._items[_ROLES]]

    def read_example(self, model: z3.ModelRef) -> Example:
        """One caller and one target that are as a model says."""
        terms = {f'owner-{key}': text for key, (_, text) in self._keys.items()}
        terms |= {
            f'caller-{name}': text for name, (_, _, text) in self._credentials.items()
        }
        read = self.texts.read(model, terms, self._lower)
        target = {
            key: read[f'owner-{key}']
            for key, (exists, _) in self._keys.items()
            if is_true(model, exists)
        }
        credentials: dict[str, Any] = {
            name: None if is_true(model, none) else read[f'caller-{name}']
            for name, (exists, none, _) in self._credentials.items()
            if is_true(model, exists)
        }
        for name, value in credentials.items():
            if (self._domain.credentials or {}).get(name) is Values.FLAG:
                credentials[name] = value == 'True'
        credentials |= self._read_lists(model, target)
        answers = {}
        for name, (yes, no) in self._answers.items():
            known = Truth.NO if is_true(model, no) else Truth.UNKNOWN
            answers[name] = Truth.YES if is_true(model, yes) else known
        return Example(credentials, target, answers)

    def _read_lists(
        self, model: z3.ModelRef, target: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """The lists of texts, the roles among them."""
        lists = {}
        for name, items in self._items.items():
            held = {
                text
                for formula, right in items
                if is_true(model, formula)
                and (text := fill_right(right, target)) is not None
            }
            if not held and is_true(model, z3.Bool(f'items {name}')):
                held.add(f'some-{name}')
            lists[name] = sorted(held)
        lists.setdefault(_ROLES, [])
        # A role that no check on the list itself says is held in another spelling.
        avoided = {fill_right(right, target) for _, right in self._items[_ROLES]}
        for role in sorted(self._list_roles(model, target)):
            if role not in map(str.lower, lists[_ROLES]):
                spelled = [one for one in list_spellings(role) if one not in avoided]
                lists[_ROLES].append(spelled[0] if spelled else role)
        return lists

    def _list_roles(self, model: z3.ModelRef, target: Mapping[str, str]) -> set[str]:
        """The names of roles that the caller has, in lower case."""
        held = {
            leaf.name
            for leaf in self._leaves
            if isinstance(leaf, leaves.HasRole) and is_true(model, _make_role(leaf))
        }
        for formula, right in self._named:
            text = fill_right(right, target)
            if text is not None and is_true(model, formula):
                held.add(text.lower())
        return held


def _make_role(leaf: leaves.HasRole) -> Any:
    return z3.Bool(f'role {leaf.name}')


def fill_right(right: Template, target: Mapping[str, str]) -> str | None:
    """A right side, as oslo.policy formats it; None when a key is missing."""
    parts = list(right.parts)
    for index in range(1, len(parts), 2):
        value = target.get(parts[index])
        if value is None:
            return None
        parts[index] = value
    return ''.join(parts)
