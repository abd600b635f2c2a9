"""The order of the tests, and which of them run in one process."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.distribution import LONGEST, place_of, unit_of
from tests.launcher import ROOT


@pytest.mark.parametrize("start", LONGEST)
def test_what_takes_longest_exists(start: str) -> None:
    assert (ROOT / start).is_dir() == start.endswith("/")
    assert (ROOT / start).exists()


def test_long_files_come_first(request: pytest.FixtureRequest) -> None:
    places = [place_of(item.nodeid) for item in request.session.items]
    assert all(one <= other for one, other in pairwise(places))
    assert place_of("tests/training/spark/test_shop.py::test_a") == 0
    assert place_of("tests/test_distribution.py::test_a[1]") == len(LONGEST)


def test_tests_of_a_file_or_of_a_listed_folder_run_in_one_process() -> None:
    assert unit_of("tests/training/spark/test_shop.py::test_a") == unit_of("tests/training/spark/test_facts.py::test_b")
    assert unit_of("tests/test_ports.py::test_a[x::y]") == unit_of("tests/test_ports.py::test_b")
    assert unit_of("tests/test_ports.py::test_a") != unit_of("tests/test_docs.py::test_a")
    assert unit_of("recsys/core/ids.py::recsys.core.ids.IdMap") == "recsys/core/ids.py"
