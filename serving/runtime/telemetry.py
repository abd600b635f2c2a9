"""The server's metrics, for Prometheus."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.275, 0.3, 0.35, 0.4, 0.5, 1.0, 2.5),
)


class Telemetry:
    """Metrics of one app; several workers add theirs up through a folder.

    Args:
        folder: shared by the workers, None for one worker.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "recsys_request_seconds",
            "Time of a call for a list, from the end of its headers to the last byte of the response.",
            ["placement", "status"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._bundles = Counter(
            "recsys_bundles",
            "Bundles that were opened, by result: served or refused.",
            ["result"],
            registry=self._registry,
        )
        self._events = Counter(
            "recsys_events", "Events that were received, by result.", ["result"], registry=self._registry
        )
        self._impressions = Counter(
            "recsys_impressions",
            "Lists that were returned, by result: logged, dropped or failed.",
            ["result"],
            registry=self._registry,
        )
        self._limited = Counter(
            "recsys_limited_calls",
            "Calls that were refused by a limit of their key, by reason: rate or quota.",
            ["reason"],
            registry=self._registry,
        )
        self._set_aside = Gauge(
            "recsys_set_aside_entries",
            "Entries of the live log that could not be applied; `recsys store check` names them.",
            multiprocess_mode="max",
            registry=self._registry,
        )
        self._log_lost = Gauge(
            "recsys_log_lost",
            "1 while the live log cannot be read: lists lack its newest entries, and writes are refused.",
            multiprocess_mode="mostrecent",
            registry=self._registry,
        )
        self._n_set_aside = 0
        self._children: dict[tuple[str, int], Histogram] = {}

    def answered(self, placement: str, status: int, seconds: float) -> None:
        """Count a call for a list.

        Args:
            placement: an existing one, "" if the call named none.
            status: the HTTP status of the response.
            seconds: duration of the call.
        """
        histogram = self._children.get((placement, status))
        if histogram is None:
            histogram = self._seconds.labels(placement, str(status))
            self._children[placement, status] = histogram
        histogram.observe(seconds)

    def opened(self, result: str) -> None:
        """Count a bundle as `served` or `refused`."""
        self._bundles.labels(result).inc()

    def received(self, result: str, count: int) -> None:
        """Count events by result."""
        self._events.labels(result).inc(count)

    def shown(self, result: str, count: int) -> None:
        """Count lists that were returned as `logged`, `dropped` or `failed`."""
        self._impressions.labels(result).inc(count)

    def limited(self, reason: str) -> None:
        """Count a call that was refused by the `rate` or the `quota` of its key."""
        self._limited.labels(reason).inc()

    def set_aside(self, count: int) -> None:
        """Set the number of entries of the log that could not be applied."""
        if count != self._n_set_aside:
            self._n_set_aside = count
            self._set_aside.set(count)

    def log_is_lost(self, *, is_lost: bool) -> None:
        """Set whether the live log cannot be read."""
        self._log_lost.set(int(is_lost))

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        if self._folder is None:
            return generate_latest(self._registry)
        workers = CollectorRegistry()
        MultiProcessCollector(workers, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(workers)
