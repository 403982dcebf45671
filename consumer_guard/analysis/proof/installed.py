# SPDX-License-Identifier: Apache-2.0
"""The default rules of an installed service, whatever its version.

Each is loaded by a process of its own, so that two releases do not meet. What
this runs is the service's own entry point ``oslo.policy.policies``, as
oslo.policy's tools do.
"""

import contextlib
import glob
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from consumer_guard.guard.errors import PolicyFileError

#: How long a service may take to list its rules, in seconds.
_LOAD_SECONDS = 120

#: No such entry point.
_UNKNOWN = 3

# The service's own output, when it is loaded, goes to the standard error.
_PROGRAM = """
import importlib.metadata, json, os, sys
answer = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)
name, *trees = sys.argv[1:]
sys.path[:0] = trees
found = [
    point
    for distribution in importlib.metadata.distributions(path=trees or sys.path)
    for point in distribution.entry_points
    if point.group == 'oslo.policy.policies' and point.name == name
]
if not found:
    sys.exit(3)
rules = []
for rule in found[0].load()():
    old = rule.deprecated_rule
    rules.append([
        rule.name,
        rule.check_str,
        rule.scope_types,
        [old.name, old.check_str] if old else None,
    ])
with answer:
    json.dump(rules, answer)
"""


class ServiceRule(NamedTuple):
    """A registered rule.

    :ivar check: as the service wrote it; text, or lists of the old form
    :ivar scopes: the scopes of the tokens that it is for; None for all
    :ivar deprecated: the name that it had, and its check at that time
    """

    name: str
    check: object
    scopes: tuple[str, ...] | None = None
    deprecated: tuple[str, object] | None = None


def load_defaults(
    namespace: str, places: Sequence[str | None]
) -> list[list[ServiceRule]]:
    """The rules that a service registers, in each of some places.

    :param namespace: name of the entry point
    :param places: virtual environments, or directories in which it is installed;
        None for where this program is
    :raises PolicyFileError: there is no such service, or it cannot be loaded
    """
    for place in places:
        if place is not None and not os.path.isdir(place):
            raise PolicyFileError(f'{place}: directory not found')
    with contextlib.ExitStack() as running:
        started = [
            (place, running.enter_context(_start(namespace, place))) for place in places
        ]
        return [_read_rules(namespace, place, process) for place, process in started]


def _start(namespace: str, place: str | None) -> 'subprocess.Popen[bytes]':
    python, trees = sys.executable, list[str]()
    if place is not None:
        trees = sorted(
            glob.glob(os.path.join(place, 'lib', 'python*', 'site-packages'))
        )
        own = os.path.join(place, 'bin', 'python')
        if trees and os.path.exists(own):
            python = own
        trees = [os.path.abspath(tree) for tree in trees or [place]]
    return subprocess.Popen(  # noqa: S603 - a program of ours, no shell
        # Security: isolated from the directory and variables of who calls this.
        [python, '-I', '-c', _PROGRAM, namespace, *trees],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _read_rules(
    namespace: str, place: str | None, process: 'subprocess.Popen[bytes]'
) -> list[ServiceRule]:
    where = place or 'this Python'
    try:
        out, err = process.communicate(timeout=_LOAD_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise PolicyFileError(
            f'{where}: {namespace} did not list its rules in {_LOAD_SECONDS} s'
        ) from None
    if process.returncode == _UNKNOWN:
        raise PolicyFileError(
            f'{where}: no installed service registers policies as "{namespace}"'
        )
    last = err.decode(errors='replace').strip().splitlines()[-1:]
    try:
        if process.returncode:
            raise ValueError(last[0] if last else f'status {process.returncode}')
        return list(map(_read_rule, json.loads(out)))
    except ValueError as error:
        # Security: escape sequences in it would be the terminal's.
        reason = ''.join(filter(str.isprintable, str(error)))
        raise PolicyFileError(
            f'{where}: the policies of {namespace} cannot be loaded: {reason:.200}'
        ) from None


def _read_rule(fields: Iterable[Any]) -> ServiceRule:
    name, check, scopes, deprecated = fields
    return ServiceRule(
        name,
        check,
        tuple(scopes) if scopes else None,
        tuple(deprecated) if deprecated else None,
    )
