"""What is served over HTTP is what was evaluated."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import numpy as np
import pytest

from recsys.dataset import DAY_S, Dataset
from recsys.engine import Engine
from recsys.evaluation.methods import NO_ITEM, served_lists
from recsys.evaluation.tasks import NOBODY, Task, completion, next_basket, rolling
from recsys.evaluation.windows import Window
from recsys.placements import PLACEMENTS
from tests.serving.conftest import Client

K = 20


@pytest.mark.parametrize("placement", [name for name, each in PLACEMENTS.items() if each.anchor != "none"])
def test_the_servers_lists_are_the_harness_lists(
    placement: str, client: Client, shop_engine: Engine, shop_dataset: Dataset
) -> None:
    """The harness asks the engine in memory, the server one that went through a bundle and a URL."""
    window = Window(shop_dataset.end - 28 * DAY_S, shop_dataset.end + 1)
    task = _questions(placement, shop_dataset, window)
    lists = served_lists(shop_engine, task, placement, K)
    assert (lists >= 0).any()
    for query, expected in enumerate(lists):
        answer = client.get(_path(task, query, placement, shop_engine))
        assert answer.status_code == 200
        listed = [item["item_id"] for item in answer.json()["items"]]
        assert listed == [shop_engine.items.ids[row] for row in expected.tolist() if row != NO_ITEM]


def _questions(placement: str, dataset: Dataset, window: Window) -> Task:
    if PLACEMENTS[placement].anchor == "item":
        task = completion(dataset, window, np.random.default_rng(0))
        return task.take(np.arange(0, len(task), max(len(task) // 30, 1)))
    both = next_basket(dataset, window), rolling(dataset, window)
    return both[placement == "time_of_day"].take(np.arange(0, 40))


def _path(task: Task, query: int, placement: str, engine: Engine) -> str:
    as_of = datetime.fromtimestamp(int(task.as_of[query]), UTC).isoformat().replace("+00:00", "Z")
    user, seed = int(task.user_idx[query]), int(task.seed[query])
    if seed == NOBODY:
        place = f"users/{quote(engine.users.ids[user], safe='')}"
    else:
        place = f"items/{quote(engine.items.ids[seed], safe='')}"
    return f"/v1/{place}/recommendations?placement={placement}&limit={K}&as_of={as_of}"
