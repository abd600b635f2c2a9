"""The data of a bundle and its training: rows that were left out, findings, times, the gate and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from serving.console.view import Content, Page, View

N_RUNS: Final = 20
"""Latest trainings that are listed."""


async def data(view: View) -> Content:
    """Build the page of one training, that of the serving bundle if none is chosen."""
    found = await view.api.get("/v1/models")
    runs = [_run(each) for each in reversed(found["models"])]
    known = [each["version"] for each in runs if not each["problem"]]
    chosen = view.value("version") or found["serving"] or view.api.app_context.watcher.snapshot().version
    record = await view.api.get("/v1/models/{version}/training", version=chosen)
    return {
        "record": record,
        "versions": known,
        "runs": runs[:N_RUNS],
        "spans": _spans(record),
        "longest": max(record["seconds"].values(), default=0.0) or 1.0,
        "evaluations": _evaluations(record),
        "gate_figures": _gate_figures(record["gate"]),
    }


def _run(bundle: Mapping[str, Any]) -> dict[str, Any]:
    metrics = bundle["metrics"]
    return {
        "version": bundle["version"],
        "created_at": bundle["created_at"],
        "problem": bundle["problem"],
        "is_current": bundle["is_current"],
        "rows": metrics.get("rows", {}),
        "decision": metrics.get("gate", {}).get("decision", ""),
        "seconds": sum(metrics.get("seconds", {}).values()),
    }


def _spans(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the days of the first and the last row, by table with times."""
    tables = (record["data"] or {}).get("tables", ())
    return {each["name"]: f"{_day(each['first'])} – {_day(each['last'])}" for each in tables if each["first"]}


def _day(text: str) -> str:
    return str(datetime.fromisoformat(text).date())


def _evaluations(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the orders of each list reached on past requests, the best order first."""
    found = []
    for name, each in record["blends"].items():
        orders = sorted(each.get("orders", {}).items(), key=lambda order: -order[1])
        if orders:
            found.append(
                {
                    "name": name,
                    "metric": each["metric"],
                    "n": each["n_held_out"],
                    "serves": each["order"],
                    "orders": orders,
                    "best": max(value for _, value in orders) or 1.0,
                    "weights": {source: ends for source, ends in each.get("weights", {}).items() if any(ends)},
                    "gain": each.get("gain"),
                }
            )
    return found


def _gate_figures(gate: Mapping[str, Any]) -> list[tuple[str, Mapping[str, float]]]:
    figures = gate.get("figures", {})
    return [(name, figures[name]) for name in ("new", "current", "difference") if name in figures]


PAGES: Final = (Page("data", data, "data.html", "data"),)
