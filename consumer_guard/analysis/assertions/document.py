# SPDX-License-Identifier: Apache-2.0
"""The file of assertions: YAML that is read strictly, with the line of everything."""

import enum
import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from consumer_guard.analysis.answering import CaseConsumer, JudgedBy
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.guard.model import OPERATIONS, Operation

_NAMES: Mapping[str, Operation] = types.MappingProxyType(
    {each.name: each for each in OPERATIONS}
    | {f'{each.method} {each.path}': each for each in OPERATIONS}
)


class Ownerships(enum.Enum):
    """Whose consumers a statement is about, as seen from the caller's project."""

    OWN = 'own'
    FOREIGN = 'foreign'
    OWNERLESS = 'ownerless'  #: unknown ones are answered alike
    ANY = 'any'


class SameUser(enum.Enum):
    """Which user of the project owns the consumer."""

    OWN = 'own'
    OTHER = 'other'


@dataclass(frozen=True, slots=True)
class RequestCase:
    """One request, and what its answer must be.

    :ivar place: file and line
    """

    name: str
    place: str
    operation: Operation
    roles: tuple[str, ...]
    service_roles: tuple[str, ...]
    project_id: str | None
    user_id: str
    consumer: CaseConsumer
    allowed: bool
    judge: JudgedBy


@dataclass(frozen=True, slots=True)
class Statement:
    """What holds for all callers with some roles and without others.

    :ivar always: whether they are always allowed; never otherwise
    """

    name: str
    place: str
    always: bool
    held: tuple[str, ...]
    lacked: tuple[str, ...]
    ownership: Ownerships
    user: SameUser | None
    operations: tuple[Operation, ...]
    judge: JudgedBy


class Assertions(NamedTuple):
    """The contents of one file."""

    cases: tuple[RequestCase, ...]
    statements: tuple[Statement, ...]


