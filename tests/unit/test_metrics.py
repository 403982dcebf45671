# SPDX-License-Identifier: Apache-2.0
"""Metrics: their names, and the client that sends them."""

import re
import socket
import sys

import pytest

from consumer_guard.guard import model
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.telemetry.metrics import NONE, connect, name_decision


@pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
def test_a_name_is_of_statsds_alphabet(operation: model.Operation) -> None:
    """A colon would end the name, and what follows be the value; all are as deep."""
    name = name_decision(operation, 'deny', 'shadow')
    assert re.fullmatch(r'[a-z_.]+', name)
    assert name.startswith('decisions.')
    assert name.endswith('.deny.shadow')
    assert name.count('.') == 3


def test_without_a_host_nothing_is_sent() -> None:
    assert connect('', 8125, 'x') is NONE
    NONE.count('x')
    NONE.time('x', 1.0)
    NONE.gauge('x', 1.0)


@pytest.mark.parametrize(
    ('family', 'address', 'host'),
    [
        (socket.AF_INET, '127.0.0.1', '127.0.0.1'),
        (socket.AF_INET, '127.0.0.1', 'localhost'),
        (socket.AF_INET6, '::1', '::1'),
    ],
)
def test_values_are_sent_in_statsds_units(
    family: socket.AddressFamily, address: str, host: str
) -> None:
    """Over IPv4 and IPv6."""
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f'no {family.name} on this machine')
        server.settimeout(10)
        metrics = connect(host, server.getsockname()[1], 'cg')
        metrics.count('a')
        metrics.time('b', 0.25)
        metrics.gauge('c', 7)
        packets = [server.recv(65535).decode() for _ in range(3)]
    assert packets == ['cg.a:1|c', 'cg.b:250.000000|ms', 'cg.c:7|g']


def test_a_host_that_cannot_be_resolved_costs_one_line_and_no_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert connect('nothing.invalid', 8125, '') is NONE
    [record] = caplog.records
    assert 'nothing.invalid' in record.getMessage()


def test_a_missing_package_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'statsd', None)
    with pytest.raises(ConfigurationError, match=r'pip install consumer-guard.statsd'):
        connect('127.0.0.1', 8125, '')
