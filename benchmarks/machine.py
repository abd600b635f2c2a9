"""What a run was measured on: the commit, the machine and its load."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CPU_INFO: Final = Path("/proc/cpuinfo")
MODEL: Final = "model name"


@dataclass(frozen=True)
class Machine:
    """The machine, as it is now.

    Attributes:
        cpu: name of the processor.
        cores: processors that this process may use.
        python: version of Python.
        load: mean number of processes that ran or waited in the last minute.
    """

    cpu: str
    cores: int
    python: str
    load: float

    @classmethod
    def now(cls) -> Machine:
        """Return this machine."""
        return cls(_cpu(), len(os.sched_getaffinity(0)), platform.python_version(), round(os.getloadavg()[0], 2))

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} cores, Python {self.python}, load {self.load:g}"


def commit() -> str:
    """Return the commit that is checked out, `unknown` outside of a repository."""
    described = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _cpu() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith(MODEL):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
