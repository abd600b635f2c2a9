from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serving.runtime.telemetry import Telemetry

COUNT = """
from pathlib import Path
from serving.runtime.telemetry import Telemetry
telemetry = Telemetry(Path({folder!r}))
telemetry.answered("popular", 200, 0.002)
telemetry.received("accepted", 2)
print(telemetry.exposition().decode())
"""


def lines(telemetry: Telemetry) -> set[str]:
    return set(telemetry.exposition().decode().splitlines())


def test_counters_start_empty_and_have_the_published_names() -> None:
    telemetry = Telemetry()
    assert {line for line in lines(telemetry) if line.startswith("recsys_")} == {
        "recsys_log_lost 0.0",
        "recsys_set_aside_entries 0.0",
    }
    telemetry.set_aside(2)
    assert "recsys_set_aside_entries 2.0" in lines(telemetry)
    telemetry.answered("popular", 200, 0.002)
    telemetry.opened("served")
    telemetry.received("accepted", 3)
    telemetry.shown("logged", 4)
    found = lines(telemetry)
    assert 'recsys_request_seconds_count{placement="popular",status="200"} 1.0' in found
    assert 'recsys_request_seconds_bucket{le="0.0025",placement="popular",status="200"} 1.0' in found
    assert 'recsys_request_seconds_bucket{le="0.001",placement="popular",status="200"} 0.0' in found
    assert 'recsys_bundles_total{result="served"} 1.0' in found
    assert 'recsys_events_total{result="accepted"} 3.0' in found
    assert 'recsys_impressions_total{result="logged"} 4.0' in found


def test_two_apps_of_one_process_count_separately() -> None:
    one, other = Telemetry(), Telemetry()
    one.opened("served")
    assert 'recsys_bundles_total{result="served"} 1.0' not in lines(other)


def test_workers_add_up_their_metrics(tmp_path: Path) -> None:
    for count in (1, 2):
        worker = subprocess.run(
            [sys.executable, "-c", COUNT.format(folder=str(tmp_path))],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert f'recsys_events_total{{result="accepted"}} {2.0 * count}' in worker.stdout
        assert f'recsys_request_seconds_count{{placement="popular",status="200"}} {count}.0' in worker.stdout
