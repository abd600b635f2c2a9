from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.training.growth.planted import event, write_tables


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty carts in two months, of which a third is paid."""
    rows = [event(f"u{n}", "add_to_cart", n, price=3.0) for n in range(60)]
    rows += [event(f"u{n}", "purchase", n + 0.1, price=3.0, currency="CNY") for n in range(0, 60, 3)]
    return write_tables(tmp_path_factory.mktemp("shop"), rows)


@pytest.mark.parametrize("name", ["retention", "growth"])
def test_a_page_figures_and_alerts(recsys: Run, data: Path, tmp_path: Path, name: str) -> None:
    files = {word: tmp_path / word for word in ("out", "json", "alerts")}
    config = tmp_path / "shop.toml"
    config.write_text("[report]\nmin_cases = 20\n", encoding="utf-8")
    options = [each for word, path in files.items() for each in (f"--{word}", path)]
    said = recsys("report", name, "--data", data, *options, "--config", config)
    assert said.code == 0, said.err
    assert "report: " in said.out
    figures = json.loads(files["json"].read_text(encoding="utf-8"))
    assert figures["facts"]["n_people"] == 20
    assert files["out"].read_text(encoding="utf-8").startswith("<!doctype html>")
    lines = files["alerts"].read_text(encoding="utf-8").splitlines() if files["alerts"].exists() else []
    alerts = [json.loads(line) for line in lines]
    assert alerts == figures["alerts"]
    assert [alert["what"] for alert in alerts] == (["cart_loss"] if name == "growth" else [])
    assert all(alert["message"] in said.out for alert in alerts)


def test_chinese(recsys: Run, data: Path, tmp_path: Path) -> None:
    said = recsys("report", "growth", "--data", data, "--language", "zh", "--out", tmp_path / "page.html")
    assert "未支付" in said.out
    assert '<html lang="zh">' in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--language", "fr"), "--language is 'fr', expected en or zh"),
        (("--until", "yesterday"), "--until is 'yesterday', expected a day such as 2026-11-27"),
        (("--until", "2020-01-01"), "expected a day from 2026-03-02 on"),
        (("--out", "/none/page.html"), "its folder does not exist"),
        (("--alerts", "/none/alerts"), "its folder does not exist"),
        (("--alerts", "/tmp"), "it is a folder; name a file"),
        (("--log", "none.sqlite"), "none.sqlite does not exist"),
        (("--placements", "none.toml"), "--placements needs --models"),
        (("--data", "/none"), "dataset.json is missing"),
    ],
)
def test_wrong_calls(recsys: Run, data: Path, options: tuple[str, str], message: str) -> None:
    said = recsys("report", "growth", "--data", data, *options)
    assert said.code == 2
    assert message in said.err
