from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys_client import ApiError, AsyncClient, Client, ClientError, Retries, UnreachableError
from recsys_client.models import ExplainedRecommendations, Recommendations
from tests.clients.faults import BROKEN, HANG, RESET, FaultProxy
from tests.ports import free_port
from tests.serving.conftest import Server
from tests.shop import ORPHANS, PHONES, WEEKLY_ITEM

ROOT = Path(__file__).parents[2]
USER = "u010"
QUICK = Retries(base_s=0.01, deadline_s=4)


class Both:
    """One of the two clients, called in the same way."""

    def __init__(self, kind: str, url: str, **given: Any) -> None:
        self._runner = asyncio.Runner() if kind == "async" else None
        given = {"timeout_s": 5.0, "retries": QUICK} | given
        self.client: Any = AsyncClient(url, **given) if self._runner else Client(url, **given)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)

        def call(*arguments: Any, **given: Any) -> Any:
            if self._runner is None:
                return method(*arguments, **given)

            async def wait() -> Any:
                found = method(*arguments, **given)
                return await found if isinstance(found, Awaitable) else found

            return self._runner.run(wait())

        return call

    def wait_for_events(self, n: int) -> None:
        """Give the queue up to ten seconds to have sent a number of events."""
        deadline = time.monotonic() + 10
        while self.client.counts.accepted < n and time.monotonic() < deadline:
            if self._runner is None:
                time.sleep(0.02)
            else:
                self._runner.run(asyncio.sleep(0.02))
        assert self.client.counts.accepted >= n

    def close(self) -> None:
        if self._runner is None:
            self.client.close()
        elif not self.client._is_closed:
            self._runner.run(self.client.aclose())
            self._runner.close()


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Both]]:
    opened: list[Both] = []

    def open_one(url: str, **given: Any) -> Both:
        opened.append(Both(request.param, url, **given))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def test_answers_are_typed(connect: Callable[..., Both], engine_server: Server) -> None:
    client = connect(engine_server.url)
    found = client.recommend_for_user(USER, placement="for_you", limit=3, log=False)
    assert isinstance(found, Recommendations)
    assert [item.rank for item in found.items] == [1, 2, 3]
    assert found.items[0].reasons[0].text
    assert found.as_of.tzinfo is not None
    odd = client.recommend_for_item(WEEKLY_ITEM, placement="bought_together", limit=2)
    assert odd.placement == "bought_together"
    explained = client.recommend_items(placement="for_you", user_id=USER, limit=1, explain=True, as_of=found.as_of)
    assert isinstance(explained, ExplainedRecommendations)
    assert explained.explanations
    assert client.rank_items(item_ids=list(PHONES), user_id=USER).items[0].rank == 1
    assert client.ready().model_version == found.model_version


def test_changes_are_sent_with_what_is_given_alone(connect: Callable[..., Both], engine_server: Server) -> None:
    client = connect(engine_server.url)
    assert client.patch_item(PHONES[0], price=99.5, attributes={"color": "black"}).kind == "item_patch"
    assert client.patch_item(PHONES[0], price=None).key == PHONES[0]
    assert client.merge_user("u011", from_="browser-11").kind == "merge"
    assert client.unmerge_user("u011", from_="browser-11").kind == "unmerge"


def test_a_refusal_names_the_field(connect: Callable[..., Both], engine_server: Server) -> None:
    client = connect(engine_server.url, fallback=["a"])
    with pytest.raises(ApiError) as raised:
        client.recommend_for_user(USER, limit=0)
    assert raised.value.status == 422
    assert raised.value.errors[0]["field"] == "limit"
    assert not raised.value.is_temporary
    with pytest.raises(ApiError, match="404"):
        client.recommend_for_item("nothing")


@pytest.mark.parametrize("fault", ["503", RESET, BROKEN])
def test_a_call_that_fails_is_sent_again(connect: Callable[..., Both], proxy: FaultProxy, fault: str) -> None:
    proxy.faults.extend([fault, fault])
    client = connect(proxy.url)
    assert client.recommend_for_user(USER, limit=2, log=False).items
    assert len(proxy.times) == 3


def test_a_hanging_call_is_sent_again(connect: Callable[..., Both], proxy: FaultProxy) -> None:
    proxy.faults.append(HANG)
    client = connect(proxy.url, timeout_s=0.4)
    assert client.recommend_for_user(USER, limit=2, log=False).items
    assert len(proxy.times) == 2


def test_retry_after_is_waited_for(connect: Callable[..., Both], proxy: FaultProxy) -> None:
    proxy.faults.append("503:1")
    client = connect(proxy.url)
    assert client.ready().clock == "wall"
    first, second = proxy.times
    assert second - first >= 1


def test_a_pause_past_the_deadline_is_not_begun(connect: Callable[..., Both], proxy: FaultProxy) -> None:
    proxy.faults.append("503:60")
    client = connect(proxy.url)
    started = time.monotonic()
    with pytest.raises(ApiError) as raised:
        client.ready()
    assert (raised.value.status, raised.value.retry_after) == (503, 60)
    assert time.monotonic() - started < 2


