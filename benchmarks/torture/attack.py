"""Attacks: what each tries, what it checks afterwards, and what was lost."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.server import benchmark_server
from benchmarks.server_process import ServerProcess
from recsys.bundles.registry import LIVE_LOG
from recsys.pipeline.recommender import Recommender

TRACEBACK: Final = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Outcome:
    """The result of one attack.

    Attributes:
        attack: its name.
        tries: how often it was tried: kills, requests, inputs.
        checked: what was compared afterwards: events, responses, files.
        lost: how many of these were lost or doubled.
        failed: how many tries had another wrong result: a status 500, a traceback, a bound that was exceeded.
        note: measured values, and the first fault.
    """

    attack: str
    tries: int
    checked: int
    lost: int = 0
    failed: int = 0
    note: str = ""


@dataclass(frozen=True)
class Arena:
    """What attacks work with.

    Attributes:
        models: folder of bundles; never changed.
        folder: for the attacks' own files.
        random: the source of all choices.
        items: ids of items, the most popular ones first.
        users: ids of users.
    """

    models: Path
    folder: Path
    random: random.Random
    items: tuple[str, ...]
    users: tuple[str, ...]

    @classmethod
    def of(cls, models: Path, folder: Path, seed: int) -> Arena:
        """Return an arena with the ids of the current bundle."""
        engine = Recommender.of_bundle(models).engine
        items = tuple(engine.items.ids[row] for row in engine.by_popularity[:200].tolist())
        users = tuple(user for user, named in zip(engine.users.ids, engine.is_named, strict=True) if named)[:200]
        return cls(models, folder, random.Random(seed), items, users)

    def room(self, name: str) -> Path:
        """Return a new, empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    @contextmanager
    def server(self, room: Path, *arguments: object, max_file_kb: int | None = None) -> Iterator[ServerProcess]:
        """Run a server whose live log and output are in a folder."""
        words = ("--models", self.models, "--store", room / LIVE_LOG, *arguments)
        with benchmark_server(*words, log=room / "log", max_file_kb=max_file_kb) as server:
            yield server


Attack = Callable[[Arena, float], Outcome]
"""Tries for some seconds, at least once, and returns what it found."""


def rounds(seconds: float) -> Iterator[int]:
    """Yield numbers from 0 until the time is over, at least one."""
    deadline, number = time.monotonic() + seconds, 0
    while number == 0 or time.monotonic() < deadline:
        yield number
        number += 1


def tracebacks(log: Path) -> int:
    """Return the number of tracebacks in the output of a server."""
    return log.read_text(encoding="utf-8", errors="replace").count(TRACEBACK)
