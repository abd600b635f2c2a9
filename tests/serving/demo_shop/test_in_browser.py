"""A visitor of the demo shop, in a real browser: on a phone and on a desktop, in both languages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page

from recsys.eventlog.sqlite import SqliteStore
from tests.browser import started
from tests.serving.conftest import Server

DEVICES: Final[dict[str, dict[str, Any]]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}, "locale": "en-US"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "locale": "zh-CN",
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "dark",
    },
}
COUNT_SHIFTS: Final = """
window.shifted = 0;
new PerformanceObserver((list) => list.getEntries().forEach((each) => (window.shifted += each.value)))
  .observe({ type: "layout-shift", buffered: true });
"""
SCREENSHOTS: Final = os.environ.get("RECSYS_SCREENSHOTS")
"""A folder for pictures of the pages, if they should be kept."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "store.sqlite"


@pytest.fixture(scope="module")
def shop(shop_models: Path, store: Path) -> Iterator[Server]:
    server = Server(shop_models, demo_shop="true", store=store)
    server.wait()
    yield server
    server.stop()


class Visit:
    """A visitor's browser, and everything that went wrong in it."""

    def __init__(self, browser: Browser, shop: Server, store: Path, device: str) -> None:
        self.store = store
        with closing(SqliteStore(store)) as log:
            self.start = log.last_seq()
        self.device, self.home = device, f"{shop.url}/demo-shop"
        self.context = browser.new_context(**DEVICES[device])
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.calls: list[str] = []
        self.page.on("console", lambda each: self.faults.append(each.text) if each.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda each: self.calls.append(each.url) if each.method == "POST" else None)
        self.page.add_init_script(COUNT_SHIFTS)

    def settled(self, name: str) -> None:
        """Wait for the lists; check that nothing moved and nothing is wider than the screen."""
        wait = "[...document.querySelectorAll('rec-list')].every((each) => each.shadowRoot && !each.ariaBusy)"
        self.page.wait_for_timeout(300)
        self.page.wait_for_function(f"() => {wait}")
        assert self.page.evaluate("window.shifted") < 0.001
        width, screen = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= screen
        if SCREENSHOTS is not None:
            self.page.screenshot(path=f"{SCREENSHOTS}/demo-shop-{self.device}-{name}.png", full_page=True)

    def logged(self) -> dict[str, str]:
        """Return the visitor of each kind of entry since the visit began, by event."""
        with closing(SqliteStore(self.store)) as store:
            for _ in range(100):
                entries = [each.entry for each in store.read_after(self.start, 10_000)]
                found = {entry.body.get("event", entry.entry_type): entry.body["visitor_id"] for entry in entries}
                if "impression" in found:
                    break
                time.sleep(0.05)
        return found

    def listed(self, placement: str) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(f"document.querySelector('rec-list[placement={placement}]').shelf")
        return found


@pytest.fixture
def visit(browser: Browser, shop: Server, store: Path) -> Iterator[Callable[[str], Visit]]:
    visits: list[Visit] = []

    def start(device: str) -> Visit:
        visits.append(Visit(browser, shop, store, device))
        return visits[-1]

    yield start
    for each in visits:
        each.context.close()
        assert each.faults == []


@pytest.mark.parametrize("device", DEVICES)
def test_what_a_visitor_does_changes_the_lists(visit: Callable[[str], Visit], device: str) -> None:
    shopper = visit(device)
    page = shopper.page
    page.goto(shopper.home)
    shopper.settled("home")
    assert [call for call in shopper.calls if "/v1/" in call] == [shopper.home.replace("demo-shop", "v1/pages")]
    assert shopper.listed("for_you")["fallback_used"]
    page.locator("button[value=granted]").click()
    page.wait_for_url("**/demo-shop")
    shopper.settled("known")
    page.locator("rec-list[placement=popular] a").nth(2).click()
    page.wait_for_url("**/products/**")
    shopper.settled("product")
    before = shopper.listed("for_you")
    page.locator("form[data-event=add_to_cart] button").click()
    page.wait_for_function("() => document.getElementById('count').textContent === '1'")
    shopper.settled("added")
    after = shopper.listed("for_you")
    assert after["recommendation_id"] != before["recommendation_id"]
    assert not after["fallback_used"]
    page.goto(f"{shopper.home}/basket")
    shopper.settled("basket")
    assert page.locator(".lines li").count() == 1
    page.locator("form[data-event=purchase] button").click()
    page.wait_for_url("**/basket?bought=1")
    shopper.settled("bought")
    page.goto(shopper.home)
    shopper.settled("return")
    assert not shopper.listed("for_you")["fallback_used"]
    page.wait_for_timeout(1300)
    page.goto("about:blank")
    logged = shopper.logged()
    assert {"impression", "view_item", "select_item", "add_to_cart", "purchase"} <= set(logged)
    assert len(set(logged.values())) == 1, "all of one visitor"


def test_who_declines_is_not_followed(visit: Callable[[str], Visit]) -> None:
    shopper = visit("desktop")
    page = shopper.page
    page.goto(shopper.home)
    page.locator("button[value=denied]").click()
    page.wait_for_url("**/demo-shop")
    page.locator("rec-list[placement=popular] a").first.click()
    page.wait_for_url("**/products/**")
    shopper.settled("declined")
    page.locator("form[data-event=add_to_cart] button").click()
    page.wait_for_function("() => document.getElementById('count').textContent === '1'")
    assert {call.rpartition("/v1/")[2] for call in shopper.calls if "/v1/" in call} == {"pages"}
    assert page.evaluate("Object.keys(localStorage)") == []
