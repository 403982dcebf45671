# SPDX-License-Identifier: Apache-2.0
"""Fixtures over a real keystone; collected only in the lane ``keystone``."""

import os
import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests.cloud.placement import Placement
from tests.cloud.stack import Cloud, run_cloud
from tests.keystone.scenery import VARIANTS, Scene

#: Keystone needs a minute and packages that the other lanes have no use for.
collect_ignore_glob = (
    [] if os.environ.get('CONSUMER_GUARD_TEST_KEYSTONE') else ['test_*.py']
)


@pytest.fixture(scope='session')
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with run_cloud(tmp_path_factory.mktemp('cloud')) as running:
        yield running


@pytest.fixture(scope='session')
def serve(cloud: Cloud) -> Callable[[str], Placement]:
    """The guarded placement of a name in VARIANTS, started when first asked for."""
    running: dict[str, Placement] = {}

    def get(variant: str) -> Placement:
        if variant not in running:
            running[variant] = cloud.serve_placement(variant, **VARIANTS[variant])
        return running[variant]

    return get


@pytest.fixture(scope='session')
def scene(cloud: Cloud, serve: Callable[[str], Placement]) -> Scene:
    return Scene(cloud, serve)


@pytest.fixture(scope='session')
def scratch(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp('scratch')
