"""The lists over HTTP equal those of the evaluation."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate
from recsys.core.ids import NO_ITEM
from recsys.core.placements import PLACEMENTS
from recsys.data.dataset import DAY_S, Dataset
from recsys.evaluation.experiment import Experiment
from recsys.evaluation.methods import served_lists
from recsys.evaluation.splits import Window
from recsys.evaluation.tasks import ANONYMOUS, Task, completion, next_basket, rolling
from recsys.fitting.engine import Engine
from tests.serving.conftest import Client, client_of
from tests.shop import ShopTables, small_config

K = 20


@pytest.mark.parametrize("placement", [name for name, each in PLACEMENTS.items() if each.anchor != "none"])
def test_the_servers_lists_equal_the_harness_lists(
    placement: str, client: Client, shop_engine: Engine, shop_dataset: Dataset
) -> None:
    """The harness uses an engine in memory, the server one from a bundle."""
    window = Window(shop_dataset.end - 28 * DAY_S, shop_dataset.end + 1)
    task = _task(placement, shop_dataset, window)
    lists = served_lists(shop_engine, task, placement, K)
    assert (lists >= 0).any() or PLACEMENTS[placement].may_be_empty
    for query, expected in enumerate(lists):
        answer = client.get(_path(task, query, placement, shop_engine))
        assert answer.status_code == 200
        listed = [item["item_id"] for item in answer.json()["items"]]
        assert listed == [shop_engine.items.ids[row] for row in expected.tolist() if row != NO_ITEM]


def test_a_server_with_live_events_equals_the_harness_on_rolling_histories(
    shop_tables: ShopTables, tmp_path: Path
) -> None:
    """Replay four weeks of the shop: request a list just before each basket, then send its events over HTTP."""
    dataset = shop_tables.dataset()
    window = Window(dataset.end - 28 * DAY_S, dataset.end + 1)
    experiment = Experiment.cut(dataset, window, small_config())
    task = experiment.rolling_task
    task = task.take(np.linspace(0, len(task) - 1, 60).astype(np.int64))
    expected = served_lists(experiment.rolling_engine, task, "for_you", K)
    made = write_bundle(experiment.engine, tmp_path, Provenance(datetime.now(UTC), "shop", {}, ()))
    activate(tmp_path, made.version)
    start = datetime.fromtimestamp(window.start, UTC)
    events = shop_tables.events.filter(pl.col("timestamp") >= start).sort("timestamp", maintain_order=True)
    with client_of(tmp_path, clock="wall") as client:
        for query in range(len(task)):
            as_of = datetime.fromtimestamp(int(task.as_of[query]), UTC)
            happened, events = events.filter(pl.col("timestamp") <= as_of), events.filter(pl.col("timestamp") > as_of)
            _tell(client, happened)
            listed = [
                item["item_id"] for item in client.get(_path(task, query, "for_you", experiment.engine)).json()["items"]
            ]
            assert listed == [experiment.engine.items.ids[row] for row in expected[query].tolist() if row != NO_ITEM]
    frozen = served_lists(experiment.engine, task, "for_you", K)
    assert (frozen != expected).any(), "the events made no difference"


def _tell(client: Client, happened: pl.DataFrame) -> None:
    for part in happened.iter_slices(1000):
        rows = [{name: value for name, value in row.items() if value is not None} for row in part.to_dicts()]
        reply = [{name: _plain(value) for name, value in row.items() if name != "received_at"} for row in rows]
        answer = client.request("POST", "/v1/events", json={"events": reply})
        assert answer.status_code == 200
        assert answer.json()["refused"] == 0, answer.text


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _task(placement: str, dataset: Dataset, window: Window) -> Task:
    if PLACEMENTS[placement].anchor == "item":
        task = completion(dataset, window, np.random.default_rng(0))
        return task.take(np.arange(0, len(task), max(len(task) // 30, 1)))
    both = next_basket(dataset, window), rolling(dataset, window)
    return both[placement == "time_of_day"].take(np.arange(0, 40))


def _path(task: Task, query: int, placement: str, engine: Engine) -> str:
    as_of = datetime.fromtimestamp(int(task.as_of[query]), UTC).isoformat().replace("+00:00", "Z")
    user, seed = int(task.user_idx[query]), int(task.seed[query])
    if seed == ANONYMOUS:
        place = f"users/{quote(engine.users.ids[user], safe='')}"
    else:
        place = f"items/{quote(engine.items.ids[seed], safe='')}"
    return f"/v1/{place}/recommendations?placement={placement}&limit={K}&as_of={as_of}"
