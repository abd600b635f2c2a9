"""How pytest-xdist shares the tests among its processes: file by file, those that take longest first."""

from __future__ import annotations

from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONGEST: Final = (
    "tests/training/spark/",
    "tests/serving/test_contract.py",
    "tests/test_end_to_end.py",
    "tests/serving/workers/test_supervisor.py",
    "tests/benchmarks/torture/test_short_form.py",
    "tests/recsys/pipeline/test_recommend.py",
    "tests/recsys/test_adapts.py",
    "tests/recsys/pipeline/test_batch.py",
    "tests/serving/test_durable.py",
    "tests/recsys/test_quality.py",
    "tests/benchmarks/compare/test_compare.py",
    "tests/test_deploy.py",
    "tests/clients/",
)
"""Files of more than about 20 s, so that no process is left with one at the end; the files of a folder run in one
process, as they share what takes long to start. `--durations` shows what belongs here."""


class FileScheduling(LoadScopeScheduling):
    """Gives each file to one process, so that what the tests of a file share is made once."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by the number of tests

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def place_of(nodeid: str) -> int:
    """Return the place of a test in the order of all: that of its file in `LONGEST`, or the last."""
    return next((place for place, start in enumerate(LONGEST) if nodeid.startswith(start)), len(LONGEST))


def unit_of(nodeid: str) -> str:
    """Return what runs in one process with a test: its file, or a folder of `LONGEST`."""
    place = place_of(nodeid)
    return LONGEST[place] if place < len(LONGEST) else nodeid.partition("::")[0]
