"""The widget: its size, its parts in Node, and on pages of another origin in a real browser."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Request

from recsys.eventlog.sqlite import SqliteStore
from serving.runtime.auth import new_key, write_keys
from tests.browser import started
from tests.launcher import ROOT
from tests.serving.conftest import Server
from tests.shop import START

WIDGET: Final = ROOT / "serving" / "web" / "rec-list.js"
MAX_GZIPPED_BYTES: Final = 6_000
EVIL: Final = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
COUNT_SHIFTS: Final = """
window.shifted = 0;
window.moved = [];
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) {
    window.shifted += each.value;
    window.moved.push(...each.sources.map(({ node }) => node?.outerHTML ?? node?.textContent));
  }
})
  .observe({ type: "layout-shift", buffered: true });
"""
SHELL: Final = """<!doctype html><html lang="{lang}" {page}><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<script type="module" src="{server}/widget/rec-list.js"></script></head>
<body {page_body}>{body}<p id="after">after</p></body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@dataclass
class Shop:
    """A site that shows the widget, its origin, and what its pages have sent."""

    server: Server
    store: Path
    origin: str
    pages: dict[str, str]
    sent: list[Request] = field(default_factory=list)

    def write(self, body: str, consent: bool = True, lang: str = "en", body_attributes: str = "", **given: str) -> str:
        attributes = {"rec_consent": "granted"} if consent else {}
        attributes |= {f"rec_{name}": value for name, value in given.items()}
        page = " ".join(f'data-{name.replace("_", "-")}="{value}"' for name, value in attributes.items())
        shell = {"lang": lang, "page": page, "server": self.server.url, "page_body": body_attributes}
        self.pages["/"] = SHELL.format(body=body, **shell)
        return self.origin

    def calls(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(each.post_data or "{}") for each in self.sent if each.url.endswith(path)]

    def logged(self, entry_type: str) -> list[dict[str, Any]]:
        store = SqliteStore(self.store)
        try:
            found = [each.entry for each in store.read_after(0, 100_000) if each.entry.entry_type == entry_type]
        finally:
            store.close()
        return [{"key": entry.key, **entry.body} for entry in found]


def pages_of(pages: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = pages.get(self.path, "<!doctype html><title>next</title>").encode()
            self.send_response(200)
            kind = "css" if self.path.endswith(".css") else "html"
            self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
            self.send_header("Content-Security-Policy", "style-src 'self'; require-trusted-types-for 'script'")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def site(models: Path, store: Path, **settings: Any) -> Iterator[Shop]:
    pages = {"/page.css": "rec-list { display: block; min-height: 21rem }"}
    web = ThreadingHTTPServer(("127.0.0.1", 0), pages_of(pages))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{web.server_port}"
    server = Server(models, store=store, allowed_origins=origin, **settings)
    try:
        server.wait()
        yield Shop(server, store, origin, pages)
    finally:
        server.stop()
        web.shutdown()
        web.server_close()


@pytest.fixture(scope="module")
def live_site(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with site(shop_models, tmp_path_factory.mktemp("widget") / "store.sqlite") as shop:
        yield shop


@pytest.fixture
def shop(live_site: Shop) -> Shop:
    live_site.sent.clear()
    return live_site


@pytest.fixture
def opened(browser: Browser, shop: Shop) -> Iterator[Callable[..., Page]]:
    """Open a page that was written, and note its calls and errors."""
    contexts: list[Any] = []
    errors: list[Any] = []

    def open_page(url: str, width: int = 1000, height: int = 1200, **context: Any) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **context))
        page = contexts[-1].new_page()
        page.on("request", lambda request: shop.sent.append(request) if request.method == "POST" else None)
        page.on("pageerror", lambda error: errors.append(error))
        page.add_init_script(COUNT_SHIFTS)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [str(error) for error in errors] == []


