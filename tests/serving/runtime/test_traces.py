"""Spans of calls, as an exporter gets them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import socket
from time import time
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import structs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from recsys.core.errors import ConfigError
from serving.runtime import traces
from serving.runtime.app_context import with_start_time
from serving.runtime.auth import new_key, write_keys
from serving.runtime.settings import load_settings
from serving.shops.app import ManyShops
from tests.serving.conftest import Client, client_of
from tests.shop import PHONES, USERS_WITH_HISTORY

TARGET = "http://collector.example/v1/traces"
ITEM_LIST = f"/v1/items/{PHONES[0]}/recommendations"
ITEM_ROUTE = "/v1/items/{item_id}/recommendations"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
USER = USERS_WITH_HISTORY[0]


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "provider_to", lambda target: provider)
    return exporter


@pytest.fixture
def traced(exporter: InMemorySpanExporter, shop_models: Path) -> Iterator[Client]:
    with client_of(shop_models, traces=TARGET) as client:
        yield client


def taken(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, ReadableSpan]]:
    """Return the span of the only call since the last time, and its children by name."""
    spans = list(exporter.get_finished_spans())
    exporter.clear()
    (call,) = [span for span in spans if span.kind is SpanKind.SERVER]
    children = {span.name: span for span in spans if span is not call}
    assert len(children) == len(spans) - 1
    for child in children.values():
        assert child.parent is not None
        assert child.parent.span_id == call.context.span_id
        assert child.context.trace_id == call.context.trace_id
    return call, children


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_list_has_a_span_with_its_wait_and_its_making(traced: Client, exporter: InMemorySpanExporter) -> None:
    reply = traced.request("POST", "/v1/recommendations", json={"placement": "for_you", "user_id": USER})
    call, children = taken(exporter)
    assert call.name == "POST /v1/recommendations"
    assert call.parent is None
    assert attributes(call) == {
        "http.request.method": "POST",
        "http.route": "/v1/recommendations",
        "http.response.status_code": 200,
        "recsys.placement": "for_you",
        "recsys.model_version": reply.json()["model_version"],
    }
    assert set(children) == {"queue", "make"}
    queue, make = children["queue"], children["make"]
    times = [call.start_time, queue.start_time, queue.end_time, make.end_time, call.end_time]
    assert times == sorted(times, key=lambda at: at or 0)
    assert queue.end_time == make.start_time
    assert call.status.status_code is StatusCode.UNSET


def test_the_trace_of_the_caller_goes_on(traced: Client, exporter: InMemorySpanExporter) -> None:
    parent = f"00-{TRACE_ID}-{PARENT_ID}-01"
    traced.request("GET", ITEM_LIST, headers={"traceparent": parent, "tracestate": "shop=1", "baggage": "user=x"})
    call, _ = taken(exporter)
    assert call.parent is not None
    assert (f"{call.context.trace_id:032x}", f"{call.parent.span_id:016x}") == (TRACE_ID, PARENT_ID)
    assert call.context.trace_state.to_header() == "shop=1"
    assert attributes(call)["http.route"] == ITEM_ROUTE


@pytest.mark.parametrize("sent", ["", "00", f"00-{'0' * 32}-{PARENT_ID}-01", "é" * 40, f"ff-{TRACE_ID}-{PARENT_ID}-01"])
def test_a_wrong_parent_begins_a_trace(traced: Client, exporter: InMemorySpanExporter, sent: str) -> None:
    reply = traced.request("GET", ITEM_LIST, headers=[(b"traceparent", sent.encode())])
    assert reply.status_code == 200
    call, _ = taken(exporter)
    assert call.parent is None


def test_refusals_have_their_status(
    shop_models: Path, exporter: InMemorySpanExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = new_key("", ["admin"], datetime(2026, 1, 1, tzinfo=UTC))
    write_keys(tmp_path / "keys.json", [structs.replace(key, quota=2)])
    paths = [ITEM_LIST, "/v1/items/none/recommendations", ITEM_LIST]
    given = {"keys": tmp_path / "keys.json", "key_counts": tmp_path / "counts", "traces": TARGET}
    with client_of(shop_models, **given) as client:
        for path, status in zip([*paths, ITEM_LIST], [200, 404, 429, 401], strict=True):
            client.request("GET", path, headers={"X-API-Key": secret} if status != 401 else {})
            call, _ = taken(exporter)
            assert attributes(call)["http.response.status_code"] == status
            assert call.status.status_code is StatusCode.UNSET
        write_keys(tmp_path / "keys.json", [key])
        monkeypatch.setattr(client.app.state.app_context.keys, "check", lambda *_: 1 / 0)
        assert client.get(ITEM_LIST).status_code == 500
        call, _ = taken(exporter)
        assert (call.status.status_code, attributes(call)["error.type"]) == (StatusCode.ERROR, "500")


def test_no_span_has_an_id_of_the_shop(traced: Client, exporter: InMemorySpanExporter) -> None:
    secrets = ["user-secret", "visitor-secret", "session-secret", "item-secret", "event-secret", USER, PHONES[0]]
    body = {"user_id": secrets[0], "visitor_id": secrets[1], "session_id": secrets[2], "item_ids": [secrets[3]]}
    event = {"event": "view_item", "item_id": PHONES[0], "user_id": USER, "event_id": "event-secret"}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v1/recommendations", {"placement": "for_you"} | body),
        ("POST", "/v1/recommendations", {"placement": "user-secret"} | body),
        ("POST", "/v1/pages", {"shelves": [{"placement": "popular"}], "user_id": USER}),
        ("POST", "/v1/events", {"events": [event]}),
        (
            "GET",
            f"/v1/users/{quote(USER, safe='')}/recommendations?placement=for_you&filter=brand%3D%27event-secret%27",
            None,
        ),
        ("GET", ITEM_LIST + "?user_id=user-secret", None),
        ("GET", f"/v1/explain?user_id={quote(USER)}&item_id={PHONES[0]}&placement=for_you", None),
        ("PATCH", "/v1/users/user-secret", {"region": "x"}),
        ("DELETE", "/v1/users/user-secret", None),
        ("USER-SECRET", ITEM_LIST, None),
    ]
    for method, path, sent in calls:
        traced.request(method, path, json=sent)
        spans = exporter.get_finished_spans()
        assert any(span.kind is SpanKind.SERVER for span in spans), path
        text = "".join(span.to_json() for span in spans)
        assert not [secret for secret in secrets if secret.lower() in text.lower()]
        exporter.clear()


def test_operations_and_lines_of_batches_have_no_spans(traced: Client, exporter: InMemorySpanExporter) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/nothing"):
        traced.get(path)
    assert not exporter.get_finished_spans()
    text = "\n".join([json.dumps({"placement": "popular"})] * 20)
    traced.request("POST", "/v1/batch", content=text, headers={"Content-Type": "application/x-ndjson"})
    _, children = taken(exporter)
    assert not children


def test_calls_that_are_not_sampled_cost_no_children(shop_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "provider_to", lambda target: provider)
    with client_of(shop_models, traces=TARGET) as client:
        assert client.get(ITEM_LIST).status_code == 200
        assert not exporter.get_finished_spans()
        client.request("GET", ITEM_LIST, headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})
        taken(exporter)


def test_nothing_is_imported_while_nothing_is_traced() -> None:
    code = (
        "import sys, pathlib; from serving.app import create_app; from serving.runtime.settings import load_settings;"
        "create_app(load_settings(models=pathlib.Path('.')));"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_an_error_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces.provider_to.cache_clear()
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    missing = pytest.raises(ConfigError, match=r"pip install 'recsys\[otel\]'")
    with missing:
        with_start_time(load_settings(models=tmp_path, traces="console"))
    with missing:
        ManyShops(load_settings(shops=tmp_path, traces="console"))
    with_start_time(load_settings(models=tmp_path))


@pytest.mark.parametrize("target", ["collector:4318", "http://", "file:///tmp/x", "http://a b/", "Console"])
def test_other_targets_are_refused(target: str) -> None:
    with pytest.raises(ConfigError, match=r"setting 'traces' is .*: expected 'console', or a URL"):
        load_settings(traces=target)


def test_an_endpoint_that_does_not_answer_delays_the_end_by_two_seconds() -> None:
    code = (
        "import sys, time; from serving.runtime.traces import open_traces;"
        "traces = open_traces(sys.argv[1], lambda: None);"
        "scope = {'method': 'GET', 'headers': []}\n"
        "for _ in range(2000):\n"
        "    with traces.call('/x', scope, None): pass\n"
        "print(time.time())"
    )
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        done = subprocess.run([sys.executable, "-c", code, target], check=True, capture_output=True, text=True)
        assert time() - float(done.stdout) < traces.FLUSH_S + 4  # the rest ends the interpreter on a busy machine


def test_an_endpoint_gets_the_spans(shop_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=tea,deployment.environment.name=test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    traces.provider_to.cache_clear()
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        target = f"http://127.0.0.1:{server.server_port}/v1/traces"
        with client_of(shop_models, traces=target, workers=2) as client:
            client.get(ITEM_LIST)
        assert len(received) == 1  # a worker sends what waits before it ends
        traces.provider_to(target).shutdown()
        traces.provider_to.cache_clear()
        server.shutdown()
        thread.join()
    (request,) = [ExportTraceServiceRequest.FromString(each) for each in received]
    (resource,) = request.resource_spans
    values = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (values["service.name"], values["deployment.environment.name"]) == ("tea", "test")
    assert f"GET {ITEM_ROUTE}" in {span.name for scope in resource.scope_spans for span in scope.spans}
