"""Random inputs for every parser and every call: each is read or refused, and nothing else."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from benchmarks.torture.attack import Arena, Outcome, rounds
from recsys.bundles.registry import LIVE_LOG
from recsys.core.errors import RecsysError
from recsys.core.timestamps import parse_iso, parse_micros
from recsys.data.collected import hits_of, payloads_of
from recsys.data.payloads import parse_payload
from recsys.pipeline.pagination import KEY_BYTES, PageSeal, read_token
from recsys.pipeline.recommender import Recommender
from serving.api.event_validation import TimestampBounds, entries_of
from serving.api.routes import OPERATIONS
from serving.app import create_app
from serving.problems import InvalidRequestError
from serving.runtime.settings import load_settings
from training.ingest.readers import read_table

REFUSED: Final = (RecsysError, InvalidRequestError)
NASTY: Final = (
    "", "\0", "\x85", "\ufeff", "\ud800", "🦊", "*", "^a$", "'", '"', ";", "\\", "%", "%2F", "../", "NaN", "-0",
    "1e999", "9" * 400, "null", "[]", "{}", "[" * 300, "( " * 50, "NOT ", "2024-02-30T25:61:00Z", "1970-01-01",
    "true", "tea, cup", "\r\n",
)  # fmt: skip
FILTERS: Final = (
    "price < 100 AND NOT category = 'x'", "tags HAS 'a' OR brand IN ('b', 'c')", "available = true", "title LIKE 'a%'",
    "user.region = 'north' AND context.store IS NOT NULL", "CAST(a.b AS number) BETWEEN 1 AND 2",
)  # fmt: skip
TIMES: Final = ("2024-05-01T08:00:00+08:00", "2024-05-01", "1714521600", "2024-05-01 08:00:00.123456Z")
EVENTS: Final = (
    {"event": "view_item", "item_id": "tea", "user_id": "u", "timestamp": "2024-05-01T08:00:00Z", "price": 3.5},
    {
        "name": "purchase",
        "params": {"transaction_id": "t", "items": [{"item_id": "tea", "quantity": 2}]},
        "user_id": "u",
    },
    {"type": "track", "event": "Order Completed", "properties": {"products": [{"product_id": "tea"}]}, "userId": "u"},
    {"eventType": "detail-page-view", "visitorId": "v", "productDetails": [{"product": {"id": "tea"}}]},
    {"name": "product_viewed", "id": "e", "clientId": "v", "data": {"productVariant": {"product": {"id": "tea"}}}},
)
HIT: Final = "v=2&cid=9.8&_p=1&_s=2&en=purchase&ep.transaction_id=T&pr1=idtea~pr3.5~qt2"
CSV: Final = b'event,item_id,user_id,timestamp\npurchase,"tea, green",u,2024-05-01\nview_item,cup,u,2024-05-02\n'
JSON_LINES: Final = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS[:2])


def parsers(arena: Arena, seconds: float) -> Outcome:
    """Give changed examples to each parser."""
    recommender, chosen, room = Recommender.of_bundle(arena.models), arena.random, arena.room("parsers")
    bounds = TimestampBounds(1_800_000_000, 1_800_000_300, 1_800_000_000.0)
    seal = PageSeal(b"k" * KEY_BYTES, 1_800_000_000)
    tokens = [msgspec.json.encode({"a": 1}).hex(), "AAAA", "eyJhIjoxfQ"]
    targets: tuple[tuple[str, Callable[[], object]], ...] = (
        ("filter", lambda: recommender.filter(changed(chosen, chosen.choice(FILTERS)))),
        ("time", lambda: _or_value_error(parse_iso, changed(chosen, chosen.choice(TIMES)))),
        ("number or time", lambda: _or_value_error(parse_micros, changed(chosen, chosen.choice(TIMES)))),
        ("page token", lambda: read_token(changed(chosen, chosen.choice(tokens)), recommender, seal)),
        ("collected", lambda: payloads_of(changed_json(chosen, {"batch": list(EVENTS)}))),
        ("hits", lambda: hits_of(changed(chosen, HIT), changed(chosen, HIT))),
        ("payload", lambda: parse_payload(changed_json(chosen, chosen.choice(EVENTS)))),
        ("event", lambda: entries_of(changed_json(chosen, chosen.choice(EVENTS)), bounds)),
        ("CSV", lambda: _read_file(room / "events.csv", changed_bytes(chosen, CSV))),
        ("JSON", lambda: _read_file(room / "events.jsonl", changed_bytes(chosen, JSON_LINES))),
    )
    counts = dict.fromkeys((name for name, _ in targets), 0)
    faults: list[str] = []
    share = seconds / len(targets)
    for name, target in targets:  # each has its share of the time: a slow one leaves the others theirs
        deadline = time.monotonic() + share
        while time.monotonic() < deadline or not counts[name]:
            counts[name] += 1
            try:
                target()
            except REFUSED:
                pass
            except Exception as error:
                faults.append(f"{name}: {type(error).__name__}: {error}"[:150])
    return Outcome(
        "inputs of parsers", sum(counts.values()), sum(counts.values()), 0, len(faults), "; ".join(faults[:2])
    )


def _or_value_error(parse: Callable[[str], object], text: str) -> None:
    """Parse a text; a parser of times refuses one by a `ValueError`."""
    with suppress(ValueError):
        parse(text)


def _read_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    read_table(path, "events")


def calls(arena: Arena, seconds: float) -> Outcome:
    """Send changed requests to every call of an app in this process; no answer is a 500."""
    settings = load_settings(models=arena.models, store=arena.room("calls") / LIVE_LOG, clock="data")
    app = create_app(settings)
    app.state.app_context.watcher.refresh()
    tries, faults = asyncio.run(_send(arena, app, seconds))
    app.state.app_context.close()
    return Outcome("inputs of calls", tries, tries, 0, len(faults), "; ".join(faults[:2]))


async def _send(arena: Arena, app: Any, seconds: float) -> tuple[int, list[str]]:
    chosen, tries, faults = arena.random, 0, []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://s"
    ) as client:
        for _ in rounds(seconds):
            for operation in OPERATIONS:
                method, path, body = _request(arena, operation.method, operation.path)
                if chosen.random() < 0.3:
                    path = changed(chosen, path)
                try:
                    response = await client.request(
                        method, path, content=body, headers={"content-type": "application/json"}
                    )
                except (httpx.InvalidURL, UnicodeError):
                    continue  # no client can send it
                tries += 1
                if response.status_code >= 500 and response.status_code != 503:
                    faults.append(f"{method} {path} {body[:200]!r}: {response.status_code}"[:300])
    return tries, faults


def _request(arena: Arena, method: str, path: str) -> tuple[str, str, bytes]:
    """Return a request that is nearly valid, with a changed body."""
    chosen = arena.random
    user, item = chosen.choice(arena.users), chosen.choice(arena.items)
    ids = {"user_id": quote(user, safe=""), "item_id": quote(item, safe=""), "page": "home", "version": "v"}
    path = re.sub(r"\{(\w+)\}", lambda name: ids.get(name[1], "any"), path)
    bodies: tuple[Any, ...] = (
        {
            "placement": chosen.choice(("for_you", "similar", "popular")),
            "user_id": user,
            "item_ids": [item],
            "limit": 5,
        },
        {"events": [chosen.choice(EVENTS)]},
        {"price": 3.5, "available": False, "tags": ["a"], "attributes": {"colour": "red"}},
        {"from": "visitor"},
        {"status": "running", "share": 0.1},
        {"impressions": [{"recommendation_id": "r", "placement": "for_you", "items": [{"item_id": item}]}]},
    )
    query = chosen.choice(
        ("", "?placement=similar&limit=3", "?filter=price<3&user_id=u", "?as_of=2024-05-01T00:00:00Z", "?from=v")
    )
    body = json.dumps(changed_json(chosen, chosen.choice(bodies))).encode("utf-8", "surrogatepass")
    return method, path + query, changed_bytes(chosen, body) if chosen.random() < 0.2 else body


def schema(arena: Arena, seconds: float) -> Outcome:
    """Let schemathesis derive requests, and sequences of them, from the OpenAPI document."""
    room, examples = arena.room("schema"), max(5, round(seconds))
    with arena.server(room) as server:
        command = [
            *(
                sys.executable,
                "-m",
                "schemathesis.cli",
                "run",
                f"http://127.0.0.1:{server.port}/openapi.json",
                "--no-color",
            ),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(examples)),
            *("--checks", "not_a_server_error", "--seed", str(arena.random.randrange(1 << 30))),
        ]
        run = subprocess.run(command, cwd=room, capture_output=True, text=True, check=False, timeout=10 * seconds + 300)
    words = run.stdout.replace(",", "").split()
    generated = next((int(word) for word, after in pairwise(words) if after == "generated" and word.isdigit()), 0)
    return Outcome(
        "inputs of schemathesis",
        generated,
        generated,
        0,
        int(run.returncode != 0),
        "" if run.returncode == 0 else run.stdout[-300:],
    )


def changed(chosen: random.Random, text: str) -> str:
    """Return a text with a few parts replaced, removed, doubled or inserted."""
    for _ in range(chosen.randrange(1, 4)):
        start = chosen.randrange(len(text) + 1)
        stop = min(len(text), start + chosen.randrange(4))
        part = chosen.choice((chosen.choice(NASTY), chr(chosen.randrange(1, 0x250)), text[start:stop] * 2, ""))
        text = text[:start] + part + text[stop:]
    return text[:5_000]


def changed_bytes(chosen: random.Random, content: bytes) -> bytes:
    """Return bytes with a few of them replaced, removed or inserted."""
    for _ in range(chosen.randrange(1, 5)):
        start = chosen.randrange(len(content) + 1)
        part = chosen.choice(
            (bytes([chosen.randrange(256)]), b"", b"\r", b'"', b"\n", b"\0", content[start : start + 9])
        )
        content = content[:start] + part + content[start + chosen.randrange(3) :]
    return content


def changed_json(chosen: random.Random, value: Any) -> Any:
    """Return a JSON value in which one part is replaced by another one."""
    if isinstance(value, dict) and value and chosen.random() < 0.9:
        key = chosen.choice(list(value))
        if chosen.random() < 0.1:
            return {**value, chosen.choice(NASTY): value[key]}
        return {**value, key: changed_json(chosen, value[key])}
    if isinstance(value, list) and value and chosen.random() < 0.8:
        return [changed_json(chosen, value[0]), *value[1:]]
    if isinstance(value, str) and chosen.random() < 0.5:
        return changed(chosen, value)
    odd = (None, True, -1, 0, 1e308, 2**70, [], {}, [value], {"a": value}, "", "\ud800", 0.1, [[]] * 20)
    return chosen.choice((*odd, chosen.choice(NASTY)))