def wait_until(found: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def states(page: Page) -> list[str]:
    assert wait_until(
        lambda: page.evaluate("[...document.querySelectorAll('rec-list')].every((e) => e.shadowRoot && !e.ariaBusy)")
    )
    found: list[str] = page.evaluate("[...document.querySelectorAll('rec-list')].map((e) => e.getAttribute('state'))")
    return found


def titles(page: Page, n: int = 0) -> list[str]:
    return page.locator("rec-list").nth(n).locator("[part=item] [part=title]").all_inner_texts()


def test_the_module_is_small_and_has_no_dependency() -> None:
    source = WIDGET.read_bytes()
    assert len(gzip.compress(source, 9)) < MAX_GZIPPED_BYTES
    assert b"\nimport " not in source
    for sink in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
        assert sink not in source


def test_every_setting_attribute_and_part_is_documented() -> None:
    source = WIDGET.read_text(encoding="utf-8")
    page = (ROOT / "docs" / "widget.md").read_text(encoding="utf-8")
    settings = {*re.findall(r'setting\("(\w+)"\)', source), "region", "store", "channel"}
    attributes = {*re.findall(r'(?:get|has)Attribute\("(\w+)"\)', source), "placement", "item", "items", "filter"} - {
        "state"
    }
    parts = set(re.findall(r'make\("\w+", "([\w-]+)"', source))
    assert len(settings) > 8
    assert {name for name in settings if f"`data-rec-{name}" not in page} == set()
    assert {name for name in attributes if f"| `{name}` |" not in page} == set()
    assert {name for name in parts if f"`{name}`" not in page} == set()


def test_the_parts_of_the_module_in_node() -> None:
    node = shutil.which("node")
    assert node is not None, "there is no Node on this machine: install it, on Debian with `apt-get install -y nodejs`"
    test = Path(__file__).parent / "rec-list.test.mjs"
    done = subprocess.run([node, "--test", str(test)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_call_fills_all_lists_without_doubles_or_layout_shift(shop: Shop, opened: Callable[..., Page]) -> None:
    own = '<template><article><a data-href="/p/{item_id}"><b data-text="title"></b></a></article></template>'
    url = shop.write(
        '<rec-list placement="complementary" item="phone-1" heading="Goes with it" href="/p/{item_id}"></rec-list>'
        '<rec-list placement="popular" limit="4" image="{image_link}" reasons heading=""></rec-list>'
        f'<rec-list placement="for_you" limit="3"><h2 slot="heading">For you</h2>{own}</rec-list>'
    )
    page = opened(url)
    assert states(page) == ["ready"] * 3
    (call,) = shop.calls("/v1/pages")
    assert [(each["placement"], each["item_ids"]) for each in call["shelves"]] == [
        ("complementary", ["phone-1"]),
        ("popular", []),
        ("for_you", []),
    ]
    assert call["log"] is False
    assert set(call["fields"]) == {"title", "price", "list_price", "currency", "image_link"}
    listed = page.evaluate(
        "[...document.querySelectorAll('rec-list')].flatMap((each) => each.shelf.items.map((item) => item.item_id))"
    )
    assert len(listed) == len(set(listed)) > 8
    assert page.locator("rec-list").nth(2).locator("article").count() == 3
    assert page.locator("article a").first.get_attribute("href").startswith(f"{shop.origin}/p/")  # type: ignore[union-attr]
    page.wait_for_timeout(300)
    assert page.evaluate("[window.shifted, window.moved]") == [0, []]
    assert page.evaluate("document.getElementById('after').getBoundingClientRect().top") > 300


@pytest.mark.parametrize("size", [(390, 800), (1400, 900)], ids=["phone", "desktop"])
def test_fewer_items_than_asked_for_take_the_same_height(
    shop: Shop, opened: Callable[..., Page], size: tuple[int, int]
) -> None:
    url = shop.write(
        '<rec-list placement="popular" limit="12" filter="item_id IN (\'phone-1\', \'case-3\')"></rec-list>'
    )
    page = opened(url, *size)
    assert states(page) == ["ready"]
    assert len(titles(page)) == 2
    page.wait_for_timeout(300)
    assert page.evaluate("window.shifted") == 0


def test_what_is_seen_is_counted_once_and_the_rest_is_not(shop: Shop, opened: Callable[..., Page]) -> None:
    url = shop.write(
        '<rec-list placement="popular" limit="20" href="/p/{item_id}"></rec-list>'
        '<div id="gap"></div><rec-list placement="for_you" id="below"></rec-list>'
    )
    page = opened(url, 700, 500)
    page.evaluate("document.getElementById('gap').style.height = '3000px'")
    assert states(page) == ["ready"] * 2
    page.wait_for_timeout(1500)
    shelf, below = page.evaluate("[...document.querySelectorAll('rec-list')].map((each) => each.shelf)")
    assert not shop.calls("/v1/impressions")
    page.goto(f"{shop.origin}/next")
    page.go_back()
    page.goto(f"{shop.origin}/next")

    def reports() -> list[dict[str, Any]]:
        return [each for each in shop.logged("impression") if each["key"] == shelf["recommendation_id"]]

    (report,) = wait_until(reports)
    seen = [item["item_id"] for item in report["items"]]
    assert seen == [item["item_id"] for item in shelf["items"]][: len(seen)]
    assert 2 <= len(seen) < 8
    assert (report["placement"], report["visitor_id"]) == ("popular", shop.calls("/v1/pages")[0]["visitor_id"])
    assert below["recommendation_id"] not in {each["key"] for each in shop.logged("impression")}
    assert all(each["visitor_id"] for each in shop.logged("impression"))


def test_a_click_names_its_list_and_counts_once(shop: Shop, opened: Callable[..., Page]) -> None:
    page = opened(shop.write('<rec-list placement="popular" href="/p/{item_id}" limit="3"></rec-list>'))
    assert states(page) == ["ready"]
    shelf = page.evaluate("document.querySelector('rec-list').shelf")
    link = page.locator("rec-list a").nth(1)
    link.click(button="middle")
    link.click(modifiers=["ControlOrMeta"])
    page.locator("#after").click()
    page.locator("rec-list a").nth(1).click()
    page.wait_for_url("**/p/**")

    def clicks() -> list[dict[str, Any]]:
        found = shop.logged("event")
        return [each for each in found if each.get("recommendation_id") == shelf["recommendation_id"]]

    (click,) = wait_until(clicks)
    expected = {"event": "select_item", "item_id": shelf["items"][1]["item_id"], "placement": "popular", "position": 2}
    assert click.items() >= expected.items()
    assert click["visitor_id"]
    (impression,) = wait_until(
        lambda: [each for each in shop.logged("impression") if each["key"] == shelf["recommendation_id"]]
    )
    assert shelf["items"][1]["item_id"] in [item["item_id"] for item in impression["items"]], "who clicks has seen"


def test_without_consent_nothing_is_sent_or_stored(shop: Shop, opened: Callable[..., Page]) -> None:
    url = shop.write(
        '<rec-list placement="popular" href="/p/{item_id}" limit="3"></rec-list>',
        consent=False,
        user="u010",
        session="s",
    )
    before = len(shop.logged("impression")) + len(shop.logged("event"))
    page = opened(url)
    assert states(page) == ["ready"]
    page.wait_for_timeout(1300)
    assert page.evaluate("Object.keys(localStorage)") == []
    page.locator("rec-list a").first.click()
    page.wait_for_url("**/p/**")
    page.wait_for_timeout(500)
    (call,) = (json.loads(each.post_data or "{}") for each in shop.sent)
    assert not {"user_id", "visitor_id", "session_id"} & set(call)
    assert call["log"] is False
    assert all("cookie" not in each.headers for each in shop.sent)
    assert len(shop.logged("impression")) + len(shop.logged("event")) == before


def test_what_was_seen_waits_for_consent(shop: Shop, opened: Callable[..., Page]) -> None:
    page = opened(shop.write('<rec-list placement="popular" limit="3"></rec-list>', consent=False))
    assert states(page) == ["ready"]
    page.wait_for_timeout(1300)
    key = page.evaluate("document.querySelector('rec-list').shelf.recommendation_id")
    page.evaluate("document.body.dataset.recConsent = 'granted'")
    page.goto(f"{shop.origin}/next")
    assert wait_until(lambda: [each for each in shop.logged("impression") if each["key"] == key])


FAILURES: Final = {
    "refused": lambda route: route.fulfill(status=503, json={"status": 503}),
    "broken": lambda route: route.fulfill(status=200, body="<html>"),
    "offline": lambda route: route.abort(),
    "slow": lambda route: None,
}


@pytest.mark.parametrize("how", FAILURES)
def test_what_is_inside_stays_when_the_call_fails(browser: Browser, shop: Shop, how: str) -> None:
    inside = '<h2 slot="heading">Goes with it</h2><p id="inside">our bestsellers</p>'
    url = shop.write(
        f'<rec-list placement="popular">{inside}</rec-list><rec-list placement="for_you"></rec-list>', timeout="300"
    )
    with browser.new_context(viewport={"width": 800, "height": 900}) as context:
        page = context.new_page()
        errors: list[Any] = []
        page.on("pageerror", lambda error: errors.append(error))
        page.add_init_script(COUNT_SHIFTS)
        page.route("**/v1/pages", FAILURES[how])
        page.goto(url)
        assert states(page) == ["fallback", "hollow"]
        assert page.locator("#inside").is_visible()
        assert page.locator("h2").is_visible()
        assert page.locator("rec-list [part=skeleton]:visible").count() == 0
        page.wait_for_timeout(200)
        assert page.evaluate("window.shifted") == 0
        assert errors == []


def test_without_script_the_inside_is_shown(browser: Browser, shop: Shop) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(shop.write('<rec-list placement="popular"><p id="inside">our bestsellers</p></rec-list>'))
        assert page.locator("#inside").is_visible()


def test_one_misspelled_list_does_not_empty_the_page(shop: Shop, opened: Callable[..., Page]) -> None:
    page = opened(shop.write('<rec-list placement="populer"></rec-list><rec-list placement="popular"></rec-list>'))
    assert states(page) == ["hollow", "ready"]
    assert len(shop.calls("/v1/pages")) == 2


def test_a_change_of_an_attribute_fills_the_list_again(shop: Shop, opened: Callable[..., Page]) -> None:
    page = opened(shop.write('<rec-list placement="complementary" item="phone-1" limit="3"></rec-list>'))
    assert states(page) == ["ready"]
    late: list[Any] = []
    page.route("**/v1/pages", lambda route: late.append(route) if not late else route.continue_())
    page.evaluate("document.querySelector('rec-list').setAttribute('item', 'phone-3')")
    assert wait_until(lambda: page.evaluate("1") and late)
    page.evaluate(
        """() => {
          const list = document.querySelector("rec-list");
          list.setAttribute("item", "camera-1");
          list.setAttribute("limit", "2");
        }"""
    )
    assert states(page) == ["ready"]
    assert wait_until(lambda: len(titles(page)) == 2)
    shown = titles(page)
    late[0].continue_()
    page.wait_for_timeout(500)
    assert titles(page) == shown, "an answer that comes late is not shown"
    asked = [call["shelves"][0] for call in shop.calls("/v1/pages")]
    assert [(each["item_ids"], each["limit"]) for each in asked] == [
        (["phone-1"], 3),
        (["phone-3"], 3),
        (["camera-1"], 2),
    ]


@pytest.mark.parametrize(
    "wrong", ['limit="-1"', 'limit="1e9"', 'limit="many"', 'items="[1"', "items='{}'", 'filter="a <"']
)
def test_a_wrong_attribute_harms_no_other_list(shop: Shop, opened: Callable[..., Page], wrong: str) -> None:
    page = opened(
        shop.write(f'<rec-list placement="popular" {wrong}></rec-list><rec-list placement="popular"></rec-list>')
    )
    assert wait_until(lambda: states(page)[1] == "ready")


def test_texts_and_links_of_the_catalog_run_no_script(shop: Shop, opened: Callable[..., Page]) -> None:
    body = {
        "title": EVIL,
        "attributes": {"link": "javascript:window.hacked=1", "image_link": "javascript:window.hacked=1"},
    }
    assert shop.server.request("PATCH", "/v1/items/phone-1", json=body).status_code == 200
    own = '<a data-href="{link}"><b data-text="title"></b><img data-src="{image_link}" alt=""></a>'
    filters = "filter=\"item_id = 'phone-1'\""
    url = shop.write(
        f'<rec-list placement="popular" {filters} href="{{link}}" image="{{image_link}}"></rec-list>'
        f'<rec-list placement="for_you"><template>{own}</template></rec-list>'
    )
    page = opened(url)
    assert states(page)[0] == "ready"
    assert titles(page) == [EVIL]
    card = page.locator("rec-list").first.locator("[part=item]")
    assert card.locator("a").get_attribute("href") is None
    assert card.locator("img").get_attribute("src") is None
    card.locator("a").click()
    page.evaluate("document.querySelector('rec-list').setAttribute('filter', \"item_id IN ('phone-1')\")")
    page.wait_for_timeout(500)
    assert page.evaluate("window.hacked") is None


def test_a_click_changes_the_lists_at_once(shop: Shop, opened: Callable[..., Page]) -> None:
    page = opened(shop.write('<rec-list placement="for_you" limit="6"></rec-list>'))
    assert states(page) == ["ready"]
    before = page.evaluate("document.querySelector('rec-list').shelf")
    stored = page.evaluate(
        """async (server) => {
          const widget = await import(`${server}/widget/rec-list.js`);
          const stored = await widget.track("view_item", "camera-1");
          await widget.refresh();
          return stored;
        }""",
        shop.server.url,
    )
    assert stored is True
    after = page.evaluate("document.querySelector('rec-list').shelf")
    assert [item["item_id"] for item in after["items"]] != [item["item_id"] for item in before["items"]]
    assert before["fallback_used"] is True
    assert after["fallback_used"] is False


def test_lists_read_in_the_direction_and_the_language_of_the_page(shop: Shop, opened: Callable[..., Page]) -> None:
    shelf = '<rec-list placement="complementary" item="phone-1" reasons limit="3"></rec-list>'
    body = f'<div dir="rtl" lang="zh">{shelf}</div>'
    page = opened(shop.write(body), color_scheme="dark")
    assert states(page) == ["ready"]
    first, second = (page.locator("[part=item]").nth(n).bounding_box() for n in (0, 1))
    assert first is not None
    assert second is not None
    assert first["x"] > second["x"]
    reason = page.locator("[part=reason]").first.inner_text()
    assert any("\u4e00" <= character <= "\u9fff" for character in reason)


def test_parts_and_properties_take_the_styles_of_the_page(shop: Shop, opened: Callable[..., Page]) -> None:
    page = opened(shop.write('<rec-list placement="popular" limit="3"></rec-list>'))
    assert states(page) == ["ready"]
    width = page.evaluate(
        """() => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync("rec-list { --rec-card-width: 7rem } rec-list::part(title) { color: rgb(1, 2, 3) }");
          document.adoptedStyleSheets = [sheet];
          const root = document.querySelector("rec-list").shadowRoot;
          const title = root.querySelector("[part=title]");
          return [root.querySelector("li").offsetWidth, getComputedStyle(title).color];
        }"""
    )
    assert width == [112, "rgb(1, 2, 3)"]


def test_a_page_with_a_key_reports_as_well(shop_models: Path, tmp_path: Path, browser: Browser) -> None:
    """A beacon cannot have a key: the report goes by fetch, and outlives the page."""
    key, secret = new_key("page", ("recommend", "events"), datetime.fromtimestamp(START, UTC))
    write_keys(tmp_path / "keys.json", [key])
    with site(shop_models, tmp_path / "store.sqlite", keys=tmp_path / "keys.json") as shop:
        url = shop.write('<rec-list placement="popular" href="/p/{item_id}"></rec-list>', key=secret)
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(url)
            assert states(page) == ["ready"]
            page.wait_for_timeout(1300)
            page.locator("rec-list a").first.click()
            page.wait_for_url("**/p/**")
            assert wait_until(lambda: shop.logged("impression"))
            assert wait_until(lambda: shop.logged("event"))
