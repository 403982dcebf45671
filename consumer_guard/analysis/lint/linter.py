# SPDX-License-Identifier: Apache-2.0
"""All lints over both services' files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oslo_policy import policy

from consumer_guard.analysis.lint.across import lint_across
from consumer_guard.analysis.lint.deprecated import lint_deprecated, list_defaults
from consumer_guard.analysis.lint.files import lint_files, lint_foreign_names
from consumer_guard.analysis.lint.findings import Finding, Severity, fail, note
from consumer_guard.analysis.lint.leaves import Surroundings
from consumer_guard.analysis.lint.ours import lint_ours
from consumer_guard.analysis.lint.placement import PREFIX, lint_placement
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.analysis.source import read_written
from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import defaults
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.rulebook import DEFAULTS, Rulebook


@dataclass(frozen=True, slots=True)
class Policies:
    """What is linted.

    :ivar ours: the guard's files, in the order in which they override
    :ivar placements: placement's
    :ivar registered: placement's defaults, None where it is not installed
    :ivar passage_role: the option, as it is written
    :ivar new_alone: placement's ``[oslo_policy] enforce_new_defaults``
    """

    ours: Sequence[PolicyText]
    placements: Sequence[PolicyText]
    registered: Sequence[policy.RuleDefault] | None
    passage_role: str
    new_alone: bool = True


def lint(given: Policies) -> list[Finding]:
    """All findings, the worst first.

    :raises PolicyFileError: a file is not YAML, or not a mapping of names
    """
    ours = RuleSet(
        tuple(map(read_written, given.ours)),
        {rule.name: rule.check_str for rule in defaults.list_rules()},
    )
    files = tuple(map(read_written, given.placements))
    registered = given.registered or ()
    written = RuleSet(files, {}).written
    placements = RuleSet(
        files, list_defaults(registered, written, new_alone=given.new_alone)
    )
    passage_role = given.passage_role.strip().lower()
    found = [
        *_lint_ours(ours, given.ours, passage_role),
        *lint_foreign_names(ours, PREFIX, placements, 'placement'),
        *lint_files(
            placements,
            Surroundings({*placements.texts}, 'placement', PREFIX),
            names_known=given.registered is not None,
        ),
        *lint_deprecated(
            registered,
            written,
            new_alone=given.new_alone,
            configuration="placement's configuration",
        ),
        *lint_placement(placements, passage_role),
        *lint_foreign_names(placements, model.NAMESPACE, ours, 'the guard'),
        *lint_across(ours, placements, passage_role),
    ]
    if given.registered is None:
        found.append(_say_that_placement_is_missing())
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda one: (-one.severity, one.path, one.line or 0))


def _lint_ours(
    ours: RuleSet, texts: Sequence[PolicyText], passage_role: str
) -> Iterator[Finding]:
    around = Surroundings({*ours.texts}, 'the guard', model.NAMESPACE)
    found = [
        *lint_files(ours, around, names_known=True),
        *lint_ours(ours, passage_role),
    ]
    yield from found
    try:
        Rulebook.build(texts)
    except PolicyFileError as error:
        # Whatever the guard does not take is an error, known to a lint or not.
        if not any(one.severity is Severity.ERROR for one in found):
            complaint = fail(str(error), 'the guard refuses the files; correct them')
            path = texts[-1].path if texts else DEFAULTS
            yield Finding.make(complaint, path, None, '')


def _say_that_placement_is_missing() -> Finding:
    complaint = note(
        'placement is not installed here: its own defaults are not looked at',
        "run it with placement's environment",
    )
    return Finding.make(complaint, 'placement', None, '')
