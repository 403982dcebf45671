# SPDX-License-Identifier: Apache-2.0
"""Make a mutant's code that of the functions that are already imported."""

import gc
import inspect
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType
from typing import TypeAlias

#: The functions of a package by the code that they run.
Functions: TypeAlias = Mapping[CodeType, Sequence[FunctionType]]
#: Living functions, each with the code that it is given.
Swaps: TypeAlias = Sequence[tuple[FunctionType, CodeType]]


class NotSwappable(Exception):
    """The mutant differs in what runs on import."""


def find_functions(folder: pathlib.Path) -> Functions:
    """Every living function whose source is below the folder."""
    found: dict[CodeType, list[FunctionType]] = {}
    # In a copy of the mutants' process most are frozen, and would not be listed.
    gc.unfreeze()
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType):
            code = thing.__code__
            if code.co_filename.startswith(f'{folder}/'):
                found.setdefault(code, []).append(thing)
    return found


def find_changes(
    original: CodeType, mutant: CodeType
) -> list[tuple[CodeType, CodeType]]:
    """The functions' codes that differ, each with the mutant's.

    :raises NotSwappable: something outside of functions differs
    """
    return list(_compare(original, mutant))


def _compare(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    if old == new:
        return
    function = bool(old.co_flags & inspect.CO_NEWLOCALS)
    inner, others = _nested(old), _nested(new)
    if function:
        yield old, new
    elif _outline(old) != _outline(new):
        raise NotSwappable
    if len(inner) == len(others):
        for pair in zip(inner, others, strict=True):
            yield from _compare(*pair)


def _nested(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _outline(code: CodeType) -> tuple[object, ...]:
    consts = [
        None if isinstance(const, CodeType) else (type(const), const)
        for const in code.co_consts
    ]
    return code.co_code, consts, code.co_names


def find_swaps(functions: Functions, original: CodeType, mutant: CodeType) -> Swaps:
    """The living functions that differ in the mutant, each with its new code.

    :raises NotSwappable: there is none, or something else differs
    """
    swaps = [
        (function, new)
        for old, new in find_changes(original, mutant)
        for function in functions.get(old, ())
    ]
    if not swaps or any(
        # Python refuses to replace a closure by one over other variables.
        len(function.__code__.co_freevars) != len(new.co_freevars)
        for function, new in swaps
    ):
        raise NotSwappable
    return swaps
