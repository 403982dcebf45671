# SPDX-License-Identifier: Apache-2.0
"""What the guard and placement do is what the model says, at each step."""

from tests.formal.replay import NEIGHBOUR, Replay, ReplayScene
from tests.formal.traces import Trace


def test_the_code_does_what_the_model_says(scene: ReplayScene, trace: Trace) -> None:
    """Row id, generation, owner, allocations and answer, after each step.

    O21: the runs "DELETE in steps" are among them.
    """
    Replay(scene, trace).run()


def test_the_guard_refuses_what_a_mutant_lets_pass(
    scene: ReplayScene, mutant: Trace
) -> None:
    """O09"""
    replay = Replay(scene, mutant)
    answer = replay.run_otherwise()
    if 'FITS' in mutant.defines:
        # A write goes on, from another generation.
        assert replay.highest <= mutant.get_bound('LIMIT', 100)
    else:
        assert answer in (403, 409)
    if 'BYSTANDER' in mutant.defines:
        assert scene.tables.read_generation(NEIGHBOUR) == 1
