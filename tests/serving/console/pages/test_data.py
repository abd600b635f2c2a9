from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.bundles.registry import current_version
from recsys.fitting.engine import Engine
from tests.recorded import SCRIPT, write_recorded
from tests.serving.conftest import client_of
from tests.serving.console.conftest import Browser, Guarded


@pytest.fixture
def recorded(own_models: Path, shop_engine: Engine) -> Iterator[Browser]:
    write_recorded(shop_engine, own_models)
    with client_of(own_models) as client:
        yield Browser(client)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            ("What the doctor found", "2024-05-01 – 2024-06-30", "3 rows", "thin", "passed", "page_view", "+0.0100"),
        ),
        ("zh", ("数据检查发现的问题", "2024-05-01 – 2024-06-30", "3 行", "数据偏少", "通过", "page_view", "+0.0100")),
    ],
)
def test_the_page_shows_what_the_bundle_records(recorded: Browser, language: str, words: tuple[str, ...]) -> None:
    text = recorded.get(f"/data?lang={language}").text
    assert [word for word in words if word not in text] == []


def test_texts_of_the_shop_are_never_markup(recorded: Browser) -> None:
    text = recorded.get("/data").text
    assert SCRIPT not in text
    assert text.count("&lt;script&gt;alert(1)") >= 10


def test_an_older_bundle_says_that_it_records_less(recorded: Browser, own_models: Path) -> None:
    older = next(
        each
        for each in own_models.iterdir()
        if each.name.endswith(tuple("0123456789abcdef")) and each.name != current_version(own_models) and each.is_dir()
    )
    text = recorded.get(f"/data?version={older.name}&lang=en").text
    assert "This bundle records nothing about its data" in text
    assert f"<option selected>{older.name}</option>" in text
    assert recorded.get("/data?version=none").status_code == 404


def test_samples_are_for_those_who_may_look(guarded: Guarded) -> None:
    assert guarded.signed_in("viewer").get("/data").status_code == 200
    assert guarded.signed_in("events").get("/data").status_code == 403
