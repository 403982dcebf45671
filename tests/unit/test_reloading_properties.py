# SPDX-License-Identifier: Apache-2.0
"""Revocation has a bound in time, whatever happens to files and clocks.

Edits, touches, renames, links that are swapped, clocks that are set and idle
gaps in any order, on real files. At each request:

* where the last change is two intervals old, the rules in force are those of the
  files; or the files are unusable, and the rules in force are the last good ones;
* a file whose rules come into force was not written for an interval, but for
  those at the start and at the first check after a clock was set.
"""

import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from consumer_guard.guard.errors import PolicyFileError, PolicyLocked
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.profiles import many
from tests.unit.policy_folder import LIST, PolicyFolder

INTERVAL = 1.0

GOOD = tuple(f'"{LIST}": "role:{name}"\n' for name in 'abcdef')
BAD = ('', '# nothing\n', 'a: [', f'"{LIST}": true\n', f'"{LIST}": ""\n', '- a\n')
CONTENTS = st.sampled_from(GOOD * 2 + BAD)
STEPS = st.sampled_from((0.0, 0.3, 0.5, 0.75, 0.95, 1.0, 1.1, 1.5, 2.0, 60.0, 9999.0))
JUMPS = st.sampled_from((0, 0, 0, 0, -3600, -2, -0.5, 0.5, 2, 3600))


class Files:
    """The policy files, what is done to them, and when it was done."""

    def __init__(self, folder: PolicyFolder) -> None:
        self.folder = folder
        self.versions = 0
        self.changed_at = self.written_at = folder.now

    def write(self, content: str) -> None:
        """Write the main file in place, through a link too."""
        self.folder.main.write_text(content)
        self._change()

    def replace(self, content: str) -> None:
        """Rename a new file into place."""
        aside = self.folder.path / 'aside'
        aside.write_text(content)
        aside.replace(self.folder.main)
        self._change()

    def stash(self, content: str) -> None:
        """Keep a file that may be old when it comes into its place."""
        (self.folder.path / 'stash').write_text(content)

    def replace_by_the_stash(self, _content: str) -> None:
        """Rename a file that was written some time ago."""
        stash = self.folder.path / 'stash'
        if stash.exists():
            stash.replace(self.folder.main)
            self._change()

    def remove(self, _content: str) -> None:
        """Remove the main file."""
        if os.path.lexists(self.folder.main):
            self.folder.main.unlink()
            self._change(written=False)

    def age(self, _content: str) -> None:
        """Set the main file's mtime back."""
        if self.folder.main.exists():
            os.utime(self.folder.main, (1, 1))
            self._change()

    def rejuvenate(self, _content: str) -> None:
        """Set the main file's mtime into the future."""
        if self.folder.main.exists():
            os.utime(self.folder.main, (4e9, 4e9))
            self._change()

    def swap_to_new_version(self, content: str) -> None:
        """Update a ConfigMap: a new folder, then a link that is renamed."""
        self.versions += 1
        version = self.folder.path / f'..{self.versions}'
        version.mkdir()
        (version / 'policy.yaml').write_text(content)
        self._swap(version.name)

    def swap_to_first_version(self, _content: str) -> None:
        """Set the link back; all but the link is old."""
        if self.versions:
            self._swap('..1')

    def write_extra(self, content: str) -> None:
        """Write into the directory, over what the main file says."""
        self.folder.extra.mkdir(exist_ok=True)
        (self.folder.extra / '10.yaml').write_text(content)
        self._change()

    def hide_extra(self, content: str) -> None:
        """Write into the directory what does not count."""
        if not self.folder.extra.exists():
            self.folder.extra.mkdir()
            self._change(written=False)
        (self.folder.extra / '.10.yaml.swp').write_text(content)

    def remove_extra(self, _content: str) -> None:
        """Remove what was written into the directory."""
        path = self.folder.extra / '10.yaml'
        if path.exists():
            path.unlink()
            self._change(written=False)

    def move_directory(self, _content: str) -> None:
        """Away, or back."""
        aside = self.folder.path / 'aside.d'
        if self.folder.extra.exists() and not aside.exists():
            self.folder.extra.rename(aside)
            self._change(written=False)
        elif aside.exists() and not self.folder.extra.exists():
            aside.rename(self.folder.extra)
            self._change(written=False)

    def _swap(self, version: str) -> None:
        current, fresh = self.folder.path / '..data', self.folder.path / '..fresh'
        if os.path.islink(current) and os.readlink(current) == version:
            return
        fresh.symlink_to(version)
        fresh.replace(current)
        if not os.path.islink(self.folder.main):
            fresh.symlink_to('..data/policy.yaml')
            fresh.replace(self.folder.main)
        self._change()

    def _change(self, *, written: bool = True) -> None:
        self.changed_at = self.folder.now
        if written:
            self.written_at = self.folder.now

    def expect_rule(self, known: bool) -> str | None:
        """The rule that the files make; None where they cannot be used.

        :param known: whether the main file had rules when it was last loaded
        """
        try:
            paths = [self.folder.main] if os.path.lexists(self.folder.main) else []
            if self.folder.extra.is_dir():
                visible = self.folder.extra.glob('[!.]*')
                paths += sorted(visible)
            texts = [PolicyText(str(path), path.read_text()) for path in paths]
            rulebook = Rulebook.build(texts)
        except (OSError, PolicyFileError):
            return None
        if known and not rulebook.rule_counts.get(str(self.folder.main)):
            return None
        return rulebook.text(LIST)


