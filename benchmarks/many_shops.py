"""Memory of many small shops in one server, and attacks of one shop on another.

    python -m benchmarks.many_shops --shops 1000 --attacks 10000 --json many-shops.json

One small shop is generated and trained, and its bundle copied for every other shop, each with a key of its own. Each
shop is called once, so that all are open; then the memory of the server is read, and its processor time while nobody
calls. An attack is a call to the host of one
shop with the key of another, or with the user, page token or path of another: it succeeds if the answer is not a
refusal, or has anything of the other shop.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.results import Result, command
from benchmarks.server_process import HOST, ServerProcess
from serving.runtime.auth import new_key, write_keys
from serving.runtime.pace import QUIET_S

PART: Final = "many shops"
EVENTS, ITEMS, USERS = 20_000, 1_000, 500
GB: Final = 2**30
REFUSED: Final = frozenset({401, 403, 404, 422})
MAX_MEMORY_GB: Final = 8.0
IDLE_S: Final = 20.0
MAX_IDLE_CORES: Final = 0.1
"""Processor time that open shops may take while nobody calls them, as a share of one core."""


def recsys(*words: object) -> list[str]:
    """Return the command line of a `recsys` command."""
    return [sys.executable, "-c", "from cli.main import main; main()", *map(str, words)]


def build_shops(root: Path, n_shops: int) -> dict[str, str]:
    """Write the folders of the shops; return the key of each."""
    sizes = ("--events", EVENTS, "--items", ITEMS, "--users", USERS)
    data, models = root.parent / "data", root.parent / "models"
    made = [sys.executable, "-m", "benchmarks.generated_shop", "--out", data, *sizes]
    subprocess.run([str(word) for word in made], check=True)
    subprocess.run(recsys("train", "--data", data, "--models", models), check=True, stdout=subprocess.DEVNULL)
    keys = {}
    for number in range(n_shops):
        name = f"shop{number:05}"
        shutil.copytree(models, root / name / "models", copy_function=shutil.copyfile)
        key, keys[name] = new_key(name, ["admin"], datetime.now(UTC))
        write_keys(root / name / "keys.json", [key])
        (root / name / "shop.toml").write_text(f'hosts = ["{name}.example"]\n', encoding="utf-8")
    return keys


def proportional_bytes(pid: int) -> int:
    """Return the proportional memory of a process: its own, and its share of what it shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class Caller:
    """One keep-alive connection to a server."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=120)

    def call(self, method: str, path: str, host: str, key: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body."""
        headers = {"Host": host, "X-API-Key": key, "Content-Type": "application/json"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = self._connection.getresponse()
        return reply.status, reply.read()


def attack(caller: Caller, keys: dict[str, str], victim: str, attacker: str, randomness: random.Random) -> bool:
    """Try once to reach a shop with the key of another; return whether it has worked."""
    secret = f"secret-{victim}"
    host, key = f"{victim}.example", keys[attacker]
    paths = ("/v1/models", "/v1/audit", "/v1/placements", f"/v1/users?q={secret}", "/v1/keys", "/metrics", "/v1/stats")
    kind = randomness.randrange(5)
    if kind == 0:
        status, _ = caller.call("GET", randomness.choice(paths), host, key)
        return status not in REFUSED
    if kind == 1:
        status, _ = caller.call("POST", "/v1/recommendations", host, key, {"placement": "for_you", "user_id": secret})
        return status not in REFUSED
    if kind == 2:
        event = {"event": "purchase", "item_id": "i1", "user_id": secret}
        status, _ = caller.call("POST", "/v1/events", host, key, {"events": [event]})
        return status not in REFUSED
    body = {"placement": "for_you", "user_id": secret}
    if kind == 3:  # of its own server: nothing is known of the victim's user
        status, found = caller.call("POST", "/v1/recommendations", f"{attacker}.example", key, body)
        return status != 200 or not json.loads(found)["fallback_used"]
    path = f"/../{victim}/v1/users/{secret}/recommendations"
    status, found = caller.call("GET", path, f"{attacker}.example", key)
    return status == 200 and secret.encode() in found


def measure(options: argparse.Namespace) -> list[Result]:
    """Open all shops, read the memory, and attack."""
    randomness = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "shops"
        root.mkdir()
        keys = build_shops(root, options.shops)
        environment = os.environ | {"RECSYS_MAX_OPEN_SHOPS": str(options.shops), "RECSYS_POLL_SECONDS": "5"}
        serve = lambda port: recsys("serve", "--shops", root, "--port", port, "--clock", "data")  # noqa: E731
        with ServerProcess("many shops", serve, environment=environment) as server:
            before = proportional_bytes(server.pids()[0])
            caller, began, took = Caller(server.port), time.perf_counter(), []
            for name, key in keys.items():
                at = time.perf_counter()
                status, _ = caller.call("POST", "/v1/recommendations", "nobody", key, {"placement": "popular"})
                took.append(time.perf_counter() - at)
                if status != 200:
                    raise SystemExit(f"{name} answered {status}")
            event = {"event": "purchase", "item_id": "0"}
            for name, key in keys.items():
                sent = {"events": [event | {"user_id": f"secret-{name}"}]}
                caller.call("POST", "/v1/events", f"{name}.example", key, sent)
            opened = time.perf_counter() - began
            memory = proportional_bytes(server.pids()[0])
            time.sleep(2 * QUIET_S)
            busy = server.cpu_s()
            time.sleep(IDLE_S)
            idle = (server.cpu_s() - busy) / IDLE_S
            names = list(keys)
            won = 0
            for _ in range(options.attacks):
                victim, attacker = randomness.sample(names, 2)
                won += attack(caller, keys, victim, attacker, randomness)
        values = {
            "shops": float(options.shops),
            "memory_gb": memory / GB,
            "mb_per_shop": (memory - before) / options.shops / 2**20,
            "opened_s": opened,
            "slowest_first_call_ms": 1000 * max(took),
            "idle_cores": idle,
        }
        return [
            Result(
                PART,
                "memory of open shops",
                values,
                {"memory_gb": ("<=", MAX_MEMORY_GB), "idle_cores": ("<=", MAX_IDLE_CORES)},
            ),
            Result(
                PART,
                "attacks on another shop",
                {"attacks": float(options.attacks), "succeeded": float(won)},
                {"succeeded": ("<=", 0)},
            ),
        ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--shops", type=int, default=1000, help="number of shops")
    parser.add_argument("--attacks", type=int, default=10_000, help="number of attacks")


if __name__ == "__main__":
    command("benchmarks.many_shops", __doc__, [add_arguments], measure)