def test_a_change_that_may_have_been_carried_out_is_not_repeated(
    connect: Callable[..., Both], proxy: FaultProxy
) -> None:
    proxy.faults.append(RESET)
    client = connect(proxy.url)
    with pytest.raises(UnreachableError):
        client.merge_user("u012", from_="browser-12")
    assert len(proxy.times) == 1


@pytest.mark.parametrize("fault", ["503", RESET])
def test_the_fallback_list_is_served_where_the_engine_cannot(
    connect: Callable[..., Both], proxy: FaultProxy, fault: str
) -> None:
    proxy.faults.extend([fault] * 3)
    client = connect(proxy.url, fallback={"popular": ["p"], "": [PHONES[0], "b", "b", "c"]})
    found = client.recommend_for_item(PHONES[0], placement="similar", limit=2)
    assert ([item.item_id for item in found.items], found.fallback_used) == (["b", "c"], True)
    assert {item.source for item in found.items} == {"client_fallback"}
    proxy.faults.extend([fault] * 3)
    assert [item.item_id for item in client.recommend_items(placement="popular").items] == ["p"]
    proxy.faults.extend([fault] * 3)
    with pytest.raises(ClientError):
        client.ready()
    assert client.recommend_for_item(PHONES[0], placement="similar", limit=2).model_version


def test_nobody_listens(connect: Callable[..., Both]) -> None:
    client = connect(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnreachableError):
        client.recommend_for_user(USER)


def test_events_are_sent_together(connect: Callable[..., Both], proxy: FaultProxy) -> None:
    client = connect(proxy.url, flush_s=60, batch_size=5)
    for n in range(10):
        assert client.track(event="view_item", item_id=PHONES[n % 2], user_id=USER)
    client.wait_for_events(10)
    assert len(proxy.times) == 2


@pytest.mark.parametrize("fault", ["503", RESET, BROKEN])
def test_events_survive_failures_and_are_stored_once(
    connect: Callable[..., Both], proxy: FaultProxy, fault: str
) -> None:
    proxy.faults.extend([fault] * 5)
    client = connect(proxy.url, flush_s=0.01)
    client.track(event="view_item", item_id=PHONES[0], user_id=USER)
    client.wait_for_events(1)
    counts = client.client.counts
    assert (counts.accepted, counts.refused, counts.dropped) == (1, 0, 0)


def test_refused_events_are_reported(connect: Callable[..., Both], engine_server: Server) -> None:
    refused: list[tuple[Any, Any]] = []
    client = connect(engine_server.url, flush_s=60, on_refused=lambda event, errors: refused.append((event, errors)))
    client.track(event="view_item", item_id=ORPHANS[0], user_id=USER, price=-1)
    client.track(event="view_item", item_id=ORPHANS[0], user_id=USER)
    assert client.flush() is True
    ((event, errors),) = refused
    assert (event["price"], errors[0].field) == (-1, "price")
    assert (client.client.counts.accepted, client.client.counts.refused) == (1, 1)


def test_the_queue_is_bounded(connect: Callable[..., Both]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    client = connect(url, queue_size=3, close_s=0.3, retries=Retries(attempts=1), flush_s=60)
    kept = [client.track(event="view_item", item_id="a", user_id=USER) for _ in range(5)]
    assert kept == [True, True, True, False, False]
    assert client.flush() is False
    client.close()
    assert client.client.counts.dropped == 5


def test_events_are_flushed_when_the_client_is_closed(connect: Callable[..., Both], engine_server: Server) -> None:
    client = connect(engine_server.url, flush_s=60)
    client.track(event="view_item", item_id=PHONES[0], user_id=USER)
    client.close()
    assert client.client.counts.accepted == 1
    with pytest.raises(ClientError, match="closed"):
        client.client.track(event="view_item", item_id=PHONES[0], user_id=USER)


def test_events_are_flushed_when_the_program_ends(engine_server: Server) -> None:
    before = _n_events(engine_server)
    program = (
        "from recsys_client import Client\n"
        f"client = Client({engine_server.url!r}, flush_s=60)\n"
        f"client.track(event='view_item', item_id={PHONES[0]!r}, user_id='ends')\n"
    )
    path = {"PYTHONPATH": str(ROOT / "clients" / "python" / "src"), "NO_PROXY": "*"}
    subprocess.run([sys.executable, "-c", program], env=path, check=True, timeout=60)
    assert _n_events(engine_server) == before + 1


def _n_events(server: Server) -> float:
    text = server.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("recsys_events_total") and "accepted" in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_both_clients_have_the_same_methods() -> None:
    public = [name for name in vars(Client.__base__) if not name.startswith("_")]
    for name in public:
        ours, theirs = (inspect.signature(getattr(each, name)) for each in (Client, AsyncClient))
        assert ours.parameters == theirs.parameters, name


def test_the_key_is_sent() -> None:
    @contextmanager
    def seen(headers: list[httpx.Headers]) -> Iterator[Client]:
        def answer(request: httpx.Request) -> httpx.Response:
            headers.append(request.headers)
            return httpx.Response(200, json={"status": "live", "new_field": 1})

        with Client("http://engine", key="recsys_k", transport=httpx.MockTransport(answer)) as client:
            yield client

    found: list[httpx.Headers] = []
    with seen(found) as client:
        assert client.live().status == "live"
    assert found[0]["authorization"] == "Bearer recsys_k"
