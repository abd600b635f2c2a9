from __future__ import annotations

from pathlib import Path

import pytest

from scripts.api_shapes import read_api
from scripts.generate_clients import ROOT, generated

FILES = generated()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "run `python -m scripts.generate_clients`"


def test_the_calls_of_a_shop_are_there() -> None:
    names = {call.name for call in read_api().calls}
    assert {"recommend_for_item", "recommend_for_user", "recommend_items", "take_events", "collect"} <= names
    assert "list_keys" not in names, "the console's calls are not a shop's"
