"""The page of the segments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.report.test_plots import texts
from training.report.plots import plot_calibration, plot_shares
from training.report.segments_page import write_page
from training.segment_report import SegmentReport, StageSummary

MODEL = {"name": "logistic", "auc": 0.9, "auc_low": 0.8, "auc_high": 0.95, "gain_low": 0.01, "gain_high": 0.1}
CHURN = {
    "serves": "logistic",
    "horizon_days": 28.0,
    "n_buyers": 200,
    "churn_rate": 0.25,
    "models": [MODEL | {"name": "recency", "log_loss": 0.5}, MODEL | {"log_loss": 0.4}],
    "calibration": [{"predicted": 0.1, "observed": 0.2, "n": 100}, {"predicted": 0.5, "observed": 0.4, "n": 100}],
    "calibration_error": 0.1,
}
STAGES = (StageSummary("active", 3, 0.75, 1, 0, 0.2, 10.0), StageSummary("<b>", 1, 0.25, 0, 0, None, None))
REPORT = SegmentReport("v1", "2026-01-01T00:00:00+00:00", 4, STAGES, {"life_cycle": 4}, CHURN)


def _page(report: SegmentReport, folder: Path) -> str:
    write_page(report, folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def test_the_page_has_both_plots_and_the_same_bytes(tmp_path: Path) -> None:
    page = _page(REPORT, tmp_path)
    assert page.count("<svg") == 2
    assert page == _page(REPORT, tmp_path)
    assert "&lt;b&gt;" in page
    assert '<tr class="serves"><td>logistic' in page


@pytest.mark.parametrize(
    ("churn", "sentence"),
    [
        ({"serves": "", "models": [], "calibration": []}, "there are no orders"),
        ({"serves": "mbg_nbd", "models": [], "calibration": []}, "too short to compare"),
    ],
)
def test_what_is_missing_is_said(churn: dict[str, object], sentence: str, tmp_path: Path) -> None:
    page = _page(replace(REPORT, stages=(), churn=churn), tmp_path)
    assert sentence in page
    assert "<svg" not in page


def test_plots_name_their_axes() -> None:
    assert {"predicted churn (%)", "observed churn (%)"} <= set(texts(plot_calibration([(0.0, 0.0), (0.4, 0.5)])))
    assert {"active", "75.0 %"} <= set(texts(plot_shares({"active": 0.75, "lost": 0.25})))
