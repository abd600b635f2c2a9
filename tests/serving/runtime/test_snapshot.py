"""A bundle that is opened for serving."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recsys.bundles.registry import current_version
from recsys.core.errors import BundleError
from recsys.pipeline.recommender import SampleIds
from serving.runtime.settings import load_settings
from serving.runtime.snapshot import ExampleCalls, open_snapshot, warm_up


def test_a_bundle_is_opened_with_an_empty_view_and_examples_that_work(shop_models: Path) -> None:
    settings = load_settings(models=shop_models)
    version = current_version(shop_models)
    assert version is not None
    snapshot = open_snapshot(settings, version)
    live = snapshot.recommender.live
    assert live is not None
    assert live.seq == snapshot.recommender.engine.dataset_info.store_seq
    assert any("placement=complementary" in path for path in snapshot.examples.paths())
    warm_up(snapshot.recommender)
    with pytest.raises(BundleError, match="none-of-these"):
        open_snapshot(settings, "none-of-these")


@pytest.mark.parametrize(("item", "user", "n_paths"), [("a/b", "用户", 3), ("", "u", 2), ("a", "", 1), ("", "", 0)])
def test_ids_in_examples_are_quoted(item: str, user: str, n_paths: int) -> None:
    recommender = SimpleNamespace(live=None, examples=lambda: SampleIds(item_id=item, user_id=user))
    paths = ExampleCalls(cast(Any, recommender)).paths()
    assert len(paths) == n_paths
    assert all(path.isascii() and "a/b" not in path for path in paths)
