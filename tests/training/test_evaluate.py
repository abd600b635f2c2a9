from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from recsys.core import metrics
from recsys.core.errors import ConfigError
from recsys.evaluation.protocols import PROTOCOLS
from tests.jobs import NOW, write_shop
from tests.shop import DAY_S, TIMEZONE, ShopTables, small_config
from training.evaluate import evaluate
from training.evaluation_report import EvaluationReport, write_lists, write_report
from training.ingest.ingest import IngestConfig, InputFiles, ingest

QUICK = ("rolling", "complements", "time_of_day")


@pytest.fixture
def data(shop_data: Path) -> Path:
    return shop_data


@pytest.fixture
def report(evaluated: EvaluationReport) -> EvaluationReport:
    return evaluated


def test_every_protocol_is_asked_and_timed(report: EvaluationReport) -> None:
    absent = {"sessions": "no session of two moments", "item_sets": "no sets of items beyond chance"}
    assert set(report.skipped) == set(absent), "the invented shop has none of them"
    figures = report.metrics()
    assert list(figures) == [name for name in PROTOCOLS if name not in absent]
    assert list(report.seconds) == ["reading the tables", "fitting", *PROTOCOLS, "curves"]
    for methods in figures.values():
        for found in methods.values():
            for name, interval in found.items():
                assert interval.keys() == {"value", "low", "high"}, name
                assert interval["low"] <= interval["value"] <= interval["high"], name


def test_a_shop_of_habits_is_foretold_better_than_by_popularity(report: EvaluationReport) -> None:
    figures = report.metrics()["next_basket"]
    assert figures["for_you"]["recall@10"]["value"] > 1.3 * figures["popularity"]["recall@10"]["value"]
    outcome = report.outcomes["next_basket"][0]
    (against,) = (
        found for found in outcome.comparisons if (found.baseline, found.metric) == ("popularity", "recall@10")
    )
    assert against.difference.low > 0
    assert {row.kind for row in outcome.segments} == {"history", "hour"}


def test_files_hold_the_figures_and_what_they_rest_on(report: EvaluationReport, tmp_path: Path) -> None:
    beside = write_report(report, tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text()) == report.metrics()
    about = json.loads(beside.read_text())
    assert beside == tmp_path / "figures.about.json"
    assert about["window"] == {
        "name": "report",
        "start": "2024-06-03T16:00:00+00:00",
        "stop": "2024-07-01T16:00:00+00:00",
    }
    (question,) = about["questions"]["next_basket"]
    assert question["best_baseline"] in report.metrics()["next_basket"]
    assert {row["baseline"] for row in question["comparisons"]} == report.metrics()["next_basket"].keys() - {"for_you"}


SCORED_AGAIN = [
    ("next_basket", "for_you", "recall@10", metrics.recall_at_k, 10),
    ("next_basket", "tifu_knn", "ndcg@20", metrics.ndcg_at_k, 20),
    ("rolling", "for_you", "hit_rate@10", metrics.hit_rate_at_k, 10),
    ("discovery", "discover", "ndcg@20", metrics.ndcg_at_k, 20),
    ("complements", "bought_together", "hit_rate@10", metrics.hit_rate_at_k, 10),
    ("complements", "complementary", "acc_ndcg@10", metrics.ndcg_at_k, 10),
    ("time_of_day", "popular", "recall@10", metrics.recall_at_k, 10),
    ("cold_items", "engine", "recall@50", metrics.recall_at_k, 50),
]


