# SPDX-License-Identifier: Apache-2.0
"""A long time under load: memory and connections stay as they are."""

import contextlib
import os
import pathlib
import time

import pytest

from tests import servers
from tests.faults.load import Load
from tests.faults.service import Service

#: How many answers; the short lane takes fewer.
REQUESTS = int(os.environ.get('CONSUMER_GUARD_SOAK', '200000'))


def _look(service: Service) -> tuple[int, int]:
    """Memory of all workers in bytes, and their open files."""
    workers = service.workers
    memory = sum(worker.memory_info().rss for worker in workers)
    return memory, sum(worker.num_fds() for worker in workers)


def test_a_long_soak_leaks_no_memory_or_files_and_loses_no_worker(
    tmp_path: pathlib.Path, server: servers.Server, database: str
) -> None:
    if server.dialect != 'postgresql' and REQUESTS > 50_000:
        pytest.skip('one server is enough for the long run')
    service = Service(tmp_path / 'service', database, options={'audit': 'all'})
    with contextlib.ExitStack() as stack:
        stack.callback(service.stop)
        warm = Load(service)
        warm.prepare()
        warm.run_requests(min(20_000, REQUESTS // 2))
        before = _look(service)
        pids = {worker.pid for worker in service.workers}
        done = warm.account.total
        while done < REQUESTS:
            load = Load(service)
            load.prepare()
            load.run_requests(min(50_000, REQUESTS - done))
            load.check()
            done += load.account.total
        time.sleep(1)
        after = _look(service)
        print(f'{done} answers; memory and files before {before}, after {after}')
        assert {worker.pid for worker in service.workers} == pids, service.log()
    # What the allocator keeps, not what grows: 200 bytes an answer would be
    # 40 MB over the long run.
    assert after[0] - before[0] < 16 * 2**20
    assert after[1] <= before[1] + 8
