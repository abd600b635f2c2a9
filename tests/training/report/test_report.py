from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from recsys.core.metrics import Interval
from recsys.core.placements import PLACEMENTS
from recsys.evaluation.curves import TAIL_DISCOUNTS, TradeoffPoint
from recsys.evaluation.protocols import PROTOCOLS
from tests.jobs import NOW
from tests.shop import TIMEZONE, ShopTables, small_config
from tests.training.report.pages import Reader
from training.evaluate import evaluate
from training.evaluation_report import EvaluationReport
from training.ingest.ingest import IngestConfig, InputFiles, ingest
from training.report.report import write_html

HOSTILE = "<script>alert('$x^2$ & 饮料')</script>"


@pytest.fixture
def report(evaluated: EvaluationReport) -> EvaluationReport:
    return evaluated


def page_of(report: EvaluationReport, folder: Path) -> tuple[str, Reader]:
    write_html(report, folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, Reader(text)


def test_the_page_stands_alone(report: EvaluationReport, tmp_path: Path) -> None:
    text, page = page_of(replace(report, importances={"count": 3.0}), tmp_path)
    assert text.startswith("<!doctype html>")
    assert page.open == []
    assert page.tags.count("svg") == 5
    assert not {"script", "link", "iframe", "img", "object", "base"} & set(page.tags)
    assert all(target.startswith("#") for target in page.loaded)
    assert {target[1:] for target in page.loaded} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    fetched = re.findall(r"url\(([^)]*)\)|@import|@font-face", text)
    assert all(target.startswith("#") and target[1:] in page.ids for target in fetched)
    assert set(re.findall(r"https?://[^\"' ]*", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_it_holds_every_figure_and_the_window(report: EvaluationReport, tmp_path: Path) -> None:
    text, page = page_of(report, tmp_path)
    told = " ".join(page.text)
    for protocol, methods in report.metrics().items():
        assert protocol in page.ids
        for method, figures in methods.items():
            assert method in told
            for metric, interval in figures.items():
                assert metric in told
                assert f"{interval['value']:.4f}" in told or f"{interval['value']:,.4g}" in told
    assert "report: 2024-06-04 to 2024-07-01" in told
    assert TIMEZONE in told
    assert str(report.outcomes["next_basket"][0].n_queries) in told
    assert text.count('<tr class="treatment">') == sum(
        len(o.treatments) for found in report.outcomes.values() for o in found
    )


def test_the_difference_to_the_best_baseline_is_told(report: EvaluationReport, tmp_path: Path) -> None:
    _, page = page_of(report, tmp_path)
    told = " ".join(page.text)
    (outcome,) = report.outcomes["next_basket"]
    (found,) = (row for row in outcome.comparisons if row.is_best and row.metric == "recall@10")
    assert f"{found.baseline} ★" in told
    assert f"{found.relative.value:+.1%}" in told
    assert f"{found.relative.low:+.1%} – {found.relative.high:+.1%}" in told


def test_the_same_figures_are_the_same_bytes(report: EvaluationReport, tmp_path: Path) -> None:
    slower = replace(report, seconds={name: 2 * took + 1 for name, took in report.seconds.items()})
    assert page_of(report, tmp_path)[0] == page_of(slower, tmp_path)[0]


def test_without_a_ranker_or_curves_the_page_says_so_or_leaves_them_out(
    report: EvaluationReport, tmp_path: Path
) -> None:
    text, page = page_of(replace(report, dial=(), score_bins=(), importances={}), tmp_path)
    assert "No ranker is fitted" in text
    assert page.tags.count("svg") == 2


def test_hostile_text_is_shown_and_never_run(report: EvaluationReport, tmp_path: Path) -> None:
    hostile = replace(
        report,
        importances={HOSTILE: 2.0, "饮料": 1.0},
        skipped={"rolling": HOSTILE},
        dial=[*report.dial, TradeoffPoint(HOSTILE, None, False, *[Interval(0.1, 0.0, 0.2)] * 3, 7)],
    )
    _, page = page_of(hostile, tmp_path)
    assert "script" not in page.tags
    assert sum(HOSTILE in told for told in page.text) == 3
    assert "饮料" in page.text


def test_a_till_without_users_or_hours_has_its_page(shop_tables: ShopTables, tmp_path: Path) -> None:
    nobody = [pl.lit(None, pl.String).alias(name) for name in ("user_id", "visitor_id")]
    events = shop_tables.events.with_columns(*nobody, pl.col("timestamp").dt.truncate("1d"))
    events.write_parquet(tmp_path / "events.parquet")
    shop_tables.items.write_parquet(tmp_path / "items.parquet")
    sources = InputFiles(events=tmp_path / "events.parquet", items=tmp_path / "items.parquet")
    ingest(sources, IngestConfig(timezone="UTC"), tmp_path / "data", NOW)
    report = evaluate(tmp_path / "data", small_config(), with_curves=True)
    assert report.skipped.keys() == set(PROTOCOLS) - {"complements", "item_sets"}
    _, page = page_of(report, tmp_path)
    told = " ".join(page.text)
    assert page.open == []
    assert "svg" not in page.tags
    assert all(f"Skipped: {why}" in told for why in report.skipped.values())


def test_the_dial_is_told_at_every_setting(report: EvaluationReport) -> None:
    turned = [point for point in report.dial if point.tail_discount is not None]
    assert [point.tail_discount for point in turned] == sorted({*TAIL_DISCOUNTS, PLACEMENTS["discover"].tail_discount})
    assert [point.tail_discount for point in turned if point.is_served] == [PLACEMENTS["discover"].tail_discount]
