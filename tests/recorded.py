"""A bundle that records all of its data and training, with texts that a page must not take for markup."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.data_report import DataReport, IngestedTable, RejectedRow, RejectReason, SupportedLists
from recsys.bundles.registry import activate
from recsys.fitting.engine import Engine

SCRIPT: Final = "<script>alert(1)</script>"
EVENTS: Final = IngestedTable(
    name=f"events{SCRIPT}",
    rows=12,
    kept=8,
    duplicates=1,
    rejected=3,
    skipped={f"page_view{SCRIPT}": 4},
    first="2024-05-01T10:00:00+00:00",
    last="2024-06-30T10:00:00+00:00",
    reasons=(
        RejectReason(
            f"timestamp is not a time{SCRIPT}",
            3,
            f"row 2: {SCRIPT}",
            (RejectedRow(f"events.csv:2{SCRIPT}", f'{{"timestamp": "{SCRIPT}"}}'),),
        ),
    ),
    emptied=(RejectReason(f"price is below 0{SCRIPT}", 2, SCRIPT),),
    notes=(f"times are read as UTC{SCRIPT}",),
)
REPORT: Final = DataReport(
    (EVENTS,),
    (f"2 items of events not in the items table{SCRIPT}",),
    (SupportedLists(("for_you",), "als", "thin", f"only 8 purchases{SCRIPT}"),),
)
GAIN: Final = {"mean": 0.01, "low": 0.001, "high": 0.02}
VALUE: Final = {"value": 0.2, "low": 0.1, "high": 0.3}
METRICS: Final[dict[str, Any]] = {
    "rows": {"events": 8, "users": 3, "items": 4},
    "seconds": {"reading the tables": 0.5, f"als{SCRIPT}": 2.0},
    "gate": {
        "decision": "passed",
        "why": SCRIPT,
        "figures": {
            "metric": "next_basket.recall@10",
            "new": VALUE,
            "current": VALUE,
            "difference": GAIN | {"value": 0.0},
        },
    },
    "gate_settings": {
        "enabled": True,
        "metric": "next_basket.recall@10",
        "holdout_days": 28,
        "max_shrink": 0.5,
        "max_metric_fall": 0.3,
    },
    "rankers": {},
    "orders": [f"for_you: ordered by ranker{SCRIPT}"],
    "blends": {
        "next": {
            "order": "ranker",
            "metric": "recall@10",
            "n_held_out": 2489,
            "orders": {"popularity": 0.04, f"ranker{SCRIPT}": 0.126},
            "weights": {"als": [0.25, 0.5], "popular": [0.0, 0.0]},
            "gain": GAIN,
        },
        "together": {"order": "co-purchase", "metric": "hit_rate@10", "n_held_out": 9, "orders": {"popularity": 0.0}},
    },
    "settings": {f"ease{SCRIPT}": {"configured": 1.0, "chosen": 0.5, "metric": "recall@10", "gain": GAIN}},
    "churn": {},
}


def write_recorded(engine: Engine, models: Path) -> str:
    """Write such a bundle, make it the current one, and return its version."""
    content = msgspec.json.encode(REPORT)
    made_at = datetime(2024, 7, 9, tzinfo=UTC)
    manifest = write_bundle(engine, models, Provenance(made_at, "recorded", METRICS, (f"odd{SCRIPT}",), content))
    activate(models, manifest.version)
    return manifest.version
