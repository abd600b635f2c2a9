from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from recsys.bundles.registry import current_version
from recsys.fitting.engine import Engine
from serving.console import site
from serving.console.site import MAX_FORM_BYTES, STATIC, _inside
from tests.serving.console.conftest import Browser, Guarded
from tests.serving.runtime.test_bundle_watcher import write_another

PAGES = (
    "",
    "/lists",
    "/lists/for_you",
    "/lists/complementary",
    "/explore",
    "/map",
    "/growth",
    "/data",
    "/models",
    "/try",
)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", [*PAGES, "/items/{item}", "/users/{user}", "/why?item_id={item}&user_id={user}"])
def test_every_page_is_shown_in_both_languages(browser: Browser, path: str, language: str) -> None:
    sample = browser.sample
    reply = browser.get(
        path.format(item=quote(sample.item_id, safe=""), user=quote(sample.user_id, safe="")),
        **{"Accept-Language": language},
    )
    assert reply.status_code == 200
    assert f'<html lang="{language}">' in reply.text
    assert not re.search(r"\son\w+=|<script(?! src)|\sstyle=|javascript:", reply.text), "the policy would block it"


def test_pages_are_protected(browser: Browser) -> None:
    headers = browser.get("").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")


def test_a_page_and_its_files_are_small(browser: Browser) -> None:
    text = browser.get(f"/items/{quote(browser.sample.item_id, safe='')}").text
    files = set(re.findall(r'(?:src|href)="(/console/static/[^"]+)"', text))
    sizes = [len(browser.client.get(path).content) for path in files]
    assert len(files) == 4
    assert sum(sizes) + len(text.encode()) < 250_000


@pytest.mark.parametrize(
    "path", ["/lists/{0}", "/items/{0}", "/users/{0}", "/explore?q={0}", "/lists/for_you?user={0}"]
)
def test_what_a_caller_writes_is_never_markup(browser: Browser, path: str) -> None:
    reply = browser.get(path.format("%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"))
    assert reply.status_code in (200, 303, 404, 422)
    assert "<script>alert" not in reply.text


@pytest.mark.parametrize(
    "path", ["/nothing", "/lists/none", "/items/nothing", "/static/none.js", "/static/..%2fsite.py"]
)
def test_what_does_not_exist_is_said(browser: Browser, path: str) -> None:
    reply = browser.get(path)
    assert reply.status_code in (404, 422)


def test_an_id_finds_its_page(browser: Browser) -> None:
    sample = browser.sample
    for text, page in ((sample.item_id, "items"), (sample.user_id, "users")):
        encoded = quote(text, safe="")
        reply = browser.get(f"/explore?q={encoded}")
        assert (reply.status_code, reply.headers["location"]) == (303, f"/console/{page}/{encoded}")
    assert "no such id" in browser.get("/explore?q=no%20such%20id").text


def test_the_language_that_was_chosen_stays(browser: Browser) -> None:
    own = Browser(browser.client)
    assert '<html lang="zh">' in own.get("/lists?lang=zh").text
    assert '<html lang="zh">' in own.get("/explore").text
    assert '<html lang="en">' in own.get("/explore?lang=en").text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_without_keys_only_this_machine_may_look(browser: Browser, host: str) -> None:
    assert browser.get("", Host=host).status_code == 403


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "127.1.2.3:80", "[::1]:8000"])
def test_this_machine_has_several_names(browser: Browser, host: str) -> None:
    assert browser.get("", Host=host).status_code == 200


def test_a_form_of_another_site_is_refused(browser: Browser) -> None:
    for origin in ("http://evil.example", "null", ""):
        assert browser.post("/models/x/activate", {}, Origin=origin).status_code == 403
    assert browser.post("/models/x/activate", {"a": "x" * MAX_FORM_BYTES}).status_code == 413
    assert browser.get("/models/x/activate").status_code == 405


def test_a_page_asks_for_a_key_and_goes_on_where_it_was(guarded: Guarded) -> None:
    own = Browser(guarded.client)
    asked = own.get("/lists?lang=en")
    assert asked.status_code == 401
    assert 'value="/console/lists?lang=en"' in asked.text
    assert own.post("/sign-in", {"key": "recsys_wrong"}).status_code == 401
    signed = own.post("/sign-in", {"key": guarded.secrets["all"], "next": "/console/lists"})
    assert (signed.status_code, signed.headers["location"]) == (303, "/console/lists")
    assert signed.headers["set-cookie"].endswith("HttpOnly; SameSite=Strict")
    again = own.post("/sign-in", {"key": guarded.secrets["all"]}, **{"X-Forwarded-Proto": "https"})
    assert again.headers["set-cookie"].endswith("SameSite=Strict; Secure")
    assert own.get("/lists").status_code == 200
    token = re.search(r'name="token" value="(\w+)"', own.get("").text)
    assert token is not None
    assert own.post("/sign-out", {}).status_code == 403
    assert own.post("/sign-out", {"token": token[1]}).status_code == 303
    assert own.get("/lists").status_code == 401


def test_a_bundle_is_activated_by_those_who_may(guarded: Guarded, own_models: Path, shop_engine: Engine) -> None:
    old = str(current_version(own_models))
    new = write_another(shop_engine, own_models)
    admin, events = guarded.signed_in("admin"), guarded.signed_in("events")
    token = re.search(r'name="token" value="(\w+)"', admin.get("/models").text)
    assert token is not None
    assert admin.post(f"/models/{old}/activate", {}).status_code == 403
    assert current_version(own_models) == new
    assert admin.post(f"/models/{old}/activate", {"token": token[1]}).status_code == 303
    assert current_version(own_models) == old
    assert events.get("/models").status_code == 403


@pytest.mark.parametrize("path", PAGES)
def test_a_key_of_a_shop_page_sees_nothing(guarded: Guarded, path: str) -> None:
    assert guarded.signed_in("events").get(path).status_code == 403


def test_people_see_the_buttons_of_their_role(guarded: Guarded, own_models: Path, shop_engine: Engine) -> None:
    write_another(shop_engine, own_models)
    buttons = {"/models": "/activate", "/lists": "/drafts"}
    for role, seen in (("viewer", []), ("merchandiser", ["/lists"]), ("operator", ["/models"])):
        person = guarded.signed_in(role)
        pages = {path: person.get(path) for path in buttons}
        assert all(reply.status_code == 200 for reply in pages.values())
        assert [path for path, action in buttons.items() if f'{action}"' in pages[path].text] == seen


@pytest.mark.parametrize(
    ("target", "inside"),
    [("/console/x?a=b", True), ("/console", True), ("//evil", False), ("/consoles", False), ("/console/\\evil", False)],
)
def test_a_sign_in_leads_nowhere_else(target: str, inside: bool) -> None:
    assert _inside(target) == (target if inside else "/console")


def test_static_files_have_urls_that_change_with_them() -> None:
    assert re.fullmatch(r"/console/static/console\.[0-9a-f]{12}\.css", STATIC.url("console.css"))


def test_the_script_of_others_is_the_one_that_is_named() -> None:
    folder = Path(site.__file__).parent / "static"
    digest = sha256((folder / "htmx.min.js").read_bytes()).hexdigest()
    assert f"SHA-256 {digest}" in (folder / "LICENSES.txt").read_text(encoding="utf-8")
