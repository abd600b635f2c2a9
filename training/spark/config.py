"""Settings of a training on Spark, importable without Spark."""

from __future__ import annotations

from dataclasses import dataclass

from recsys.core.config.ranges import PositiveInt


@dataclass(frozen=True)
class SparkConfig:
    """Settings of `recsys train --engine spark`.

    Attributes:
        part_events: events of a part, about; a task of an executor holds one part at a time.
        sample_events: events of the users that the driver holds, about.
        driver_memory_mb: memory of the driver's Java process, in MB; with a local master that of the executors too.
    """

    part_events: PositiveInt = 500_000
    sample_events: PositiveInt = 3_000_000
    driver_memory_mb: PositiveInt = 2048
