"""What the server counts, for Prometheus."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Telemetry:
    """Figures of one app; several workers add theirs up through a folder.

    Args:
        folder: where the workers share their figures, None for one worker.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "recsys_request_seconds",
            "Time to answer, from the parsed request to the encoded answer.",
            ["placement", "status"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._bundles = Counter(
            "recsys_bundles",
            "Bundles that were opened, by whether they are served or were refused.",
            ["result"],
            registry=self._registry,
        )
        self._events = Counter(
            "recsys_events", "Events that were sent, by what became of them.", ["result"], registry=self._registry
        )
        self._impressions = Counter(
            "recsys_impressions",
            "Lists that were shown, by whether the live log has them, was full or failed.",
            ["result"],
            registry=self._registry,
        )
        self._of_labels: dict[tuple[str, int], Histogram] = {}

    def answered(self, placement: str, status: int, seconds: float) -> None:
        """Count a recommendation call.

        Args:
            placement: a list that exists, "" if the call named none.
            status: the HTTP status of the answer.
            seconds: how long it took.
        """
        histogram = self._of_labels.get((placement, status))
        if histogram is None:
            histogram = self._seconds.labels(placement, str(status))
            self._of_labels[placement, status] = histogram
        histogram.observe(seconds)

    def opened(self, result: str) -> None:
        """Count a bundle as `served` or `refused`."""
        self._bundles.labels(result).inc()

    def took(self, result: str, count: int) -> None:
        """Count events by what became of them."""
        self._events.labels(result).inc(count)

    def shown(self, result: str, count: int) -> None:
        """Count lists that were shown as `logged`, `dropped` or `failed`."""
        self._impressions.labels(result).inc(count)

    def exposition(self) -> bytes:
        """All figures, as Prometheus reads them."""
        if self._folder is None:
            return generate_latest(self._registry)
        workers = CollectorRegistry()
        MultiProcessCollector(workers, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(workers)
