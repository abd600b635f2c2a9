"""People at the console, in a real browser: a merchandiser changes a list, and every page fits a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.experiments.state import change_state
from recsys.experiments.transitions import start
from recsys.pipeline.recommender import Recommender
from serving.runtime.auth import ROLES, new_key, write_keys
from tests.browser import started
from tests.recsys.experiments.files import write_experiments
from tests.recsys.experiments.simulated_month import write_month
from tests.serving.conftest import Server

PAGES: Final = ("", "lists", "lists/for_you", "explore", "map", "growth", "data", "models", "try", "audit")
SIZES: Final = {"desktop": (1280, 900), "phone": (390, 844)}
SCREENSHOTS: Final = os.environ.get("RECSYS_SCREENSHOTS")
"""A folder for pictures of the pages, if they should be kept."""

MOST_CLICKS: Final = 5
EXPERIMENTS: Final = """
[experiments.calm.variants]
control = {}
mixed = {placements.for_you = {diversity = 0.3}}

[experiments.short.variants]
control = {}
five = {placements.popular = {limit = 5}}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("console")


@pytest.fixture(scope="module")
def secret(folder: Path) -> str:
    key, secret = new_key("Li Wei", (*ROLES["merchandiser"], "admin"), datetime(2026, 1, 1, tzinfo=UTC))
    write_keys(folder / "keys.json", [key])
    return secret


@pytest.fixture(scope="module")
def shop(shop_models: Path, folder: Path, secret: str) -> Iterator[Server]:
    (folder / "placements.toml").write_text("[placements.for_you]\nlimit = 6\n")
    store, experiments = folder / "store.sqlite", write_experiments(folder, EXPERIMENTS)
    for name in ("calm", "short"):
        change_state(experiments, start(name, "2026-11-01T00:00:00Z", 1.0))
    write_month(store, experiments, "calm", [0.3, 0.3, 1.0, 1.0], {"control": 0.05, "mixed": 0.08}, 1000)
    show_lists(store, Recommender.open(shop_models))
    files = {"keys": folder / "keys.json", "placements": folder / "placements.toml", "store": store}
    files["experiments"] = experiments
    server = Server(shop_models, **files)
    server.wait()
    yield server
    server.stop()


def show_lists(store: Path, shop: Recommender) -> None:
    """Write lists of the last day of the data to the log."""
    at, items = shop.data_end, [{"item_id": item_id} for item_id in shop.engine.items.ids[:10]]
    body = {"placement": "for_you", "user_id": "u", "items": items}
    with closing(SqliteStore(store)) as log:
        log.append([LogEntry("impression", f"shown {n}", at, at, body) for n in range(3)])


class Visit:
    """A person's browser, what went wrong in it, and how often the person clicked."""

    def __init__(self, browser: Browser, shop: Server, size: str, language: str) -> None:
        self.root, self.size, self.clicks = f"{shop.url}/console", size, 0
        width, height = SIZES[size]
        self.context = browser.new_context(viewport={"width": width, "height": height}, locale=language)
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda each: self.faults.append(each.text) if each.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def click(self, role: str, name: str) -> None:
        self.clicks += 1
        self.page.get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]

    def sign_in(self, secret: str) -> None:
        self.page.goto(self.root)
        self.page.locator("input[name=key]").fill(secret)
        self.faults.clear()  # the page that asks for a key is a 401
        self.page.locator("form button").click()
        self.clicks += 1

    def keep(self, name: str) -> None:
        if SCREENSHOTS is not None:
            self.page.screenshot(path=f"{SCREENSHOTS}/console-{self.size}-{name}.png", full_page=True)


def test_a_changed_list_is_seen_after_few_clicks(browser: Browser, shop: Server, secret: str) -> None:
    visit = Visit(browser, shop, "desktop", "en-US")
    visit.sign_in(secret)
    visit.click("link", "Lists")
    visit.click("link", "for_you")
    visit.click("button", "Change this list")
    visit.page.get_by_label("Number of items").fill("3")
    visit.click("button", "Save")
    visit.page.locator("#preview .cards").first.wait_for()
    assert visit.clicks <= MOST_CLICKS
    assert [each.locator("li").count() for each in visit.page.locator("#preview .cards").all()] == [3, 6]
    visit.keep("draft")
    visit.page.get_by_role("button", name="Compare for shoppers").click()
    visit.page.locator("#difference h3").first.wait_for()
    assert visit.faults == []


@pytest.mark.parametrize(("size", "language"), [("desktop", "en-US"), ("phone", "zh-CN")])
def test_every_page_fits_the_screen_and_breaks_no_rule(
    browser: Browser, shop: Server, secret: str, size: str, language: str
) -> None:
    visit = Visit(browser, shop, size, language)
    visit.sign_in(secret)
    for path in PAGES:
        visit.page.goto(f"{visit.root}/{path}")
        width, screen = visit.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= screen, path
        visit.keep(path.replace("/", "-") or "today")
    assert visit.faults == []


@pytest.mark.parametrize(("size", "language"), [("desktop", "en-US"), ("phone", "zh-CN")])
def test_verdicts_and_exposure_appear_after_the_page(
    browser: Browser, shop: Server, secret: str, size: str, language: str
) -> None:
    visit = Visit(browser, shop, size, language)
    visit.sign_in(secret)
    visit.page.goto(f"{visit.root}/growth")
    visit.page.locator(".course .verdict").nth(1).wait_for()
    visit.page.locator("#exposure table").first.wait_for()
    assert visit.page.locator(".course").count() == 2
    assert visit.page.locator(".course-plot").count() == 1, "nobody has seen the other experiment"
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.keep("growth-verdicts")
    assert visit.faults == []


def test_a_call_is_tried_and_written_as_code(browser: Browser, shop: Server, secret: str) -> None:
    visit = Visit(browser, shop, "desktop", "en-US")
    visit.sign_in(secret)
    visit.click("link", "Try it")
    visit.page.locator("[data-key]").fill(secret)
    visit.click("button", "Send")
    visit.page.locator("#status", has_text="200").wait_for()
    assert '"recommendation_id"' in visit.page.locator("#answer").inner_text()
    assert secret not in visit.page.locator("#code").inner_text()
    visit.click("tab", "Python")
    assert "import httpx" in visit.page.locator("#code").inner_text()
    assert visit.faults == []


def test_words_find_an_item_while_they_are_written(browser: Browser, shop: Server, secret: str) -> None:
    visit = Visit(browser, shop, "desktop", "en-US")
    visit.sign_in(secret)
    visit.click("link", "Explore")
    before = visit.page.locator("#found").inner_text()
    visit.page.locator("input[name=q]").press_sequentially("zzzz")
    visit.page.wait_for_function("text => document.querySelector('#found').innerText !== text", arg=before)
    assert "Nothing found for zzzz" in visit.page.locator("#found").inner_text()
    assert visit.faults == []


def test_the_arrow_keys_move_on_the_map(browser: Browser, shop: Server, secret: str) -> None:
    visit = Visit(browser, shop, "desktop", "en-US")
    visit.sign_in(secret)
    visit.page.goto(f"{visit.root}/map")
    point = "document.activeElement.querySelector('circle').cx.baseVal.value"
    visit.page.locator("svg.map a[tabindex='0']").focus()
    before = visit.page.evaluate(point)
    visit.page.keyboard.press("ArrowRight" if before < 450 else "ArrowLeft")
    assert visit.page.evaluate(point) != before
    assert visit.page.locator("svg.map a[tabindex='0']").count() == 1
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/console/items/*")
    assert visit.faults == []