def read_assertions(path: str, text: str, roles: Collection[str]) -> Assertions:
    """Read a file.

    :param roles: those that exist, lower-cased; the file may name more
    :raises PolicyFileError: it cannot be used; names file, line and what is wrong
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PolicyFileError(
            f'{path}:{line}: not valid YAML: {error.problem or error.context}'
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise PolicyFileError(
            f'{path}: not valid YAML: {type(error).__name__}'
        ) from None
    if root is None:
        raise PolicyFileError(f'{path}: there is nothing in it')
    reader = _Reader(path, {*roles})
    found = reader.read(root)
    if not found.cases and not found.statements:
        raise PolicyFileError(f'{path}: there are no cases and no statements in it')
    return found


class _Reader:
    """One run over the nodes of a file."""

    def __init__(self, path: str, roles: set[str]) -> None:
        self._path, self._roles = path, roles

    def read(self, root: yaml.Node) -> Assertions:
        parts = self._map(root, (), ('roles', 'cases', 'never', 'always'))
        if 'roles' in parts:
            self._roles |= {role.lower() for role in self._texts(parts['roles'])}
        cases = [self._read_case(each) for each in self._list(parts.get('cases'))]
        statements = [
            self._read_statement(each, always=key == 'always')
            for key in ('never', 'always')
            for each in self._list(parts.get(key))
        ]
        return Assertions(tuple(cases), tuple(statements))

    def _read_case(self, node: yaml.Node) -> RequestCase:
        parts = self._map(
            node, ('caller', 'operation', 'consumer', 'expect'), ('name', 'judge')
        )
        caller = self._map(
            parts['caller'], (), ('roles', 'service_roles', 'project', 'user')
        )
        operation = self._read_operation(parts['operation'])
        expected = self._choose(parts['expect'], ('allow', 'refuse'))
        roles = self._read_roles(caller.get('roles'))
        return RequestCase(
            name=self._read_name(parts, f'{"+".join(roles)} {operation.name}'),
            place=self._place(node),
            operation=operation,
            roles=roles,
            service_roles=self._read_roles(caller.get('service_roles')),
            project_id=self._optional(caller, 'project'),
            user_id=self._optional(caller, 'user') or 'caller',
            consumer=self._read_consumer(parts['consumer']),
            allowed=expected == 'allow',
            judge=self._read_judge(parts),
        )

    def _read_consumer(self, node: yaml.Node) -> CaseConsumer:
        if isinstance(node, yaml.ScalarNode):
            word = self._choose(node, ('ownerless', 'unknown'))
            return CaseConsumer(known=word == 'ownerless')
        parts = self._map(node, ('project',), ('user', 'type'))
        return CaseConsumer(
            self._text(parts['project']),
            self._optional(parts, 'user') or 'owner',
            self._optional(parts, 'type') or 'INSTANCE',
        )

    def _read_statement(self, node: yaml.Node, *, always: bool) -> Statement:
        parts = self._map(
            node,
            ('consumer', 'operations'),
            ('name', 'with', 'without', 'user', 'judge'),
        )
        ownership = Ownerships(
            self._choose(parts['consumer'], [each.value for each in Ownerships])
        )
        user = None
        if 'user' in parts:
            user = SameUser(self._choose(parts['user'], [e.value for e in SameUser]))
            if ownership is Ownerships.OWNERLESS:
                raise self._error(parts['user'], 'an ownerless consumer has no user')
        held = self._read_roles(parts.get('with'))
        lacked = self._read_roles(parts.get('without'))
        if both := {*map(str.lower, held)} & {*map(str.lower, lacked)}:
            # It would hold, whatever the rules are.
            raise self._error(node, f'role {min(both)!r} is in "with" and "without"')
        word = 'always' if always else 'never'
        return Statement(
            name=self._read_name(parts, f'{word} on {ownership.value} consumers'),
            place=self._place(node),
            always=always,
            held=held,
            lacked=lacked,
            ownership=ownership,
            user=user,
            operations=self._read_operations(parts['operations']),
            judge=self._read_judge(parts),
        )

    def _read_operations(self, node: yaml.Node) -> tuple[Operation, ...]:
        if isinstance(node, yaml.ScalarNode) and node.value == 'any':
            return OPERATIONS
        return tuple(map(self._read_operation, self._list(node, empty=False)))

    def _read_operation(self, node: yaml.Node) -> Operation:
        name = self._text(node)
        if name not in _NAMES:
            known = ', '.join(each.name for each in OPERATIONS)
            raise self._error(node, f'unknown operation {name!r:.80}; known: {known}')
        return _NAMES[name]

    def _read_roles(self, node: yaml.Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        for each in self._list(node):
            if (role := self._text(each).lower()) not in self._roles:
                raise self._error(
                    each,
                    f'unknown role {role!r:.80}: no rule names it; list it under '
                    '"roles" if it exists',
                )
        return tuple(self._text(each) for each in self._list(node))

    def _read_judge(self, parts: Mapping[str, yaml.Node]) -> JudgedBy:
        if 'judge' not in parts:
            return JudgedBy.CLIENT
        return JudgedBy(self._choose(parts['judge'], [each.value for each in JudgedBy]))

    def _read_name(self, parts: Mapping[str, yaml.Node], default: str) -> str:
        return self._optional(parts, 'name') or default

    def _optional(self, parts: Mapping[str, yaml.Node], key: str) -> str | None:
        return self._text(parts[key]) if key in parts else None

    def _texts(self, node: yaml.Node) -> list[str]:
        return [self._text(each) for each in self._list(node)]

    def _text(self, node: yaml.Node) -> str:
        # Security: an id that YAML reads as a number is another text than it shows.
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TEXT:
            raise self._error(node, 'text is expected here; quote it')
        text = str(node.value)
        if not text.strip():
            raise self._error(node, 'the text is empty')
        return text

    def _choose(self, node: yaml.Node, words: Collection[str]) -> str:
        word = node.value if isinstance(node, yaml.ScalarNode) else None
        if word not in words:
            raise self._error(node, f'one of {", ".join(words)} is expected here')
        return str(word)

    def _list(
        self, node: yaml.Node | None, *, empty: bool = True
    ) -> Iterator[yaml.Node]:
        if node is None:
            return iter(())
        if not isinstance(node, yaml.SequenceNode) or not (empty or node.value):
            raise self._error(node, 'a list is expected here')
        return iter(node.value)

    def _map(
        self, node: yaml.Node, required: Collection[str], optional: Collection[str]
    ) -> dict[str, yaml.Node]:
        known = [*required, *optional]
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f'a mapping of {", ".join(known)} is expected here')
        parts: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name not in known:
                text = f'unknown key {name!r:.80}; known: {", ".join(known)}'
                raise self._error(key, text)
            if name in parts:
                raise self._error(key, f'the key "{name}" is there twice')
            parts[name] = value
        for name in required:
            if name not in parts:
                raise self._error(node, f'the key "{name}" is missing')
        return parts

    def _place(self, node: yaml.Node) -> str:
        return f'{self._path}:{node.start_mark.line + 1}'

    def _error(self, node: yaml.Node, text: str) -> PolicyFileError:
        return PolicyFileError(f'{self._place(node)}: {text}')


_TEXT = 'tag:yaml.org,2002:str'
