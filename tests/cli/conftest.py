"""The `recsys` command in this process: its exit code and what it said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from cli.main import main


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def recsys(capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run `recsys` with the given words."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def run(*words: object) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        code = left.value.code
        return Said(code if isinstance(code, int) else int(code is not None), out, err)

    yield run
    root.handlers[:], root.level = before[0], before[1]
    root.setLevel(before[1])
