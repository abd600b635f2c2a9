"""The estimate of what a shop needs, from the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Run

SIZES = ("--events", "5e7", "--items", "200,000", "--users", "4_000_000")


def test_a_shop_is_estimated_with_its_basis(recsys: Run) -> None:
    said = recsys("size", *SIZES, "--qps", 300, "--core-hour", 0.04)
    assert said.code == 0, said.err
    for text in ("processor hours", "memory of a server", "extrapolated", "per million lists"):
        assert text in said.out
    assert "measured on" in said.err


def test_the_estimate_as_json_grows_with_the_shop(recsys: Run) -> None:
    def value(events: str) -> float:
        rows = json.loads(recsys("size", *SIZES, "--events", events, "--json").out)
        return float(next(row["value"] for row in rows if row["what"] == "processor hours"))

    assert 0 < value("1e6") < value("1e8")


@pytest.mark.parametrize("wrong", ["many", "0", "-5", "nan", "inf", "1e13", ""])
def test_a_size_that_is_none_is_refused(recsys: Run, wrong: str) -> None:
    said = recsys("size", *SIZES, "--items", wrong)
    assert said.code == 2
    assert f"--items is {wrong!r}, expected a number" in said.err