def test_the_written_lists_score_the_same_again(report: EvaluationReport, tmp_path: Path) -> None:
    """Out of the two files alone; a list without items is in neither, and counts as a miss."""
    path = tmp_path / "lists.parquet"
    beside = write_lists(report, path)
    lists, relevant = pl.read_parquet(path), pl.read_parquet(beside)
    assert lists.columns == ["protocol", "method", "query", "user_id", "seed_item_id", "as_of", "rank", "item_id"]
    assert lists["as_of"].dtype == pl.Datetime("us", "UTC")
    for protocol, method, name, metric, k in SCORED_AGAIN:
        judged = next(
            each for each in report.results[protocol] if method in each.treatments or each.primary_metric == "recall@10"
        )
        n_first = 0 if judged is report.results[protocol][0] else report.results[protocol][0].n_queries
        if protocol == "cold_items":
            judged = report.results[protocol][1]
            n_first = report.results[protocol][0].n_queries
        of_query = (pl.col("protocol") == protocol) & pl.col("query").is_between(
            n_first, n_first + judged.n_queries - 1
        )
        rows, ranks, items = _numbers(report, lists.filter(of_query & (pl.col("method") == method)), n_first)
        again = np.full((judged.n_queries, 50), -1, np.int32)
        again[rows, ranks - 1] = items
        rows, _, items = _numbers(report, relevant.filter(of_query).with_columns(rank=0), n_first)
        shape = (judged.n_queries, len(report.items))
        taken = sparse.csr_matrix((np.ones(len(rows)), (rows, items)), shape=shape)
        value = report.metrics()[protocol][method][name]["value"]
        assert metric(again, taken, k).mean() == pytest.approx(value, abs=1e-9), (protocol, name)


def _numbers(report: EvaluationReport, frame: pl.DataFrame, n_first: int) -> tuple[Any, Any, Any]:
    return frame["query"].to_numpy() - n_first, frame["rank"].to_numpy(), report.items.encode(frame["item_id"])


def test_tuning_never_reads_the_report_window(
    shop_tables: ShopTables, data: Path, tmp_path: Path, report: EvaluationReport
) -> None:
    """Only its last event keeps its time, by which the windows are laid."""
    start = pl.lit(report.window.start * 1_000_000).cast(pl.Datetime("us", "UTC"))
    events = shop_tables.events
    is_last = pl.col("timestamp") == pl.col("timestamp").max()
    events = events.filter((pl.col("timestamp") < start) | is_last)
    changed = write_shop(ShopTables(events, shop_tables.items, shop_tables.users), tmp_path / "data")
    mine, theirs = (evaluate(folder, small_config(), window="tune", protocols=QUICK[:2]) for folder in (data, changed))
    assert mine.window.stop == report.window.start == mine.window.start + 28 * DAY_S
    assert _comparable(mine) == _comparable(theirs)


def _comparable(report: EvaluationReport) -> dict[str, Any]:
    """Figures but those that depend on how many items the tables name."""
    return {
        protocol: {
            method: {name: value for name, value in found.items() if "gini" not in name}
            for method, found in methods.items()
        }
        for protocol, methods in report.metrics().items()
    }


def test_a_till_without_users_is_judged_by_what_it_has(shop_tables: ShopTables, tmp_path: Path) -> None:
    nobody = [pl.lit(None, pl.String).alias(name) for name in ("user_id", "visitor_id")]
    tables = {"events": shop_tables.events.with_columns(nobody), "items": shop_tables.items}
    for name, frame in tables.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    sources = InputFiles(**{name: tmp_path / f"{name}.parquet" for name in tables})
    ingest(sources, IngestConfig(timezone=TIMEZONE), tmp_path / "data", NOW)
    report = evaluate(tmp_path / "data", small_config())
    assert report.skipped.keys() == set(PROTOCOLS) - {"complements", "item_sets"}
    assert "popular" in report.metrics()["time_of_day"]
    assert "for_you" not in report.metrics()["time_of_day"]
    assert "complementary" in report.metrics()["complements"]
    write_report(report, tmp_path / "figures.json")
    write_lists(report, tmp_path / "lists.parquet")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"protocols": ["nonsense"]}, "'nonsense' is not a protocol"),
        ({"protocols": ["rolling", "rolling"]}, "each once"),
        ({"window": "future"}, "'future'"),
        ({"holdout_days": 0}, "at least 1 day"),
    ],
)
def test_wrong_calls_are_named(settings: dict[str, Any], words: str, data: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        evaluate(data, small_config(), **settings)


def test_progress_runs_one_way(data: Path) -> None:
    told: list[tuple[str, float]] = []
    evaluate(data, small_config(), protocols=QUICK, progress=lambda stage, share=0.0: told.append((stage, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], told[-1]) == (0, ("done", 1.0))
    assert "rolling: for_you" in {stage for stage, _ in told}
