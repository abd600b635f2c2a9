"""Number of steps from module to module that one request takes: a measure of how far apart its code lies.

    python -m benchmarks.stops --models models
    python -m benchmarks.stops --max 60 --json stops.json

A stop is a call that enters another module than the caller's, both of the project. A call through a library counts as
one by the nearest frame of the project above it; the first call, from outside, is a stop too. Not stops: calls within a
file (comprehensions, lambdas and generators of the same file included), calls into libraries, returns, and generators
that resume. A stop at a module that was visited before also counts as a revisit. The request is sent twice and counted
the second time, so that lazy values exist.

Modules are identified by their files below the root of the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from recsys import Recommender

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("recsys", "serving")
GENERATORS: Final = 0x20 | 0x80 | 0x200
"""Flags of code whose frames are entered again when they resume: generators and coroutines."""


@dataclass(frozen=True)
class Stop:
    """A call that entered another module.

    Attributes:
        module: dotted name of the entered module.
        function: qualified name of the called function.
    """

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"


@dataclass(frozen=True)
class Stops:
    """Stops of a call, in order."""

    stops: tuple[Stop, ...]

    @property
    def n_files(self) -> int:
        """Number of visited modules."""
        return len({stop.module for stop in self.stops})

    @property
    def n_revisits(self) -> int:
        """Number of stops at a module that was visited before."""
        return len(self.stops) - self.n_files

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        counts = {"n_stops": len(self.stops), "n_files": self.n_files, "n_revisits": self.n_revisits}
        return counts | {"stops": [str(stop) for stop in self.stops]}


class _Counter:
    """Profile function that records stops."""

    def __init__(self, root: Path, packages: Sequence[str]) -> None:
        self._prefixes = tuple(f"{root / package}/" for package in packages)
        self._root = root
        self._inside: dict[CodeType, bool] = {}
        self._generators: set[FrameType] = set()
        self.stops: list[Stop] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or not self._is_inside(frame):
            return
        code = frame.f_code
        if code.co_flags & GENERATORS:
            if frame in self._generators:
                return
            self._generators.add(frame)
        caller = frame.f_back
        while caller is not None and not self._is_inside(caller):
            caller = caller.f_back
        if caller is None or caller.f_code.co_filename != code.co_filename:
            self.stops.append(Stop(self._module(code.co_filename), code.co_qualname))

    def _is_inside(self, frame: FrameType) -> bool:
        """Return whether a frame's code is of the project; generated code and the bodies of modules are not."""
        code = frame.f_code
        if code not in self._inside:
            self._inside[code] = code.co_filename.startswith(self._prefixes) and code.co_name != "<module>"
        return self._inside[code]

    def _module(self, file: str) -> str:
        parts = Path(file).relative_to(self._root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def count_stops(call: Callable[[], object], root: Path = ROOT, packages: Sequence[str] = PACKAGES) -> Stops:
    """Count the stops of a call.

    Args:
        call: function without arguments; its lazy values should exist already.
        root: folder of the packages.
        packages: folders of the project below it.

    Returns:
        The stops.
    """
    counter = _Counter(root, packages)
    before = sys.getprofile()
    sys.setprofile(counter)
    try:
        call()
    finally:
        sys.setprofile(before)
    return Stops(tuple(counter.stops))


def show(found: Stops) -> None:
    """Print the stops in order, and the counts."""
    visited: set[str] = set()
    for number, stop in enumerate(found.stops, 1):
        print(f"{number:4} {stop}{' (again)' if stop.module in visited else ''}")
        visited.add(stop.module)
    print(f"{len(found.stops)} stops in {found.n_files} files, {found.n_revisits} of them at a module visited before")


def main() -> int:
    """Count the stops of a list for a user; return 1 if there are more than allowed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stops", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--user", default="1397", help="user id; the default is a user of the demo")
    parser.add_argument("--placement", default="for_you")
    parser.add_argument("--limit", type=int, default=5, help="items of the list, each of which is given its reasons")
    parser.add_argument("--max", type=int, help="fail above so many stops")
    parser.add_argument("--json", type=Path, help="write counts and stops to this file")
    options = parser.parse_args()

    recommender = Recommender.open(options.models)

    def request() -> object:
        return recommender.recommend([options.user], placement=options.placement, limit=options.limit)

    request()
    found = count_stops(request)
    show(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found.to_dict(), indent=2) + "\n", encoding="utf-8")
    if options.max is not None and len(found.stops) > options.max:
        print(f"{len(found.stops)} stops, at most {options.max} are allowed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
