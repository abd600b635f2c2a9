"""Curves of time by size: what is measured at each size, the fitted exponents, and their plot."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks.generated_shop import ShopSize
from benchmarks.scale import Point, add_options, exponent, plot, results, sizes_of, train


def point(size: int, training: float, similar: float) -> Point:
    shop = ShopSize(1000, size, 50)
    return Point("items", shop, {"training": training, "similar": similar}, 100.0, 5.0, 300.0)


POINTS = [point(100, 2.0, 0.001), point(10_000, 2000.0, 0.001)]


def test_exponents_are_judged_by_their_goals() -> None:
    *_, last = results(POINTS)
    assert last.values == pytest.approx({"training": 1.5, "similar": 0.0}, abs=1e-9)
    assert [sentence.split(":")[0] for sentence in last.missed()] == ["by items"]


def test_each_point_has_all_its_sizes() -> None:
    first, *_ = results(POINTS)
    assert first.name == "100 items"
    assert [first.values[name] for name in ("events", "items", "users", "server, MB")] == [1000, 100, 50, 300]


def test_one_size_has_no_exponent() -> None:
    assert [each.part for each in results(POINTS[:1])] == ["scale"]
    assert exponent([2, 8], [1, 1]) == 0


@pytest.mark.parametrize("name", ["curves.svg", "curves.png"])
def test_curves_are_drawn(tmp_path: Path, name: str) -> None:
    plot(POINTS, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 1000


def test_one_axis_grows_at_a_time() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    chosen = parser.parse_args(["--events", "1e3", "--items", "10,20,40", "--users", "5"])
    assert list(sizes_of(chosen)) == [
        ("events", ShopSize(1000, 20, 5)),
        *(("items", ShopSize(1000, n, 5)) for n in (10, 20, 40)),
        ("users", ShopSize(1000, 20, 5)),
    ]


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="dataset\\.json"):
        train(tmp_path / "nothing", tmp_path / "models")
