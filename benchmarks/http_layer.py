"""Processor time of the HTTP layer alone, as ratios to a bare FastAPI route with a fixed body.

    python -m benchmarks.http_layer --json http_layer.json

Every layer reads the fields of the same call, with the same ranges, and answers the same bytes; no bundle is needed.
Each is a server process of its own, and its rounds are interleaved with those of the others.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from urllib.parse import urlencode

from benchmarks.layers import BODY_LAYERS, LAYERS, LIST_PATH
from benchmarks.load import get, post, status_of
from benchmarks.results import Result, command
from benchmarks.server import benchmark_server
from benchmarks.server_process import ServerProcess
from benchmarks.serving import ServedCall, always

SIZE = 4000
"""Bytes of the answer: a list of twenty related items."""

N_IDS = 500
FIELDS = {
    "placement": "complementary",
    "limit": 10,
    "as_of": "2024-05-01T08:00:00+08:00",
    "filter": "price < 50 and available",
    "region": "north",
}
BASELINE = "bare FastAPI"
WITHOUT_RULES = {"path"}
"""Layers that refuse nothing: they show the share of the path alone."""


def item_path(number: int) -> str:
    """The path of a list for one of the items."""
    return f"/v1/items/item-{number}/recommendations"


def list_body(number: int) -> dict[str, object]:
    """The body of a list for a cart of three items."""
    fields: dict[str, object] = {name: value for name, value in FIELDS.items() if name != "region"}
    item_ids = [f"item-{number + place}" for place in range(3)]
    return {**fields, "item_ids": item_ids, "context": {"region": FIELDS["region"]}}


def requests_of(layer: str) -> dict[str, list[bytes]]:
    """The requests for a layer, by the number of their fields."""
    if layer in BODY_LAYERS:
        return {"6 fields": [post(LIST_PATH, list_body(number)) for number in range(N_IDS)]}
    paths = [item_path(number) for number in range(N_IDS)]
    asked = {"no query": [get(path) for path in paths]}
    if layer not in WITHOUT_RULES:
        asked["5 parameters"] = [get(f"{path}?{urlencode(FIELDS)}") for path in paths]
    return asked


def check_refusal(server: ServerProcess, layer: str) -> None:
    """Stop the run if a layer accepts an unknown name or a value that is out of range."""
    for name, value in (("unheard_of", 1), ("limit", 0)):
        if layer in BODY_LAYERS:
            request = post(LIST_PATH, {**list_body(0), name: value})
        else:
            request = get(f"{item_path(0)}?{urlencode({**FIELDS, name: value})}")
        status = status_of(server.port, request)
        if status != 422:
            raise SystemExit(f"{layer} answers {status} to {name}={value}, expected 422: the layers are not comparable")


def subjects(stack: ExitStack, connections: int) -> dict[str, ServedCall]:
    """Start a server for each layer."""
    bare = stack.enter_context(benchmark_server("--size", SIZE))
    every = {BASELINE: ServedCall(bare, always([get("/fixed")]), connections)}
    for layer in LAYERS:
        server = stack.enter_context(benchmark_server("--size", SIZE, "--layer", layer))
        if layer not in WITHOUT_RULES:
            check_refusal(server, layer)
        for kind, requests in requests_of(layer).items():
            every[f"{layer}, {kind}"] = ServedCall(server, always(requests), connections, base=every[BASELINE])
    return every


def measure(options: argparse.Namespace) -> list[Result]:
    """Interleave the rounds of all layers, and compare them with the bare route."""
    with ExitStack() as stack:
        every = subjects(stack, options.connections)
        for turn in range(options.rounds + 1):
            for each in every.values():
                if each.base is not None:
                    each.measure(options.requests, counts=turn > 0)
    return [Result("http-layer", name, each.summary()) for name, each in every.items()]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Size of a run."""
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=1000, help="per round")
    parser.add_argument("--rounds", type=int, default=40)


if __name__ == "__main__":
    command("benchmarks.http_layer", __doc__, [add_options], measure)
