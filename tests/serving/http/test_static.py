from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from serving.http.static import BRIEFLY, FOREVER, PAGE_HEADERS, StaticFolder

SCRIPT = "export const price = '¥1';\n"


@pytest.fixture
def folder(tmp_path: Path) -> StaticFolder:
    (tmp_path / "files" / "css").mkdir(parents=True)
    (tmp_path / "files" / "a.js").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "files" / "css" / "b.css").write_text("p { color: red }", encoding="utf-8")
    (tmp_path / "files" / "page.jinja").write_text("secret", encoding="utf-8")
    (tmp_path / "outside.js").write_text("secret", encoding="utf-8")
    return StaticFolder("/files/", tmp_path / "files", is_shared=True)


def ask(folder: StaticFolder, method: str, path: str, **headers: str) -> httpx.Response:
    async def call() -> httpx.Response:
        transport: Any = httpx.ASGITransport(Starlette(routes=[folder]))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(call())


@pytest.mark.parametrize(("name", "media_type"), [("a.js", "text/javascript"), ("css/b.css", "text/css")])
def test_a_file_has_a_short_lived_name_and_one_that_is_kept(folder: StaticFolder, name: str, media_type: str) -> None:
    plain, hashed = ask(folder, "GET", f"/files/{name}"), ask(folder, "GET", folder.url(name))
    assert plain.content == hashed.content != b""
    assert plain.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert (plain.headers["cache-control"], hashed.headers["cache-control"]) == (BRIEFLY, FOREVER)
    assert plain.headers["etag"] == hashed.headers["etag"]
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.headers["access-control-allow-origin"] == "*"


def test_the_name_with_the_hash_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1", encoding="utf-8")
    before = StaticFolder("/x/", tmp_path).url("a.js")
    (tmp_path / "a.js").write_text("2", encoding="utf-8")
    assert StaticFolder("/x/", tmp_path).url("a.js") != before


def test_a_known_content_is_not_sent_again(folder: StaticFolder) -> None:
    etag = ask(folder, "GET", "/files/a.js").headers["etag"]
    for header in (etag, f'"other", {etag}', f"W/{etag}"):
        again = ask(folder, "GET", "/files/a.js", **{"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert ask(folder, "GET", "/files/a.js", **{"If-None-Match": '"other"'}).status_code == 200


def test_head_has_no_body_and_other_methods_are_refused(folder: StaticFolder) -> None:
    head = ask(folder, "HEAD", "/files/a.js")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(SCRIPT.encode()))
    refused = ask(folder, "POST", "/files/a.js")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    ["", "none.js", "page.jinja", "../outside.js", "%2e%2e/outside.js", "css/../a.js", "a.0000.js", "/etc/passwd"],
)
def test_only_files_of_the_folder_are_sent(folder: StaticFolder, path: str) -> None:
    answer = ask(folder, "GET", f"/files/{path}")
    assert answer.status_code == 404 or answer.content == SCRIPT.encode()
    assert b"secret" not in answer.content


def test_a_folder_that_is_not_shared_sends_no_header_for_other_origins(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1", encoding="utf-8")
    assert "access-control-allow-origin" not in ask(StaticFolder("/x/", tmp_path), "GET", "/x/a.js").headers


def test_pages_allow_nothing_inline_and_no_frame() -> None:
    policy = PAGE_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
