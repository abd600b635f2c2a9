"""The measurement of many shops: what counts as an attack that has worked."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from benchmarks.many_shops import attack

KEYS = {"a": "key-a", "b": "key-b"}


class Server:
    """Answers every call alike, and notes them."""

    def __init__(self, status: int, body: bytes = b"{}") -> None:
        self.status, self.body = status, body
        self.calls: list[tuple[str, str]] = []

    def call(self, method: str, path: str, host: str, key: str, body: Any = None) -> tuple[int, bytes]:
        self.calls.append((host, key))
        return self.status, self.body


def won(server: Server) -> int:
    randomness = random.Random(0)
    return sum(attack(server, KEYS, "a", "b", randomness) for _ in range(200))  # type: ignore[arg-type]


STRANGER = json.dumps({"fallback_used": True}).encode()
KNOWN = json.dumps({"fallback_used": False, "items": ["secret-a"]}).encode()


@pytest.mark.parametrize("body", [STRANGER, KNOWN])
def test_a_server_that_answers_everybody_is_broken(body: bytes) -> None:
    server = Server(200, body)
    assert won(server) > 100
    assert {key for _, key in server.calls} == {"key-b"}
    assert {host for host, _ in server.calls} == {"a.example", "b.example"}


def test_refusals_at_another_host_and_lists_of_a_stranger_at_its_own_are_right() -> None:
    class Right(Server):
        def call(self, method: str, path: str, host: str, key: str, body: Any = None) -> tuple[int, bytes]:
            if host == "a.example":
                return 401, b"{}"
            return (200, STRANGER) if method == "POST" else (404, b"{}")

    assert won(Right(200)) == 0