ACTIONS = st.sampled_from(
    [name for name in vars(Files) if not name.startswith('_') and name != 'expect_rule']
)


class Reloading(RuleBasedStateMachine):
    """Y22: things happen to the files, and requests come."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.folder = PolicyFolder(Path(self.directory.name), INTERVAL)
        self.files = Files(self.folder)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.directory.cleanup()

    @initialize(content=CONTENTS)
    def start(self, content: str) -> None:
        """A worker starts, with good files or bad ones."""
        self.files.write(content)
        self.reloaded = self.folder.load()
        self.due = self.folder.now + INTERVAL
        self.in_force: str | None = None
        self.main_is_known = False
        #: Since the last check that saw the files.
        self.clock_was_set = False
        self.request(0.0)

    @rule(action=ACTIONS, content=CONTENTS, seconds=STEPS)
    def change(self, action: str, content: str, seconds: float) -> None:
        """Something happens to the files after a while."""
        self.folder.pass_time(seconds)
        getattr(self.files, action)(content)

    @rule(seconds=JUMPS)
    def set_clock(self, seconds: float) -> None:
        """Somebody sets the wall clock, now and then."""
        self.folder.set_clock(seconds)
        self.clock_was_set = self.clock_was_set or seconds != 0

    @rule(seconds=STEPS)
    def request(self, seconds: float) -> None:
        """A request comes after a while."""
        self.folder.pass_time(seconds)
        before, builds = self.in_force, self.folder.builds
        try:
            rulebook = self.reloaded.current()
        except PolicyLocked:
            rulebook = None
        self.in_force = rulebook.text(LIST) if rulebook else None
        now, problem = self.folder.now, self.reloaded.problem
        if self.folder.builds > builds and not self.clock_was_set:
            assert now - self.files.written_at >= 0.8 * INTERVAL
        if now - self.files.changed_at >= 2 * INTERVAL:
            expected = self.files.expect_rule(self.main_is_known)
            assert self.in_force == (before if expected is None else expected)
            assert (problem is None) is (expected is not None)
        main = str(self.folder.main)
        self.main_is_known = bool(rulebook and rulebook.rule_counts.get(main))
        if now >= self.due:
            self.due = now + INTERVAL
            if 'Errno' not in (problem or ''):
                self.clock_was_set = False


Reloading.TestCase.settings = settings(
    max_examples=many(100, 2_000), stateful_step_count=50, deadline=None
)
test_revocation_is_bounded_and_no_file_is_half_written = Reloading.TestCase
