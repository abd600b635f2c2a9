"""Ports of tests: free, different at each call, and different in each worker."""

from __future__ import annotations

import socket

import pytest

from tests.ports import FIRST, PER_WORKER, free_port


def test_ports_differ_and_are_those_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {free_port() for _ in range(20)}
    assert len(found) == 20
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    assert FIRST + 3 * PER_WORKER <= free_port() < FIRST + 4 * PER_WORKER


def test_a_port_in_use_is_left_out() -> None:
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port + 1 if (port + 1) % PER_WORKER else port - PER_WORKER + 1))
        assert free_port() != taken.getsockname()[1]
