"""Opening bundles: refused ones are named, and tried again at growing intervals."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path

import pytest

from recsys.bundles.registry import current_version
from recsys.core.placements import PLACEMENTS
from recsys.rules.placement_registry import BUILT_IN, PlacementRegistry
from serving.runtime import bundle_loader
from serving.runtime.bundle_loader import MAX_RETRY_S, BundleLoader
from serving.runtime.settings import load_settings
from serving.runtime.snapshot import Snapshot
from serving.runtime.telemetry import Telemetry


def loader(models: Path, opened: list[Snapshot] | None = None) -> BundleLoader:
    seen = [] if opened is None else opened
    return BundleLoader(load_settings(models=models, poll_seconds=1.0), Telemetry(), seen.append)


def test_an_opened_bundle_has_the_log_and_the_lists(shop_models: Path) -> None:
    caught_up: list[Snapshot] = []
    book = PlacementRegistry({"popular": PLACEMENTS["popular"]})
    found = loader(shop_models, caught_up).open(current_version(shop_models) or "", book)
    assert found is not None
    assert found.recommender.book is book
    assert [each.version for each in caught_up] == [found.version]


def test_a_bundle_is_warmed_up_with_its_log_and_lists_before_it_is_served(
    shop_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, book = current_version(shop_models) or "", PlacementRegistry({"popular": PLACEMENTS["popular"]})
    caught_up: list[Snapshot] = []
    warm: list[tuple[object, int]] = []
    monkeypatch.setattr(bundle_loader, "warm_up", lambda served: warm.append((served.book, len(caught_up))))
    assert loader(shop_models, caught_up).open(version, book) is not None
    assert warm == [(book, 1)]

    def fail(_: object) -> None:
        raise ValueError("no such page")

    monkeypatch.setattr(bundle_loader, "warm_up", fail)
    tested = loader(shop_models)
    assert tested.open(version, book) is None
    assert "ValueError while it was opened" in (tested.reason(version) or "")


def test_a_refused_bundle_is_tried_again_at_growing_intervals(
    shop_models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, tries = 0.0, []
    monkeypatch.setattr(bundle_loader.time, "monotonic", lambda: now)
    tested = loader(shop_models)
    with caplog.at_level(logging.ERROR):
        for second in range(300):
            now = float(second)
            n_before = len(caplog.records)
            assert tested.open("none", BUILT_IN) is None
            tries += [second] * (len(caplog.records) > n_before)
    gaps = [after - before for before, after in pairwise(tries)]
    assert gaps == [1, 2, 4, 8, 16, 32, MAX_RETRY_S, MAX_RETRY_S, MAX_RETRY_S]
    reason = tested.reason("none")
    assert reason is not None
    assert reason.startswith("bundle none is refused: ")
    assert "is missing" in reason
    tested.forget(keep=("none",))
    assert tested.reason("none") is not None
    tested.forget()
    assert tested.reason("none") is None
