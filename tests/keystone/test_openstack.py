# SPDX-License-Identifier: Apache-2.0
"""The ``openstack`` command with osc-placement: what its users see."""

import dataclasses
import json
import pathlib
import subprocess
import uuid
from typing import Any

import pytest

from tests.cloud.identities import User
from tests.cloud.processes import make_environment
from tests.keystone.scenery import RULE, VARIANTS, Scene

REFUSED = f'Policy does not allow {RULE} to be performed. (HTTP 403)'


@dataclasses.dataclass(frozen=True)
class Printed:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> Any:
        """The table, as JSON."""
        return json.loads(self.out)


class Shell:
    """The command as one user of alpha."""

    def __init__(self, scene: Scene, user: User, folder: pathlib.Path) -> None:
        path = folder / f'{user.name}.yaml'
        entries = {
            region: scene.cloud.make_entry(user, scene.alpha, region)
            for region in VARIANTS
        }
        scene.cloud.write_clouds(path, entries)
        self._town = scene
        self._env = {'OS_CLIENT_CONFIG_FILE': str(path)}
        self._folder = folder

    def __call__(
        self, command: str, version: str | None = '1.38', region: str = 'RegionOne'
    ) -> Printed:
        self._town.client(None, region)  # so that it is in the catalog
        env = self._env | {'OS_CLOUD': region}
        if version is not None:
            env['OS_PLACEMENT_API_VERSION'] = version
        done = subprocess.run(
            ['openstack', *command.split()],
            cwd=self._folder,
            env=make_environment(env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Printed(done.returncode, done.stdout, done.stderr.strip())


@pytest.fixture(scope='module')
def member(scene: Scene, scratch: pathlib.Path) -> Shell:
    return Shell(scene, scene.add_user('member'), scratch)


SHOW = 'resource provider allocation show -f json'


@pytest.mark.parametrize('version', [None, '1.38'])
def test_own(scene: Scene, member: Shell, version: str | None) -> None:
    """Without a version the command asks for the newest that both know."""
    said = member(f'{SHOW} {scene.add_consumer(scene.alpha)}', version)
    assert said.status == 0, said.err
    [row] = said.rows
    assert row['project_id'] == scene.alpha.id
    assert row['resources'] == {'VCPU': 1}


@pytest.mark.parametrize('version', [None, '1.0', '1.38'])
def test_foreign(scene: Scene, member: Shell, version: str | None) -> None:
    """One line, the last of the detail; the same as for an unknown one."""
    said = member(f'{SHOW} {scene.add_consumer(scene.beta)}', version)
    assert (said.status, said.out.strip(), said.err) == (1, '', REFUSED)


def test_showing_an_unknown_consumer_fails_with_the_refusal_alone(
    member: Shell,
) -> None:
    said = member(f'{SHOW} {uuid.uuid4()}')
    assert (said.status, said.out.strip(), said.err) == (1, '', REFUSED)


def test_concealed(scene: Scene, member: Shell) -> None:
    """With ``denial = conceal`` an empty table, and nothing said."""
    said = member(f'{SHOW} {scene.add_consumer(scene.beta)}', region='conceal')
    assert (said.status, said.rows, said.err) == (0, [], '')


def test_usages_are_shown_for_the_own_project_only(scene: Scene, member: Shell) -> None:
    # From 1.38 on the rows are those of consumer types.
    said = member(f'resource usage show -f json {scene.alpha.id}', '1.12')
    assert said.status == 0, said.err
    [row] = said.rows
    assert row['resource_class'] == 'VCPU'
    said = member(f'resource usage show -f json {scene.beta.id}')
    rule = 'consumer_guard:usages'
    assert said.status == 1
    assert said.err == f'Policy does not allow {rule} to be performed. (HTTP 403)'


def test_delete_names_the_way(scene: Scene, member: Shell) -> None:
    """Ownership never allows it; what the owner may do instead is what is printed."""
    consumer = scene.add_consumer(scene.alpha)
    said = member(f'resource provider allocation delete {consumer}', region='open')
    assert said.status == 1
    assert said.err == (
        'Policy does not allow consumer_guard:allocations:delete to be performed.'
        ' To delete, owners may PUT empty allocations with microversion 1.28 or'
        ' later. (HTTP 403)'
    )


def test_set(scene: Scene, member: Shell) -> None:
    """The command reads the generation by itself, so the seal is there."""
    text = (
        'resource provider allocation set -f json --consumer-type INSTANCE'
        f' --allocation rp={scene.provider},VCPU=3'
        f' --project-id {scene.alpha.id} --user-id someone '
    )
    own, foreign = scene.add_consumer(scene.alpha), scene.add_consumer(scene.beta)
    said = member(text + own, region='open')
    assert said.status == 0, said.err
    [row] = said.rows
    assert row['resources'] == {'VCPU': 3}
    said = member(text + foreign, region='open')
    assert said.status == 1
    assert said.err == REFUSED
    shown = scene.admin.must('GET', f'/allocations/{foreign}')
    assert shown['project_id'] == scene.beta.id


def test_without_a_version_that_owners_may_write_with(
    scene: Scene, member: Shell
) -> None:
    said = member(
        'resource provider allocation set -f json'
        f' --allocation rp={scene.provider},VCPU=3'
        f' --project-id {scene.alpha.id} --user-id someone'
        f' {scene.add_consumer(scene.alpha)}',
        version='1.12',
        region='open',
    )
    assert said.status == 1
    assert 'Owners may only PUT or POST allocations with microversion' in said.err
