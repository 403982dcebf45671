# SPDX-License-Identifier: Apache-2.0
"""A world in words, for operators."""

from collections.abc import Mapping

from consumer_guard.analysis.scenarios import Scenario
from consumer_guard.guard.model import Truth
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import Constant, CredentialIs, HasRole
from consumer_guard.rules.remote import Remote

#: (credential, target key, truth): said so, and not by the check's text.
_RELATIONS = {
    ('project_id', 'project_id', Truth.YES): "of the owner's project",
    ('project_id', 'project_id', Truth.NO): 'of another project than the owner',
    ('user_id', 'user_id', Truth.YES): 'who is the owning user',
    ('user_id', 'user_id', Truth.NO): 'who is not the owning user',
}
#: Roles that are named; more are counted only.
_MOST = 6

_TRUTHS = {
    Truth.YES: 'is true',
    Truth.NO: 'is false',
    Truth.UNKNOWN: 'is unknown',
}


def describe_scenario(world: Scenario, leaves: Mapping[str, nodes.Node]) -> str:
    """One clause that says what makes the leaves as they are in a world.

    :param leaves: of the rules that differ, see
        :func:`consumer_guard.analysis.terms.list_leaves`
    """
    held: list[str] = []
    missing: list[str] = []
    relations: list[str] = []
    others: list[str] = []
    for text, leaf in leaves.items():
        truth = world.judge(leaf)
        if isinstance(leaf, HasRole):
            (held if truth is Truth.YES else missing).append(text)
        elif isinstance(leaf, Constant) or (not world.final and leaf.reads):
            continue  # the same everywhere, or the owner is unknown
        elif (said := _say_relation(leaf, truth)) is not None:
            relations.append(said)
        else:
            others.append(f'{text} {_TRUTHS[truth]}')
    who = 'a caller with ' + ' and '.join(held) if held else 'a caller'
    if missing:
        who += f'{"," if held else ""} without {_name_some(missing)}'
    if not world.final:
        relations.append('whoever owns it')
    where = [f'where {" and ".join(others)}'] if others else []
    return ', '.join([who, *relations, *where])


def _name_some(texts: list[str]) -> str:
    shown = ' or '.join(texts[:_MOST])
    return f'{shown} or {len(texts) - _MOST} others' if texts[_MOST:] else shown


def _say_relation(leaf: nodes.Node, truth: Truth) -> str | None:
    if isinstance(leaf, Remote) or not isinstance(leaf, CredentialIs):
        return None
    if leaf.key is None or leaf.right.key is None:
        return None
    return _RELATIONS.get((leaf.key, leaf.right.key, truth))
